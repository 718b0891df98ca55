"""The ``jpipe`` command: one file a command, each loaded when it is called."""

from __future__ import annotations

import sys
from typing import NoReturn

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    try:
        # Here, so that Ctrl-C while Python still imports ends the command in the usual way.
        from jpipe.cli.front import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()
