"""A step explained: where it is called, what it watches, what it takes and gives, and what cannot be watched."""

from __future__ import annotations

import inspect
import time
from collections import defaultdict
from typing import TYPE_CHECKING

from jpipe.define.layout import Call, describe, needs_of
from jpipe.fingerprint import Fingerprint, Part, PartKind, Unseen
from jpipe.fingerprint.named_changes import own_parts
from jpipe.render.humanize import about, ago, counted, listed, size, took
from jpipe.render.plan_text import reason_lines
from jpipe.render.source_excerpt import place, short_path
from jpipe.render.styled_text import Line, dim, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from jpipe.decide.executed_families import CountedFunctions
    from jpipe.decide.key_parts import KeyParts, StepRun
    from jpipe.define.step import Step
    from jpipe.model.plan import StepPlan

__all__ = ["explained", "unseen_lines"]

_LABEL = 11


def explained(
    step: Step[..., object],
    calls: Sequence[Call],
    fingerprint: Fingerprint,
    plan: StepPlan,
    past: Sequence[StepRun],
    key: KeyParts,
    unseen: Sequence[Unseen],
    functions: CountedFunctions | None = None,
) -> list[Line]:
    """All that is known of a step.

    Parameters
    ----------
    step
        The step.
    calls
        Its calls in the pipeline, at least one.
    fingerprint
        Of its code.
    plan
        What a run would do with it.
    past
        The last runs in which it ran.
    key
        The key of one of its items.
    unseen
        What cannot be watched of it.
    functions
        Which functions count, where only those do that ran.
    """
    return [
        line(strong(step.name), str(_signature(step)), "   ", name(place(plan.file, plan.line))),
        *_labelled("called", _called(calls, plan)),
        *_labelled("watches", _watches(fingerprint)),
        *_labelled("ran", _functions(functions)),
        *_labelled("blind to", unseen_lines(unseen)),
        *_labelled("inputs", _inputs(calls)),
        *_labelled("results", [_results(plan)]),
        *_labelled("history", [_run(one) for one in past]),
        *_labelled("key", _key(key)),
        *_labelled("now", _now(plan)),
    ]


def _functions(functions: CountedFunctions | None) -> list[Line]:
    """Of the functions that it reaches, those that ran, which count, and those that did not."""
    if functions is None:
        return []
    why = f": {functions.why}" if functions.why is not None else ""
    if not functions.is_known:
        return [line(f"it is not known which code it ran, so all that it can reach counts{why}")]
    some = [line(warn(f"of some items it is not known, so all that it can reach counts for these{why}"))] if why else []
    if not functions.idle:
        return [line("all functions that it can reach"), *some]
    count = len(functions.ran) + len(functions.idle)
    return [
        line(f"{len(functions.ran)} of {count}: {listed(functions.ran, 8)}" if functions.ran else "its own code alone"),
        line(dim(f"not {listed(functions.idle, 8)}: an edit there does not make it run again")),
        *some,
    ]


def unseen_lines(unseen: Iterable[Unseen]) -> list[Line]:
    """What a fingerprint cannot see, each with the remedy."""
    lines: list[Line] = []
    for one in unseen:
        at = f"   {place(one.file, one.line)}" if one.file else ""
        lines += [line(warn(one.what), f": {one.name}", name(at)), line(dim(f"  {one.remedy}"))]
    return lines


def _labelled(label: str, lines: Sequence[Line]) -> list[Line]:
    return [line(dim(f"  {label if index == 0 else '':<{_LABEL - 2}}"), one) for index, one in enumerate(lines) if one]


def _signature(step: Step[..., object]) -> str:
    """Its parameters, and what it gives, without the quotes of postponed annotations."""
    signature = step.signature
    parameters = ", ".join(
        str(parameter.replace(annotation=inspect.Parameter.empty)) for parameter in signature.parameters.values()
    )
    gives = signature.return_annotation
    if gives is inspect.Signature.empty:
        return f"({parameters})"
    return f"({parameters}) -> {gives if isinstance(gives, str) else inspect.formatannotation(gives)}"


def _called(calls: Sequence[Call], plan: StepPlan) -> list[Line]:
    places = dict.fromkeys(place(call.location.file, call.location.line) for call in calls)
    over = f" over {', '.join(plan.axes)}" if plan.axes and plan.items > 1 else ""
    return [line(name(listed(list(places))), f", {counted(plan.items, 'item')}{over}")]


def _watches(fingerprint: Fingerprint) -> list[Line]:
    """The parts, by what they are; helpers and classes by file."""
    by_file: dict[str, list[str]] = defaultdict(list)
    others: list[Line] = []
    packages: list[str] = []
    for part in own_parts(fingerprint.parts):
        if part.kind in (PartKind.CODE, PartKind.VERSION):
            others.insert(0, line("its own code" if part.kind is PartKind.CODE else f"version={part.text}"))
        elif part.kind is PartKind.PACKAGE:
            packages.append(_package(part))
        elif part.kind in (PartKind.HELPER, PartKind.CLASS) and part.file:
            by_file[short_path(part.file)].append(part.name)
        else:
            others.append(_part(part))
    helpers = [line(listed(names, 8), dim(f"   {file}")) for file, names in by_file.items()]
    versions = [line(listed(packages, 8))] if packages else []
    environment = [line(f"environment variable {variable}") for variable in fingerprint.environment]
    return [*others[:1], *helpers, *others[1:], *environment, *versions]


def _part(part: Part) -> Line:
    at = dim(f"   {place(part.file, part.line)}" if part.file else "")
    value = f" = {part.text}" if part.kind is PartKind.CONSTANT and part.text and "\n" not in part.text else ""
    kind = "" if part.kind is PartKind.CONSTANT else f"{part.kind.value} "
    return line(kind, part.name, value, at)


def _package(part: Part) -> str:
    """``scikit-learn 1.9.1``; the text of a part may or may not repeat its name."""
    version = (part.text or "").removeprefix(part.name).lstrip("= ")
    return f"{part.name} {version}".strip()


def _inputs(calls: Sequence[Call]) -> list[Line]:
    if not calls[0].arguments:
        return [line("none")]
    lines = []
    for parameter in calls[0].arguments:
        values = [call.arguments[parameter] for call in calls if parameter in call.arguments]
        sources = list(dict.fromkeys(describe(output) for value in values for output in needs_of(value)))
        plain = list(dict.fromkeys(_brief(value) for value in values))
        origin = f" ← {listed(sources, 3)}" if sources else f" = {listed(plain, 4)}"
        lines.append(line(name(parameter), origin, dim("   one each") if parameter in calls[0].over else ""))
    return lines


def _brief(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _results(plan: StepPlan) -> Line:
    if not plan.fresh:
        return line("none in the cache")
    each = f", about {size(plan.nbytes / plan.fresh)} each" if plan.fresh > 1 else ""
    return line(f"{counted(plan.fresh, 'result')} in the cache, {size(plan.nbytes)}{each}")


def _run(past: StepRun) -> Line:
    """``9 ran 2 h ago in 5.6s``."""
    counts = [f"{past.ran:,} ran" if past.ran else "", f"{past.failed:,} failed" if past.failed else ""]
    when = f" {ago(time.time() - past.run.when)} in {took(past.seconds)}"
    return line(", ".join(filter(None, counts)), when, dim(f"   run #{past.run.number}"))


def _key(key: KeyParts) -> list[Line]:
    """The key of an item with what goes into it; digests by their first digits."""
    if key.key is None:
        return [line(name(key.label), "   is known when what it takes is")]
    parts = [f"code {key.fingerprint.hex()[:8]}"]
    parts += [f"{parameter} {text or digest.hex()[:8]}" for parameter, digest, text in key.arguments]
    return [line(name(key.label), "   ", " · ".join(parts), f" → {key.key.hex()[:8]}")]


def _now(plan: StepPlan) -> list[Line]:
    kept = f"{counted(plan.accepted, 'old result')} accepted despite an edit"
    accepted = [line(warn(kept))] if plan.accepted else []
    if not (plan.stale or plan.pending):
        return [line("up to date"), *accepted]
    facts = [f"{plan.stale:,} to run" if plan.stale else "", f"{plan.pending:,} may run" if plan.pending else ""]
    lines = [line(warn(", ".join(filter(None, facts))), f", {about(plan.seconds)}" if plan.seconds else "")]
    for reason, _ in plan.reasons:
        lines += reason_lines(reason)
    return [*lines, *accepted]
