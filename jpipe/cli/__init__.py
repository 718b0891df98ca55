"""The ``jpipe`` command: a file for each command, loaded when it is called, and what commands share."""

from __future__ import annotations

import gc
import sys
from typing import NoReturn

from jpipe.cli.standard_streams import open_standard_streams

__all__ = ["main"]


def main() -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    # What imports and plans make stays: looking it through again and again would be a sixth of a short command.
    gc.set_threshold(50_000, 20, 20)
    open_standard_streams()
    try:
        # Here, so that Ctrl-C while Python still imports ends the command in the usual way.
        from jpipe.cli.command_line import main as command
    except KeyboardInterrupt:
        sys.exit(130)
    command()
