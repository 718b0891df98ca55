"""The house keeps its shape: floors, file sizes, a sentence at the top of each module, light imports."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import jpipe

ROOT = Path(__file__).parents[1]
MODULES = sorted((ROOT / "jpipe").rglob("*.py"))
CEILING = 400
LONGER: dict[str, str] = {}
"""Modules above the ceiling, and the one idea that each of them holds."""

LONGEST = 60
"""Lines of a function."""

LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def relative(module: Path) -> str:
    return module.relative_to(ROOT / "jpipe").as_posix()


def test_imports_go_down_and_only_the_named_rooms_know_a_library() -> None:
    """The contracts are in pyproject.toml; imports inside functions count too."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", LINT, "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_no_module_hides_a_cycle_behind_a_name_in_a_string() -> None:
    """`import_module("jpipe...")` is an import that no contract sees; only the package front's lazy names may."""
    hidden = []
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("import_module", "__import__")):
                texts = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
                if any(isinstance(text, str) and text.startswith("jpipe") for text in texts):
                    hidden.append(f"{relative(module)}:{node.lineno}")
    assert [place for place in hidden if not place.startswith(("__init__.py", "cli/"))] == []


def test_no_module_grows_past_the_ceiling_unnoticed() -> None:
    longer = {relative(module) for module in MODULES if module.read_text("utf-8").count("\n") > CEILING}
    assert longer - set(LONGER) == set(), f"above {CEILING} lines: split it, or say in LONGER which one idea it holds"
    assert set(LONGER) - longer == set(), "no longer above the ceiling: take it out of LONGER"


def test_no_function_is_longer_than_a_screen() -> None:
    """Docstrings aside, which are long where a public function has many parameters."""
    longer = {}
    for module in MODULES:
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                told = len((ast.get_docstring(node, clean=False) or "").splitlines())
                lines = (node.end_lineno or 0) - node.lineno + 1 - told
                if lines > LONGEST:
                    longer[f"{relative(module)}:{node.name}"] = lines
    assert longer == {}


def test_each_module_names_what_it_defines_for_others() -> None:
    """`__all__` holds no name that is not there."""
    for module in MODULES:
        tree = ast.parse(module.read_text("utf-8"))
        bound = {alias.asname or alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom | ast.Import)
                 for alias in node.names}  # fmt: skip
        bound |= {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        bound |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
        named = [node.value for node in tree.body if isinstance(node, ast.Assign)
                 and ast.unparse(node.targets[0]) == "__all__" and isinstance(node.value, ast.List)]  # fmt: skip
        for listed in named:
            assert {ast.literal_eval(item) for item in listed.elts} - bound == set() or "__getattr__" in bound, module


@pytest.mark.parametrize("module", MODULES, ids=relative)
def test_each_module_says_in_one_sentence_what_it_owns(module: Path) -> None:
    sentence = (ast.get_docstring(ast.parse(module.read_text("utf-8"))) or "").partition("\n\n")[0]
    assert sentence.endswith((".", ":", "?"))
    assert len(sentence) > 20


def test_the_architecture_page_has_each_room_with_its_sentence() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    listed = dict(re.findall(r"^\| `([\w/.]+?)/?` \| (.+) \|$", page, re.MULTILINE))
    folders = [module.parent for module in MODULES if module.name == "__init__.py" and module.parent != ROOT / "jpipe"]
    for folder in folders:
        docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text("utf-8"))) or ""
        assert listed.get(relative(folder)) == docstring.partition("\n\n")[0].replace("\n", " "), folder


def test_the_public_names_are_those_of_the_design() -> None:
    names = {"File", "Output", "cached", "errors", "load", "map", "parallel", "pipeline", "run", "seed", "step"}
    assert set(jpipe.__all__) == names
    assert set(dir(jpipe)) == names | {"__version__"}
    assert all(getattr(jpipe, name) is not None for name in names)


@pytest.mark.parametrize(
    ("statement", "heavy"),
    [
        ("import jpipe", {"numpy", "joblib", "networkx", "rich", "click", "tqdm", "asyncio"}),
        ("from jpipe import pipeline, step", {"numpy", "joblib", "networkx", "rich", "click", "tqdm", "asyncio"}),
        ("import jpipe.cli", {"numpy", "joblib", "networkx", "tqdm"}),
        ("import jpipe.worker.run_chunk", {"networkx", "rich", "click"}),
    ],
)
def test_importing_is_light(statement: str, heavy: set[str]) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert heavy & set(done.stdout.split()) == set()


_CHANGING = ("add", "append", "clear", "discard", "extend", "insert", "pop", "remove", "setdefault", "update")
_CALL_STATES = ("state", "source", "waiter", "other", "call_state")


def _fields_written(tree: ast.Module, fields: set[str]) -> list[str]:
    """The lines that change a field of something that is not `self`, or an element of it."""
    found = []
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else []
        if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            targets = [node.func.value]
        for target in targets:
            while isinstance(target, ast.Subscript):
                target = target.value
            if isinstance(target, ast.Attribute) and target.attr in fields and isinstance(target.value, ast.Name):
                if target.value.id in _CALL_STATES:
                    found.append(f"{node.lineno}: {ast.unparse(node)}")
    return found


def test_the_state_of_a_call_is_changed_by_its_own_methods_only() -> None:
    """So that the picture beside `CallState` is the whole truth about who moves a call on."""
    from jpipe.decide.call_state import CallState

    fields = set(CallState.__slots__)
    assert _fields_written(ast.parse("state.status[0] = 1\nstate.needs.add(1)\nstate.seconds += 1"), fields), "blind"
    writes = {
        relative(module): found
        for module in MODULES
        if relative(module).split("/")[0] in ("decide", "schedule", "debugging.py", "api.py")
        if (found := _fields_written(ast.parse(module.read_text("utf-8")), fields))
    }
    assert writes == {}
