"""The conformance suite: after an edit jpipe runs what the edit made necessary, and nothing else."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

_SUITE = Path(__file__).parent / "edits" / "run.py"
_spec = importlib.util.spec_from_file_location("edit_suite", _SUITE)
assert _spec is not None and _spec.loader is not None
suite = importlib.util.module_from_spec(_spec)
sys.modules["edit_suite"] = suite
_spec.loader.exec_module(suite)

CASES = {case.name: case for case in suite.cases()}
EVERYDAY = (
    "helper_other_module_from_import",
    "decorator_wrapper_body_changed",
    "class_attribute_from_global",
    "upstream_sklearn_pipeline_userclass",
    "function_level_import_constant",
    "docstring_changed_step",
    "third_party_upgrade_other",
    "revert_hits_cache",
    "z_black",
    "e_read_1",
)
EVERY_PART = (
    "l_pydantic_nested_instance",
    "l_duckdb_frame_edit",
    "n_import_module_const_package_name",
    "n_singledispatch_other_module",
    "h_lazy_global_reassigned",
    "l_wrapt_comment",
    "n_pydantic_alias_const",
    "s_setup_call",
    "s_effect_of_a_function_in_c",
    "s_effect_of_a_package_setting",
    "y_getsource",
    "c_class_conditional",
    "h_getattr_const",
    "b_match_class",
    "n_circular_function_import",
    "t_no_dist_version_attr",
    "relative_lazy_import",
    "l_np_object_instances",
    "n_pkg_pep562_lazy_loaded",
    "k_np_frompyfunc",
    "n_import_module_const_relative",
    "b_nonlocal",
    "c_abc_register",
    "c_metaclass",
    "function_level_import_module",
    "k_self_ref",
    "k_bound_builtin",
    "z_bare_local_annotation",
    "b_dictcomp",
)
"""Together these go through every kind of value, import and definition that a fingerprint follows."""


@pytest.mark.parametrize("name", [*EVERYDAY, *EVERY_PART])
def test_everyday_edits(name: str) -> None:
    judgement = suite.judge(suite.TOOLS["jpipe"], CASES[name])
    assert judgement.exact, str(judgement)


@pytest.mark.nightly
@pytest.mark.parametrize("tool", ["jpipe", "jpipe-decorated", "jpipe-ran"])
def test_all_edits(tool: str) -> None:
    wrong = [
        j for j in suite.judge_all(suite.TOOLS[tool], list(CASES.values()), 4) if not j.exact and not j.case.is_hole
    ]
    assert not wrong, "\n".join(map(str, wrong))


def test_the_cases_tell_tools_apart() -> None:
    judged = {name: list(suite.judge_all(suite.TOOLS[name], list(CASES.values()), 4)) for name in ("always", "never")}
    assert not any(j.stale for j in judged["always"])
    assert sum(bool(j.needless) for j in judged["always"]) > 250
    assert sum(bool(j.stale) for j in judged["never"]) > 350


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("helper_other_module_from_import", "stale"),
        ("docstring_changed_step", "needless"),
        ("fstring_spec_changed", "right"),
    ],
)
def test_other_tools_are_judged_by_the_same_cases(case: str, said: str) -> None:
    """joblib's Memory is installed here anyhow."""
    assert suite._in_a_word(suite.judge(suite.peers()["joblib"], CASES[case])) == said


def test_a_tool_whose_steps_are_not_seen_to_run_is_an_error() -> None:
    deaf = suite.peers()["joblib"]
    deaf = type(deaf)(deaf.name, deaf.script.replace("watched(", "("), deaf.python)
    assert "of a new project it ran only []" in str(suite.judge(deaf, CASES["fstring_spec_changed"]).error)


def test_the_cases_of_the_table_are_there() -> None:
    assert suite.EVERYDAY.keys() <= CASES.keys()
