"""The commands that messages tell people to type: only ones that exist, spelt so that they work as shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["Commands", "loading_arguments"]


def loading_arguments(flags: tuple[tuple[str, str], ...]) -> list[str]:
    """The flags that give parameters, as arguments of `jpipe.debugging.load_item`."""
    sets = dict(text.split("=", 1) for flag, text in flags if flag == "--set")
    files = [file for flag, file in flags if flag == "--params"]
    profiles = [f"profile={name!r}" for flag, name in flags if flag == "--profile"]
    return [*profiles, *([f"params={files!r}"] if files else []), *([f"sets={sets!r}"] if sets else [])]


class Commands(NamedTuple):
    """How to call jpipe again about the same pipeline.

    Parameters
    ----------
    known
        Names of the commands that there are.
    where
        What names the pipeline on the command line: empty for the default file, else ``FILE`` or ``FILE:PIPELINE``.
    parameters
        The flags that give parameters, as (flag, value), which the next call has to repeat to mean the same items.
    cache_dir
        The ``--cache-dir`` of this call, or "".
    """

    known: Collection[str] = ("run",)
    where: str = ""
    parameters: tuple[tuple[str, str], ...] = ()
    cache_dir: str = ""

    def text(self, command: str, *arguments: str, parameters: bool = True) -> str | None:
        """The command line, or None when there is no such command."""
        if command not in self.known:
            return None
        words = ["jpipe", command, *([self.where] if self.where else []), *arguments]
        if parameters:
            words += [word for flag in self.parameters for word in flag]
        if self.cache_dir:
            words += ["--cache-dir", self.cache_dir]
        import shlex  # only where a command is shown

        return shlex.join(words)

    def loading(self, step: str, item: int) -> str | None:
        """A line of Python that gives the step's function and the arguments of an item, or None where nothing can."""
        if "debug" not in self.known:
            return None
        file, _, pipeline = self.where.partition(".py:")
        arguments = [repr(f"{file}.py" if pipeline else file or "pipeline.py"), repr(step), str(item)]
        if pipeline:
            arguments.append(f"pipeline={pipeline!r}")
        arguments += loading_arguments(self.parameters)
        if self.cache_dir:
            arguments.append(f"cache_dir={self.cache_dir!r}")
        return f"from jpipe.debugging import load_item; f, args, kwargs = load_item({', '.join(arguments)})"
