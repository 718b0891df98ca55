"""A small server for this machine only: read-only, on the loopback address, and for who has the token.

The token stands in the address that is printed, and is a cookie from then on. A page of another site cannot ask: it
has no token, the cookie is not sent for it, and a name that was made to point here is not the host that is expected.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit

from jpipe.report.site import Answer

__all__ = ["Server"]

_ADDRESS = "127.0.0.1"
_HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Server(ThreadingHTTPServer):
    """Answers requests of this machine.

    Parameters
    ----------
    answer
        Gives the answer to a path and its query.
    port
        0 for any that is free.
    page
        The path that its address leads to.
    """

    daemon_threads = True

    def __init__(self, answer: Callable[[str, Mapping[str, str]], Answer], port: int = 0, page: str = "/") -> None:
        self.answer = answer
        self.page = page
        self.token = secrets.token_urlsafe(24)
        super().__init__((_ADDRESS, port), _Handler)

    @property
    def url(self) -> str:
        """The address with the token."""
        return f"http://{_ADDRESS}:{self.server_port}{self.page}?token={self.token}"


class _Handler(BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "jpipe", ""

    def do_GET(self) -> None:
        asked = urlsplit(self.path)
        query = dict(parse_qsl(asked.query))
        port = self.server.server_port
        if self.headers.get("Host") not in (f"{_ADDRESS}:{port}", f"localhost:{port}"):
            self._send(Answer(403, "text/plain", "this server answers only under its own address"))
        elif _equal(query.get("token", ""), self.server.token):
            self._redirect(asked.path)
        elif not _equal(self._cookie(), self.server.token):
            self._send(Answer(403, "text/plain", "open the address that jpipe printed: it holds the token"))
        else:
            self._send(self.server.answer(asked.path, query))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing: the terminal is the run's."""

    def _redirect(self, path: str) -> None:
        self.send_response(303)
        cookie = f"{self._cookie_name()}={self.server.token}; HttpOnly; SameSite=Strict; Path=/"
        self.send_header("Set-Cookie", cookie)
        # One slash only: two would lead to another host.
        self.send_header("Location", "/" + path.lstrip("/\\"))
        self._finish(b"")

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode("utf-8", "replace")
        self.send_response(answer.status)
        self.send_header("Content-Type", f"{answer.kind}; charset=utf-8")
        self._finish(body)

    def _finish(self, body: bytes) -> None:
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _cookie(self) -> str:
        cookies: SimpleCookie = SimpleCookie()
        try:
            cookies.load(self.headers.get("Cookie", ""))
        except CookieError:
            return ""
        found = cookies.get(self._cookie_name())
        return found.value if found is not None else ""

    def _cookie_name(self) -> str:
        # Cookies are shared by all ports of an address.
        return f"jpipe{self.server.server_port}"


def _equal(given: str, token: str) -> bool:
    return secrets.compare_digest(given.encode(), token.encode())
