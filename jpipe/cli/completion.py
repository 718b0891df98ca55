"""Completion in the shell: click's own mechanism, with what the last runs and the file's text say of a pipeline.

The pipeline file is never imported: a key that is pressed must not run anybody's code.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

from click import Command, Context, Group
from click.shell_completion import BashComplete, CompletionItem, FishComplete, ZshComplete, add_completion_class

from jpipe.cli.commands import COMPLETING
from jpipe.cli.invocation import Invocation, invocation
from jpipe.model.step_options import StepOptions
from jpipe.settings import SETTINGS

__all__ = ["install_line", "prepare", "register"]

_BACKENDS = ("preloaded", "loky", "threading", "dask", "ray")
_MOST_RUNS = 20
_FILES = {"cache_dir": "dir", "output": "file", "report": "file", "trace": "file", "files": "file", "script": "file"}
_Finder = Callable[[Context, str], list[CompletionItem[str]]]
_BREAKS = re.compile(r".*[:=]", re.DOTALL)


class _Known(NamedTuple):
    """What is known of a pipeline without importing its file."""

    pipelines: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()


def prepare(command: Command) -> Command:
    """Have the parameters of a command say what they may become."""
    for parameter in command.params:
        find = _WORDS.get(parameter.name or "")
        setting = SETTINGS.get(parameter.name or "")
        if find is not None:
            parameter.shell_complete = functools.partial(_silent, find)  # type: ignore[method-assign]
        elif setting is not None and setting.choices:
            choices = functools.partial(_of_choices, setting.choices)
            parameter.shell_complete = functools.partial(_silent, choices)  # type: ignore[method-assign]
    if isinstance(command, Group):
        for below in command.commands.values():
            prepare(below)
    return command


def _silent(find: _Finder, context: Context, incomplete: str) -> list[CompletionItem[str]]:
    try:
        return find(context, incomplete)
    except Exception:  # a question that a key asks is answered with silence
        return []


def _of_choices(choices: tuple[str, ...], context: Context, incomplete: str) -> list[CompletionItem[str]]:
    return _items(choices, incomplete)


def _items(words: Iterable[str], incomplete: str, about: str | None = None) -> list[CompletionItem[str]]:
    return [CompletionItem(word, help=about) for word in dict.fromkeys(words) if word.startswith(incomplete)]


def _words(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    """Files, pipelines behind a file's colon, and steps."""
    given = list(context.params.get("words") or ())
    file, colon, _ = incomplete.rpartition(":")
    if colon and not given:
        known = _known(context, [file] if file else [])
        return _items((f"{file}:{name}" for name in known.pipelines), incomplete, "pipeline")
    steps = _items(_known(context, given).steps, incomplete, "step")
    return steps if given else steps + _files(incomplete)


def _files(incomplete: str) -> list[CompletionItem[str]]:
    """Python files, and folders with such to come."""
    folder, _, start = incomplete.rpartition("/")
    prefix = f"{folder}/" if "/" in incomplete else ""
    found = []
    with os.scandir(prefix or ".") as entries:
        for entry in sorted(entries, key=lambda one: one.name):
            if not entry.name.startswith(start) or entry.name.startswith("."):
                continue
            if entry.name.endswith(".py"):
                found.append(CompletionItem(prefix + entry.name, help="file"))
            elif entry.is_dir() and not (Path(entry.path) / "CACHEDIR.TAG").exists():
                found.append(CompletionItem(f"{prefix}{entry.name}/", type="open"))
    return found


def _steps(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    return _items(_known(context).steps, incomplete, "step")


def _parameters(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    """Names of parameters, ready for a value."""
    names = (f"{name}=" for name in _known(context).parameters)
    return [CompletionItem(name, type="open") for name in names if name.startswith(incomplete)]


def _tags(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    return _items(_known(context).tags, incomplete, "tag")


def _profiles(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    from jpipe.settings.pyproject import nearest_settings

    found = nearest_settings(_call(context).file.parent)
    profiles = found.table.get("profiles") if found is not None else None
    return _items(profiles if isinstance(profiles, dict) else (), incomplete, "profile")


def _runs(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    from jpipe.cli.runs_meant import journals_of

    rows = journals_of(_call(context))[1][-_MOST_RUNS:]
    about = {str(row.number): f"{row.outcome}, {row.run[:13]}" for row in reversed(rows)}
    return [CompletionItem(number, help=text) for number, text in about.items() if number.startswith(incomplete)]


def _path(kind: str) -> _Finder:
    return lambda context, incomplete: [CompletionItem(incomplete, type=kind)]


def _backends(context: Context, incomplete: str) -> list[CompletionItem[str]]:
    return _items(_BACKENDS, incomplete, "backend")


_WORDS: dict[str, _Finder] = {
    "words": _words,
    "arguments": _words,
    "steps": _steps,
    "force": _steps,
    "excluded": _steps,
    "sets": _parameters,
    "sweeps": _parameters,
    "tags": _tags,
    "profile": _profiles,
    "run": _runs,
    "compared": _runs,
    "backend": _backends,
    **{name: _path(kind) for name, kind in _FILES.items()},
}
"""By the name of a command's parameter."""


def _call(context: Context, words: list[str] | None = None) -> Invocation:
    """The command line as far as it is typed."""
    given = list(context.params.get("words") or ()) if words is None else words
    return invocation(given, {"cache_dir": context.params.get("cache_dir")})


def _known(context: Context, words: list[str] | None = None) -> _Known:
    """What the text of the pipeline file says, and the last run that told of its steps."""
    call = _call(context, words)
    text = _of_text(call.file)
    ran = _of_runs(call)
    together = (dict.fromkeys((*one, *other)) for one, other in zip(text, ran, strict=True))
    return _Known(*map(tuple, together))


def _of_text(file: Path) -> _Known:
    try:
        tree = ast.parse(file.read_text("utf-8"))
    except (OSError, ValueError, SyntaxError):
        return _Known()
    pipelines: dict[str, ast.FunctionDef] = {}
    steps: list[str] = []
    tags: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            for decorator in node.decorator_list:
                options = {one.arg: one.value for one in decorator.keywords} if isinstance(decorator, ast.Call) else {}
                name = decorator.func if isinstance(decorator, ast.Call) else decorator
                word = name.attr if isinstance(name, ast.Attribute) else name.id if isinstance(name, ast.Name) else ""
                if word == "pipeline":
                    pipelines[node.name] = node
                elif word == "step":
                    steps.append(node.name)
                    tags += _literal_tags(options.get("tags"))
    parameters = [one.arg for node in pipelines.values() for one in (*node.args.args, *node.args.kwonlyargs)]
    return _Known(tuple(pipelines), tuple(steps), tuple(parameters), tuple(tags))


def _literal_tags(node: ast.expr | None) -> tuple[str, ...]:
    try:
        return StepOptions().with_(tags=ast.literal_eval(node)).tags if node is not None else ()
    except Exception:  # not a text, nor texts
        return ()


def _of_runs(call: Invocation) -> _Known:
    from jpipe.cli.runs_meant import journals_of
    from jpipe.errors import JpipeError
    from jpipe.history.journal_reader import log_of

    try:
        folder, rows = journals_of(call)
    except JpipeError:
        return _Known()
    pipelines = tuple(row.pipeline.rpartition(":")[2] for row in rows)
    for row in reversed(rows[-_MOST_RUNS:]):
        steps = log_of(folder, row.run).start.get("steps")
        if isinstance(steps, dict) and steps:
            return _Known(pipelines, tuple(map(str, steps)), tuple(row.parameters))
    return _Known(pipelines, (), tuple(rows[-1].parameters))


class _Bash(BashComplete):
    """Bash, which breaks words at colons and equals signs: the whole line is asked for, and the broken end given."""

    source_template = """\
%(complete_func)s() {
    local IFS=$'\\n' response completion type value
    response=$(env COMP_LINE="${COMP_LINE:0:COMP_POINT}" %(complete_var)s=bash_complete $1 2>/dev/null)
    for completion in $response; do
        type=${completion%%%%,*} value=${completion#*,}
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            open) COMPREPLY+=("$(printf %%q "$value")"); compopt -o nospace ;;
            plain) COMPREPLY+=("$(printf %%q "$value")") ;;
        esac
    done
    return 0
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

    def get_completion_args(self) -> tuple[list[str], str]:
        """The words before the one that is completed, and that one."""
        line = os.environ["COMP_LINE"]
        words = _split(line)
        incomplete = "" if line[-1:].isspace() or len(words) < 2 else words.pop()
        self._prefix = found[0] if (found := _BREAKS.match(incomplete)) else ""
        return words[1:], incomplete

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """The type and what follows the last colon or equals sign."""
        return f"{item.type},{str(item.value).removeprefix(self._prefix)}"


class _Zsh(ZshComplete):
    """zsh, which puts a space behind what it completes, also where a value or a file is to follow."""

    source_template = ZshComplete.source_template.replace(
        '        elif [[ "$type" == "dir" ]]; then',
        """        elif [[ "$type" == "open" ]]; then
            compadd -U -S '' -- "$key"
        elif [[ "$type" == "dir" ]]; then""",
    )


class _Fish(FishComplete):
    """fish, which by itself puts no space behind an equals sign or a slash."""

    def format_completion(self, item: CompletionItem[str]) -> str:
        """The type and the value."""
        kind = "plain" if item.type == "open" else item.type
        return super().format_completion(CompletionItem(item.value, kind, item.help))


def _split(line: str) -> list[str]:
    """The words of a line that may end within quotes."""
    for closing in ("", "'", '"'):
        try:
            return shlex.split(line + closing)
        except ValueError:
            continue
    return line.split()


def register() -> None:
    """Have click use the shells of this file."""
    for shell in (_Bash, _Zsh, _Fish):
        add_completion_class(shell)


def install_line(shell: str) -> tuple[str, str] | None:
    """For a shell by name: the file that it reads at its start, and the line to add there."""
    return {
        "bash": ("~/.bashrc", f'eval "$({COMPLETING}=bash_source jpipe)"'),
        "zsh": ("~/.zshrc", f'eval "$({COMPLETING}=zsh_source jpipe)"'),
        "fish": ("~/.config/fish/completions/jpipe.fish", f"{COMPLETING}=fish_source jpipe | source"),
    }.get(shell)
