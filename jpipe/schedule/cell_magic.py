"""``%load_ext jpipe``: the cell magic ``%%cached``, a cell in which direct calls of steps are remembered."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

from jpipe.schedule.direct_calls import remembering

__all__ = ["load_ipython_extension"]


def load_ipython_extension(shell: Any) -> None:
    """Give a notebook or IPython the magic ``%%cached``; IPython calls it for ``%load_ext jpipe``."""

    def cached(line: str, cell: str) -> Any:
        """Run the cell with direct calls of steps remembered; ``%%cached FOLDER`` names the cache."""
        text = shell.transform_cell(cell)
        # The shell keeps the cell's source under a name, so that tracebacks and fingerprints find its lines.
        file = shell.compile.cache(text, raw_code=cell)
        tree = ast.parse(text, file)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        with remembering(line.strip() or None, str(Path.cwd() / "notebook")):
            exec(compile(tree, file, "exec"), shell.user_ns)
            if last is None:
                return None
            value = eval(compile(ast.Expression(last.value), file, "eval"), shell.user_ns)
        return None if cell.rstrip().endswith(";") else value

    shell.register_magic_function(cached, magic_kind="cell", magic_name="cached")
