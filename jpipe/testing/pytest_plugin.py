"""pytest's fixture ``jpipe_cache``: a cache for the test alone, empty or with the results of another."""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["jpipe_cache", "pytest_addoption"]

_NAME = "jpipe_cache"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option and the setting that name a cache whose results tests may use."""
    about = "a cache whose results tests with the fixture jpipe_cache may use; nothing is written to it"
    parser.getgroup("jpipe").addoption("--jpipe-cache", metavar="FOLDER", help=about)
    parser.addini(_NAME, about, default="")


@pytest.fixture
def jpipe_cache(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache for this test alone, which all of jpipe uses until the test ends.

    It is empty, or a copy of the cache that ``--jpipe-cache FOLDER`` or the setting ``jpipe_cache`` names.
    """
    folder = tmp_path / "jpipe-cache"
    given, setting = request.config.getoption("--jpipe-cache"), request.config.getini(_NAME)
    source = Path(given) if given else request.config.rootpath / str(setting) if setting else None
    if source is not None:
        from jpipe.store.copy_cache import copy_cache

        copy_cache(source, folder)
    monkeypatch.setenv("JPIPE_CACHE_DIR", str(folder))
    return folder
