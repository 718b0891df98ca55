"""Whether workers can be forks of this process.

joblib's workers are the rule. Forked ones start in a tenth of the time and need no copy of what the function uses, but
a fork is safe only in a process that has a single thread. So they are used where that is so, and where neither an
option nor ``joblib.parallel_config`` asks for anything.
"""

from __future__ import annotations

import os
import sys
import threading
import time
import warnings
from collections.abc import Mapping
from typing import Any

from jpipe.parallel.joblib_config import is_configured

__all__ = ["may_fork"]


def may_fork(options: Mapping[str, Any]) -> bool:
    """Whether forked workers can be used.

    Parameters
    ----------
    options
        The options of the map that joblib knows; any that is set asks for joblib.
    """
    return (
        sys.platform == "linux"
        and all(value is None for value in options.values())
        and not is_configured()
        and (_has_one_thread() or _forks_with_one_thread())
    )


def _has_one_thread() -> bool:
    """Whether this process has one thread as the system sees it, which counts those of native libraries too."""
    for _ in range(5):
        if len(os.listdir("/proc/self/task")) == 1:
            return True
        if threading.active_count() > 1:
            return False
        # A thread that was joined may be about to leave.
        time.sleep(0.001)
    return False


def _forks_with_one_thread() -> bool:
    """Whether the other threads are a native library's that ends them before a fork and starts them anew, as OpenBLAS.

    Whether it does so is seen from a fork that ends at once.
    """
    if threading.active_count() > 1:
        return False
    with warnings.catch_warnings():
        # Python warns of the threads that are looked for here.
        warnings.simplefilter("ignore")
        child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return _has_one_thread()
