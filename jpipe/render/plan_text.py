"""A plan as text: what a run would do and why, and the short form of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jpipe.model.reasons import Reason, ReasonKind
from jpipe.render.humanize import MANY_STEPS, about, counted, listed, took
from jpipe.render.source_excerpt import place
from jpipe.render.styled_text import Line, Piece, bad, code, columns, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jpipe.model.plan import Plan, StepPlan
    from jpipe.render.printed_commands import Commands

__all__ = ["accepted_line", "complaint_lines", "mark_of", "plan_lines", "reason_lines", "status_line", "why_lines"]

_MOST_DIFF = 20
_MOST_ALONE = 6
_TOLD_FROM = 0.95
"""Seconds below which a time that is not the whole says nothing."""


def plan_lines(plan: Plan, jobs: int, commands: Commands) -> list[Line]:
    """What a run would do, a line a step."""
    if plan.up_to_date:
        return [_summary(plan, jobs), *_accepted(plan, commands)]
    shown, folded = _folded(plan)
    rows = [(line(mark_of(step), " ", name(step.name)), line(_verdict(step)), _first_reason(step)) for step in shown]
    why = commands.text("plan", "--why")
    has_diff = any(reason.diff for step in plan.steps for reason, _ in step.reasons)
    more = [(), line(dim(f"{why}  shows what changed"))] if why and has_diff else []
    return [_summary(plan, jobs), (), *columns(rows, gap=3), *folded, *_accepted(plan, commands), *more]


def _folded(plan: Plan) -> tuple[list[StepPlan], list[Line]]:
    """The steps that get a row, and a line each for those that are told together.

    Of few steps all get one. Of many, those that will run do, as far as there is room the longest of them; the others
    are counted by verdict.
    """
    if len(plan.steps) <= MANY_STEPS:
        return list(plan.steps), []
    stale = [step for step in plan.steps if step.stale]
    longest = sorted(stale, key=lambda step: -(step.seconds or 0.0))[:MANY_STEPS]
    shown = [step for step in stale if step in longest]
    groups = [
        (warn("↻"), "more to run", [step for step in stale if step not in shown]),
        (warn("?"), "may run", [step for step in plan.steps if step.pending and not step.stale]),
        (dim("="), "cached", [step for step in plan.steps if not (step.stale or step.pending)]),
    ]
    lines = []
    for mark, word, steps in groups:
        if steps:
            items = counted(sum(step.items for step in steps), "item")
            names = listed([step.name for step in steps], 6)
            lines.append(line(mark, f" {counted(len(steps), 'step')} with {items} {word}: ", dim(names)))
    return shown, lines


def why_lines(plan: Plan, jobs: int, commands: Commands) -> list[Line]:
    """Every reason of what would run, with what changed."""
    lines = [_summary(plan, jobs)]
    for step in plan.steps:
        if step.stale or step.pending:
            lines += [(), line(mark_of(step), " ", name(step.name), "   ", _verdict(step)), *_whys(step)]
    lines += _accepted(plan, commands)
    if plan.up_to_date:
        return lines
    accept = [step.name for step in plan.steps if step.stale and any(reason.diff for reason, _ in step.reasons)]
    keep = commands.text("accept", accept[0]) if accept else None
    hint = f" · {keep}  keeps the old results despite this edit" if keep else ""
    return [*lines, (), line(dim(f"nothing else would run{hint}"))]


def accepted_line(step: StepPlan, commands: Commands) -> Line:
    """That old results of a step count despite an edit."""
    undo = commands.text("accept", "--undo", step.name)
    how = f"   {undo}  takes it back" if undo else ""
    return line(
        warn("≈ "), name(step.name), f"   {counted(step.accepted, 'old result')} accepted despite an edit", dim(how)
    )


def _accepted(plan: Plan, commands: Commands) -> list[Line]:
    return [accepted_line(step, commands) for step in plan.steps if step.accepted]


def status_line(plan: Plan) -> Line:
    """All steps in one line, by verdict."""
    fresh = [step.name for step in plan.steps if not (step.stale or step.pending)]
    parts: list[str | Piece | Line] = [strong(plan.pipeline)]
    if fresh:
        parts += ["  ", good("✓"), f" up to date: {listed(fresh, 6)}"]
    accepted = [step.name for step in plan.steps if step.accepted]
    if accepted:
        parts += ["  ", warn("≈"), f" accepted: {listed(accepted, 6)}"]
    waiting = [step for step in plan.steps if step.stale or step.pending]
    if len(waiting) > _MOST_ALONE:
        return line(*parts, *_together(waiting))
    for step in waiting:
        if step.stale:
            parts += ["  ", warn("↻"), f" {step.stale:,} stale: {step.name}"]
        if step.pending:
            parts += ["  ", warn("?"), f" {step.pending:,}: {step.name}"]
    return line(*parts)


def _together(steps: Sequence[StepPlan]) -> list[str | Piece | Line]:
    """Many steps that are not up to date, by verdict; the longest first, as they matter most."""
    parts: list[str | Piece | Line] = []
    stale = sorted((step for step in steps if step.stale), key=lambda step: -(step.seconds or 0.0))
    pending = [step for step in steps if step.pending]
    if stale:
        items = sum(step.stale for step in stale)
        names = listed([step.name for step in stale], 4)
        parts += ["  ", warn("↻"), f" {items:,} stale in {counted(len(stale), 'step')}: {names}"]
    if pending:
        items = sum(step.pending for step in pending)
        names = listed([step.name for step in pending], 2)
        parts += ["  ", warn("?"), f" {items:,} may run in {counted(len(pending), 'step')}: {names}"]
    return parts


def mark_of(step: StepPlan) -> Piece:
    """The sign of a step's verdict."""
    if step.stale:
        return warn("↻")
    return warn("?") if step.pending else dim("=")


def _summary(plan: Plan, jobs: int) -> Line:
    total = plan.fresh + plan.stale + plan.pending
    if plan.up_to_date:
        return line(strong(plan.pipeline), f" is up to date · {counted(total, 'item')} from cache{_from_remote(plan)}")
    counts = [
        f"{number:,} {word}"
        for number, word in ((plan.fresh, "cached"), (plan.stale, "will run"), (plan.pending, "may run"))
        if number
    ]
    expected = _duration(plan, jobs)
    duration = f" · {expected} on {counted(jobs, 'worker')}" if expected else ""
    return line(
        strong(plan.pipeline), f" · {counted(total, 'item')}: {', '.join(counts)}{_from_remote(plan)}{duration}"
    )


def _from_remote(plan: Plan) -> str:
    return f" · {plan.remote:,} of the cached come from the remote cache" if plan.remote else ""


def complaint_lines(plan: Plan) -> list[Line]:
    """What is wrong with the remote cache."""
    lines = []
    for message, hint in plan.complaints:
        lines.append(line(warn("· "), message, dim(f"   {hint}" if hint else "")))
    return lines


def _duration(plan: Plan, jobs: int) -> str:
    """How long a run may take, from what items took before; nothing where that is not known of anything that counts.

    It is no shorter than the longest way through the graph: an item is done by one worker, and what needs it waits.
    """
    waiting = {step.name: step.stale + step.pending for step in plan.steps}
    total = sum(step.seconds for step in plan.steps) / jobs
    ways: dict[str, float] = {}
    for step in plan.steps:  # upstream first
        count = waiting[step.name]
        own = step.seconds / count * -(-count // jobs) if count else 0.0
        ways[step.name] = own + max((ways.get(name, 0.0) for name in step.needs), default=0.0)
    expected = max(total, *ways.values())
    if any(waiting[step.name] and not step.seconds for step in plan.steps):
        return f"at least {took(expected)}" if expected >= _TOLD_FROM else ""
    return about(expected) if expected else ""


def _verdict(step: StepPlan) -> Line:
    counts = [
        (step.fresh, "cached", dim),
        (step.stale, "to run", warn),
        (step.pending, "may run", warn),
    ]
    parts: list[str | Piece] = []
    for number, word, style in counts:
        if number:
            parts += [", " if parts else "", style(f"{number:,} {word}")]
    if step.stale and step.seconds:
        parts.append(dim(f", {about(step.seconds)}"))
    return line(*parts)


def _first_reason(step: StepPlan) -> Line:
    if step.stale and step.reasons:
        others = len(step.reasons) - 1
        return line(str(step.reasons[0][0]), dim(f" and {counted(others, 'more reason')}" if others else ""))
    if step.pending:
        return line(dim(_condition(step)))
    return ()


def _condition(step: StepPlan) -> str:
    return f"only if {listed(step.needs, 3) or 'what it needs'} comes out different"


def _whys(step: StepPlan) -> list[Line]:
    lines: list[Line] = []
    for reason, items in step.reasons:
        some = f"{counted(items, 'item')}: " if step.items > 1 and items != step.stale else ""
        lines += [line("    ", dim(some), one) for one in reason_lines(reason)[:1]]
        lines += [line("    ", one) for one in reason_lines(reason)[1:]]
    if step.pending:
        some = f"{counted(step.pending, 'item')} " if step.stale else ""
        lines.append(line("    ", dim(some + _condition(step))))
    return lines


def reason_lines(reason: Reason) -> list[Line]:
    """A reason with what changed: the sentence, the diff, and how the step reaches the thing."""
    lines = [line(_sentence(reason), "   ", name(place(reason.file, reason.line)) if reason.file else "")]
    diff = [text for text in (reason.diff or "").splitlines() if not text.startswith(("---", "+++", "@@"))]
    lines += [_diff_line(text) for text in diff[:_MOST_DIFF]]
    if len(diff) > _MOST_DIFF:
        lines.append(line(dim(f"  … {counted(len(diff) - _MOST_DIFF, 'more line')}")))
    if reason.via:
        lines.append(line(dim(f"reached through {reason.via}")))
    return lines


def _sentence(reason: Reason) -> str:
    """The reason's own words, without the place: that is shown beside them."""
    if reason.kind is ReasonKind.NEVER_RAN:
        return "never ran"
    return str(Reason(reason.kind, reason.object, detail=reason.detail))


def _diff_line(text: str) -> Line:
    sign = text[:1]
    if sign in "+-":
        return line("  ", (good if sign == "+" else bad)(text))
    return line("  ", code(text))
