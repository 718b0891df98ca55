"""What a picture of a graph shows: boxes with a state, figures and needs; and how very many become few."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from jpipe.model.plan import Plan, StepPlan

__all__ = ["Box", "State", "boxes_of_plan", "clustered", "state_of"]


class State(StrEnum):
    """What a box says of its step; the order is that in which states speak for a group."""

    FAILED = "failed"
    INTERRUPTED = "interrupted"
    RUNNING = "running"
    BLOCKED = "not started"
    STALE = "to run"
    PENDING = "may run"
    RAN = "ran"
    CACHED = "cached"
    NONE = "step"
    """Nothing is said of it."""


class Box(NamedTuple):
    """A step in a picture, or several steps as one.

    Parameters
    ----------
    name
        Of the step.
    state
        What became of it, or will.
    needs
        Names of the boxes whose results it takes.
    items, axes
        How many items it has, and what varies between them.
    seconds, nbytes
        What it took, and the size of its results; 0 where that is not known.
    note
        More to say, for a tooltip.
    members
        The steps that it stands for, where it is a group.
    states
        How many of them are in which state.
    """

    name: str
    state: State
    needs: tuple[str, ...] = ()
    items: int = 1
    axes: tuple[str, ...] = ()
    seconds: float = 0.0
    nbytes: int = 0
    note: str = ""
    members: tuple[str, ...] = ()
    states: tuple[tuple[State, int], ...] = ()


def state_of(failed: int, interrupted: int, blocked: int, ran: int) -> State:
    """What a box says of a step of which so many items became that."""
    if failed:
        return State.FAILED
    if interrupted or blocked:
        return State.INTERRUPTED if interrupted else State.BLOCKED
    return State.RAN if ran else State.CACHED


def boxes_of_plan(plan: Plan) -> list[Box]:
    """The steps of a plan, upstream first."""
    return [_box(step) for step in plan.steps]


def _box(step: StepPlan) -> Box:
    state = State.STALE if step.stale else State.PENDING if step.pending else State.CACHED
    why = "; ".join(str(reason) for reason, _ in step.reasons[:3]) if step.stale else ""
    seconds = (step.seconds or 0.0) + (step.seconds_saved or 0.0)
    axes = step.axes if step.items > 1 else ()
    return Box(step.name, state, step.needs, step.items, axes, seconds, step.nbytes, why)


def clustered(boxes: Sequence[Box], most: int) -> list[Box]:
    """As many boxes as a reader can take in: alike steps and chains of steps become groups, until there are few enough.

    Parameters
    ----------
    boxes
        Upstream first.
    most
        So many are left as they are.
    """
    found = list(boxes)
    for group in (_siblings, _chains, _siblings, _chains):
        if len(found) <= most:
            return found
        found = _merged(found, group(found))
    return found if len(found) <= most else _merged(found, _levels(found, most))


def _siblings(boxes: Sequence[Box]) -> dict[str, str]:
    """Steps that take the same and are taken by the same."""
    takers = _takers(boxes)
    first: dict[tuple[object, ...], str] = {}
    return {box.name: first.setdefault((frozenset(box.needs), frozenset(takers[box.name])), box.name) for box in boxes}


def _chains(boxes: Sequence[Box]) -> dict[str, str]:
    """Steps that take only one result, which only they take."""
    takers = _takers(boxes)
    group: dict[str, str] = {}
    for box in boxes:
        is_next = len(box.needs) == 1 and len(takers.get(box.needs[0], ())) == 1
        group[box.name] = group.get(box.needs[0], box.needs[0]) if is_next else box.name
    return group


def _levels(boxes: Sequence[Box], most: int) -> dict[str, str]:
    """Steps that stand about equally far from the beginning: what is left where nothing else groups them."""
    level: dict[str, int] = {}
    for box in boxes:
        level[box.name] = 1 + max((level.get(need, 0) for need in box.needs), default=-1)
    bands = min(most, max(level.values()) + 1)
    first: dict[int, str] = {}
    return {name: first.setdefault(at * bands // (max(level.values()) + 1), name) for name, at in level.items()}


def _takers(boxes: Sequence[Box]) -> dict[str, list[str]]:
    takers: dict[str, list[str]] = {box.name: [] for box in boxes}
    for box in boxes:
        for need in box.needs:
            takers.setdefault(need, []).append(box.name)
    return takers


def _merged(boxes: Sequence[Box], group: Mapping[str, str]) -> list[Box]:
    groups: dict[str, list[Box]] = {}
    for box in boxes:
        groups.setdefault(group[box.name], []).append(box)
    return [_group(members, group) for members in groups.values()]


def _group(boxes: Sequence[Box], group: Mapping[str, str]) -> Box:
    own = group[boxes[0].name]
    needs = dict.fromkeys(group.get(need, need) for box in boxes for need in box.needs)
    needs.pop(own, None)
    if len(boxes) == 1:
        return boxes[0]._replace(needs=tuple(needs))
    order = list(State)
    members = tuple(name for box in boxes for name in (box.members or (box.name,)))
    states: Counter[State] = Counter()
    for box in boxes:
        states.update(dict(box.states) or {box.state: 1})
    return Box(
        own,
        min(states, key=order.index),
        tuple(needs),
        sum(box.items for box in boxes),
        (),
        sum(box.seconds for box in boxes),
        sum(box.nbytes for box in boxes),
        ", ".join(members[:40]) + ("…" if len(members) > 40 else ""),
        members,
        tuple(sorted(states.items(), key=lambda entry: order.index(entry[0]))),
    )
