"""Code that was typed into a notebook or a Python prompt: where it belongs, and what people call its cells."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["cell_name", "home_of"]


def home_of(file: str, namespace: Mapping[str, Any]) -> str:
    """The file that code belongs to: its own, or the notebook that it was typed into, absolute.

    A kernel gives each cell a file name of its own, which changes with every edit; what runs leave behind is filed
    under the notebook instead.

    Parameters
    ----------
    file
        ``co_filename`` of the code.
    namespace
        Its globals.
    """
    if os.path.exists(file) and not _is_cell(file):
        return os.path.abspath(file)
    told = namespace.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")
    if isinstance(told, str) and told:
        # Jupyter's name may be relative to where its server was started, which the kernel does not know.
        return told if os.path.isabs(told) and os.path.exists(told) else os.path.abspath(os.path.basename(told))
    return os.path.abspath("prompt" if file.startswith(("<stdin", "<python-input")) else "notebook")


def cell_name(file: str) -> str:
    """``In[5]`` for the file name that a kernel gave to a cell; other names as they are."""
    if not _is_cell(file):
        return file
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    describe = getattr(getattr(shell, "compile", None), "format_code_name", None)
    try:
        found = describe(file) if describe is not None else None
    except Exception:  # a shell of another kind may do it in another way
        return file
    return str(found[1]) if found else file


def _is_cell(file: str) -> bool:
    from jpipe.system.ownership import Owner, owner_of  # not for an instant answer

    return owner_of(file) is Owner.CELL
