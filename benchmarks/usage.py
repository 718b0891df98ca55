"""Run a command and write down what it took: ``python -S usage.py FILE COMMAND...``; for POSIX systems.

This is a process of its own because a forked child counts the memory of its parent as its own until it is another
program: the parent has to be small.
"""

import json
import os
import sys
import time


def main() -> int:
    """Run the command; its exit code."""
    note, *command = sys.argv[1:]
    begin = time.perf_counter()
    _, status, usage = os.wait4(os.posix_spawn(command[0], command, os.environ), 0)
    taken = {
        "seconds": time.perf_counter() - begin,
        "processor": usage.ru_utime + usage.ru_stime,
        "memory": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with open(note, "w", encoding="ascii") as file:
        json.dump(taken, file)
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
