"""The server for a browser of this machine: who may ask, what it answers, and the page of a run that goes on."""

from __future__ import annotations

import http.client
import json
import re
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Project

PIPELINE = """
    import time

    from jpipe import pipeline, step

    PAUSE = 0.0
    FAILS = None


    @step
    def slow(k: int) -> int:
        time.sleep(PAUSE)
        print(f"slow <b>{k}</b> says")
        if k == FAILS:
            raise ValueError(f"no {k}")
        return k


    @pipeline
    def main():
        return [slow(k) for k in range(6)]
"""


class Browser:
    """Asks a server as a browser does that was given its address."""

    def __init__(self, url: str) -> None:
        found = re.search(r"http://([\d.]+):(\d+)(/\w*)\?token=([\w-]+)", url)
        assert found, url
        self.host, self.port, self.path, self.token = found[1], int(found[2]), found[3], found[4]
        self.cookie = ""

    def get(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str]:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=60)
        sent = {"Cookie": self.cookie, **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, headers=sent)
        answer = connection.getresponse()
        text = answer.read().decode()
        self.headers = dict(answer.getheaders())
        connection.close()
        return answer.status, text

    def enter(self) -> None:
        assert self.get(f"{self.path}?token={self.token}")[0] == 303
        assert self.headers["Location"] == self.path
        self.cookie = self.headers["Set-Cookie"].partition(";")[0]
        assert "HttpOnly" in self.headers["Set-Cookie"]
        assert "SameSite=Strict" in self.headers["Set-Cookie"]


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    for text in process.stderr:
        if "token=" in text:
            return text
    raise AssertionError("no address was printed")


@pytest.fixture
def study(project: Project) -> Project:
    project.write(PIPELINE)
    assert project.run(json=False).exit_code == 0
    project.edit("pipeline.py", "return k\n", "return k * 10\n")
    assert project.run(json=False).exit_code == 0
    return project


def test_only_who_has_the_address_is_answered_and_nothing_is_changed(study: Project) -> None:
    with study.start("ui") as process:
        browser = Browser(address_of(process))
        assert browser.host == "127.0.0.1"
        assert browser.get("/")[0] == 403
        assert browser.get("/?token=wrong")[0] == 403
        browser.enter()
        for method in ("POST", "PUT", "DELETE"):
            assert browser.get("/", method=method)[0] == 501
        assert browser.get("/", Host="evil.example:80")[0] == 403
        status, runs = browser.get("/")
        assert (status, "#2 main" in runs, '<a href="/diff/1/2">' in runs) == (200, True, True)
        assert (browser.headers["X-Frame-Options"], browser.headers["Cache-Control"]) == ("DENY", "no-store")
        status, text = browser.get("/run/2")
        assert (status, "<h1>main · run #2 · " in text, "await fetch(" in text) == (200, True, False)
        status, text = browser.get("/diff/1/2")
        assert (status, "5 of 6 items differ" in text) == (200, True)
        for path in ("/run/99", "/nothing", "/run/../../etc/passwd", "/diff/1/%2e%2e"):
            assert browser.get(path)[0] == 404
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_the_page_of_a_run_moves_while_it_runs_and_its_server_ends_after_it(study: Project) -> None:
    study.edit("pipeline.py", "PAUSE = 0.0", "PAUSE = 1.5")
    study.edit("pipeline.py", "FAILS = None", "FAILS = 1")
    with study.start("run", "--live", "-k", "-j1", "--progress", "off") as process:
        browser = Browser(address_of(process))
        browser.enter()
        until = time.monotonic() + 60
        text = ""
        while "await fetch" not in text and time.monotonic() < until:
            time.sleep(0.1)
            text = browser.get("/live")[1]
        assert "▶ slow" in text
        log, told = "/run/3/log?step=slow", set()
        assert "None has come back yet" in browser.get(log)[1]
        assert "It has not come back yet" in browser.get(f"{log}&item=1")[1]
        size, seen = "0", set()
        while process.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
            status, text = browser.get(f"/live?size={size}")
            if status == 200 and not json.loads(text)["over"]:
                size = str(json.loads(text)["size"])
                seen |= set(re.findall(r"(\d+) ran", json.loads(text)["page"])) | {size}
                told |= (
                    set(re.findall(r"slow &lt;b&gt;\d", browser.get(f"{log}&size=0")[1]))
                    if process.poll() is None
                    else set()
                )
        assert len(seen) > 1, "the page has moved"
        assert 0 < len(told) <= 6, "what items print is there as they end"
        assert process.wait(60) == 1
        failed = browser.get(f"{log}&item=1")[1]
        assert "ValueError: no 1" in failed and "slow &lt;b&gt;1&lt;/b&gt; says" in failed
        items = re.findall(r'href="([^"]*)">(slow[^<]*)<', browser.get(log)[1])
        assert items[0] == ("/run/3/log?step=slow&amp;item=1", "slow[k=1]"), "the failed one first"
        assert 'data-place="/run/3/log?step=slow&amp;item=1"' in browser.get("/run/3")[1]
        status, text = browser.get(f"/live?size={size}")
        assert (status, json.loads(text)["over"]) == (200, True)
        assert "run #3 · " in browser.get("/live")[1]
        with pytest.raises(OSError):
            for _ in range(100):
                time.sleep(0.1)
                browser.get("/live")
