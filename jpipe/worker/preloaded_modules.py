"""What a worker imports of jpipe before it does anything."""

from __future__ import annotations

__all__ = ["WORKER_MODULES"]

WORKER_MODULES = ("jpipe.worker.run_chunk", "jpipe.store.joblib_memory")
