"""What people look at: the graph as a picture, a run as one page, its timeline."""

from __future__ import annotations

import itertools
import json
import random
import time
from html.parser import HTMLParser
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image

from jpipe.history.journal_reader import ItemLog, RunLog, RunRow
from jpipe.render.printed_commands import Commands
from jpipe.report.graph_model import Box, State, clustered
from jpipe.report.graph_svg import graph_svg
from jpipe.report.item_logs import item_page, logs_html, step_page
from jpipe.report.layered_layout import layered
from jpipe.report.run_document import Bar, RunDocument, StepRow
from jpipe.report.thumbnails import thumbnail
from jpipe.report.timeline import lanes_of, timeline_svg

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Project

pytestmark = pytest.mark.usefixtures("one_job")

MARKUP = [
    *("<script>alert(1)</script>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>"),
    *('"><svg onload=alert(1)>', "' onmouseover='alert(1)", "javascript:alert(1)", "<!--", "-->", "]]>", "<![CDATA["),
    *(
        "&lt;b&gt;",
        "&#60;script&#62;",
        "<style>*{display:none}</style>",
        "</style>",
        "</title><script>alert(1)</script>",
    ),
    *("</pre><iframe src=//example.com>", "<base href=//example.com>", "<meta http-equiv=refresh content=0>"),
    *("</table></div>", "<a href=javascript:alert(1)>x</a>", "{{7*7}}", "${alert(1)}", "%3Cscript%3E", "<ScRiPt>"),
    *("\\u003cscript\\u003e", "\u202egnp.exe", "\x1b[31mred", "null\x00byte", "\ufeffbom", "\ud800lone"),
]
WRAPPED = ["{}", "a {} b", "{0}{0}", "<{}>"]
HOSTILE = [frame.format(text) for text in MARKUP for frame in WRAPPED]
assert len(HOSTILE) >= 100


class Page(HTMLParser):
    """What a browser would make of a page: the elements, and the text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def harmless(page: Page, scripts: int) -> None:
    """Nothing runs but the page's own script, and nothing is loaded or led to."""
    assert len(page.of("script")) == scripts
    assert not {tag for tag, _ in page.elements} & {"iframe", "base", "object", "embed", "form", "link"}
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert all((attributes.get(name) or "#").startswith(("#", "data:image/png;")) for name in ("href", "src"))


def shown(text: str) -> str:
    """As a page shows a text: what XML cannot hold by its number."""
    visible = "".join(one if one.isprintable() or one in "\t\n" else f"\\x{ord(one):02x}" for one in text)
    return visible.encode("utf-8", "replace").decode()


def some_boxes(count: int, names: list[str] | None = None) -> list[Box]:
    chance = random.Random(count)
    boxes: list[Box] = []
    for number in range(count):
        needs = tuple(dict.fromkeys(box.name for box in boxes[-6:] if chance.random() < 0.3))
        name = names[number] if names else f"step_{number}"
        boxes.append(Box(name, chance.choice(list(State)), needs, chance.choice([1, 9, 2000]), ("k", "C"), 1.5, 10**6))
    return boxes


def test_boxes_do_not_overlap_and_needs_stand_above() -> None:
    boxes = some_boxes(60)
    sizes = {box.name: (100.0, 40.0) for box in boxes}
    layout = layered({box.name: box.needs for box in boxes}, sizes)
    places = sorted(layout.boxes.values(), key=lambda place: (place[1], place[0]))
    for (x, y), (u, v) in itertools.pairwise(places):
        assert v - y >= 40 or u - x >= 100, "two boxes overlap"
    for box in boxes:
        for need in box.needs:
            assert layout.boxes[need][1] < layout.boxes[box.name][1]
    assert all(0 < x < layout.width and 0 < y < layout.height for x, y in layout.boxes.values())


def test_a_chain_is_straight_and_a_circle_is_drawn_all_the_same() -> None:
    sizes = dict.fromkeys("abc", (80.0, 40.0))
    chain = layered({"a": (), "b": ("a",), "c": ("b",)}, sizes)
    assert len({round(x, 3) for x, _ in chain.boxes.values()}) == 1
    assert set(layered({"a": ("b",), "b": ("a",), "c": ("c", "b")}, sizes).boxes) == set("abc")


@pytest.mark.parametrize(("count", "most"), [(5, 5), (60, 60), (500, 80)])
def test_a_graph_can_be_read_however_many_steps_it_has(count: int, most: int) -> None:
    begun = time.process_time()
    boxes = clustered(some_boxes(count), 80)
    picture = graph_svg(boxes, "main")
    assert time.process_time() - begun < 2
    ElementTree.fromstring(picture)
    assert 0 < len(boxes) <= most
    assert sum(len(box.members) or 1 for box in boxes) == count
    assert all(need in {box.name for box in boxes} for box in boxes for need in box.needs)
    assert "×9 k, C" in picture or count == 500


def test_what_a_graph_shows_of_the_user_is_text() -> None:
    names = list(dict.fromkeys(HOSTILE))
    picture = graph_svg(some_boxes(len(names), names), "<title>")
    root = ElementTree.fromstring(picture)
    told = "".join(root.itertext())
    assert all(shown(name) in told for name in names)
    assert {element.tag.rpartition("}")[2] for element in root.iter()} == {"svg", "g", "title", "path", "text"}


class Rude:
    def __repr__(self) -> str:
        raise RuntimeError("<b>no</b>")


VALUES = {
    "picture": (np.zeros((400, 300, 3), np.uint8), "<img"),
    "grey": (np.random.default_rng(0).random((64, 64)), "<img"),
    "histogram": (np.random.default_rng(0).random((1000, 3)), "histogram"),
    "line": (np.arange(50.0), "a line"),
    "not finite": (np.array([np.nan, np.inf, 1.0, 2.0] * 20), "50% not finite"),
    "only nan": (np.full(5, np.nan), "no finite element"),
    "empty": (np.zeros((0, 3)), "0 × 3"),
    "huge and tiny": (np.array([1e308, -1e308, 0.0, 1.0]), "max 1e+308"),
    "words": (np.array(["a", "b"]), "ndarray 2"),
    "frame": (pd.DataFrame({"<b>": [1.0, None], "y": ["<i>", "z"]}), "missing in the first rows: &lt;b&gt; 50%"),
    "dates": (pd.DataFrame({"t": pd.date_range("2026", periods=2), "s": ["x", "y"]}), "2026-01-02"),
    "image": (Image.new("L", (300, 20)), "image L 300 × 20</p><img"),
    "series": (pd.Series([1, 2, 3], name="s"), "Series 3"),
    "polars": (pl.DataFrame({"x": [1, None]}), "x 50%"),
    "parts": ((np.arange(9.0), pd.DataFrame({"x": [1]})), "DataFrame 1 × 1"),
    "numbers": ([0.5, 0.25, 0.75], "list of 3"),
    "dict": ({"a": 1, "<b>": 0.5}, "&lt;b&gt;"),
    "text": ("<script>", "&lt;script&gt;"),
    "raises": (Rude(), "&lt;b&gt;no&lt;/b&gt;"),
    "none": (None, "None"),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_thumbnail_shows_any_value(case: str) -> None:
    value, expected = VALUES[case]
    made = thumbnail(value)
    assert expected in made
    assert len(made) < 60_000
    harmless(Page(made), 0)


def test_a_figure_is_a_picture() -> None:
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot([1, 2])
    assert thumbnail(figure).startswith('<img alt="a figure" src="data:image/png;base64,')


STUDY = """
    import sys
    import time

    import numpy as np
    import pandas as pd

    from jpipe import map, pipeline, step

    HOSTILE = {hostile!r}


    @step
    def names(shift: float) -> list:
        return HOSTILE


    @step(name="<b>each</b>")
    def each(text: str) -> str:
        print(text.encode("utf-8", "replace").decode())
        return text


    @step(name="</script><script>alert(1)</script>")
    def table(texts: list) -> pd.DataFrame:
        texts = [text for text in texts if text.isprintable()]  # Arrow refuses lone surrogates
        return pd.DataFrame({{"</td><script>": texts, "n": range(len(texts))}}).set_index("</td><script>")


    @step
    def scaled(k: int, shift: float) -> dict:
        return {{"k": k, "loss": k + shift}}


    @step
    def fails(text: str, k: int) -> int:
        if k == 1:
            raise ValueError(text)
        return k


    @pipeline
    def main(title: str = "<img src=x onerror=alert(1)>", shift: float = 0.0):
        texts = map(each, names(shift))
        return table(texts), [scaled(k, shift) for k in range(5)], [fails(title, k) for k in range(3)]
"""


@pytest.fixture(scope="module")
def study(shared_project: Project) -> Project:
    """A hostile pipeline that ran twice, with an edit between."""
    project = shared_project
    project.write(STUDY.format(hostile=HOSTILE))
    assert project.run("-k", json=False).exit_code == 1
    project.edit("pipeline.py", '"loss": k + shift', '"loss": k * 2 + shift')
    result = project.run("-k", "-j2", "--report", "report.html", "--trace", "trace.json", json=False)
    assert result.exit_code == 1
    assert "wrote report.html" in result.stderr
    assert project.command("report", "--run", "1", "-o", "first.html").exit_code == 0
    return project


def test_the_page_of_a_hostile_pipeline_shows_everything_as_text(study: Project) -> None:
    first = Page((study.root / "first.html").read_text("utf-8"))
    harmless(first, 2)
    assert [one for one in HOSTILE[:40] if shown(one) not in first.text] == []
    text = (study.root / "report.html").read_text("utf-8")
    page = Page(text)
    harmless(page, 2)
    assert len(text) < 1_000_000
    for told in ("<b>each</b>", "</script><script>alert(1)</script>", "<img src=x onerror=alert(1)>", "ValueError"):
        assert told in page.text
    (data,) = [one for one in text.split("<script")[1:] if 'id="jpipe-data"' in one]
    document = json.loads(data[data.index(">") + 1 : data.index("</script>")])
    assert {step["name"]: step["state"] for step in document["steps"]}["fails"] == "failed"


def test_what_hostile_items_said_is_text_on_the_pages_of_steps_and_items_too() -> None:
    failure = {"kind": "raised", "error_type": HOSTILE[2], "message": HOSTILE[1], "output": HOSTILE[0], "step": "s"}
    items = [ItemLog(name, 0, name, "", "ran", 0.1, 0, 9, 1, name) for name in HOSTILE]
    items += [ItemLog(HOSTILE[0], 1, HOSTILE[3], "", "failed", 0.1, 0, 0, 1, "", failure)]
    row = RunRow(1, HOSTILE[5], HOSTILE[6], 0.0, 1.0, "failed", {}, (), "", 0, 0, 0, 0, (), "", "")
    rows = tuple(StepRow(n, State.RAN, 1, 1, 0, 0, 0, 1.0, 1.0, 1.0, 0.0, 0, 0, 1, ()) for n in dict.fromkeys(HOSTILE))
    document = RunDocument(row, RunLog(items=items), RunLog(), rows, (), (), (), ())
    served = "/run/1"
    pages = [item_page(document, name, 0, Commands(), served, "") for name in HOSTILE]
    pages += [step_page(document, HOSTILE[0], served, ""), item_page(document, HOSTILE[0], 1, Commands(), served, "")]
    for name, page in zip([*HOSTILE, *HOSTILE[:2]], map(Page, pages), strict=True):
        assert shown(name) in page.text
        assert len(page.of("script")) == 1
        assert {(one["href"] or "").partition("?")[0] for one in page.of("a")} <= {
            "#main",
            "#log",
            "#items",
            "/run/1",
            "/run/1/log",
        }
    logs = Page(logs_html(document, Commands()))
    harmless(logs, 0)
    assert all(shown(name) in logs.text for name in HOSTILE)


def test_the_page_tells_what_changed_what_that_did_and_what_failed(study: Project) -> None:
    text = Page((study.root / "report.html").read_text("utf-8")).text
    for told in (
        'return {"k": k, "loss": k * 2 + shift}',
        "What that did to the results, against run #1",
        "k=4, shift=0.0 ['loss'] 4 → 8 +4 +100 %",
        "jpipe debug fails --item 1",
        "jpipe run -k -j2 --report report.html --trace trace.json",
        "worker",
        "pandas",
        "title",
    ):
        assert told in " ".join(text.split()), told


def test_the_timeline_is_one_of_chromes_tracing(study: Project) -> None:
    events = json.loads((study.root / "trace.json").read_text("utf-8"))["traceEvents"]
    spans = [event for event in events if event["ph"] == "X"]
    assert {event["cat"] for event in spans} == {"scaled", "fails"}
    assert [event["args"]["failed"] for event in spans if event["cat"] == "fails"] == [True]
    assert all(event["ts"] >= 0 and event["dur"] >= 0 for event in spans)
    for worker in {event["tid"] for event in spans}:
        own = sorted((event["ts"], event["dur"]) for event in spans if event["tid"] == worker)
        # Microseconds are rounded, and an item is told to the nearest.
        assert all(a + d <= b + 5 for (a, d), (b, _) in itertools.pairwise(own)), "two items at once in a worker"


def test_any_kept_run_has_a_page_also_one_that_had_nothing_to_do(study: Project) -> None:
    assert "Never ran before" in (study.root / "first.html").read_text("utf-8")
    missing = study.command("report", "--run", "99")
    assert (missing.exit_code, "there is no run 99" in missing.stderr) == (5, True)
    nowhere = study.command("report", "-o", "no/such/folder.html")
    assert (nowhere.exit_code, "cannot write" in nowhere.stderr) == (2, True)


def test_a_run_from_python_writes_its_page(project: Project, tmp_path: Path) -> None:
    project.write("""
        import jpipe
        from jpipe import pipeline, step

        @step
        def double(k):
            return 2 * k

        @pipeline
        def main():
            return [double(k) for k in range(3)]

        if __name__ == "__main__":
            for name in ("first.html", "second.html"):
                jpipe.run(main, n_jobs=1).to_html(name)
    """)
    assert project.python("pipeline.py").exit_code == 0
    first, second = (Page((project.root / f"{name}.html").read_text("utf-8")) for name in ("first", "second"))
    assert "run #1 · ok" in first.text
    assert "run #2 · up to date" in second.text
    assert "3 cached" in second.text
    assert "k=2" in second.text


PLOTTED = """
    from jpipe import pipeline, step

    @step
    def plot(height: int):
        from matplotlib.figure import Figure
        figure = Figure(figsize=(3, 2))
        figure.subplots().plot([0, height, 1])
        return figure

    @pipeline
    def main():
        return plot(2)
"""


def test_figures_that_an_edit_changed_stand_beside_each_other(project: Project) -> None:
    project.write(PLOTTED)
    project.run()
    project.edit("pipeline.py", "[0, height, 1]", "[0, height, 3]")
    project.command("run", "--report", "page.html")
    page = Page((project.root / "page.html").read_text("utf-8"))
    shown = [attrs["alt"] for tag, attrs in page.elements if tag == "img"]
    assert [text for text in shown if text and text.endswith((", before", ", after"))] == [
        "plot[height=2], before",
        "plot[height=2], after",
    ]
    assert "pictures" not in project.command("diff", "--json").stdout


@pytest.mark.parametrize("form", ["svg", "png", "html", "mmd", "dot", "json"])
def test_the_graph_is_written_in_every_form(project: Project, form: str) -> None:
    project.write("""
        from jpipe import pipeline, step

        @step(name='a "b" <c> $d_e$')
        def odd():
            return 1

        @step
        def each(n, k):
            return n + k

        @pipeline
        def main():
            n = odd()
            return [each(n, k) for k in range(9)]
    """)
    result = project.command("graph", "-o", f"graph.{form}")
    assert (result.exit_code, result.stderr) == (0, "")
    raw = (project.root / f"graph.{form}").read_bytes()
    if form == "png":
        assert raw.startswith(b"\x89PNG")
    elif form == "svg":
        text = "".join(ElementTree.fromstring(raw).itertext())
        assert 'a "b" <c> $d_e$' in text
        assert "×9 k · to run" in text or "×9 k · may run" in text
    elif form == "html":
        harmless(Page(raw.decode()), 1)
    elif form == "mmd":
        assert b'["a "b"' not in raw, "a quotation mark ends a label of Mermaid's"


def test_idle_time_is_what_no_item_took() -> None:
    bars = [Bar(1, 0.0, 5.0, "a", "a[0]"), Bar(2, 0.0, 2.5, "a", "a[1]"), Bar(2, 2.5, 10.0, "b", "b")]
    lanes = lanes_of(bars, 10.0, 3)
    assert [(lane.name, lane.idle) for lane in lanes] == [("worker 1", 0.5), ("worker 2", 0.0), ("worker 3", 1.0)]
    many = [Bar(1, at / 1000, at / 1000 + 0.0009, "a", f"a[{at}]") for at in range(20_000)]
    assert len(timeline_svg(lanes_of(many, 20.0, 1), 20.0, ["a"])) < 500_000
