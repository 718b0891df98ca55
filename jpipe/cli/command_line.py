"""From arguments to an exit code: the group of commands, and what becomes of every error that leaves one."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

import click

from jpipe.cli.commands import COMPLETING, LazyGroup, ReaderLeft
from jpipe.errors import CacheError, ExitCode, JpipeError, RunInterrupted, UsageError
from jpipe.render.styled_text import Line, line, warn
from jpipe.render.terminal import Paper
from jpipe.system.safe_paths import is_inside

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["call", "group", "main"]

_EPILOG = """Examples:

\b
  jpipe run                          bring pipeline.py up to date
  jpipe run study.py table -j 8      only what table needs, on 8 workers
  jpipe run --set ks=8,16,32         with other parameters
  jpipe plan --why                   what would run, and which edit is the reason
"""


@click.group(
    cls=LazyGroup,
    epilog=_EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.option("--version", is_flag=True, help="Print the version and exit.")
@click.pass_context
def group(context: click.Context, version: bool) -> int:
    """Caching pipelines on joblib: run what an edit made necessary, keep the rest."""
    if version:
        click.echo(f"jpipe {installed_version()}")
    elif context.invoked_subcommand is None:
        click.echo(context.get_help())
    return ExitCode.OK


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code."""
    code = int(call(sys.argv[1:] if arguments is None else list(arguments)))
    if code == ExitCode.INTERRUPTED:
        # Another Ctrl-C while the interpreter takes itself down would change the exit code.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def call(arguments: Sequence[str]) -> int:
    """Run the command line; return what the shell gets."""
    if COMPLETING in os.environ:
        from jpipe.cli.completion import prepare, register

        register()
        group.prepare = prepare
    try:
        code = group.main(args=list(arguments), prog_name="jpipe", standalone_mode=False)
        if sys.stdout is not None:  # closed by the shell: >&-
            sys.stdout.flush()
    except (BrokenPipeError, ReaderLeft):
        return _reader_left()
    except (KeyboardInterrupt, click.Abort, RunInterrupted) as error:
        return _interrupted(error, arguments)
    except click.exceptions.Exit as leave:
        return leave.exit_code
    except click.UsageError as error:
        return _refused(_as_usage_error(error), arguments)
    except click.ClickException as error:
        return _refused(UsageError(error.format_message()), arguments)
    except JpipeError as error:
        return _refused(error, arguments)
    except Exception as error:
        known = _as_cache_error(error)
        return _refused(known, arguments) if known else _bug(error, arguments)
    return int(code or ExitCode.OK)


def installed_version() -> str:
    """The version of the installed package."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("jpipe")
    except PackageNotFoundError:
        return "(not installed)"


def _as_usage_error(error: click.UsageError) -> UsageError:
    command = error.ctx.command_path if error.ctx is not None else "jpipe"
    message = error.format_message()
    return UsageError(f"{message[:1].lower()}{message[1:].rstrip('.')}", hint=f"see {command} --help")


def _as_cache_error(error: Exception) -> CacheError | None:
    """What the system refused in the cache, or for want of descriptors, which is nobody's bug."""
    for known in _with_contexts(error):
        if isinstance(known, OSError) and known.errno in (errno.EMFILE, errno.ENFILE):
            return CacheError(f"{known.strerror}: this process may not open more", hint="ulimit -n 1024  allows more")
    if not isinstance(error, OSError) or not is_inside(error.filename):
        return None
    path = os.path.normpath(error.filename)
    import shlex  # only where there is something to say

    hint = f"chmod u+rwX {shlex.quote(path)}" if error.errno == errno.EACCES else None
    return CacheError(f"the cache cannot be used: {path}: {error.strerror}", hint=hint)


def _with_contexts(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _refused(error: JpipeError, arguments: Sequence[str]) -> int:
    from jpipe.render.error_text import problem_screen

    _tell(arguments, *problem_screen(error))
    return int(error.exit_code)


def _interrupted(error: BaseException, arguments: Sequence[str]) -> int:
    message = error.message if isinstance(error, RunInterrupted) else "interrupted; what finished is kept"
    _tell(arguments, line(warn("· "), message))
    return int(ExitCode.INTERRUPTED)


def _bug(error: Exception, arguments: Sequence[str]) -> int:
    from jpipe.render.error_text import bug_screen

    _tell(arguments, *bug_screen(error, installed_version()))
    return int(ExitCode.BUG)


def _tell(arguments: Sequence[str], *lines: Line) -> None:
    with contextlib.suppress(OSError):
        Paper(sys.stderr, _color(arguments)).write(*lines)


def _color(arguments: Sequence[str]) -> str:
    """What ``--color`` says; an error may be about the arguments, so they are not parsed here."""
    for given in ("always", "never"):
        if f"--color={given}" in arguments or ("--color", given) in itertools.pairwise(arguments):
            return given
    return "auto"


def _reader_left() -> int:
    """Whoever read the output has enough; the interpreter must not complain when it flushes stdout at its end."""
    from jpipe.render.streams import discard

    for stream in (sys.stdout, sys.stderr):
        discard(stream)
    return int(ExitCode.OK)
