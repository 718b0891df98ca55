"""A user's own `joblib.Memory` works on the store as joblib documents it, without what hurts there."""

from __future__ import annotations

import importlib.util
import pickle
import subprocess
import sys
import textwrap
import time
import warnings
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from joblib import Memory, Parallel, delayed, expires_after
from joblib.memory import MemorizedResult

from jpipe.store import CacheWarning, SigningKey, Store
from jpipe.store.joblib_memory import JpipeStoreBackend, register

MIB = 1 << 20


@pytest.fixture(autouse=True)
def registered() -> None:
    register()


@pytest.fixture
def memory(tmp_path: Path) -> Memory:
    return Memory(str(tmp_path / "cache"), backend="jpipe", verbose=0)


@pytest.fixture
def counted() -> Iterator[Callable[..., Any]]:
    def square(x: Any, y: int = 0) -> Any:
        calls.append(x)
        return {"square": x * x, "y": y}

    calls: list[Any] = []
    square.calls = calls  # type: ignore[attr-defined]
    return square


def module(path: Path, source: str) -> ModuleType:
    """The module that `source` is now, as a new session would import it."""
    import linecache

    path.write_text(textwrap.dedent(source))
    linecache.clearcache()
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    exec(compile(path.read_text(), str(path), "exec"), made.__dict__)
    return made


def test_results_are_remembered_by_arguments(memory: Memory, counted: Any) -> None:
    f = memory.cache(counted, ignore=["y"])
    assert [f(2), f(2), f(3), f(2, y=9)] == [{"square": 4, "y": 0}] * 2 + [{"square": 9, "y": 0}, {"square": 4, "y": 0}]
    assert counted.calls == [2, 3]
    assert f.check_call_in_cache(2)
    assert not f.check_call_in_cache(4)
    assert f.call(2)[0] == {"square": 4, "y": 0}
    assert counted.calls == [2, 3, 2]


def test_undoing_an_edit_finds_the_old_results(memory: Memory, tmp_path: Path) -> None:
    source = "ran = []\ndef f(x):\n    ran.append(x)\n    return x + {}\n"
    for added, expected_runs in [(1, [5]), (2, [5]), (1, []), (2, [])]:
        edited = module(tmp_path / "steps.py", source.format(added))
        f = memory.cache(edited.f)
        assert f.check_call_in_cache(5) is (expected_runs == [])
        assert f(5) == 5 + added
        assert edited.ran == expected_runs


def test_asking_whether_a_call_is_cached_removes_nothing(memory: Memory, tmp_path: Path) -> None:
    first = memory.cache(module(tmp_path / "steps.py", "def f(x):\n    return 1\n").f)
    assert first(0) == 1
    assert not memory.cache(module(tmp_path / "steps.py", "def f(x):\n    return 2\n").f).check_call_in_cache(0)
    assert first.check_call_in_cache(0)


def test_two_functions_of_one_name_do_not_get_each_others_results(memory: Memory, tmp_path: Path) -> None:
    """Not even when the file says of both that it is the second."""
    one = memory.cache(module(tmp_path / "steps.py", "def f(x):\n    return 'one'\n").f)
    other = memory.cache(module(tmp_path / "steps.py", "def f(x):\n    return 'other'\n").f)
    for clear in (None, one, other):
        if clear is not None:
            clear.clear(warn=False)
        assert [one(0), other(0), one(0), other(0)] == ["one", "other"] * 2


def test_closures_and_lambdas_of_one_line_do_not_get_each_others_results(memory: Memory) -> None:
    def times(factor: int) -> Callable[[int], int]:
        def multiply(x: int) -> int:
            return x * factor

        return multiply

    assert [memory.cache(times(factor))(10) for factor in (2, 3, 2)] == [20, 30, 20]
    both = [lambda x: x + 1, lambda x: x + 2]
    assert [memory.cache(f)(1) for f in both] == [2, 3]


def test_results_can_be_shelved_and_sent(memory: Memory, counted: Any) -> None:
    shelved = memory.cache(counted).call_and_shelve(3)
    assert isinstance(shelved, MemorizedResult)
    assert shelved.get() == pickle.loads(pickle.dumps(shelved)).get() == {"square": 9, "y": 0}
    again = MemorizedResult(memory.store_backend.location, shelved._call_id, backend="jpipe")
    assert again.get() == {"square": 9, "y": 0}
    assert again.duration == shelved.metadata["duration"] >= 0
    shelved.clear()
    with pytest.raises(KeyError):
        again.get()


def test_results_expire(memory: Memory, counted: Any) -> None:
    seen: list[dict[str, Any]] = []

    def valid(metadata: dict[str, Any]) -> bool:
        seen.append(metadata)
        return len(seen) < 2

    f = memory.cache(counted, cache_validation_callback=valid)
    for _ in range(3):
        f(2, y=1)
    assert counted.calls == [2, 2]
    assert seen[0]["input_args"] == {"x": "2", "y": "1"}
    assert seen[0]["duration"] >= 0
    assert abs(seen[0]["time"] - time.time()) < 60
    assert memory.cache(counted, cache_validation_callback=expires_after(days=1)).check_call_in_cache(2, y=1)
    assert not memory.cache(counted, cache_validation_callback=expires_after(seconds=0)).check_call_in_cache(2, y=1)


@pytest.mark.parametrize("mode", ["c", "r", "r+"])
def test_large_arrays_are_mapped_and_the_cache_cannot_be_changed_through_them(tmp_path: Path, mode: Any) -> None:
    memory = Memory(str(tmp_path / "cache"), backend="jpipe", verbose=0, mmap_mode=mode)
    f = memory.cache(np.zeros)
    for _ in range(2):
        array = f(MIB)
        assert isinstance(array.base.base, np.memmap) or isinstance(array.base, np.memmap)
        if mode == "r":
            assert not array.flags.writeable
        else:
            array[:] = 5
    assert f(MIB).sum() == 0


def test_compressed_results(tmp_path: Path) -> None:
    memory = Memory(str(tmp_path / "cache"), backend="jpipe", verbose=0, compress=("zlib", 5))
    f = memory.cache(np.zeros)
    assert f(MIB).sum() == f(MIB).sum() == 0
    assert memory.store_backend.store.size().nbytes < MIB


def test_clearing(memory: Memory, counted: Any) -> None:
    f, g = memory.cache(counted), memory.cache(np.ones)
    f(1), g(2)
    f.clear(warn=False)
    assert (f.check_call_in_cache(1), g.check_call_in_cache(2)) == (False, True)
    f(1), f(1)
    assert counted.calls == [1, 1]
    memory.clear(warn=False)
    assert not g.check_call_in_cache(2)
    assert memory.store_backend.store.size().packs == 0


@pytest.mark.parametrize(
    ("limit", "left"),
    [
        ({"items_limit": 3}, 3),
        ({"bytes_limit": "50K"}, 5),
        ({"age_limit": timedelta(0)}, 0),
        ({"bytes_limit": "1M"}, 10),
    ],
)
def test_reducing_the_size(memory: Memory, limit: Any, left: int) -> None:
    def text(number: int) -> str:
        return str(number) * 10_000

    f = memory.cache(text)
    for number in range(10):
        f(number)
    memory.reduce_size(**limit)
    assert sum(f.check_call_in_cache(number) for number in range(10)) == left
    assert left in (0, 10) or f.check_call_in_cache(9)
    with pytest.raises(ValueError, match="age_limit"):
        memory.reduce_size(age_limit=timedelta(-1))


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("mode", [None, "r"])
def test_what_cannot_be_pickled_is_returned_and_not_said_to_be_cached(tmp_path: Path, mode: Any) -> None:
    memory = Memory(str(tmp_path / "cache"), backend="jpipe", verbose=0, mmap_mode=mode)

    def lines() -> Any:
        return (line for line in ["a", "b"])

    f = memory.cache(lines)
    for _ in range(2):
        with pytest.warns(CacheWarning, match="generator"):
            assert list(f()) == ["a", "b"]
    assert not f.check_call_in_cache()


def test_a_damaged_result_is_computed_again(memory: Memory, counted: Any) -> None:
    f = memory.cache(counted)
    f(2)
    for path in (Path(memory.store_backend.location) / "v1").rglob("*.pack"):
        path.chmod(0o600)
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    fresh = Memory(memory.location, backend="jpipe", verbose=0).cache(counted)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert fresh(2) == fresh(2) == {"square": 4, "y": 0}
    assert counted.calls == [2, 2]


def test_workers_share_the_results(memory: Memory) -> None:
    f = memory.cache(np.full)
    values = Parallel(n_jobs=2)(delayed(f)(10, i % 3) for i in range(12))
    assert [int(value[0]) for value in values] == [i % 3 for i in range(12)]
    assert all(f.check_call_in_cache(10, i) for i in range(3))


def test_many_results_take_few_files(memory: Memory) -> None:
    def plus_one(x: int) -> int:
        return x + 1

    f = memory.cache(plus_one)
    for x in range(300):
        assert f(x) == x + 1
    assert memory.store_backend.store.size().packs < 80
    fresh = Memory(memory.location, backend="jpipe", verbose=0).cache(plus_one)
    assert all(fresh.check_call_in_cache(x) for x in range(300))


def test_function_names_never_become_paths(memory: Memory, tmp_path: Path) -> None:
    def f(x: int) -> int:
        return x

    for name in ("../../evil", "x" * 300, "CON", "a/b", "ф\u202e😀", "Case", "case"):
        f.__name__ = f.__qualname__ = name
        assert memory.cache(f)(1) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"cache"}


def test_jpipes_own_executions_are_answered_by_the_work_at_hand(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "cache", key=SigningKey(b"k" * 32))
    memory = Memory(str(store.root), backend="jpipe", verbose=0, backend_options={"store": store})
    published: list[Any] = []

    class Receipt:
        def publish(self, store: Store) -> None:
            published.append(store)

    def execute(key: str, work: Any) -> Any:
        executed.append(key)
        return Receipt()

    executed: list[str] = []
    execute.__module__ = "jpipe.worker.run_chunk"
    front = memory.cache(execute, ignore=["work"])
    backend = memory.store_backend
    assert isinstance(backend, JpipeStoreBackend)
    with backend.serving(SimpleNamespace(find=lambda store: None)):
        assert isinstance(front("key", None), Receipt)
    assert (executed, published) == (["key"], [store])
    with backend.serving(SimpleNamespace(find=lambda store: "the receipt of another run")):
        assert front("key", None) == "the receipt of another run"
    assert executed == ["key"]


def test_a_long_old_run_does_not_poison_a_new_one(tmp_path: Path) -> None:
    """A process with old code that ends after an edit leaves nothing that the new code takes for its own."""
    script = """
        import sys, time
        from joblib import Memory
        from jpipe.store.joblib_memory import register
        register()
        sys.path.insert(0, sys.argv[1])
        sys.dont_write_bytecode = True
        import steps
        print("imported", flush=True)
        if sys.argv[2] == "wait":
            sys.stdin.readline()
        print(Memory(sys.argv[1] + "/cache", backend="jpipe", verbose=0).cache(steps.f)(1), flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    (tmp_path / "steps.py").write_text("def f(x):\n    return 'old'\n")
    old = subprocess.Popen([*command, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert old.stdout is not None
    assert old.stdout.readline() == "imported\n"
    (tmp_path / "steps.py").write_text("def f(x):\n    return 'new!'\n")
    assert old.communicate("go\n")[0] == "old\n"
    assert subprocess.run([*command, "go"], capture_output=True, text=True, check=True).stdout.endswith("new!\n")


def test_what_was_cleared_is_missing_for_those_who_hold_a_reference(memory: Memory, counted: Any) -> None:
    shelved = memory.cache(counted).call_and_shelve(3)
    assert shelved.get() == {"square": 9, "y": 0}
    shelved.clear()
    with pytest.raises(KeyError, match="may have been cleared"):
        shelved.get()
    shelved.clear()
    assert memory.cache(counted)(3) == {"square": 9, "y": 0}
    assert counted.calls == [3, 3]


def test_a_talkative_memory_tells_what_joblibs_own_tells(
    tmp_path: Path, counted: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.warns(UserWarning, match=r"Compressed (items|results) cannot be memmapped"):
        memory = Memory(str(tmp_path / "cache"), backend="jpipe", verbose=11, mmap_mode="r", compress=3)
    remembered = memory.cache(counted)
    remembered(3)
    assert "Persisting" in capsys.readouterr().out
    remembered(3)
    assert "[Memory]" in capsys.readouterr().out
    assert counted.calls == [3]
    assert repr(memory.store_backend) == f'JpipeStoreBackend(location="{memory.store_backend.location}")'
    assert memory.store_backend != Memory(str(tmp_path / "other"), backend="jpipe", verbose=0).store_backend
