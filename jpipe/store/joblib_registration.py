"""Make ``joblib.Memory(location, backend="jpipe")`` and ``joblib.Parallel(backend="preloaded")`` known to joblib.

What workers of ``joblib.Parallel`` read is an input of the step that starts them, so ``"loky"`` is jpipe's too.

``import jpipe`` stays light: where joblib is not loaded yet, the backends are registered as soon as it is, and the
store and the pool are imported when the first `Memory` or `Parallel` asks for them.
"""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

__all__ = ["register_backend"]


def register_backend() -> None:
    """Register jpipe's backends with joblib, now or when joblib is imported."""
    if "joblib" in sys.modules:
        _register()
    elif not any(isinstance(finder, _AtJoblib) for finder in sys.meta_path):
        sys.meta_path.insert(0, _AtJoblib())


class _AtJoblib:
    """Finds joblib as Python would, and registers the backend when it has been imported."""

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The usual spec of joblib, whose loader registers the backend at the end; None for all other modules."""
        if name != "joblib":
            return None
        sys.meta_path.remove(self)
        spec = PathFinder.find_spec(name, path)
        loader: Any = spec.loader if spec is not None else None
        if loader is None:
            return None
        execute = loader.exec_module

        def execute_and_register(module: ModuleType) -> None:
            execute(module)
            _register()

        loader.exec_module = execute_and_register
        return spec


def _register() -> None:
    from joblib import register_parallel_backend, register_store_backend
    from joblib._store_backends import StoreBackendBase
    from joblib.parallel import BACKENDS, LokyBackend

    class Backend(StoreBackendBase):  # type: ignore[misc]
        """Turns into jpipe's store backend when a `Memory` makes one."""

        def __new__(cls) -> Any:
            from jpipe.store.joblib_memory import JpipeStoreBackend

            return JpipeStoreBackend()

    register_store_backend("jpipe", Backend)
    register_parallel_backend("preloaded", _preloaded)
    if BACKENDS.get("loky") is LokyBackend:  # there is none without semaphores, and somebody else's stays
        register_parallel_backend("loky", _loky)


def _preloaded(**options: Any) -> Any:
    from jpipe.parallel.preloaded_backend import PreloadedBackend

    return PreloadedBackend(**options)


def _loky(**options: Any) -> Any:
    from jpipe.parallel.loky_backend import LokyBackend

    return LokyBackend(**options)
