"""``jpipe ui``: look at runs, results and differences in a browser."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import click

from jpipe.cli import flags
from jpipe.cli.invocation import Invocation, invocation
from jpipe.cli.runs_meant import journals_of
from jpipe.errors import ExitCode, NothingSelectedError
from jpipe.render.styled_text import dim, line, name

if TYPE_CHECKING:
    from jpipe.history.journal_reader import RunRow
    from jpipe.report.server import Server

__all__ = ["command", "serve_live", "start_live"]

_LINGERS = 3.0
"""Seconds that the page of a run is served after the run is over, so that a browser sees its end."""


@click.command("ui")
@flags.PLACE
@click.option("--port", type=click.IntRange(0, 65535), default=0, metavar="N", help="Default: any that is free.")
@flags.settings("cache_dir")
def command(words: tuple[str, ...], port: int, **options: Any) -> int:
    """Look at runs, results and differences in a browser of this machine. Ctrl-C ends it.

    Serves on 127.0.0.1 only, for who has the address that is printed, and changes nothing.
    """
    call = invocation(words, flags.flags_of(options))
    journals_of(call)  # which refuses where there is no run yet
    server = _server(call, port, "/")
    call.err.write(line("look at  ", name(server.url), dim("  Ctrl-C ends")))
    _serve(server)
    return ExitCode.OK


def serve_live(where: str, cache_dir: str, parent: str) -> None:
    """Serve the page of the run that another process begins, and end after it."""
    call = invocation((where,), {"cache_dir": cache_dir})
    server = _server(call, 0, "/live")
    call.err.write(line("live  ", name(server.url)))
    _end_with(server, int(parent))
    _serve(server)


def start_live(where: str, cache_dir: str) -> None:
    """Serve the page of the run that this process begins, from a process of its own that ends after it."""
    import subprocess

    code = f"import sys; sys.path[:] = {sys.path!r}; from jpipe.cli.ui import serve_live; serve_live(*sys.argv[1:])"
    # A group of its own: Ctrl-C ends the run, and the page shows it.
    subprocess.Popen(
        [sys.executable, "-c", code, where, cache_dir, str(os.getpid())],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=os.name != "nt",
    )


def _server(call: Invocation, port: int, page: str) -> Server:
    call.make_importable()
    from jpipe.history.run_index import journal_folder
    from jpipe.report.server import Server
    from jpipe.report.site import Site

    def rows() -> list[RunRow]:
        try:
            return journals_of(call)[1]
        except NothingSelectedError:
            return []

    store = call.open_cache(create=True)
    return Server(Site(store, journal_folder(store.root), rows, call.commands).answer, port, page)


def _serve(server: Server) -> None:
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
    finally:
        server.server_close()


def _end_with(server: Server, parent: int) -> None:
    """Have the server end a moment after the run that it was started for."""
    from jpipe.system.machine import is_alive

    def wait() -> None:
        while is_alive(parent) and os.getppid() == parent:
            time.sleep(0.2)
        time.sleep(_LINGERS)
        server.shutdown()

    threading.Thread(target=wait, daemon=True).start()
