"""The pages in a real browser: nothing runs or loads that is not theirs, and everybody can read them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Project

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium")

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
PIPELINE = """
    import numpy as np
    import pandas as pd

    from jpipe import pipeline, step


    @step(name="<img src=x onerror=alert(1)>")
    def data() -> np.ndarray:
        return np.random.default_rng(0).random((50, 60))


    @step
    def fit(data, k: int) -> dict:
        print("fitting", k)
        if k == 3:
            raise ValueError("</pre><script>document.title = 'hacked'</script>")
        return {"k": k, "loss": float(data.mean()) * k}


    @step
    def table(fits: list) -> pd.DataFrame:
        return pd.DataFrame(fits)


    @pipeline
    def main(ks: int = 3):
        values = data()
        return table([fit(values, k) for k in range(ks)])
"""


@pytest.fixture(scope="module")
def pages(shared_project: Project) -> Project:
    """Pages of a run that went well and of one that failed, and of a graph."""
    project = shared_project
    project.write(PIPELINE)
    assert project.run("--report", "ok.html", json=False).exit_code == 0
    project.edit("pipeline.py", "* k}", "* k + 1}")
    assert project.run("--set", "ks=5", "-k", "--report", "failed.html", json=False).exit_code == 1
    assert project.command("graph", "-o", "graph.html").exit_code == 0
    return project


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["ok.html", "failed.html", "graph.html"])
def test_a_page_can_be_read_by_everybody_and_asks_nothing_of_a_network(
    pages: Project, chromium: Any, name: str, scheme: str, width: int
) -> None:
    page = chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((pages.root / name).as_uri())
    page.screenshot(path=str(pages.root / f"{name}-{scheme}-{width}.png"), full_page=True)
    assert complaints == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert page.title() != "hacked"
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth"), "the page itself scrolls sideways"
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, shade[4:-1].split(", "))) > 380) == (scheme == "light")
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    assert [(one["id"], one["nodes"][0]["html"]) for one in found] == []
    page.close()


def test_the_table_sorts_by_a_click_and_by_the_keyboard(pages: Project, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((pages.root / "failed.html").as_uri())
    names = "Array.from(document.querySelectorAll('.jp-steps tbody th'), (one) => one.textContent)"
    before = page.evaluate(names)
    page.locator(".jp-steps button", has_text="items").click()
    assert page.evaluate(names)[0] == "fit"
    page.locator(".jp-steps button").first.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(names) == sorted(before, reverse=True)
    page.get_by_role("button", name="Light or dark").click()
    assert page.evaluate("document.documentElement.dataset.theme") in ("light", "dark")
    page.close()


def test_a_step_in_the_graph_leads_to_its_row(pages: Project, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((pages.root / "ok.html").as_uri())
    page.locator("svg.jp-graph a").nth(1).click()
    assert page.evaluate("document.querySelector('tr:target th').textContent") == "fit"
    page.close()
