"""Makes the pictures of the documentation: what the examples draw, graphs, and screens of the real command.

python docs/pictures.py             # all of them; takes a few minutes
python docs/pictures.py grid tiles  # those of some examples
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
GALLERY = ROOT / "docs" / "gallery"
SCREENS = ROOT / "docs" / "pictures"
DRAWN = {
    "bootstrap": "figure.svg",
    "coins": "figure.png",
    "grid": "figure.svg",
    "queries": "figure.svg",
    "series": "figure.svg",
    "tiles": "figure.png",
}
"""Examples that draw a figure. Of the others the graph is shown."""

GRAPHS = {
    "centrality": (),
    "digits": (),
    "epidemic": ("--sweep", "rate=0.05,0.1,0.2"),
    "images": (),
    "package": (),
    "panel": (),
}
WIDTH = 100
CHROMIUM = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars")


def jpipe(folder: Path, *words: str) -> str:
    """What a command prints on a terminal, with colours."""
    colours = {"FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    command = [sys.executable, "-m", "jpipe", *words, "--color", "always"]
    done = subprocess.run(
        command, cwd=folder, env={**os.environ, **colours}, capture_output=True, encoding="utf-8", check=False
    )
    return done.stderr + done.stdout


def copied(example: str, folder: Path) -> Path:
    """An example in a folder of its own, below the path that it has in a clone."""
    left_out = shutil.ignore_patterns("cache", "out", "figure.*", "*.db", "__pycache__")
    home = Path(shutil.copytree(ROOT / "examples" / example, folder / "examples" / example, ignore=left_out))
    (folder / "jpipe.toml").touch()
    return home


def of_example(name: str, folder: Path) -> None:
    home = copied(name, folder)
    if name in GRAPHS:
        jpipe(home, "graph", "-o", str(GALLERY / f"{name}.svg"), *GRAPHS[name])
        return
    told = jpipe(home, "run", "--progress", "off")
    picture = home / DRAWN[name]
    if not picture.exists():
        raise RuntimeError(told)
    target = GALLERY / f"{name}{picture.suffix}"
    if picture.suffix == ".svg":
        target.write_text(re.sub(r"[ \t]+$", "", picture.read_text("utf-8"), flags=re.MULTILINE), "utf-8")
    else:
        from PIL import Image

        Image.open(picture).convert("RGB").quantize(32).save(target, optimize=True)


def of_notebook(folder: Path) -> None:
    """The graph of the pipeline in a notebook's cells."""
    cells = json.loads((ROOT / "examples" / "notebook" / "wines.ipynb").read_text("utf-8"))["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (folder / "pipeline.py").write_text("\n\n".join(code[: [*map(is_last, code)].index(True) + 1]), "utf-8")
    jpipe(folder, "graph", "-o", str(GALLERY / "notebook.svg"))


def is_last(cell: str) -> bool:
    """Whether a cell has the pipeline; what follows uses it."""
    return "@pipeline" in cell


def screen(printed: str, command: str, target: Path) -> None:
    """A terminal as a picture that loads nothing: the command that was typed, and what it printed."""
    from rich._export_format import CONSOLE_SVG_FORMAT
    from rich.console import Console
    from rich.terminal_theme import MONOKAI
    from rich.text import Text

    console = Console(record=True, width=WIDTH + 4, file=io.StringIO(), force_terminal=True)
    console.print(Text(f"$ {command}", style="bold"))
    console.print(Text.from_ansi(printed.strip("\n")))
    form = re.sub(r"@font-face \{\{.*?\}\}\n", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    form = form.replace("Fira Code, monospace", "ui-monospace, Menlo, Consolas, monospace")
    svg = console.export_svg(title="jpipe", code_format=form, theme=MONOKAI, unique_id=target.stem)
    target.write_text(svg + "\n", "utf-8")


def screens(folder: Path) -> None:
    """The README's pictures: a reason, a failure, and the page of a run."""
    home = copied("digits", folder)
    file = "examples/digits/pipeline.py"
    jpipe(folder, "run", file)
    code = home / "pipeline.py"
    text = code.read_text("utf-8")
    code.write_text(text.replace("cv=5", "cv=4"), "utf-8")
    why = f"plan {file} --why"
    screen(jpipe(folder, *why.split()), f"jpipe {why}", SCREENS / "why.svg")
    jpipe(folder, "run", file)
    jpipe(folder, "report", file, "-o", "report.html")
    code.write_text(text, "utf-8")
    failing = f"run {file} --set ks=8,16,100"
    screen(jpipe(folder, *failing.split(), "--progress", "off"), f"jpipe {failing}", SCREENS / "failure.svg")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is not None:
        page = (folder / "report.html").as_uri()
        shot = f"--screenshot={SCREENS / 'report.png'}"
        subprocess.run([browser, *CHROMIUM, "--window-size=1000,900", shot, page], check=True, capture_output=True)


def main(names: list[str]) -> None:
    special = {"screens": screens, "notebook": of_notebook}
    for name in names or [*DRAWN, *GRAPHS, *special]:
        with tempfile.TemporaryDirectory() as folder:
            special[name](Path(folder)) if name in special else of_example(name, Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
