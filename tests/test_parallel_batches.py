"""What scripts written for tqdm_batch rely on, with ``jpipe.parallel.batch_process`` in its place."""

from __future__ import annotations

import os
import re
import time

import numpy as np
import pytest

from jpipe.errors import UsageError
from jpipe.parallel import batch_process


def scaled(item, factor, offset=0):
    return item * factor + offset


def bars(text):
    """The last state of each bar on a screen: its name, and its count out of its total."""
    found = re.findall(r"(Worker \d+|Total): +\d+%\|[^|]*\| (\d+/\d+)", text)
    return dict(found)


def test_further_arguments_go_to_the_function_and_order_is_kept():
    assert batch_process(list(range(50)), scaled, 2, False, 3, offset=1) == [3 * i + 1 for i in range(50)]
    assert batch_process([1, 2, 3], function=lambda item: -item, n_workers=2) == [-1, -2, -3]


def test_more_workers_than_items():
    assert batch_process([5, 6], scaled, 8, False, 2) == [10, 12]


def test_generators_and_empty_lists(capsys):
    assert batch_process((i for i in range(7)), scaled, 2, False, 2) == [0, 2, 4, 6, 8, 10, 12]
    assert batch_process([], scaled, 2, False, 2) == []
    assert batch_process([], scaled, 2, True, 2) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("count", [1, 10, 101, 1000])
def test_a_bar_for_each_worker_is_exact(count, capsys):
    assert batch_process(list(range(count)), scaled, 3, True, 2) == [2 * i for i in range(count)]
    shown = bars(capsys.readouterr().err)
    length = -(-count // 3)
    parts = [min(length, count - start) for start in range(0, count, length)]
    assert shown == {f"Worker {n}": f"{part}/{part}" for n, part in enumerate(parts, 1)}


def test_one_bar_for_all(capsys):
    batch_process(list(range(30)), scaled, 2, False, 2)
    assert bars(capsys.readouterr().err) == {"Total": "30/30"}


def test_slow_batches_do_not_keep_other_workers_idle():
    def wait(seconds):
        time.sleep(seconds)
        return os.getpid()

    # Fixed batches would leave one worker with all the work.
    slow_first = [0.1] * 12 + [0.0] * 12
    batch_process([0.0] * 4, wait, 2)
    pids = batch_process(slow_first, wait, 2, True)
    assert len(set(pids[:12])) == 2


def test_a_payload_is_unpickled_once_in_each_worker(tmp_path):
    class Payload:
        def __init__(self, log):
            self.log = log
            self.table = list(range(100_000))

        def __setstate__(self, state):
            self.__dict__.update(state)
            with open(self.log, "a") as file:
                file.write(f"{os.getpid()}\n")

    def look_up(item, payload, matrix):
        time.sleep(0.002)
        return payload.table[item] + matrix[item, 0]

    matrix = np.arange(400_000.0).reshape(400, 1000)
    log = tmp_path / "loads"
    log.touch()
    results = batch_process(list(range(300)), look_up, 2, False, Payload(str(log)), matrix=matrix)
    assert results == [i + 1000.0 * i for i in range(300)]
    loads = log.read_text().split()
    assert len(loads) == len(set(loads)) <= 2


def test_exceptions_reach_the_caller():
    def picky(item):
        if item == 4:
            raise LookupError("four")
        return item

    with pytest.raises(LookupError, match="four"):
        batch_process(list(range(9)), picky, 2, True)
    assert batch_process([1], picky, 2) == [1]


def test_no_workers_are_refused():
    with pytest.raises(UsageError, match="n_workers=0"):
        batch_process([1], scaled, 0)
