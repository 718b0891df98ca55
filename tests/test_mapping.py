"""A function for every item in parallel: the same as the builtin map, whatever the workers and the arguments."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import queue
import time
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
from joblib import parallel_config

from jpipe.errors import UsageError
from jpipe.parallel.bar import map_with_bar
from jpipe.parallel.chunk_size import Pace
from jpipe.parallel.map import parallel_map

BACKENDS = ["loky", "multiprocessing", "threading"]
PROCESSES = ["loky", "multiprocessing"]

every_backend = pytest.mark.parametrize("backend", BACKENDS)
every_process_backend = pytest.mark.parametrize("backend", PROCESSES)


def listed(function, *iterables, constants=None, **options):
    return list(parallel_map(function, iterables, constants, **{"n_jobs": 2, **options}))


def spilled(folder):
    return [path for path in Path(folder).rglob("*") if path.is_file()]


def add(first, second=0, *, plus=0):
    return first + second + plus


# ---- items


@every_backend
@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("ordered", [True, False])
def test_all_kinds_of_iterables(backend, whole, ordered):
    class Squares:
        def __len__(self):
            return 30

        def __getitem__(self, index):
            if index >= 30:
                raise IndexError(index)
            return index * index

    iterables = [
        list(range(30)), tuple(range(30)), range(30), np.arange(30), pd.Series(range(30)), set(range(30)),
        dict.fromkeys(range(30)), collections.deque(range(30)), Squares(), iter(range(30)), (i for i in range(30)),
        itertools.islice(itertools.count(), 30), bytes(range(30)),
    ]  # fmt: skip
    for iterable in iterables:
        twin = list(range(30)) if isinstance(iterable, collections.abc.Iterator) else list(iterable)
        results = listed(add, iterable, range(100), backend=backend, whole=whole, ordered=ordered)
        expected = [value + index for index, value in enumerate(twin)]
        assert (results if ordered else sorted(results)) == expected, type(iterable)


def test_what_is_no_iterable_is_refused_with_the_remedy():
    with pytest.raises(TypeError, match="'int' object is not iterable; an argument that is the same for all items"):
        listed(add, [1, 2], 3)


@every_backend
@pytest.mark.parametrize("batch_size", ["auto", 1, 7, 1000])
def test_many_short_items_keep_their_order(backend, batch_size):
    assert listed(add, range(3000), itertools.count(), backend=backend, batch_size=batch_size) == [
        2 * i for i in range(3000)
    ]


@every_process_backend
def test_a_generator_that_reuses_its_buffer_gives_each_item_as_it_was(backend):
    def small():
        buffer = [0]
        for number in range(50):
            buffer[0] = number
            yield buffer

    def large():
        buffer = np.zeros(300_000)
        for number in range(8):
            buffer[:] = number
            yield buffer

    assert listed(sum, small(), backend=backend) == list(range(50))
    assert listed(np.mean, large(), backend=backend) == list(range(8))


@every_backend
def test_a_generator_may_wait_for_results(backend):
    answers = queue.Queue()
    answers.put(1)

    def questions():
        while (value := answers.get(timeout=60)) < 100:
            yield value

    for result in parallel_map(lambda value: value * 2, [questions()], n_jobs=2, backend=backend):
        answers.put(result)
    assert result == 128


@every_backend
def test_no_more_is_drawn_than_the_taken_results_call_for(backend):
    drawn = itertools.count()
    latest = [0]

    def numbers():
        for latest[0] in drawn:
            yield latest[0]

    results = parallel_map(add, [numbers()], n_jobs=2, backend=backend)
    assert latest[0] == 0
    next(results)
    time.sleep(0.2)
    assert latest[0] < 100
    taken = [next(results) for _ in range(500)]
    assert taken == list(range(1, 501))
    results.close()
    assert latest[0] < 5000


def test_results_of_a_slow_first_item_do_not_pile_up_without_limit():
    def first_is_slow(number):
        time.sleep(1.0 if number == 0 else 0)
        return number

    latest = [0]

    def numbers():
        for latest[0] in itertools.count():
            yield latest[0]

    results = parallel_map(first_is_slow, [numbers()], n_jobs=2)
    assert next(results) == 0
    assert latest[0] < 200
    results.close()


def test_the_bar_counts_finished_items(capsys):
    counts = []
    assert listed(add, range(200), on_done=counts.append) == list(range(200))
    assert sum(counts) == 200
    assert map_with_bar(add, [range(20)], {"plus": 1}) == list(range(1, 21))
    out, err = capsys.readouterr()
    assert out == ""
    assert "add" in err
    assert "20/20" in err


def test_chunks_are_a_quarter_of_a_second_and_shrink_towards_the_end():
    pace = Pace(growth=16, least_seconds=0.005)
    assert pace.chunk_size(10_000, 4) == 1, "nothing is known about the items yet"
    pace.saw(0.001, 1, 100)
    assert pace.chunk_size(10_000, 4) == 16, "grows by steps"
    pace.saw(0.016, 16, 1600)
    assert pace.chunk_size(10_000, 4) == 250
    assert pace.chunk_size(80, 4) == 10
    assert pace.chunk_size(8, 4) == 5, "what takes a few milliseconds is not cut further"
    assert pace.chunk_size(None, 4) == 250
    many = Pace(seconds=0.001, largest_chunk=1000).chunk_size(10_000_000, 1000)
    assert many == 5000, "a thousand workers come back every five seconds"
    pace.saw(500.0, 250, 25_000)
    assert pace.chunk_size(10_000, 4) == 1, "items became long"


def test_chunks_of_large_items_are_small():
    pace = Pace(growth=16)
    pace.saw(0.0001, 1, 10 * 1024**2)
    assert pace.chunk_size(10_000, 2) == 3


# ---- where it runs


@every_backend
def test_the_backend_of_parallel_config(backend):
    with parallel_config(backend, n_jobs=2):
        pids = set(parallel_map(lambda _: (time.sleep(0.01), os.getpid())[1], [range(20)]))
    assert (os.getpid() in pids) == (backend == "threading")


def test_sharedmem_means_threads():
    seen = []
    with parallel_config(require="sharedmem", n_jobs=2):
        assert list(parallel_map(seen.append, [range(50)])) == [None] * 50
    assert sorted(seen) == list(range(50))
    seen.clear()
    list(parallel_map(seen.append, [range(5)], n_jobs=2, require="sharedmem"))
    list(parallel_map(seen.append, [range(5)], n_jobs=2, prefer="threads"))
    assert sorted(seen) == sorted([*range(5), *range(5)])


def test_one_job_runs_in_this_process_item_by_item():
    seen = []
    results = parallel_map(seen.append, [itertools.count()], n_jobs=1)
    next(results)
    next(results)
    assert seen == [0, 1]
    with parallel_config(n_jobs=1):
        assert set(parallel_map(lambda _: os.getpid(), [range(3)])) == {os.getpid()}


def test_inner_threads_are_limited():
    def limit(_):
        return os.environ["OMP_NUM_THREADS"]

    assert set(listed(limit, range(4), inner_max_num_threads=3)) == {"3"}
    with parallel_config("loky", n_jobs=2, inner_max_num_threads=1):
        assert set(parallel_map(limit, [range(4)])) == {"1"}


def test_maps_inside_workers_start_no_processes():
    def inner(_):
        return os.getpid(), list(parallel_map(lambda _: os.getpid(), [range(3)]))

    for backend in BACKENDS:
        for pid, pids in listed(inner, range(4), backend=backend):
            assert set(pids) == {pid}


@pytest.mark.parametrize("n_jobs", [0, 1.5, True])
def test_numbers_of_jobs_that_mean_nothing_are_refused(n_jobs):
    with pytest.raises(UsageError, match="n_jobs"):
        listed(add, range(3), n_jobs=n_jobs)


def test_wrapped_objects_and_other_picklers_of_joblib():
    @joblib.wrap_non_picklable_objects
    def wrapped(number):
        return number + 1

    assert listed(wrapped, range(3)) == [1, 2, 3]


# ---- arguments and results


@dataclasses.dataclass
class Data:
    table: np.ndarray
    name: str


def kinds(index, table, nested, data, frame):
    found = [table, nested["deep"][0], data.table, frame["x"].to_numpy()]
    before = float(table[index, 0])
    for array in found[:3]:  # pandas gives its own out read-only
        array.flat[0] = -1.0
    return [isinstance(array if array.base is None else _root(array), np.memmap) for array in found], before


def _root(array):
    while isinstance(array.base, np.ndarray):
        array = array.base
    return array


@every_process_backend
def test_large_constants_are_mapped_wherever_they_sit_and_stay_as_they_are(backend, tmp_path):
    table = np.arange(400_000.0).reshape(400, 1000)
    frame = pd.DataFrame({"x": np.arange(200_000.0)})
    constants = {"table": table, "nested": {"deep": [table]}, "data": Data(table.T.copy(), "t"), "frame": frame}
    copies = [table.copy(), constants["data"].table.copy(), frame.copy()]
    results = listed(kinds, range(1, 40), constants=constants, backend=backend, temp_folder=str(tmp_path))
    assert all(mapped == [True] * 4 for mapped, _ in results)
    assert [before for _, before in results] == [1000.0 * index for index in range(1, 40)]
    assert np.array_equal(table, copies[0])
    assert np.array_equal(constants["data"].table, copies[1])
    assert frame.equals(copies[2])
    assert spilled(tmp_path) == []


@pytest.mark.parametrize("mmap_mode", ["c", "r", None])
def test_mmap_mode(mmap_mode):
    def is_writable(_, table):
        return isinstance(table, np.memmap), table.flags.writeable

    results = listed(is_writable, range(4), constants={"table": np.zeros(200_000)}, mmap_mode=mmap_mode)
    assert set(results) == {{"c": (True, True), "r": (True, False), None: (False, True)}[mmap_mode]}


def test_max_nbytes_is_the_size_from_which_arrays_are_mapped():
    def is_mapped(_, table):
        return isinstance(table, np.memmap)

    table = np.zeros(1000)
    assert set(listed(is_mapped, range(3), constants={"table": table})) == {False}
    assert set(listed(is_mapped, range(3), constants={"table": table}, max_nbytes="4K")) == {True}
    assert set(listed(is_mapped, range(3), constants={"table": np.zeros(500_000)}, max_nbytes=None)) == {False}
    with parallel_config("loky", max_nbytes="4K", mmap_mode="r"):
        assert set(listed(is_mapped, range(3), constants={"table": table})) == {True}


def test_a_constant_changed_between_two_maps_arrives_as_it_is_now():
    def first(_, table):
        return float(table[0])

    table = np.zeros(500_000)
    assert set(listed(first, range(4), constants={"table": table})) == {0.0}
    table[0] = 7.0
    assert set(listed(first, range(4), constants={"table": table})) == {7.0}


@every_process_backend
def test_the_same_array_in_many_items_is_written_once(backend, tmp_path):
    table = np.random.default_rng(0).random(300_000)

    def look(table, _, folder):
        return float(table.sum()), len([name for name in os.listdir(folder) if len(name) == 32])

    def count(pair, folder):
        (inside,) = Path(folder).iterdir()
        return look(*pair, inside)

    results = listed(
        count,
        [(table, i) for i in range(40)],
        itertools.repeat(str(tmp_path)),
        backend=backend,
        temp_folder=str(tmp_path),
    )
    assert {total for total, _ in results} == {float(table.sum())}
    # The function and its constants may be one file more.
    assert max(files for _, files in results) <= 2
    assert spilled(tmp_path) == []


def test_views_of_a_file_on_disk_are_mapped_and_never_copied(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, np.arange(600_000.0).reshape(600, 1000))
    data = np.load(path, mmap_mode="r")

    def describe(part):
        return (
            isinstance(part, np.memmap),
            str(part.filename) if isinstance(part, np.memmap) else None,
            float(part.sum()),
        )

    parts = [data, data[100:300], data[::3, ::-2], data.T, data[5]]
    results = listed(describe, parts, temp_folder=str(tmp_path / "spill"))
    assert [total for *_, total in results] == [float(part.sum()) for part in parts]
    assert all(mapped for mapped, *_ in results)
    assert spilled(tmp_path) == [path]


@pytest.mark.parametrize("dtype", ["f8", "datetime64[ns]", "U7", "c16", "?", [("a", "i4"), ("b", "f8")], ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_large_arrays_come_through_whole_both_ways(dtype, order):
    array = np.asarray(np.arange(240_000).reshape(400, 600).astype(np.dtype(dtype)), order=order)
    for value in (array, array[::2, 3:], array[:, 5], array[:0]):
        (there_and_back,) = listed(lambda value: value, [value], max_nbytes=min(value.nbytes, 10_000))
        assert type(there_and_back) is np.ndarray
        assert there_and_back.dtype == value.dtype
        assert there_and_back.flags.writeable
        assert np.array_equal(there_and_back, value)


def test_a_function_of_this_file_travels_with_the_large_globals_it_uses():
    assert listed(uses_a_global, range(5)) == [float(TABLE[i]) for i in range(5)]


TABLE = np.arange(300_000.0)


def uses_a_global(index):
    return float(TABLE[index])
