"""joblib's own tests of Memory and of store backends pass with jpipe's store in place of joblib's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = """
import pytest
from joblib import Memory, register_store_backend
from jpipe.store.joblib_memory import JpipeStoreBackend

def pytest_configure(config):
    for name in ("timeout", "thread_unsafe"):
        config.addinivalue_line("markers", f"{name}: joblib's own")

register_store_backend("local", JpipeStoreBackend)

@pytest.fixture
def memory(tmp_path):
    # joblib 1.5 keeps this one in a file that it does not install
    return Memory(location=tmp_path / "cachedir", verbose=0)
"""

FILES = "looks at joblib's files (output.pkl, func_code.py, folders by function), which this store does not have"
NO_COLLISIONS = "expects a warning that results are wiped; here the code is part of the address, so none are"
PLAIN_ARRAYS = "wants np.memmap objects; here they are plain ndarrays over a mapping, and tiny ones are not mapped"

DOES_NOT_APPLY = {
    "test_parallel_call_cached_function_defined_in_jupyter": FILES,
    "test_func_dir": FILES,
    "test_persistence": FILES,
    "test_call_and_shelve_lazily_load_stored_result": FILES,
    "test__get_items": FILES,
    "test_memory_recomputes_after_an_error_while_loading_results": FILES,
    "test_memory_clear": "wants an empty folder; an empty store still says what it is",
    "test_memory_creates_gitignore": "the .gitignore says that jpipe made it",
    "test__get_items_to_delete": "calls a private method; `reduce_size` is tested in test_store_joblib.py",
    "test_memory_reduce_size_bytes_limit": "the results are smaller here, so three of them fit where two were expected",
    "test_memory_pickle_dump_load": "compares private attributes of the backend by identity",
    "test_memory_name_collision": NO_COLLISIONS,
    "test_memory_warning_lambda_collisions": NO_COLLISIONS,
    "test_memory_warning_collision_detection": NO_COLLISIONS,
    "test_memory_in_memory_function_code_change": NO_COLLISIONS,
    "test_memory_numpy_check_mmap_mode": PLAIN_ARRAYS,
    "test_memorized_result_forwards_mmap_mode": PLAIN_ARRAYS,
}


@pytest.mark.nightly
def test_joblibs_own_tests(tmp_path: Path) -> None:
    (tmp_path / "jpipe_store_plugin.py").write_text(PLUGIN)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "jpipe_store_plugin", "-p", "no:cacheprovider"]
    command += ["--pyargs", "joblib.test.test_memory", "joblib.test.test_store_backends", "--tb=short"]
    command += ["-k", " and ".join(f"not {name}" for name in DOES_NOT_APPLY)]
    done = subprocess.run(
        ["env", f"PYTHONPATH={tmp_path}:{':'.join(filter(None, sys.path))}", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert "passed" in done.stdout
