"""What the words, flags, variables and pyproject.toml of a command line mean, and how wrong ones are answered."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from jpipe.cli.invocation import invocation
from jpipe.cli.run import items_of
from jpipe.cli.targets import Place, place_of
from jpipe.errors import ConfigurationError, UsageError
from jpipe.settings import SETTINGS, Settings, settings_for


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a few files, as the current one."""
    for name in ("pipeline.py", "study.py", "data.txt"):
        (tmp_path / name).write_text("", "utf-8")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "pipeline.py").write_text("", "utf-8")
    (tmp_path / "score").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "place"),
    [
        ((), Place(None, None, ())),
        (("study.py",), Place(Path("study.py"), None, ())),
        (("missing.py",), Place(Path("missing.py"), None, ())),
        (("study.py:grid",), Place(Path("study.py"), "grid", ())),
        (("study.py:grid", "table", "score"), Place(Path("study.py"), "grid", ("table", "score"))),
        ((":grid", "table"), Place(None, "grid", ("table",))),
        # No such file, so a step of pipeline.py; a folder without pipeline.py is no file either.
        (("table",), Place(None, None, ("table",))),
        (("score",), Place(None, None, ("score",))),
        (("table", "study.py"), Place(None, None, ("table", "study.py"))),
        # Whatever is there as a file is meant as one; so is what can only be a path.
        (("data.txt",), Place(Path("data.txt"), None, ())),
        (("sub",), Place(Path("sub/pipeline.py"), None, ())),
        (("sub/nothing",), Place(Path("sub/nothing"), None, ())),
        (("sub/pipeline.py:main",), Place(Path("sub/pipeline.py"), "main", ())),
    ],
)
@pytest.mark.usefixtures("here")
def test_words_name_file_pipeline_and_steps(words: tuple[str, ...], place: Place) -> None:
    assert place_of(words) == place


@pytest.mark.parametrize(
    ("word", "file", "name"),
    [(r"C:\work\study.py", r"C:\work\study.py", None), (r"C:\work\study.py:grid", r"C:\work\study.py", "grid")],
)
def test_the_colon_of_a_drive_belongs_to_the_path(word: str, file: str, name: str | None) -> None:
    place = place_of([word])
    assert (str(place.file), place.pipeline) == (file, name)


def test_flags_win_over_the_environment_and_that_over_the_file(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.jpipe]\njobs = 2\ntb = 'long'\nprogress = 'plain'\n", "utf-8")
    environment = {"JPIPE_JOBS": "3", "JPIPE_TB": "native"}
    found = settings_for(here / "study.py", {"jobs": "4", "tb": None}, environment)
    assert (found.jobs, found.tb, found.progress) == (4, "native", "plain")
    assert found.origins["jobs"] == "--jobs"
    assert found.origins["tb"] == "JPIPE_TB"
    assert found.origins["progress"] == "progress in pyproject.toml"


def test_paths_count_from_the_file_that_names_them(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.jpipe]\ncache_dir = 'store'\nfile = 'study.py'\n", "utf-8")
    os.chdir(here / "sub")
    found = invocation([], {})
    assert found.file == here / "study.py"
    assert found.cache_dir == here / "store"
    assert settings_for(here, {}, {"JPIPE_CACHE_DIR": "elsewhere"}).cache_dir == here / "sub" / "elsewhere"


def test_only_the_nearest_pyproject_counts_and_one_without_jpipe_is_not_even_parsed(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.jpipe]\njobs = 2\n", "utf-8")
    (here / "sub" / "pyproject.toml").write_text("this is = = no TOML", "utf-8")
    assert settings_for(here / "sub", {}, {}).jobs is None
    assert settings_for(here, {}, {}).jobs == 2


def test_a_jpipe_toml_holds_settings_at_its_top_level(here: Path) -> None:
    (here / "pyproject.toml").write_text("[project]\nname = 'jpipe-study'\n", "utf-8")
    (here / "jpipe.toml").write_text("jobs = 2\ncache_dir = 'store'\n[profiles.quick]\njobs = 1\n", "utf-8")
    found = settings_for(here / "sub", {}, {})
    assert (found.jobs, found.cache_dir, found.origins["jobs"]) == (2, here / "store", "jobs in jpipe.toml")
    assert settings_for(here, {}, {}, "quick").jobs == 1
    with pytest.raises(UsageError, match="there is no profile 'quik'"):
        settings_for(here, {}, {}, "quik")
    (here / "sub" / "jpipe.toml").write_text("# says nothing\n", "utf-8")
    assert settings_for(here / "sub", {}, {}).jobs == 2
    for text, message, line in [
        ("tb = 'short'\njob = 2\n", "jpipe.toml has no setting 'job'", 2),
        ("jobs = \n", "not valid TOML", 1),
        ("[tool.jpipe]\njobs = 2\n", "no setting 'tool'", 1),
    ]:
        (here / "jpipe.toml").write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
            settings_for(here, {}, {})
        assert caught.value.location is not None and caught.value.location.line == line
    (here / "pyproject.toml").write_text("[tool.jpipe]\njobs = 3\n", "utf-8")
    (here / "jpipe.toml").write_text("jobs = 2\n", "utf-8")
    with pytest.raises(ConfigurationError, match=r"both jpipe\.toml and pyproject\.toml hold settings"):
        settings_for(here, {}, {})


def test_a_stronger_source_turns_the_opposite_off(here: Path) -> None:
    (here / "pyproject.toml").write_text("[tool.jpipe]\nkeep_going = true\n", "utf-8")
    found = settings_for(here, {"fail_fast": True}, {})
    assert (found.keep_going, found.fail_fast) == (False, True)
    assert settings_for(here, {"keep_going": False}, {}).keep_going is False
    with pytest.raises(UsageError, match="--keep-going and --fail-fast exclude each other"):
        settings_for(here, {"fail_fast": True, "keep_going": True}, {})


@pytest.mark.parametrize(
    ("text", "message", "hint", "line"),
    [
        ("[tool.jpipe]\n\njob = 2\n", "no setting 'job'", "did you mean jobs?", 3),
        ("[tool.jpipe]\njobs = 'many'\n", "jobs = many: that is not a number of workers", "write a whole number", 2),
        ("[tool.jpipe]\njobs = 2.5\n", "jobs = 2.5: that is not a number of workers", "write a whole number", 2),
        ("[tool.jpipe]\njobs = true\n", "jobs = True", "write a whole number", 2),
        ("[tool.other]\njobs = 1\n[tool.jpipe]\nprogress = 'bar'\n", "progress = bar", "did you mean bars?", 4),
        ("[tool.jpipe]\nkeep_going = 'perhaps'\n", "neither true nor false", "write true or false", 2),
        ("[tool.jpipe]\ncache_dir = 3\n", "cache_dir = 3: that is not a name", "the path of a folder", 2),
        ("[tool.jpipe.sweep]\nx = 1\n", "no setting 'sweep'", "there are", 1),
        ("[tool]\njpipe = 3\n", "is not a table", "write [tool.jpipe]", None),
        ("[tool.jpipe]\njobs = \n", "not valid TOML", "mend that line", 2),
    ],
)
def test_a_wrong_setting_in_pyproject_is_named_with_its_line(
    here: Path, text: str, message: str, hint: str, line: int | None
) -> None:
    (here / "pyproject.toml").write_text(text, "utf-8")
    with pytest.raises(ConfigurationError) as caught:
        settings_for(here, {}, {})
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")
    assert (caught.value.location.line if caught.value.location else None) == line


@pytest.mark.parametrize(
    ("variable", "text", "message", "hint"),
    [
        ("JPIPE_JOBS", "x", "JPIPE_JOBS=x: that is not a number of workers", "write a whole number"),
        ("JPIPE_JOBS", "0", "JPIPE_JOBS=0", "write a whole number"),
        ("JPIPE_JOB", "2", "JPIPE_JOB is not a setting", "did you mean JPIPE_JOBS?"),
        ("JPIPE_COLOR", "allways", "JPIPE_COLOR=allways", "did you mean always?"),
        ("JPIPE_BACKEND_OPTIONS", "a", "'a' is not a pair", "write name=value"),
    ],
)
def test_a_wrong_variable_is_named(here: Path, variable: str, text: str, message: str, hint: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        settings_for(here, {}, {variable: text})
    assert hint in (caught.value.hint or "")


def test_an_empty_variable_is_none_and_the_key_file_is_no_setting(here: Path) -> None:
    assert settings_for(here, {}, {"JPIPE_JOBS": "", "JPIPE_KEY_FILE": "k"}).origins == {}


def test_backend_options_are_numbers_where_they_look_like_numbers(here: Path) -> None:
    options = ("scheduler=tcp://a:1", "n=3", "share=0.5", "fast=true")
    expected = {"scheduler": "tcp://a:1", "n": 3, "share": 0.5, "fast": True}
    assert settings_for(here, {"backend_options": options}, {}).backend_options == expected
    assert settings_for(here, {}, {"JPIPE_BACKEND_OPTIONS": ",".join(options)}).backend_options == expected


def test_every_setting_has_help_and_a_variable_of_its_own() -> None:
    assert len({setting.variable for setting in SETTINGS.values()}) == len(SETTINGS)
    assert all(setting.help.endswith(".") for setting in SETTINGS.values())
    assert set(SETTINGS) == set(Settings._fields) - {"origins", "parameters"}


@pytest.mark.parametrize(
    ("texts", "items"),
    [(("7",), (7,)), (("0-3",), (0, 1, 2, 3)), (("3,9,3",), (3, 9)), (("1", "4-5"), (1, 4, 5)), ((), ())],
)
def test_items_are_numbers_ranges_and_lists(texts: tuple[str, ...], items: tuple[int, ...]) -> None:
    assert items_of(texts) == items


@pytest.mark.parametrize("text", ["x", "", "1-", "-1", "2-x", "1.5"])
def test_what_is_no_item_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not the number of an item"):
        items_of((text,))
