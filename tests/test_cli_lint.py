"""What `jpipe check` finds in a pipeline function, and what it leaves alone because the layout does."""

from __future__ import annotations

import pytest

import jpipe
from jpipe import pipeline, step
from jpipe.cli.lint import findings
from jpipe.define.step_advice import steps_inside


@step
def load() -> tuple[int, int]:
    return 1, 2


@step
def fit(x, k=1):
    return x


@pipeline
def uses_results_as_values(n: int = 3):
    a = fit(1)
    a.shape
    if a:
        pass
    while not a:
        break
    b: int = a + 1
    c = -a
    a += 1
    d = a > 2 or a == 3
    f"{a}"
    len(a)
    a()
    a[1:2]
    [1, 2][a]
    for one in a:
        fit(one)
    p, q = a
    e = 1 if a else 2
    assert a
    rows = [fit(i) for i in range(n) if a]
    {k: fit(k) for k in a}
    mapped = jpipe.map(fit, [1, 2])
    sum(mapped)
    for row in rows:
        print(row)
    for i, row in enumerate(rows):
        print(i, str(row))
    (g := fit(2)).real
    fit.options(retries=1)(3).imag
    box = {}
    box["x"] = fit(1)
    if box["x"]:
        pass
    return b, c, d, e, p, q, f"{g}"


EXPECTED = [
    "`a` is asked for .shape",
    "`a` is a condition",
    "`a` is a condition",
    "`a` is calculated with",
    "`a` is calculated with",
    "`a` is calculated with",
    "`a` is compared",
    "`a` is put into a text",
    "`a` is given to len()",
    "`a` is called",
    "`a` is sliced",
    "`a` is an index",
    "`a` is iterated over",
    "`a` is unpacked",
    "`a` is a condition",
    "`a` is a condition",
    "`a` is a condition",
    "`a` is iterated over",
    "`mapped` is given to sum()",
    "`row` is given to print()",
    "`row` is given to str()",
    "`(g := fit(2))` is asked for .real",
    "`fit.options(retries=1)(3)` is asked for .imag",
    "`box['x']` is a condition",
    "`g` is put into a text",
]


def test_every_use_of_a_result_as_a_value_is_found_in_order() -> None:
    found = findings(uses_results_as_values)
    assert [finding.text.split(", but")[0] for finding in found] == EXPECTED
    lines = [finding.location.line for finding in found]
    assert lines == sorted(lines)
    assert all(finding.hint and finding.location.file == __file__ for finding in found)


@pipeline
def does_what_it_may(n: int = 3, fast: bool = False, names: tuple[str, ...] = ("a",)):
    x, y = load()
    parts = [fit(part) for part in load()]
    rows = [fit(x, k) for k in range(n) if k % 2]
    if fast and len(rows) > 2 and n > 1:
        rows = rows[:2]
    for i, row in enumerate(rows):
        fit(row, i + 1)
        print(f"row {i} of {len(rows)}")
    for name, row in zip(names, rows, strict=False):
        fit(row, name.upper())
    table = {"x": x, "first": rows[0], **dict.fromkeys(names, y)}
    if y is None:
        return None
    nested = fit([x, {"y": y}])[0]["k"]
    return fit(table), fit(nested), parts, str(n) + "!"


def test_what_the_layout_allows_is_left_alone() -> None:
    assert findings(does_what_it_may) == []


def test_the_layout_agrees_with_the_lint(monkeypatch: pytest.MonkeyPatch) -> None:
    from jpipe.decide.pipeline_session import lay_out
    from jpipe.errors import WiringError

    monkeypatch.setattr("builtins.print", lambda *_: None)
    layout, _ = lay_out(does_what_it_may, {})
    assert layout.calls
    with pytest.raises(WiringError):
        lay_out(uses_results_as_values, {})


@pipeline
def in_other_forms(chosen: bool = True):
    a, b = fit(1), 2
    n: int
    {fit(k) for k in [1, 2] if a}
    sum(fit(k) for k in [1, 2] if a)
    table = {a, b}
    pair = [a, b]
    pair[0] + 1
    one = fit if chosen else load
    (one or fit)(1)
    rows = [None]
    rows[0] = 3
    rows[0] + 1
    (first, second), third = (a, b), 3
    first - 1, second - third
    for n, row in enumerate(table):
        n + 1


def test_other_forms_of_the_same_are_found_and_plain_values_are_not() -> None:
    told = [finding.text.partition(", but")[0] for finding in findings(in_other_forms)]
    assert told == [
        "`a` is a condition",
        "`a` is a condition",
        "`pair[0]` is calculated with",
        "`first` is calculated with",
    ]


def test_a_function_without_source_has_no_findings() -> None:
    names = {"fit": fit}
    exec("def typed():\n    a = fit(1)\n    return a + 1\n", names)
    assert findings(pipeline(names["typed"])) == []
    assert findings(pipeline(lambda: fit(1) + 1)) == []


@step
def calls_a_step(x):
    return [fit(one) for one in x]


@step
def has_attributes_named_like_steps(x):
    return x.fit(1), x.load, f"{x.fit:.3f}"


def test_only_names_are_calls_of_other_steps_not_attributes() -> None:
    assert steps_inside(calls_a_step) == ("fit",)
    assert steps_inside(has_attributes_named_like_steps) == ()
