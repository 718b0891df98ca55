"""``python -m jpipe`` is the ``jpipe`` command."""

from __future__ import annotations

from jpipe.cli import main

if __name__ == "__main__":
    main()
