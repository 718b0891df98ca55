"""What happens during a run, as values that the scheduler hands to observers.

They are named tuples because every command needs them: dataclasses take five times as long to define.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from jpipe.model.outcomes import Outcome
from jpipe.model.reasons import Reason

__all__ = [
    "OUT_OF_MEMORY",
    "ChunkEnded",
    "Event",
    "Failure",
    "ItemEnded",
    "ItemFailed",
    "ItemsKnown",
    "Notice",
    "Observer",
    "RunEnded",
    "RunStarted",
    "StepEnded",
    "StepStarted",
    "Waiting",
]


class RunStarted(NamedTuple):
    """The pipeline is laid out and nothing has run yet.

    `calls` counts the places where the pipeline calls steps (a list comprehension is one), `items` what is known of
    their items at that moment; a mapped call over a list that is computed in the run adds its
    items later (`ItemsKnown`). `expected_seconds` is what one item took in earlier runs, by step name. `steps` holds
    the steps in the order of the program, with the number of items known of each. `partial` says that only some items
    may run. `needs` names the steps whose results each step takes.
    """

    pipeline: str
    run: str
    calls: int
    items: int
    jobs: int
    cache_dir: str
    new_cache: bool = False
    expected_seconds: Mapping[str, float] = {}
    steps: Mapping[str, int] = {}
    partial: bool = False
    needs: Mapping[str, tuple[str, ...]] = {}


class ItemsKnown(NamedTuple):
    """It was decided of some items of a step whether they must run (`stale`) or not (`cached`).

    Emitted as often as such decisions fall; the counts are to be added up. `seconds_saved` is what the cached items
    took when they ran.
    """

    step: str
    cached: int
    stale: int
    reasons: tuple[Reason, ...] = ()
    seconds_saved: float = 0.0


class StepStarted(NamedTuple):
    """The first item of a step was given to a worker."""

    step: str


class ItemEnded(NamedTuple):
    """One item, as `ChunkEnded` carries it: all of them for observers that asked for details, else the first of a step.

    `item` is its position among all items of the step, `seconds` wall time in the worker, `peak_memory` bytes of
    resident memory, `nbytes` the size of the result, `output` what it printed, `attempts` how often it was tried.
    """

    item: int
    label: str
    key: str
    outcome: Outcome
    seconds: float
    peak_memory: int
    nbytes: int
    output: str = ""
    attempts: int = 1


class ChunkEnded(NamedTuple):
    """Items of a step came back from a worker.

    `ran` and `failed` count them; `worker` is the number of the worker, from 1 (0: the main process); `output` is what
    they printed, by item label. `retried` counts those that had failed before.
    """

    step: str
    ran: int
    failed: int
    worker: int
    seconds: float
    items: tuple[ItemEnded, ...] = ()
    output: tuple[tuple[str, str], ...] = ()
    retried: int = 0


OUT_OF_MEMORY = ", most likely out of memory"
"""How the message of a failure ends whose worker the system killed near the limit of its memory."""


class Failure(NamedTuple):
    """Everything that can be said about one failed item.

    Parameters
    ----------
    step, label, item, items
        ``score``, ``score[k=32, C=-1.0]``, position of the item among all items of the step (from 0), their number.
    kind
        ``"raised"``, ``"killed"``, ``"timeout"`` or ``"unstorable"``.
    error_type, message
        Class name and text of the exception.
    traceback
        The whole formatted traceback, from the worker.
    frames
        The frames, outermost first: (file, line, function, is it the user's own code?).
    arguments
        By parameter: (name, summary of the value, where it came from: ``project[k=32]``, ``main(Cs)`` or ``""``).
    seconds
        After how long it failed.
    worker
        Number of the worker, from 1; 0 is the main process.
    output
        What the item had printed.
    attempts
        How often it was tried.
    peak_memory
        Bytes of resident memory of the worker when last seen, 0 if unknown.
    machine_memory
        Bytes of memory of this machine, 0 if unknown.
    folder
        The current folder, from which relative paths counted.
    detail
        For killed workers: how (``"SIGKILL"``, ``"exit code 3"``).
    causes
        Exceptions that it came from or holds: (what it is of this one, file, line); no file where none is the user's.
    """

    step: str
    label: str
    item: int
    items: int
    kind: str
    error_type: str
    message: str
    traceback: str = ""
    frames: tuple[tuple[str, int, str, bool], ...] = ()
    arguments: tuple[tuple[str, str, str], ...] = ()
    seconds: float = 0.0
    worker: int = 0
    output: str = ""
    attempts: int = 1
    peak_memory: int = 0
    detail: str = ""
    causes: tuple[tuple[str, str, int], ...] = ()
    machine_memory: int = 0
    folder: str = ""


class ItemFailed(NamedTuple):
    """An item failed for good (after its retries)."""

    failure: Failure


class Waiting(NamedTuple):
    """Another run computes what this run needs next; `holder` says which, where and since when."""

    step: str
    holder: str


class Notice(NamedTuple):
    """Something that the user should know and that stops nothing.

    `message` is one sentence, `hint` what to do about it.
    """

    message: str
    hint: str | None = None
    step: str | None = None


class StepEnded(NamedTuple):
    """Nothing of a step is left to do; its results are safe on disk.

    Emitted exactly once for each step that took part. `cut_off` counts the items that were pending and turned out
    fresh, because what they need ran again and gave an equal result. `nbytes` is the size of the results.
    """

    step: str
    outcome: Outcome
    items: int
    ran: int
    cached: int
    failed: int
    blocked: int
    seconds: float
    interrupted: int = 0
    cut_off: int = 0
    nbytes: int = 0
    seconds_saved: float = 0.0


class RunEnded(NamedTuple):
    """The run is over. `seconds_saved` is what the cached items took when they ran.

    `results` says what those steps gave that ran and whose result no other takes: ``("table", "DataFrame 9 × 3")``.
    """

    outcome: Outcome
    ran: int
    cached: int
    failed: int
    blocked: int
    seconds: float
    interrupted: int = 0
    seconds_saved: float = 0.0
    slowest: tuple[str, float] | None = None
    largest: tuple[str, int] | None = None
    results: tuple[tuple[str, str], ...] = ()


Event = RunStarted | ItemsKnown | StepStarted | ChunkEnded | ItemFailed | Waiting | Notice | StepEnded | RunEnded
Observer = Callable[[Event], None]


def everyone(observers: Sequence[Observer]) -> Observer:
    """One observer that hands each event to all of `observers`, in order."""

    def tell(event: Event) -> None:
        for observer in observers:
            observer(event)

    return tell
