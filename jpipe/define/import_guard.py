"""No run begins while jpipe imports the file that begins it: the workers that it starts would import that file too."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jpipe.define.users_line import users_line
from jpipe.errors import PipelineLoadError

__all__ = ["importing", "refuse_run_while_importing"]

_current = threading.local()


@contextmanager
def importing(file: str | Path) -> Iterator[None]:
    """Say that jpipe imports this file, in this thread."""
    before = getattr(_current, "file", None)
    _current.file = str(file)
    try:
        yield
    finally:
        _current.file = before


def refuse_run_while_importing() -> None:
    """Raise `PipelineLoadError` where a run begins while jpipe imports a file."""
    file = getattr(_current, "file", None)
    if file is not None:
        raise PipelineLoadError(
            f"a run begins while {Path(file).name} is imported, by jpipe or by one of its workers",
            location=users_line(),
            hint='put it below `if __name__ == "__main__":`, where only the script itself gets to',
        )
