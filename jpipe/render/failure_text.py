"""The screen of a failed run: which item, the user's line, its inputs, what to type next, and what is kept."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from jpipe.model.events import OUT_OF_MEMORY
from jpipe.model.outcomes import Outcome
from jpipe.render.humanize import counted, listed, size, took
from jpipe.render.source_excerpt import excerpt, place, short_path
from jpipe.render.styled_text import Line, bad, columns, dim, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jpipe.model.events import Failure, RunEnded
    from jpipe.render.printed_commands import Commands
    from jpipe.render.run_progress import Standing, StepStanding

__all__ = ["failed_end", "failure_screen", "failures_screen", "grouped", "headline"]

_MOST_GROUPS = 5
_MOST_OUTPUT = 12
_MOST_MESSAGE = 12
_MOST_FRAMES = 5
_CRASHES = ("SIGSEGV", "SIGBUS", "SIGILL", "SIGFPE", "SIGABRT")
_LONGEST = 400
"""Characters of a line that an item printed."""


def failures_screen(failures: Sequence[Failure], commands: Commands, tb: str = "short") -> list[Line]:
    """All failures of a run, similar ones together.

    Parameters
    ----------
    failures
        In the order in which they happened.
    commands
        How to call jpipe again.
    tb
        ``"short"``: the user's innermost line; ``"long"``: every frame; ``"native"``: Python's own traceback.
    """
    groups = grouped(failures)
    lines: list[Line] = []
    for group in groups[:_MOST_GROUPS]:
        lines += [(), *failure_screen(group[0], commands, tb), *_more_like_it(group)]
    if len(groups) > _MOST_GROUPS:
        rest = groups[_MOST_GROUPS:]
        lines += [(), *(line(bad("✗"), " ", *headline(group[0]), *_and_more(group)) for group in rest[:20])]
    return lines


def grouped(failures: Iterable[Failure]) -> list[list[Failure]]:
    """Failures of one step that are of one kind and happened on one line, together and by item."""
    groups: dict[tuple[object, ...], list[Failure]] = {}
    for failure in failures:
        at = _users_frame(failure)
        alike = (failure.step, failure.kind, failure.error_type, at[:2] if at else None)
        groups.setdefault(alike, []).append(failure)
    return [sorted(group, key=lambda failure: failure.item) for group in groups.values()]


_LONGEST_LINE = 200
"""Characters of a message in a line of its own; the screen at the end has more of it."""


def headline(failure: Failure) -> Line:
    """A failure in one line."""
    if failure.kind in ("killed", "timeout"):
        return line(name(failure.label), f" {_how(failure)}")
    first = failure.message.strip().splitlines()[:1]
    said = first[0] if first else ""
    said = said if len(said) <= _LONGEST_LINE else f"{said[:_LONGEST_LINE]}…"
    return line(name(failure.label), f" {failure.error_type or failure.kind}", f": {said}" if said else "")


def failure_screen(failure: Failure, commands: Commands, tb: str = "short") -> list[Line]:
    """One failure, whole."""
    lines = [_title(failure), *_remedy(failure, commands), ()]
    if failure.kind in ("raised", "unstorable", "hidden") or failure.frames:
        lines += _traceback(failure, tb)
    lines += _memory(failure)
    lines += _arguments(failure)
    lines += [*_output(failure), *_what_next(failure, commands)]
    return lines if lines[-1] else lines[:-1]


def _title(failure: Failure) -> Line:
    facts = []
    if failure.items > 1:
        facts.append(f"item {failure.item} of 0-{failure.items - 1}")
    facts.append(_how(failure))
    if failure.attempts > 1:
        facts.append(f"tried {failure.attempts} times")
    if failure.worker:
        facts.append(f"worker {failure.worker}")
    return line(bad("✗ "), strong(failure.label), "   ", " · ".join(facts))


def _how(failure: Failure) -> str:
    if failure.kind == "killed":
        by = f" ({failure.detail})" if failure.detail else ""
        return f"its worker was killed{by}{OUT_OF_MEMORY if _lacks_memory(failure) else ''}"
    if failure.kind == "timeout":
        return f"stopped after {took(failure.seconds)}, its timeout"
    if failure.kind == "unstorable":
        return "its result cannot be stored"
    seconds = f"{failure.seconds:.2f}s" if failure.seconds < 1 else took(failure.seconds)
    return f"failed after {seconds}"


def _users_frame(failure: Failure) -> tuple[str, int, str, bool] | None:
    """The innermost frame in the user's own code, else the innermost of all."""
    own = [frame for frame in failure.frames if frame[3]]
    return own[-1] if own else failure.frames[-1] if failure.frames else None


def _traceback(failure: Failure, tb: str) -> list[Line]:
    if tb == "native" and failure.traceback:
        return [*(line("  ", text) for text in failure.traceback.rstrip().splitlines()), ()]
    lines: list[Line] = []
    for frame in failure.frames if tb == "long" else _users_way(failure):
        innermost = tb == "long" or frame is _users_frame(failure)
        lines += [line("  ", name(place(frame[0], frame[1])), f" in {frame[2]}")]
        lines += excerpt(frame[0], frame[1], before=2 if innermost else 0)
    if tb != "long":
        lines += _hidden(failure)
    message = _message(failure) + _causes(failure)
    if not message:
        return [*lines, ()]
    return [*lines, (), *message, ()] if lines else [*message, ()]


def _users_way(failure: Failure) -> list[tuple[str, int, str, bool]]:
    """The user's own frames, from the step to the line that failed; of many, both ends."""
    own = [frame for frame in failure.frames if frame[3]]
    if len(own) > _MOST_FRAMES:
        own = own[:1] + own[-_MOST_FRAMES + 1 :]
    return own or list(failure.frames[-1:])


def _message(failure: Failure) -> list[Line]:
    """What was raised; of a long message the beginning and the end, which says most where it quotes other errors."""
    message = failure.message.strip().splitlines() or [""]
    if failure.kind in ("killed", "timeout"):  # the title says it, but for what the interpreter said
        return [line("  ", bad(message[0]))] if message[0].startswith("Fatal") else []
    first = f"{failure.error_type}: {message[0]}" if message[0] else failure.error_type
    lines = [line("  ", bad(text)) for text in (first, *message[1:])]
    left_out = len(lines) - _MOST_MESSAGE
    if left_out <= 1:
        return lines
    half = _MOST_MESSAGE // 2
    return [*lines[:half], line(dim(f"  … {counted(left_out, 'more line')} (--tb=native)")), *lines[-half:]]


def _causes(failure: Failure) -> list[Line]:
    rows = []
    for text, file, number in failure.causes:
        rows.append((line("  ", text), line(name(place(file, number))) if file else ()))
    return columns(rows, gap=3)


def _hidden(failure: Failure) -> list[Line]:
    """How many frames below the user's own line are left out, and whose they are."""
    at = _users_frame(failure)
    below = failure.frames[failure.frames.index(at) + 1 :] if at else ()
    if not below:
        return []
    from jpipe.system.ownership import owner_name  # only where something failed

    owners = dict.fromkeys(owner_name(frame[0]) for frame in below)
    text = f"  … {counted(len(below), 'frame')} in {listed(list(owners), 3)} hidden (--tb=long)"
    return [line(dim(text))]


def _memory(failure: Failure) -> list[Line]:
    """How much memory it had, where that may be the reason."""
    if not failure.peak_memory or not (failure.kind == "killed" or _lacks_memory(failure)):
        return []
    facts = [f"its process used {size(failure.peak_memory)} when last seen"]
    if failure.machine_memory and _lacks_memory(failure):
        facts.append(f"the machine has {size(failure.machine_memory)}")
    return [line("  ", " · ".join(facts)), ()]


def _lacks_memory(failure: Failure) -> bool:
    if failure.kind == "killed":
        return failure.message.endswith(OUT_OF_MEMORY)
    return failure.error_type.endswith("MemoryError")


def _remedy(failure: Failure, commands: Commands) -> list[Line]:
    """What helps, where something other than mending the step may."""
    if _lacks_memory(failure):
        needs = max(1, -(-failure.peak_memory // 10**9)) if failure.peak_memory > 10**8 else 6
        ways = [commands.text("run", "-j", "1"), f'@step(memory="{needs}G")']
        return [line(f"  try   {'    or   '.join(way for way in ways if way)}  so that fewer run at once")]
    if failure.kind == "timeout":
        return [line("  if it needs longer: @step(timeout=...); if it hangs now and then: @step(retries=1)")]
    if failure.kind == "killed":
        return [line(f"  {_of_killed(failure)}")]
    if failure.error_type in ("bdb.BdbQuit", "EOFError") and failure.worker:
        here = commands.text("run", failure.step, *_item(failure), "-j", "1")
        return [line("  a worker has no terminal to ask or debug in", f": {here}  runs it in this one" if here else "")]
    if failure.error_type == "FileNotFoundError" and (found := re.search(_RELATIVE, failure.message)):
        return [line("  ", text) for text in _missing(failure, found[1])]
    return []


_RELATIVE = r"^(?:\[Errno 2\] No such file or directory: )?'?((?![/'])(?!\w:)[^']+?)'?(?: not found\.?)?$"
"""What `open`, pandas and numpy say of a relative path that leads nowhere."""


def _missing(failure: Failure, path: str) -> list[str]:
    """Where a file was looked for, and beside which of the user's files it is."""
    if not failure.folder:
        return []
    looked = f"{path} is not in {_folder(failure.folder)}"
    folders = {os.path.dirname(frame[0]) for frame in failure.frames if frame[3]} - {failure.folder}
    beside = next((folder for folder in sorted(folders) if os.path.exists(os.path.join(folder, path))), None)
    if beside is None:
        return [f"{looked}, where jpipe was started"]
    return [f"{looked} but in {short_path(beside)}: start jpipe there, or write Path(__file__).parent / {path!r}"]


def _folder(folder: str) -> str:
    return "the current folder" if folder == os.getcwd() else short_path(folder)


def _of_killed(failure: Failure) -> str:
    again = "@step(retries=1) tries such an item once more"
    if failure.detail.startswith("exit code"):
        return "something in it ended the process (os._exit, exit() in native code); let it raise instead"
    if failure.detail in _CRASHES:
        return f"native code crashed: an extension module, or memory that it was given; {again}"
    return f"somebody or the system sent it {failure.detail or 'a signal'}; {again}"


def _item(failure: Failure) -> tuple[str, ...]:
    return ("--item", str(failure.item)) if failure.items > 1 else ()


def _arguments(failure: Failure) -> list[Line]:
    if not failure.arguments:
        return []
    rows = []
    for index, (parameter, value, origin) in enumerate(failure.arguments):
        came = (dim(f"← {origin}"),) if origin else ()
        rows.append((line("  with" if index == 0 else ""), line(name(parameter), " = ", value), line(*came)))
    return [*columns(rows, gap=2), ()]


def _output(failure: Failure) -> list[Line]:
    printed = failure.output.rstrip().splitlines()
    if not printed:
        return []
    left_out = len(printed) - _MOST_OUTPUT
    first = f"  it printed{f' (the last {_MOST_OUTPUT} of {len(printed)} lines)' if left_out > 0 else ''}"
    return [line(dim(first)), *(line(dim("  │ "), _clipped(text)) for text in printed[-_MOST_OUTPUT:]), ()]


def _clipped(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _what_next(failure: Failure, commands: Commands) -> list[Line]:
    chosen = (failure.step, *_item(failure))
    rows = []
    for what, text in (
        ("debug here", commands.text("debug", *chosen)),
        ("its output", commands.text("log", *chosen) if failure.output.count("\n") > _MOST_OUTPUT else None),
        ("try again", commands.text("run", *chosen)),
        ("in Python", commands.loading(failure.step, failure.item)),
    ):
        if text:
            rows.append((line("  ", what), line(strong(text))))
    return columns(rows, gap=4)


def _more_like_it(group: Sequence[Failure]) -> list[Line]:
    if len(group) == 1:
        return []
    others = list(map(str, sorted(failure.item for failure in group[1:])))
    listed_items = ", ".join(others[:6]) + (" …" if len(others) > 6 else "")
    items = "item" if len(others) == 1 else "items"
    return [(), line(warn(f"  … and {len(others):,} more like it"), f" ({items} {listed_items})")]


def _and_more(group: Sequence[Failure]) -> tuple[str, ...]:
    return (f" and {len(group) - 1:,} more like it",) if len(group) > 1 else ()


def failed_end(event: RunEnded, standing: Standing) -> list[Line]:
    """The last lines of a run that failed or was interrupted: what is kept, and what the next run will do."""
    pipeline = standing.start.pipeline if standing.start else "the run"
    word = "interrupted after" if event.outcome is Outcome.INTERRUPTED else "failed in"
    facts = [*_kept(standing), *_not_started(standing)]
    lines = [(), line(strong(pipeline), bad(f" {word} {took(event.seconds)}"), *(f" · {fact}" for fact in facts))]
    kept = "what finished is kept: " if event.ran or event.cached else ""
    return [*lines, line(f"  {kept}{_rest(standing)}")]


def _kept(standing: Standing) -> list[str]:
    facts = []
    for step in standing.steps.values():
        if step.ended and (step.ended.failed or step.ended.interrupted):
            done = step.ended.ran + step.ended.cached
            many = f"{done:,} of {step.ended.items:,} {step.name} items done and kept"
            facts.append(many if step.ended.items > 1 else f"{step.name} not done")
    return facts


def _not_started(standing: Standing) -> list[str]:
    blocked = [step.name for step in standing.steps.values() if _only_blocked(step)]
    return [f"{listed(blocked)} not started"] if blocked else []


def _only_blocked(step: StepStanding) -> bool:
    ended = step.ended
    return ended is not None and ended.blocked > 0 and not (ended.failed or ended.ran or ended.interrupted)


def _rest(standing: Standing) -> str:
    """What the next run will do."""
    parts = []
    for step in standing.steps.values():
        if step.ended is None:
            continue
        left = step.ended.failed + step.ended.blocked + step.ended.interrupted
        items = [failure.item for failure in standing.failures if failure.step == step.name]
        if left == 1 and len(items) == 1 and step.ended.items > 1:
            parts.append(f"item {items[0]} of {step.name}")
        elif left:
            parts.append(f"{left:,} items of {step.name}" if step.ended.items > 1 else step.name)
    return f"the next run does only {listed(parts)}" if parts else "the next run does only the rest"
