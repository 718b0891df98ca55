"""The documentation is complete, and what it shows runs."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest
import yaml
from packaging.requirements import Requirement

import jpipe
from jpipe.cli.command_line import group
from jpipe.errors import ExitCode
from jpipe.model.reasons import ReasonKind
from jpipe.model.step_options import StepOptions
from jpipe.settings import SETTINGS

if TYPE_CHECKING:
    from conftest import Project

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
AT_THE_TOP = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
PAGES = sorted([*AT_THE_TOP, *DOCS.rglob("*.md"), *(ROOT / "examples").rglob("*.md")])


def page(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command with the words that call it."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from commands(inner, (*path, name))


COMMANDS = dict(commands(group))


@pytest.mark.parametrize("words", [words for words in COMMANDS if words], ids=" ".join)
def test_each_command_and_each_of_its_options_is_documented(words: tuple[str, ...]) -> None:
    text = page("reference/cli.md")
    assert f"## `jpipe {words[0]}`" in text
    assert len(words) == 1 or f"`{' '.join(words)}`" in text
    options = [parameter for parameter in COMMANDS[words].params if isinstance(parameter, click.Option)]
    for option in options:
        for flag in (*option.opts, *option.secondary_opts):
            assert re.search(rf"`[^`]*(?<![\w-]){re.escape(flag)}(?![\w-])", text), f"{flag} is not in cli.md"


def test_each_public_name_is_documented() -> None:
    text = page("reference/api.md")
    for name in jpipe.__all__:
        assert f"jpipe.{name}" in text, f"{name} is not in api.md"


def test_each_setting_is_documented_with_its_variable_and_its_flags() -> None:
    text = page("reference/configuration.md")
    for name, setting in SETTINGS.items():
        row = re.search(rf"^\| `{name}` \|.*$", text, re.MULTILINE)
        assert row, f"{name} is not in configuration.md"
        for word in (setting.variable, *setting.flags, *setting.choices):
            assert word in row[0], f"{word} is not in the row of {name}"


def test_each_option_of_a_step_is_documented() -> None:
    table = page("reference/configuration.md").partition("## Options of a step")[2]
    documented = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert documented == list(StepOptions._fields)


def test_each_environment_variable_that_the_source_reads_is_documented() -> None:
    text = page("reference/configuration.md")
    source = "".join(file.read_text("utf-8") for file in (ROOT / "jpipe").rglob("*.py"))
    for variable in set(re.findall(r"\bJPIPE_[A-Z_]*[A-Z]\b", source)):
        assert variable in text, f"{variable} is not in configuration.md"


def test_the_reasons_stand_in_the_order_in_which_they_are_asked() -> None:
    assert re.findall(r"^\| `([a-z ]+)` \|", page("reference/reasons.md"), re.MULTILINE) == [
        kind.value for kind in ReasonKind
    ]


def test_the_exit_codes_are_those_of_the_command() -> None:
    rows = re.findall(r"^\| (\d+) \| `(\w+)` \|", page("reference/exit-codes.md"), re.MULTILINE)
    assert rows == [(str(code.value), code.name) for code in ExitCode]


def test_every_key_of_every_event_is_documented(project: Project) -> None:
    project.write(
        """
        from jpipe import pipeline, step

        @step
        def half(n: int) -> float:
            return 1 / n

        @pipeline
        def main():
            return [half(n) for n in range(2)]
        """
    )
    text = page("reference/events.md")
    events = project.run("-v").events
    assert {event["event"] for event in events} == {"run_start", "item_end", "step_end", "run_end"}
    for event in events:
        section = re.search(rf"^## `{event['event']}`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section
        for key in event.keys() - {"v", "event"}:
            assert f"`{key}`" in section[1], f"{key} of {event['event']} is not in events.md"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_to_files_that_exist(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", path.read_text("utf-8")):
        if not target.startswith("http"):
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_code_in_the_documentation_is_python(path: Path) -> None:
    for block in blocks(path.read_text("utf-8"), "python"):
        source = block if not block.startswith(" ") else "if True:\n" + block
        ast.parse(source)


@pytest.mark.parametrize(("language", "read"), [("toml", tomllib.loads), ("yaml", yaml.safe_load)])
def test_settings_in_the_documentation_can_be_read(language: str, read: Callable[[str], object]) -> None:
    found = [read(block) for path in PAGES for block in blocks(path.read_text("utf-8"), language)]
    assert found
    assert all(isinstance(one, dict) for one in found)


def test_each_page_is_in_the_contents() -> None:
    listed = set()
    for index in DOCS.rglob("index.md"):
        for contents in blocks(index.read_text("utf-8"), "{toctree}"):
            for entry in (line for line in contents.splitlines() if line and not line.startswith(":")):
                listed.update(index.parent.glob(f"{entry}.md"))
    assert set(DOCS.rglob("*.md")) - listed == {DOCS / "index.md"}


def test_each_object_that_the_reference_names_is_there() -> None:
    targets = re.findall(r"^\.\. auto(?:function|class|module):: ([\w.]+)", page("reference/api.md"), re.MULTILINE)
    assert targets
    for target in targets:
        assert pkgutil.resolve_name(target) is not None


def modules_with_examples() -> list[str]:
    files = [file for file in sorted((ROOT / "jpipe").rglob("*.py")) if ">>> " in file.read_text("utf-8")]
    return [".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__") for file in files]


@pytest.mark.parametrize("name", modules_with_examples())
def test_the_examples_in_docstrings_give_what_they_say(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each in a folder of its own; what the docstring of the module defines, the others may use."""
    monkeypatch.setenv("JPIPE_PROGRESS", "off")
    module = importlib.import_module(name)
    known = dict(vars(module))
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    found = [test for test in doctest.DocTestFinder().find(module, name) if test.examples]
    for number, test in enumerate(sorted(found, key=lambda test: test.name != name)):
        test.globs = known if test.name == name else {**known}
        (folder := tmp_path / str(number)).mkdir()
        monkeypatch.chdir(folder)
        runner.run(test, clear_globs=False)
    assert runner.tries > 0
    assert runner.failures == 0


def public_objects() -> Iterator[tuple[str, object]]:
    """What the page about the Python interface shows, with the members that it names."""
    pattern = r"^\.\. auto(\w+):: ([\w.]+).*\n(?:   :members: *(.*)\n)?(?:   :exclude-members: *(.*)\n)?"
    for kind, target, members, left_out in re.findall(pattern, page("reference/api.md"), re.MULTILINE):
        found = pkgutil.resolve_name(target)
        if kind == "module":
            names = set(found.__all__) - set(left_out.split(", "))
        else:
            yield target, found
            names = set(filter(None, members.split(", ")))
        for name in sorted(names):
            yield f"{target}.{name}", getattr(found, name)


def test_each_public_docstring_has_an_example_and_says_what_each_parameter_is() -> None:
    shown = dict(public_objects())
    assert {f"jpipe.{name}" for name in set(jpipe.__all__) - {"errors", "parallel"}} <= shown.keys()
    for name, public in shown.items():
        text = inspect.getdoc(public) or ""
        assert re.search(r"^Examples\n-+\n(.|\n)*>>> ", text, re.MULTILINE), f"{name} has no example"
        if inspect.isroutine(public):
            section = re.search(r"^Parameters\n-+\n(.|\n)*?(?=\n\n|\Z)", text, re.MULTILINE)
            named = re.findall(r"^[\w*].*", section[0], re.MULTILINE) if section else []
            missing = inspect.signature(public).parameters.keys() - {"self", *re.findall(r"\w+", " ".join(named))}
            assert not missing, f"{name} does not say what {missing} is"


def test_each_extra_for_users_is_on_the_page_about_installation() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    documented = re.findall(r"^\| `(\w+)` \|", page("installation.md"), re.MULTILINE)
    assert sorted(documented) == sorted(project["optional-dependencies"].keys() - {"test", "docs"})


def test_nobody_is_told_to_install_the_other_project_of_that_name() -> None:
    """On PyPI `jpipe` is not this one."""
    for path in (*PAGES, *(ROOT / "jpipe").rglob("*.py")):
        assert not re.search(r"pip install (?:-\S+ )*[\"']?jpipe\b", path.read_text("utf-8")), path


SESSIONS = re.findall(r"^@nox\.session.*\ndef (\w+)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE)


def test_each_session_is_named_for_contributors() -> None:
    named = re.findall(r"^\| .+ \| `nox -s (\w+)` \|$", AT_THE_TOP[1].read_text("utf-8"), re.MULTILINE)
    assert sorted(named) == sorted(SESSIONS)


@pytest.mark.parametrize("path", sorted((ROOT / ".github" / "workflows").glob("*.yml")), ids=lambda path: path.stem)
def test_workflows_call_sessions_that_there_are(path: Path) -> None:
    called = set()
    for job in yaml.safe_load(path.read_text("utf-8"))["jobs"].values():
        matrix = job.get("strategy", {}).get("matrix", {})
        for line in (step.get("run", "") for step in job["steps"]):
            for session in re.findall(r"nox -s (.+)", line):
                called.update(matrix["session"] if "matrix.session" in session else [session.partition("-")[0]])
    assert called
    assert called <= set(SESSIONS)


def test_known_good_versions_are_of_all_that_the_tests_need_and_within_the_bounds() -> None:
    lines = (ROOT / "constraints" / "test.txt").read_text("utf-8").splitlines()
    known = dict(line.split("==") for line in lines if not line.startswith("#"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    texts = [text for needs in (project["dependencies"], *(extras[name] for name in NEEDED)) for text in needs]
    needed = [Requirement(text) for text in texts if not text.startswith("jpipe[")]
    for need in needed:
        assert need.specifier.contains(known[need.name.lower()]), need


NEEDED = ("test", "examples", "frames", "watch", "yaml")


def test_the_readmes_test_command_is_the_one_that_ci_runs() -> None:
    (command,) = [line[2:] for block in blocks((ROOT / "README.md").read_text("utf-8"), "console")
                  for line in block.splitlines() if "nox -s tests" in line]  # fmt: skip
    assert command in (ROOT / ".ci" / "run").read_text("utf-8").splitlines()


def test_the_readmes_first_example_runs(project: Project) -> None:
    (example,) = blocks((ROOT / "README.md").read_text("utf-8"), "python")
    project.write(example)
    assert project.run().ran == {"sample": 8, "spread": 1}
    assert project.run().counts == (0, 9)


CHANGING = (
    (r"\b\d+(\.\d+)?(ms|s|min|h)\b", "TIME"),
    (r" · saved about TIME", ""),
    (r"\bjust now\b|\b\d+ (s|min) ago\b", "THEN"),
    (r" · about TIME on \d+ workers", ""),
)
"""What differs from run to run in what commands print."""


def steady(printed: str) -> list[str]:
    for pattern, word in CHANGING:
        printed = re.sub(pattern, word, printed)
    return [line.rstrip() for line in printed.splitlines() if line.strip()]


@pytest.mark.skipif(os.name == "nt", reason="it edits with sed")
def test_the_readmes_story_prints_what_it_shows(project: Project) -> None:
    story = (ROOT / "README.md").read_text("utf-8").partition("## The story")[2].partition("## What it does")[0]
    shutil.copytree(ROOT / "examples" / "digits", project.root / "examples" / "digits")
    typed = [
        part for block in blocks(story, "console") for part in re.split(r"^\$ ", block, flags=re.MULTILINE) if part
    ]
    assert len(typed) == 13
    for part in typed:
        command, _, shown = part.partition("\n")
        words = shlex.split(command)
        if words[0] == "jpipe":
            done = project.command(*words[1:], env={"COLUMNS": "100", "JPIPE_PROGRESS": "off"})
            assert (done.exit_code, steady(done.stderr + done.stdout)) == (0, steady(shown)), command
        else:
            subprocess.run(words, cwd=project.root, check=True)


def whole_pipelines() -> Iterator[tuple[str, str]]:
    """The code blocks of the guides that are pipeline files as they stand."""
    for path in sorted((DOCS / "how-to").glob("*.md")):
        for number, block in enumerate(blocks(path.read_text("utf-8"), "python")):
            if "from jpipe import" in block and "@pipeline" in block:
                yield f"{path.stem}-{number}", block


@pytest.mark.parametrize("code", [pytest.param(code, id=name) for name, code in whole_pipelines()])
def test_the_pipelines_in_the_guides_run(code: str, project: Project) -> None:
    project.write(code)
    project.write({"raw.csv": "a,b\n1,2\n"})
    first = project.run()
    assert first.exit_code == 0, first.stderr
    assert project.run().counts[0] == 0


def test_each_command_of_the_guide_to_choices_runs_what_it_says(project: Project) -> None:
    text = page("how-to/choose-values-and-steps.md")
    (code,), (settings,) = blocks(text, "python"), blocks(text, "toml")
    project.write({"pipeline.py": code, "pyproject.toml": settings})
    for line in (line for block in blocks(text, "console") for line in block.splitlines()):
        words = shlex.split(line.removeprefix("$ jpipe run"), comments=True)
        said = {step: int(count) for step, count in re.findall(r"(\w+) (\d+)", line.partition("# runs")[2])}
        assert project.run(*words, "-j1").ran == said, line


class Tutorial:
    """The tutorial's commands, in order: each is typed as it stands there."""

    def __init__(self, project: Project) -> None:
        self.project = project
        text = page("tutorial.md")
        self.files = [block for block in blocks(text, "python") if block.startswith("# pipeline.py")]
        self.failing = next(block for block in blocks(text, "python") if "raise ValueError" in block)
        self.commands = [line[2:] for block in blocks(text, "console") for line in block.splitlines()]

    def type(self, expected: str, *more: str) -> tuple[int, dict[str, int], str]:
        """Type the next command; its exit code, what ran by step, and all that it printed."""
        line = self.commands.pop(0)
        assert line == expected
        result = self.project.command(*shlex.split(line)[1:], *more)
        return result.exit_code, result.ran if result.of("run_end") else {}, result.stdout + result.stderr


def test_the_tutorial_happens_as_it_is_told(project: Project) -> None:
    tutorial = Tutorial(project)
    script, pipeline = tutorial.files
    project.write(script)
    plain = project.python("pipeline.py")
    assert plain.exit_code == 0, plain.stderr
    project.write(pipeline)
    assert project.python("pipeline.py").stdout == plain.stdout

    assert tutorial.type("jpipe run", "--json")[:2] == (0, {"estimate": 6, "summary": 1})
    assert "3.1" in tutorial.type("jpipe show summary")[2]
    assert tutorial.type("jpipe run", "--json")[:2] == (0, {})

    project.edit("pipeline.py", "< 1\n", "<= 1\n")
    why = tutorial.type("jpipe plan --why")[2]
    assert "throw" in why
    assert "<= 1" in why
    assert tutorial.type("jpipe run", "--json")[:2] == (0, {"estimate": 6})
    project.edit("pipeline.py", "<= 1\n", "< 1\n")
    assert tutorial.type("jpipe run", "--json")[:2] == (0, {})
    assert tutorial.type("jpipe run --set seeds=8", "--json")[:2] == (0, {"estimate": 2, "summary": 1})

    project.edit("pipeline.py", "    return 4 *", f"{tutorial.failing}    return 4 *")
    code, ran, text = tutorial.type("jpipe run --keep-going", "--json")
    assert (code, ran) == (1, {"estimate": 5})
    assert "the dart board fell off" in text
    project.edit("pipeline.py", tutorial.failing, "")
    assert tutorial.type("jpipe run", "--json")[:2] == (0, {})

    assert "throw" in tutorial.type("jpipe explain estimate")[2]
    assert "estimate" in tutorial.type("jpipe graph")[2]
    assert "up to date" in tutorial.type("jpipe status")[2]
    assert tutorial.commands == []
