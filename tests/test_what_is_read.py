"""Names, docstrings and annotations count only where code that the step reaches reads them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Project

PROGRAM = '''
    from __future__ import annotations
    import dataclasses, inspect, typing
    from typing import Dict, List
    from jpipe import pipeline, step

    @dataclasses.dataclass
    class Result:
        """Of a run."""
        params: Dict[str, int]
        values: List[float] = dataclasses.field(default_factory=list)

    def helper(x: int) -> int:
        """Adds."""
        return x + 1

    {steps}

    @pipeline
    def main():
        return [{calls}]
    '''
STEP = """
    def read{number}(thing):
        return {reads}

    @step
    def work{number}(x: int) -> int:
        read{number}(Result), read{number}(helper)
        return helper(len(Result({{"x": x}}).params))
    """
READS = {
    "nothing": "thing is not None",
    "a module": "thing.__module__",
    "a qualified name": "thing.__qualname__",
    "a docstring": "thing.__doc__",
    "a docstring by inspect": "inspect.getdoc(thing)",
    "annotations": "thing.__annotations__",
    "hints": "typing.get_type_hints(thing)",
    "a signature": "inspect.signature(thing) and None",
    "fields": "dataclasses.is_dataclass(thing) and [f.type for f in dataclasses.fields(thing)]",
    "source": "inspect.getsource(thing)",
}
EDITS = {
    "docstring": ('"""Adds."""', '"""Adds one."""'),
    "docstring of a class": ('"""Of a run."""', '"""Of one run."""'),
    "annotation": ("def helper(x: int)", "def helper(x: float)"),
    "field": ("params: Dict[str, int]", "params: dict[str, int]"),
    "comment": ("return x + 1", "return x + 1  # one more"),
}
DOCS, ALL = {"docstring", "docstring of a class"}, set(EDITS)
NOTHING: set[str] = set()
COUNT = {
    "nothing": NOTHING,
    "a module": NOTHING,
    "a qualified name": NOTHING,
    "a docstring": DOCS,
    "a docstring by inspect": DOCS,
    "annotations": {"annotation", "field"},
    "hints": {"annotation", "field"},
    "a signature": {"annotation"},
    "fields": {"field"},
    "source": ALL,
}


def test_what_is_said_beside_the_code_counts_where_it_is_read(project: Project) -> None:
    steps = "".join(STEP.format(number=number, reads=text) for number, text in enumerate(READS.values()))
    calls = ", ".join(f"work{number}(1)" for number in range(len(READS)))
    text = PROGRAM.format(steps=steps, calls=calls)
    project.write(text)
    assert project.run().counts == (len(READS), 0)
    for edit, (old, new) in EDITS.items():
        project.write(text)
        project.edit("pipeline.py", old, new)
        ran = project.run().ran
        found = {reads for number, reads in enumerate(READS) if f"work{number}" in ran}
        assert found == {reads for reads, counted in COUNT.items() if edit in counted}, edit
