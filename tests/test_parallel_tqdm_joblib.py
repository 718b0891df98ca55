"""``tqdm_joblib`` counts the finished tasks of one's own ``joblib.Parallel`` calls, and nothing else."""

from __future__ import annotations

import io
import sys
import threading
import time

import joblib
import joblib.parallel
import pytest
import tqdm
from joblib import Parallel, delayed, parallel_config

from jpipe.parallel import tqdm_joblib

BACKENDS = ["loky", "threading", "multiprocessing"]


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = {name: vars(Parallel)[name] for name in vars(Parallel)}
    callback = joblib.parallel.BatchCompletionCallBack
    backends = dict(joblib.parallel.BACKENDS)
    yield
    assert {name: vars(Parallel)[name] for name in vars(Parallel)} == before
    assert joblib.parallel.BatchCompletionCallBack is callback
    assert joblib.parallel.BACKENDS == backends
    assert not [bar for bar in getattr(tqdm.tqdm, "_instances", ()) if not bar.disable], "a bar was left open"


def bar_of(**options):
    return tqdm_joblib(file=io.StringIO(), **options)


def square(number):
    return number * number


def nested(number):
    return sum(Parallel(n_jobs=1)(delayed(square)(i) for i in range(number)))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("total", [0, 1, 7, 500])
def test_the_count_is_exact(backend, n_jobs, total):
    with bar_of(total=total) as bar:
        assert Parallel(n_jobs=n_jobs, backend=backend)(delayed(square)(i) for i in range(total)) == [
            i * i for i in range(total)
        ]
        assert bar.n == total
    assert bar.n == total


@pytest.mark.parametrize("return_as", ["generator", "generator_unordered"])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_lazy_results(return_as, n_jobs):
    with bar_of(total=60) as bar:
        results = Parallel(n_jobs=n_jobs, return_as=return_as)(delayed(square)(i) for i in range(60))
        assert sorted(results) == sorted(i * i for i in range(60))
    assert bar.n == 60


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_results_taken_after_the_block_still_count(n_jobs):
    with bar_of(total=30) as bar:
        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(square)(i) for i in range(30))
    assert sum(1 for _ in results) == 30
    assert bar.n == 30
    assert bar.disable, "the bar is still open"


@pytest.mark.filterwarnings("ignore:.*tasks")
def test_results_that_nobody_takes_leave_no_bar_open():
    with bar_of(total=30) as bar:
        results = Parallel(n_jobs=2, backend="threading", return_as="generator")(delayed(square)(i) for i in range(30))
    del results
    assert bar.disable


def test_the_total_comes_from_the_calls_when_they_know_it():
    shown = io.StringIO()
    with tqdm_joblib(desc="fitting", file=shown) as bar:
        Parallel(n_jobs=2)([delayed(square)(i) for i in range(40)])
        Parallel(n_jobs=2)([delayed(square)(i) for i in range(10)])
    assert (bar.n, bar.total) == (50, 50)
    assert "fitting" in shown.getvalue()
    assert "50/50" in shown.getvalue()


def test_a_bar_of_ones_own():
    with tqdm_joblib(tqdm.tqdm(total=5, file=io.StringIO())) as bar:
        Parallel(n_jobs=2)(delayed(square)(i) for i in range(5))
    assert bar.n == 5


def test_an_open_pool_and_an_object_made_before_the_block():
    with Parallel(n_jobs=2) as parallel:
        for _ in range(3):
            with bar_of(total=20) as bar:
                parallel(delayed(square)(i) for i in range(20))
            assert bar.n == 20
        parallel(delayed(square)(i) for i in range(9))
        assert bar.n == 20


def test_configured_backends_count_too():
    with parallel_config("threading", n_jobs=2), bar_of(total=20) as bar:
        Parallel()(delayed(square)(i) for i in range(20))
    assert bar.n == 20


def test_blocks_nest_and_the_innermost_counts():
    with bar_of(total=10) as outer:
        Parallel(n_jobs=2)(delayed(square)(i) for i in range(4))
        with bar_of(total=7) as inner:
            Parallel(n_jobs=2)(delayed(square)(i) for i in range(7))
        Parallel(n_jobs=2)(delayed(square)(i) for i in range(6))
    assert (outer.n, inner.n) == (10, 7)


@pytest.mark.parametrize("n_jobs", [1, 2])
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_calls_made_by_tasks_do_not_count(n_jobs, backend):
    with bar_of(total=8) as bar:
        Parallel(n_jobs=n_jobs, backend=backend)(delayed(nested)(5) for _ in range(8))
    assert bar.n == 8


def test_only_what_finished_counts_when_a_task_fails():
    def picky(number):
        if number == 3:
            raise ValueError(number)
        return number

    with pytest.raises(ValueError, match="3"), bar_of(total=10) as bar:
        Parallel(n_jobs=1)(delayed(picky)(i) for i in range(10))
    assert bar.n == 3


@pytest.mark.skipif(sys.gettrace() is not None, reason="starting to trace a thread does not bear other threads so near")
def test_threads_count_into_their_own_bars():
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    counts = {}

    def work(name, total):
        with bar_of(total=total) as bar:
            for _ in range(5):
                Parallel(n_jobs=2, backend="threading")(delayed(square)(i) for i in range(total))
        counts[name] = bar.n

    def uncounted():
        for _ in range(5):
            Parallel(n_jobs=2, backend="threading")(delayed(time.sleep)(0) for _ in range(50))

    threads = [threading.Thread(target=work, args=(name, 20 + name)) for name in range(4)]
    threads.append(threading.Thread(target=uncounted))
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(switch)
    assert counts == {name: 5 * (20 + name) for name in range(4)}


def test_zero_of_nine_on_stderr_and_nothing_on_stdout(capsys):
    with tqdm_joblib(total=9):
        Parallel(n_jobs=2)(delayed(square)(i) for i in range(9))
    out, err = capsys.readouterr()
    assert out == ""
    assert "0/9" in err
    assert "9/9" in err


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_scikit_learn_calls_are_counted(n_jobs):
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_score

    X, y = load_iris(return_X_y=True)
    with bar_of(total=5) as bar:
        scores = cross_val_score(LogisticRegression(max_iter=1000), X, y, cv=5, n_jobs=n_jobs)
    assert len(scores) == 5
    assert bar.n == 5
