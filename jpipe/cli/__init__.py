"""The ``jpipe`` command: one file a command, each loaded when it is called."""

from jpipe.cli.front import main

__all__ = ["main"]
