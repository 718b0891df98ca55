"""What scripts written for p_tqdm rely on, with ``jpipe.parallel`` in its place."""

from __future__ import annotations

import functools
import io
import itertools
import os
import threading
import time

import pytest
import tqdm

import jpipe.parallel as p_tqdm
from jpipe.errors import UsageError

PARALLEL = [p_tqdm.p_map, p_tqdm.p_imap, p_tqdm.p_umap, p_tqdm.p_uimap]
ALL = [*PARALLEL, p_tqdm.t_map, p_tqdm.t_imap]
LISTS = {p_tqdm.p_map, p_tqdm.p_umap, p_tqdm.t_map}
UNORDERED = {p_tqdm.p_umap, p_tqdm.p_uimap}

every_map = pytest.mark.parametrize("mapping", ALL, ids=lambda f: f.__name__)
parallel_maps = pytest.mark.parametrize("mapping", PARALLEL, ids=lambda f: f.__name__)


@pytest.fixture(autouse=True)
def no_bar_left_open():
    yield
    assert not [bar for bar in getattr(tqdm.tqdm, "_instances", ()) if not bar.disable]


def plus_one(number):
    return number + 1


def total_of(first, second):
    return first + second


def weighted(first, second, third):
    return first + 2 * second + 3 * third


def quiet(mapping, *args, **kwargs):
    """The results as a list, sorted when the map promises no order."""
    results = mapping(*args, **{"file": io.StringIO(), **kwargs})
    assert isinstance(results, list) == (mapping in LISTS)
    listed = list(results)
    return sorted(listed) if mapping in UNORDERED else listed


# p_tqdm's own six cases for each of its six functions


@every_map
def test_one_list(mapping):
    assert quiet(mapping, plus_one, [4, 5, 6]) == [5, 6, 7]


@every_map
def test_two_lists(mapping):
    assert quiet(mapping, total_of, [1, 2, 3], [10, 11, 12]) == [11, 13, 15]


@every_map
def test_two_lists_and_a_fixed_argument(mapping):
    fixed = functools.partial(weighted, 100)
    assert quiet(mapping, fixed, [1, 2, 3], [10, 11, 12]) == [132, 137, 142]


@every_map
def test_a_list_and_two_fixed_arguments(mapping):
    fixed = functools.partial(weighted, 100, third=7)
    assert quiet(mapping, fixed, [1, 2, 3]) == [123, 125, 127]


@every_map
def test_a_list_and_a_range_of_the_same_length(mapping):
    assert quiet(mapping, total_of, [10, 20, 30], range(3)) == [10, 21, 32]


@every_map
def test_the_shortest_iterable_ends_the_map(mapping):
    assert quiet(mapping, total_of, [1, 2, 3, 4, 5, 6], range(3)) == [1, 3, 5]


# what its issues ask for


@every_map
def test_generators_with_and_without_total(mapping):
    shown = io.StringIO()
    assert quiet(mapping, plus_one, (i for i in range(20)), total=20, file=shown) == list(range(1, 21))
    assert "20/20" in shown.getvalue()
    shown = io.StringIO()
    assert quiet(mapping, plus_one, (i for i in range(20)), file=shown) == list(range(1, 21))
    assert "20it" in shown.getvalue()


@every_map
def test_nothing_to_do(mapping):
    assert quiet(mapping, plus_one, []) == []
    assert quiet(mapping, total_of, [1, 2], iter(())) == []


@pytest.mark.parametrize("num_cpus", [1, 2, 1.0, 0.5, 0.001])
@parallel_maps
def test_num_cpus_is_a_number_or_a_share_of_the_cores(mapping, num_cpus):
    assert quiet(mapping, plus_one, range(5), num_cpus=num_cpus) == [1, 2, 3, 4, 5]


def test_zero_cpus_are_refused():
    with pytest.raises(UsageError, match="num_cpus=0"):
        p_tqdm.p_map(plus_one, [1], num_cpus=0)


class Counter:
    def __init__(self, start):
        self.start = start

    def after(self, number):
        return self.start + number

    def __call__(self, number):
        return self.start - number


@parallel_maps
def test_functions_that_do_not_pickle(mapping):
    offset = 30

    def local(number):
        return number + offset

    for function in (local, lambda number: number + offset, Counter(30).after):
        assert quiet(mapping, function, [1, 2, 3]) == [31, 32, 33]
    assert sorted(quiet(mapping, Counter(30), [1, 2, 3])) == [27, 28, 29]
    makers = mapping(lambda number: lambda: number * offset, [1, 2], file=io.StringIO())
    assert sorted(make() for make in makers) == [30, 60]


def test_work_is_done_by_other_processes_and_by_this_one_in_t_map():
    def process(_):
        time.sleep(0.02)
        return os.getpid()

    assert os.getpid() not in p_tqdm.p_map(process, range(8), num_cpus=2, disable=True)
    assert set(p_tqdm.t_map(process, range(2), disable=True)) == {os.getpid()}


@every_map
def test_the_class_of_the_bar_and_all_its_options(mapping):
    class Recording(tqdm.tqdm):
        made = []

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.made.append(self)

    shown = io.StringIO()
    results = mapping(plus_one, [1, 2], tqdm=Recording, desc="counting", unit="sheep", file=shown, leave=False)
    assert sorted(results) == [2, 3]
    (bar,) = Recording.made
    assert (bar.desc, bar.unit, bar.total, bar.n, bar.leave) == ("counting", "sheep", 2, 2, False)
    assert "counting" in shown.getvalue()


@every_map
def test_the_bar_starts_at_zero_on_stderr_and_stdout_stays_empty(mapping, capsys):
    assert sorted(mapping(plus_one, range(9))) == list(range(1, 10))
    out, err = capsys.readouterr()
    assert out == ""
    assert "0/9" in err
    assert "9/9" in err


@every_map
def test_a_disabled_bar_shows_nothing(mapping, capsys):
    assert sorted(mapping(plus_one, range(9), disable=True)) == list(range(1, 10))
    assert capsys.readouterr() == ("", "")


@parallel_maps
def test_an_exception_reaches_the_caller_and_later_calls_work(mapping):
    def picky(number):
        if number >= 3:
            raise ZeroDivisionError(f"no {number}")
        return number

    with pytest.raises(ZeroDivisionError, match="no 3") as caught:
        list(mapping(picky, range(6), file=io.StringIO()))
    assert any("item 3" in note for note in caught.value.__notes__)
    assert "picky" in str(caught.value.__cause__), "the traceback in the worker is lost"
    assert quiet(mapping, plus_one, [1, 2]) == [2, 3]


@pytest.mark.parametrize("mapping", [p_tqdm.p_imap, p_tqdm.p_uimap, p_tqdm.t_imap], ids=lambda f: f.__name__)
def test_a_lazy_map_starts_when_it_is_asked_and_ends_when_it_is_left(mapping):
    drawn = []

    def numbers():
        for number in itertools.count():
            drawn.append(number)
            yield number

    results = mapping(plus_one, numbers(), file=io.StringIO())
    assert drawn == []
    first = [next(results) for _ in range(20)]
    assert sorted(first) == list(range(1, 21)) or mapping is p_tqdm.p_uimap
    results.close()
    assert len(drawn) < 1000
    before = len(drawn)
    time.sleep(0.1)
    assert len(drawn) == before


def test_what_finished_before_a_failure_is_handed_on():
    def picky(number):
        if number == 37:
            raise ValueError("37")
        return number

    taken = []
    with pytest.raises(ValueError, match="37"):
        for result in p_tqdm.p_imap(picky, range(100), file=io.StringIO()):
            taken.append(result)
    assert taken == list(range(37))


def test_results_come_as_they_finish_from_the_unordered_map():
    def wait(seconds):
        time.sleep(seconds)
        return seconds

    results = p_tqdm.p_uimap(wait, [0.8, 0.0, 0.01, 0.02], num_cpus=2, file=io.StringIO())
    assert list(results)[-1] == 0.8


def test_a_map_inside_a_map_stays_in_its_worker():
    def inner(number):
        return os.getpid(), p_tqdm.p_map(lambda _: os.getpid(), range(3), disable=True)

    for outer, pids in p_tqdm.p_map(inner, range(4), num_cpus=2, disable=True):
        assert set(pids) == {outer}


def test_two_threads_can_map_at_once():
    results = {}

    def work(name, factor):
        results[name] = p_tqdm.p_map(lambda number: number * factor, range(300), num_cpus=2, disable=True)

    threads = [threading.Thread(target=work, args=(name, name + 1)) for name in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == {name: [number * (name + 1) for number in range(300)] for name in range(3)}


@parallel_maps
def test_the_names_that_joblib_and_pathos_have(mapping):
    latest = [0]

    def numbers():
        for latest[0] in range(200):
            yield latest[0]

    def look(number, table):
        time.sleep(0.002)
        return number, float(table[0]), os.getpid()

    table = functools.partial(look, table=[1.0])
    for options in ({"chunksize": 7}, {"batch_size": 7, "backend": "threading"}, {"prefer": "threads"}):
        results = sorted(mapping(table, numbers(), num_cpus=2, pre_dispatch="3*n_jobs", disable=True, **options))
        assert [(number, value) for number, value, _ in results] == [(i, 1.0) for i in range(200)]
        assert ({pid for *_, pid in results} == {os.getpid()}) == ("chunksize" not in options)


@pytest.mark.parametrize(("pre_dispatch", "most"), [(3, 3), ("2*n_jobs", 4), ("n_jobs", 2), ("1.5*n_jobs", 3)])
def test_no_more_items_are_drawn_and_unfinished_than_pre_dispatch_says(pre_dispatch, most):
    drawn, unfinished = itertools.count(1), []

    def numbers():
        for _ in range(60):
            unfinished.append(next(drawn) - finished[0])
            yield 0

    finished = [0]

    def wait(_):
        time.sleep(0.001)
        finished[0] += 1

    p_tqdm.p_map(wait, numbers(), num_cpus=2, backend="threading", pre_dispatch=pre_dispatch, disable=True)
    assert max(unfinished) <= most
    with pytest.raises(UsageError, match="pre_dispatch='many'"):
        p_tqdm.p_map(plus_one, [1, 2], num_cpus=2, pre_dispatch="many", disable=True)


@every_map
def test_a_map_over_nothing_at_all_is_an_error(mapping):
    with pytest.raises(TypeError, match="at least one iterable"):
        list(mapping(plus_one))
