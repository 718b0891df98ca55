"""The pages in a real browser: nothing runs or loads that is not theirs, and everybody can read them."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from jpipe.history.journal_reader import ItemLog, RunLog, RunRow
from jpipe.render.journal_text import failure_of
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_model import Box, State
from jpipe.report.run_document import Bar, RunDocument, StepRow
from jpipe.report.run_page import run_page
from jpipe.report.thumbnails import thumbnail

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


def test_a_click_on_an_item_of_the_timeline_shows_what_it_said(pages: Project, chromium: Any) -> None:
    page = chromium.new_page()
    page.goto((pages.root / "failed.html").as_uri())
    failed = page.locator("details", has_text="fit[k=3]")
    assert not failed.locator("pre").first.is_visible()
    page.locator("svg.jp-time g[data-place]", has_text="fit[k=3]").first.click(force=True)
    assert "ValueError" in failed.locator("pre").first.inner_text()
    assert failed.locator("pre").last.inner_text().strip() == "fitting 3"
    page.close()


def test_a_live_page_moves_and_leaves_open_what_is_looked_at(project: Project, chromium: Any) -> None:
    project.write("""
        import time
        from jpipe import pipeline, step

        @step
        def slow(k: int) -> int:
            time.sleep(1)
            print("slow", k, "says")
            return k

        @pipeline
        def main():
            return [slow(k) for k in range(9)]
    """)
    with project.start("run", "--live", "-j1", "--progress", "off") as process:
        assert process.stderr is not None
        page = chromium.new_page()
        page.goto(next(line for line in process.stderr if "token=" in line).split()[1])
        first = page.locator("details", has_text="slow[k=0]")
        first.locator("summary").click()
        page.locator(".jp-steps button", has_text="items").click()
        page.locator("details", has_text="slow[k=3]").wait_for()
        assert first.locator("pre").inner_text().strip() == "slow 0 says"
        assert page.locator("th[aria-sort=descending]").inner_text() == "items"
        page.locator("svg.jp-time g[data-place]").nth(1).click(force=True)
        page.get_by_role("heading", name="slow[k=1]").wait_for()
        assert "slow 1 says" in page.content()
        assert process.wait(60) == 0
    page.close()


PICTURES = Path(__file__).parent / "pictures"
_SCALE = 4
"""Pictures are kept so many times smaller: a few kilobytes each, in which edges of letters do not count."""
_FONTS = ("DejaVuSans.ttf", "DejaVuSansMono.ttf")


def fonts() -> str:
    """A style that has all text drawn with fonts that come with matplotlib: those of the machine differ."""
    import matplotlib

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    encoded = [base64.b64encode((folder / name).read_bytes()).decode() for name in _FONTS]
    faces = "".join(
        f"@font-face{{font-family:F{at};src:url(data:font/ttf;base64,{text})}}" for at, text in enumerate(encoded)
    )
    return (
        f"{faces}*{{font-family:F0!important}}pre,code{{font-family:F1!important}}::-webkit-scrollbar{{display:none}}"
    )


def fixed_page() -> str:
    """The page of a run in which nothing is of this machine, this moment or another library's drawing."""

    def row(name: str, state: State, items: int, busy: float, **more: Any) -> StepRow:
        counts = {"ran": items, "cached": 0, "failed": 0, "blocked": 0, **more}
        return StepRow(name, state, items, seconds=busy, busy=busy, longest=busy / items, saved=0.0,
                       peak_memory=81_000_000, nbytes=4096, printed=1, reasons=(), **counts)  # fmt: skip

    steps = (
        row("load", State.CACHED, 1, 0.0, ran=0, cached=1), row("features", State.RAN, 3, 4.0),
        row("fit", State.FAILED, 3, 6.0, ran=2, failed=1), row("table", State.BLOCKED, 1, 0.0, ran=0, blocked=1),
    )  # fmt: skip
    needs = {"load": (), "features": ("load",), "fit": ("features",), "table": ("fit",)}
    boxes = tuple(
        Box(s.name, s.state, needs[s.name], s.items, ("k",) if s.items > 1 else (), s.busy, 0, "") for s in steps
    )
    bars = tuple(Bar(1 + k % 2, 1.5 * k, 1.5 * k + 1.2, "features", f"features[k={k}]") for k in range(3))
    bars += tuple(Bar(1 + k % 2, 5 + 2.0 * k, 6.8 + 2 * k, "fit", f"fit[k={k}]", k == 2, k) for k in range(3))
    failure = {"step": "fit", "label": "fit[k=2]", "item": 2, "items": 3, "kind": "raised", "error_type": "ValueError",
               "message": "singular matrix", "output": "fitting 2\n"}  # fmt: skip
    items = [ItemLog("fit", 0, "fit[k=0]", "", "ran", 1.8, 0, 9, 1, "fitting 0\n"),
             ItemLog("fit", 2, "fit[k=2]", "", "failed", 1.8, 0, 0, 1, "", failure)]  # fmt: skip
    log = RunLog(items=items, start={"jobs": 2, "command": ["jpipe", "run"]})
    run = RunRow(7, "r7", "study.py:main", 0.0, 11.0, "failed", {"k": "3"}, ("k",), "", 5, 1, 1, 1, (), "", "")
    results = {"load": thumbnail(np.arange(600).reshape(20, 30)), "features": thumbnail([1.0, 4.0, 2.0, 8.0, 5.0]),
               "table": thumbnail(pd.DataFrame({"k": [1, 2], "loss": [0.5, 0.25]}))}  # fmt: skip
    document = RunDocument(run, log, log, steps, boxes, bars, (failure_of(failure),), ("numpy 2",))
    page = run_page(document, results, None, Commands(("log", "show")))
    return re.sub(r"19(69|70)-\d\d-\d\d [\d:]+", "2026-01-31 12:00:00", page)  # whatever the time zone


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_page_looks_as_it_did(
    chromium: Any, tmp_path: Path, pytestconfig: pytest.Config, scheme: str, width: int
) -> None:
    from PIL import Image, ImageChops

    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True)
    page = context.new_page()
    page.set_content(fixed_page())
    page.add_style_tag(content=fonts())
    page.evaluate("document.fonts.ready")
    taken = Image.open(io.BytesIO(page.screenshot(full_page=True, animations="disabled"))).convert("RGB")
    context.close()
    small = taken.resize((taken.width // _SCALE, taken.height // _SCALE), Image.Resampling.BOX)
    kept = PICTURES / f"{scheme}-{width}.png"
    if pytestconfig.getoption("update_pictures"):
        PICTURES.mkdir(exist_ok=True)
        small.quantize(64).save(kept, optimize=True)
    small.save(tmp_path / "taken.png")
    before = Image.open(kept).convert("RGB")
    assert abs(before.height - small.height) <= 2, f"its height was {before.height * _SCALE}, see {tmp_path}"
    height = min(before.height, small.height)
    differ = ImageChops.difference(before.crop((0, 0, small.width, height)), small.crop((0, 0, small.width, height)))
    far = np.asarray(differ).max(axis=2) > 40
    assert far.mean() < 0.01, f"{far.mean():.1%} of it look different, see {tmp_path} and {kept}"
