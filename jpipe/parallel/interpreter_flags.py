"""Workers run with the flags of this interpreter: whether assertions are checked, how files are decoded."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["start_with_flags"]


def start_with_flags(backend: Any) -> None:
    """Have the workers of loky start with this interpreter's flags, which it does not hand on."""
    flags = {
        "PYTHONOPTIMIZE": str(sys.flags.optimize),
        "PYTHONUTF8": str(sys.flags.utf8_mode),
        "PYTHONDEVMODE": "1" * sys.flags.dev_mode,
        "PYTHONWARNINGS": ",".join(sys.warnoptions),
    }
    set_here = {name: value for name, value in flags.items() if value not in ("", "0")}
    prepare = getattr(backend, "_prepare_worker_env", None)
    if set_here and prepare is not None and type(backend).__name__ == "LokyBackend":
        backend._prepare_worker_env = lambda n_jobs: {**prepare(n_jobs), **set_here}
