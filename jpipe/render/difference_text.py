"""What an edit did to the results, as text."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from jpipe.compare.model import percent, signed
from jpipe.render.humanize import ago, counted, listed
from jpipe.render.plan_text import reason_lines
from jpipe.render.styled_text import Line, bad, columns, dim, good, line, name, strong, warn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jpipe.compare.model import Change
    from jpipe.decide.result_differences import ItemDifference, ResultDifferences, StepDifference
    from jpipe.history.journal_reader import RunRow
    from jpipe.render.printed_commands import Commands

__all__ = ["difference_lines", "step_lines"]

_MOST_ITEMS = 30
_MOST_CHANGES = 12
_MOST_LINES = 30


def difference_lines(found: ResultDifferences, commands: Commands) -> list[Line]:
    """Which results differ and how, below what changed in parameters and code."""
    runs = found.runs
    now = time.time()
    lines = [line(strong(_pipeline(runs.other)), "   ", _run(runs.one, now), dim(" → "), _run(runs.other, now))]
    for parameter, old, new in runs.parameters:
        lines.append(line("  parameter ", name(parameter), f"  {_or_none(old)} → {_or_none(new)}"))
    told = {step.step for step in found.steps}
    for step in runs.steps:
        for reason in (step.code or ()) if step.step in told else ():
            first, *others = reason_lines(reason)
            lines += [line("  ", name(step.step), ": ", first), *(line("    ", one) for one in others)]
    for difference in found.steps:
        if difference.differs:
            lines += [(), *step_lines(difference)]
    lines.append(())
    lines.append(_unchanged(found))
    log = commands.text("diff", "STEP", parameters=False)
    hidden = any(len(step.items) > _MOST_ITEMS for step in found.steps)
    return [*lines, line(dim(f"{log} --json  has everything"))] if hidden and log else lines


def _pipeline(row: RunRow) -> str:
    return row.pipeline.rpartition(":")[2]


def _run(row: RunRow, now: float) -> Line:
    return line(f"run #{row.number}", dim(f" {ago(now - row.when)}"))


def _or_none(text: str | None) -> str:
    return "(none)" if text is None else text


def step_lines(step: StepDifference) -> list[Line]:
    """What differs in the results of one step."""
    common = len(step.items) + step.unchanged + step.within
    differ = "differs" if len(step.items) == 1 else "differ"
    head = [line(name(step.step), f"   {len(step.items):,} of {counted(common, 'item')} {differ}")] if common else []
    lines = head or [line(name(step.step))]
    single = [item for item in step.items if len(item.changes) == 1 and not item.changes[0].diff]
    shown = step.items[:_MOST_ITEMS]
    if len(single) == len(step.items):
        lines += columns(
            [(line("  ", _label(step, item)), *_cells(item.changes[0])) for item in shown],
            right=frozenset({2, 4, 5, 6}),
        )
    else:
        for item in shown:
            lines += _item(step, item)
    if len(step.items) > len(shown):
        lines.append(line(dim(f"  and {counted(len(step.items) - len(shown), 'more item')}")))
    lines += _only(step.only_old, "only in the earlier run") + _only(step.only_new, "only in the later run")
    return lines


def _item(step: StepDifference, item: ItemDifference) -> list[Line]:
    lines = [line("  ", _label(step, item))]
    if item.gone:
        return [line("  ", _label(step, item), warn("   its results are not both in the cache any more"))]
    if not item.changes:
        return [line("  ", _label(step, item), dim("   only in the code that it carries, or in its form"))]
    cells = [(line("    ", _cells(change)[0]), *_cells(change)[1:]) for change in item.changes[:_MOST_CHANGES]]
    told = columns(cells, right=frozenset({1, 3, 4, 5}))
    for change, text in zip(item.changes, told, strict=False):
        lines += [text, *_diff(change)]
    left = len(item.changes) - _MOST_CHANGES
    return [*lines, line(dim(f"    and {counted(left, 'more difference')}"))] if left > 0 else lines


def _label(step: StepDifference, item: ItemDifference) -> Line:
    inside = item.label.removeprefix(step.step).strip("[]")
    return line(inside or item.label)


def _cells(change: Change) -> tuple[Line, ...]:
    """Place, old, arrow, new, difference, share, what else; those that are numbers stand at the right."""
    where = line(dim(change.where))
    if change.kind == "added":
        return where, (), line(good("added")), line(change.new)
    if change.kind == "removed":
        return where, (), line(bad("removed")), line(change.old)
    amount = line(signed(change.absolute)) if change.absolute is not None and change.kind != "array" else ()
    share = line(percent(change.relative)) if change.relative is not None and change.kind != "array" else ()
    arrow = line(dim("→"))
    if change.kind in ("number", "cell"):
        old, new = _rounded(change)
        return where, line(old), arrow, line(new), amount, share, line(dim(change.detail))
    return where, line(change.old), arrow, line(change.new), (), (), line(dim(change.detail))


def _rounded(change: Change) -> tuple[str, str]:
    """Two numbers with as many digits as show that they differ, but at least six."""
    if change.absolute is None or "." not in change.old + change.new:
        return change.old, change.new
    for digits in range(6, 17):
        try:
            old, new = f"{float(change.old):.{digits}g}", f"{float(change.new):.{digits}g}"
        except ValueError:
            break
        if old != new:
            return old, new
    return change.old, change.new


def _diff(change: Change) -> list[Line]:
    lines = change.diff.splitlines()
    shown = [line("      ", (good if text[:1] == "+" else bad if text[:1] == "-" else dim)(text)) for text in lines]
    left = len(shown) - _MOST_LINES
    return [*shown[:_MOST_LINES], line(dim(f"      … {counted(left, 'more line')}"))] if left > 0 else shown


def _only(labels: Iterable[str], where: str) -> list[Line]:
    labels = list(labels)
    return [line("  ", warn(where), f": {listed(labels, 6)}")] if labels else []


def _unchanged(found: ResultDifferences) -> Line:
    same = [step.step for step in found.steps if step.unchanged and not step.differs]
    count = sum(step.unchanged for step in found.steps)
    within = sum(step.within for step in found.steps)
    text = f"{counted(count, 'result')} unchanged" + (f": {listed(same, 6)}" if same else "")
    return line(dim(text + (f" · {within:,} within the tolerance" if within else "")))
