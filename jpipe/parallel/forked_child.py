"""A step may fork: what its child leaves behind in the step's function is the end of the child, as in a script."""

from __future__ import annotations

import os
import traceback

__all__ = ["end_child"]


def end_child(error: BaseException | None) -> None:
    """End this process, a child that a step forked, with the exit code that it would have in a script."""
    code = 0
    try:
        if isinstance(error, SystemExit):
            code = error.code if isinstance(error.code, int) else int(error.code is not None)
            said = str(error.code) + "\n" if code and not isinstance(error.code, int) else ""
        elif error is not None:
            code, said = 1, "".join(traceback.format_exception(error))
        else:
            said = ""
        os.write(2, said.encode("utf-8", "replace"))
    finally:
        os._exit(code & 0xFF)
