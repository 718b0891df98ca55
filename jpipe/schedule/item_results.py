"""What became of the items of a run: told as events, and kept for the run's end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence

from jpipe.decide.call_state import CallState
from jpipe.decide.item_labels import label_of
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.step_advice import yields
from jpipe.digest.unstable import REMEDY
from jpipe.model.events import ChunkEnded, Failure, ItemEnded, ItemFailed, Notice, Observer
from jpipe.model.outcomes import Outcome
from jpipe.schedule.chunks import Chunk
from jpipe.schedule.executed_items import ExecutedItems
from jpipe.schedule.failure_details import Origins, failure_of
from jpipe.system.error_record import ErrorRecord
from jpipe.worker.messages import ItemReceipt, Receipt
from jpipe.worker.plain_results import PlainResults

__all__ = ["ItemResults"]

DETAILED = 1000
"""Of so many items of a step the events tell one by one, also where nobody asked: the journal keeps them."""


class ItemResults:
    """What became of the items of one run, also where it was planned anew meanwhile.

    Parameters
    ----------
    origins
        Where arguments came from.
    emit
        Takes the events.
    executed
        Gathers which code the items depended on.
    detailed
        Whether events carry every item.

    Attributes
    ----------
    failures
        What failed, with the record of its error.
    failed_keys
        The keys of what failed.
    pace
        By step, what one item took, seconds.
    complaints
        Why results are not in the cache.
    final_results
        By step, what a step gave that nothing else takes, in a few words.
    slowest, largest
        (label, seconds) and (label, bytes) of one item each; None when none ran.
    """

    def __init__(self, origins: Origins, emit: Observer, executed: ExecutedItems, *, detailed: bool) -> None:
        self.executed = executed
        self.failures: list[tuple[Failure, ErrorRecord]] = []
        self.failed_keys: set[bytes] = set()
        self.pace: dict[str, float] = {}
        self.final_results: dict[str, str] = {}
        self.slowest: tuple[str, float] | None = None
        self.largest: tuple[str, int] | None = None
        self._origins = origins
        self._emit = emit
        self._detailed = detailed
        self._told: Counter[str] = Counter()
        self._last: set[int] | None = None
        self.complaints: list[str] = []
        self._unstorable: set[str] = set()
        self._unstable: set[str] = set()

    def follow(
        self, pipeline_state: PipelineState, failures: Callable[[CallState, int], int], have_failed: Callable[[], bool]
    ) -> None:
        """Take numbers and labels of items from this state from now on.

        Parameters
        ----------
        failures
            Says how often an item has failed.
        have_failed
            Whether any has.
        """
        self._pipeline_state = pipeline_state
        self._failures = failures
        self._have_failed = have_failed
        self._last = None

    def unkept(self, complaints: Iterable[str]) -> None:
        """Results could not be written into the cache, for these reasons; each is told once."""
        for complaint in complaints:
            if complaint not in self.complaints:
                self.complaints.append(complaint)
                self._emit(Notice(complaint, "the next run computes them again; --cache-dir chooses another folder"))

    def done(self, state: CallState, index: int, item: ItemReceipt) -> None:
        """An item has a result."""
        step = state.call.step.name
        if item.error is not None and step not in self._unstorable and not yields(state.call.step):
            self._unstorable.add(step)
            first, _, hint = item.error.message.partition("\n")
            self._emit(
                Notice(
                    f"{step}() returned what cannot be stored, kept for this run only: {first}",
                    hint.strip().removeprefix("hint: "),
                    step,
                )
            )
        if item.unstable is not None and step not in self._unstable:
            self._unstable.add(step)
            self._emit(
                Notice(
                    f"the digest of what {step}() returned is another one in each process: {item.unstable}",
                    REMEDY,
                    step,
                )
            )
        if item.changed is not None:
            self._emit(
                Notice(
                    f"{item.changed} was edited while {step}() read it: this result is not kept",
                    "the next run computes it again",
                    step,
                )
            )
        assert item.stored is not None
        if item.summary and state.call.number in self._last_calls():
            self.final_results[step] = item.summary
        label = None
        if self.slowest is None or item.seconds > self.slowest[1]:
            label = label_of(state, index)
            self.slowest = label, item.seconds
        if self.largest is None or item.stored.nbytes > self.largest[1]:
            self.largest = label or label_of(state, index), item.stored.nbytes

    def done_plainly(self, state: CallState, indices: Sequence[int], plain: PlainResults) -> None:
        """Items of a mapped call gave plain values."""
        seconds, nbytes = max(plain.seconds), max(plain.nbytes())
        if self.slowest is None or seconds > self.slowest[1]:
            self.slowest = label_of(state, indices[plain.seconds.index(seconds)]), seconds
        if self.largest is None or nbytes > self.largest[1]:
            self.largest = label_of(state, indices[plain.nbytes().index(nbytes)]), nbytes

    def _last_calls(self) -> set[int]:
        """The calls that are the only one of their step, and whose results no other takes."""
        if self._last is None:
            states = self._pipeline_state.states.values()
            taken = {number for state in states for number in state.call.needs}
            calls = Counter(state.call.step.name for state in states)
            own = {state.call.number for state in states if calls[state.call.step.name] == 1}
            self._last = own - taken
        return self._last

    def failed(self, state: CallState, index: int, item: ItemReceipt, worker: int, attempts: int, detail: str) -> None:
        """An item failed for good."""
        assert item.error is not None
        key = state.keys[index]
        if key is not None:
            self.failed_keys.add(key)
        failure = failure_of(
            self._pipeline_state,
            self._origins,
            state,
            index,
            item.error,
            seconds=item.seconds,
            worker=worker,
            output=item.output,
            attempts=attempts,
            peak_memory=item.peak_memory,
            detail=detail,
        )
        self.failures.append((failure, item.error))
        self._emit(ItemFailed(failure))

    def chunk_ended(
        self, chunk: Chunk, receipt: Receipt, items: Sequence[ItemReceipt], failed: int, worker: int
    ) -> None:
        """A chunk is over; `items` are those that ran to their end, of which `failed` have no tries left.

        Those that gave plain values are looked at one by one only where something is to be told of each.
        """
        step = chunk.queue.step.name
        detailed = self._detailed or self._told[step] < DETAILED
        plain = receipt.plain
        many = 0 if plain is None else len(plain.positions)
        self._told[step] += len(items) + many
        if plain is not None and (detailed or plain.outputs or self._have_failed()):
            items, many = sorted([*items, *receipt.plain_items()], key=lambda item: item.position), 0
        ran = retried = 0
        details, output = [], []
        for item in items:
            ran += item.stored is not None
            if item.output:
                output.append((label_of(*chunk.items[item.position]), item.output))
            if item.is_for_main and not chunk.work.in_main:
                continue  # it was done again there, and told
            tries = self._tries(chunk, item)
            retried += item.stored is not None and tries > 1
            if detailed or item.output or tries > 1:
                details.append(self._detail(chunk, item, tries))
        ran += many
        seconds = receipt.seconds
        chunk.queue.pace.saw(seconds, ran)
        self.pace[step] = chunk.queue.pace.seconds or 0.0
        self._emit(ChunkEnded(step, ran, failed, worker, seconds, tuple(details), tuple(output), retried))

    def _tries(self, chunk: Chunk, item: ItemReceipt) -> int:
        """How often an item was tried."""
        failures = self._failures(*chunk.items[item.position])
        return failures + 1 if item.stored is not None else max(1, failures)

    def _detail(self, chunk: Chunk, item: ItemReceipt, attempts: int) -> ItemEnded:
        state, index = chunk.items[item.position]
        key = state.keys[index]
        return ItemEnded(
            self._pipeline_state.numbers.first_of(state) + index,
            label_of(state, index),
            key.hex() if key else "",
            Outcome.FAILED if item.stored is None else Outcome.RAN,
            item.seconds,
            item.peak_memory,
            item.stored.nbytes if item.stored is not None else 0,
            item.output,
            attempts,
        )
