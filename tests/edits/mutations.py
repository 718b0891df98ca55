"""Changes one definition of a real library at a time, and compares what jpipe would run again with what really changed.

Libraries stand in the project as the user's own code; `libraries/` holds the steps on top of each. Every mutation is
imported in a forked process, the steps are called as plain functions, and their fingerprints are asked.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import faulthandler
import importlib
import importlib.util
import json
import os
import pickle
import random
import shutil
import signal
import sys
import tempfile
import types
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
STEPS = "study_steps"
SECONDS = 120
"""Until a mutation counts as one that never ends."""
_PAIRS = ((ast.Lt, ast.GtE), (ast.Gt, ast.LtE), (ast.Eq, ast.NotEq), (ast.In, ast.NotIn), (ast.Is, ast.IsNot))
_OPERATORS = ((ast.Add, ast.Sub), (ast.Mult, ast.Div), (ast.And, ast.Or))
_SWAPPED: dict[type, type] = {one: other for pair in _PAIRS + _OPERATORS for one, other in (pair, pair[::-1])}
_MEMBERS = (
    "def __eq__(self, other): return NotImplemented",
    "def __bool__(self): return False",
    "def __getattr__(self, name): return None",
    "def __len__(self): return 3",
    "def __init_subclass__(cls, **given): pass",
    "def __str__(self): return 'mutated'",
    "def __new__(cls, *given, **named): return None",
)
_SHADOWED = ("len", "isinstance", "str", "list", "getattr", "sorted", "iter", "int", "tuple", "range")
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


class Mutation(NamedTuple):
    """One edit of a file.

    Parameters
    ----------
    kind
        What is edited.
    file
        Relative to the library's folder.
    name
        Qualified name of the definition, or the line.
    is_body
        Whether nothing but the body of a function is edited.
    text
        The file afterwards.
    """

    kind: str
    file: str
    name: str
    is_body: bool
    text: str


class Answer(NamedTuple):
    """What one state of the library gave, by step."""

    values: dict[str, str]
    digests: dict[str, bytes]
    pruned: dict[str, Any]
    executed: dict[str, Any]


# mutations


class _File:
    """A source file, and the edits of parts of it."""

    def __init__(self, name: str, text: str) -> None:
        self.name, self.raw = name, text.encode()
        self.tree = ast.parse(text)
        self.starts = [0]
        for line in self.raw.split(b"\n"):
            self.starts.append(self.starts[-1] + len(line) + 1)

    def at(self, line: int, column: int) -> int:
        return self.starts[line - 1] + column

    def replaced(self, node: Any, text: str) -> str:
        start, end = self.at(node.lineno, node.col_offset), self.at(node.end_lineno, node.end_col_offset)
        return (self.raw[:start] + text.encode() + self.raw[end:]).decode()

    def inserted(self, before: Any, text: str) -> str:
        """A line of its own in front of a statement."""
        line = min([before.lineno, *(d.lineno for d in getattr(before, "decorator_list", ()))])
        start, indent = self.at(line, 0), b" " * before.col_offset
        return (self.raw[:start] + indent + text.encode() + b"\n" + self.raw[start:]).decode()

    def added(self, text: str) -> str:
        return f"{self.raw.decode()}\n\n{text}\n"


def mutations(folder: Path, choose: random.Random) -> list[Mutation]:
    """One edit of each function, class, import and top-level statement of a library, in an arbitrary order."""
    found: list[Mutation] = []
    for path in sorted(folder.rglob("*.py")) if folder.is_dir() else [folder]:
        name = path.relative_to(folder.parent).as_posix()
        if "/tests/" in name or name.startswith("tests/"):
            continue
        file = _File(name, path.read_text("utf-8"))
        made = [*_of_definitions(file, choose), *_of_top_level(file, choose)]
        for mutation in made:
            with contextlib.suppress(SyntaxError):
                if ast.dump(ast.parse(mutation.text)) != ast.dump(file.tree):
                    found.append(mutation)
    choose.shuffle(found)
    return found


def _of_definitions(file: _File, choose: random.Random) -> Iterator[Mutation]:
    for node, name in _definitions(file.tree.body, ""):
        if isinstance(node, ast.ClassDef):
            yield Mutation("class", file.name, name, False, _class_edited(file, node, choose))
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if body:
            yield Mutation("body", file.name, name, True, _body_edited(file, body, choose))
        defaults = [d for d in [*node.args.defaults, *node.args.kw_defaults] if d is not None]
        if defaults and choose.random() < 0.3:
            text = file.replaced(choose.choice(defaults), choose.choice(["None", "'mutated'", "7"]))
            yield Mutation("default", file.name, name, False, text)
        if node.decorator_list and choose.random() < 0.3:
            text = file.replaced(choose.choice(node.decorator_list), "(lambda given: given)")
            yield Mutation("decorator", file.name, name, False, text)


def _definitions(body: list[ast.stmt], prefix: str) -> Iterator[tuple[Any, str]]:
    for statement in body:
        if isinstance(statement, FUNCTIONS):
            yield statement, prefix + statement.name
            yield from _definitions(statement.body, f"{prefix}{statement.name}.<locals>.")
        elif isinstance(statement, ast.ClassDef):
            yield statement, prefix + statement.name
            yield from _definitions(statement.body, f"{prefix}{statement.name}.")
        elif isinstance(statement, (ast.If, ast.Try, ast.With)):
            yield from _definitions([*statement.body, *getattr(statement, "orelse", ())], prefix)


def _body_edited(file: _File, body: list[ast.stmt], choose: random.Random) -> str:
    """One thing in the body of a function is another; often all of it."""
    if choose.random() < 0.4:
        return file.inserted(body[0], choose.choice(["return None", "raise RuntimeError('mutated')"]))
    nodes = [node for statement in body for node in ast.walk(statement)]
    choose.shuffle(nodes)
    for node in nodes:
        edited = _edited(node)
        if edited is not None:
            return file.replaced(node, edited)
    return file.inserted(body[0], "return 'mutated'")


def _edited(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool, float):
        return repr(not node.value if type(node.value) is bool else node.value + 1)
    if isinstance(node, ast.Compare) and type(node.ops[0]) in _SWAPPED:
        return (
            f"({ast.unparse(ast.Compare(node.left, [_SWAPPED[type(node.ops[0])](), *node.ops[1:]], node.comparators))})"
        )
    if isinstance(node, (ast.BinOp, ast.BoolOp)) and type(node.op) in _SWAPPED:
        other = _SWAPPED[type(node.op)]()
        new = ast.BinOp(node.left, other, node.right) if isinstance(node, ast.BinOp) else ast.BoolOp(other, node.values)
        return f"({ast.unparse(new)})"
    if isinstance(node, ast.Return) and node.value is not None:
        return f"return [{ast.unparse(node.value)}]"
    if isinstance(node, ast.IfExp):
        return f"({ast.unparse(node.body)})"
    return None


def _class_edited(file: _File, node: ast.ClassDef, choose: random.Random) -> str:
    """A member more, less, or under another name; a constant of the class that is another."""
    methods = [s for s in node.body if isinstance(s, FUNCTIONS)]
    constants = [s.value for s in node.body if isinstance(s, ast.Assign) and isinstance(s.value, ast.Constant)]
    first = next((s for s in node.body if not _is_text(s)), node.body[-1])
    way = choose.randrange(5)
    if way == 0 and methods:
        method = choose.choice(methods)
        return file.inserted(method, f"def {method.name}_before(self): return None")
    if way == 1 and constants:
        return file.replaced(choose.choice(constants), "'mutated'")
    if way == 2 and methods:
        method = choose.choice(methods)
        return file.replaced(method, f"def {method.name}_(self): pass")
    if way == 3 and node.bases:
        return file.inserted(first, f"def {choose.choice(_MEMBERS[3:])[4:]}")
    return file.inserted(first, choose.choice(_MEMBERS))


def _is_text(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _of_top_level(file: _File, choose: random.Random) -> Iterator[Mutation]:
    body = file.tree.body
    functions = [s.name for s in body if isinstance(s, FUNCTIONS)]
    for statement in body:
        name = f"line {statement.lineno}"
        if isinstance(statement, (ast.Import, ast.ImportFrom)):
            if getattr(statement, "module", "") != "__future__" and statement.names[0].name != "*":
                bound = choose.choice(statement.names)
                new = f"{ast.unparse(statement)}; {(bound.asname or bound.name).split('.')[0]} = None"
                yield Mutation("import", file.name, name, False, file.replaced(statement, new))
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)) and statement.value is not None:
            inner = [n for n in ast.walk(statement.value) if isinstance(n, ast.Constant) and not _is_inside_text(n)]
            if inner:
                node = choose.choice(inner)
                new = "'mutated'" if isinstance(node.value, str) else "3"
                yield Mutation("statement", file.name, name, False, file.replaced(node, new))
        elif isinstance(statement, ast.Expr) and not _is_text(statement):
            yield Mutation("statement", file.name, name, False, file.replaced(statement, "pass"))
    if functions:
        text = f"def {choose.choice(functions)}(*given, **named):\n    return None"
        yield Mutation("redefined", file.name, "end", False, file.added(text))
    text = f"def {choose.choice(_SHADOWED)}(*given, **named):\n    raise RuntimeError('shadowed')"
    yield Mutation("shadowed", file.name, "end", False, file.added(text))


def _is_inside_text(node: ast.Constant) -> bool:
    return node.kind == "u" or isinstance(node.value, bytes)


# answers


def ask(root: Path, known: Answer | None, look: Callable[..., Any] | None = None) -> Answer:
    """Import the steps as a new process would, fingerprint and call them; only in a process made for it."""
    from jpipe.fingerprint import Executed, Fingerprinter
    from jpipe.system.code_tracer import tracer
    from jpipe.system.who_asks import takes_text
    from jpipe.worker.executed_code import ChunkTrace, reads_sources

    sys.dont_write_bytecode = True
    sys.path.insert(0, str(root))
    texts: set[str] = set()
    sys.addaudithook(lambda event, given: texts.add(str(given[0])) if event == "open" and takes_text(1) else None)
    tracer.start()
    module = importlib.import_module(STEPS)
    steps = {n: f for n, f in vars(module).items() if isinstance(f, types.FunctionType) and f.__module__ == STEPS}
    steps = {name: function for name, function in steps.items() if not name.startswith("_")}
    tracer.take()
    earlier = _listed(tracer.everything, root)
    fingerprinter = Fingerprinter(root, root.parent / f"{root.name}-parsed", key=bytes(32))
    found = {name: fingerprinter.of(function) for name, function in steps.items()}
    answer = Answer({}, {name: one.digest for name, one in found.items()}, {}, {})
    for name, one in found.items() if known is not None else ():
        executed = known.executed.get(name)
        if executed is not None:
            pruned = one.pruned(executed)
            answer.pruned[name] = pruned and tuple(pruned)
            if look is not None:
                look(name, fingerprinter, one, executed)
    if known is None:
        fingerprinter.save()
    for name, function in steps.items():
        trace = ChunkTrace(found[name].digest, True)
        trace.begin()
        texts.clear()
        answer.values[name] = _called(function)
        ran = trace.end(False, reads_sources(texts))
        if known is None:
            told = ran if isinstance(ran, tuple) else None
            listed = [_listed(one, root) for one in told or ()]
            answer.executed[name] = Executed(listed[0], earlier, *listed[1:]) if listed else None
    return answer


def _called(function: Callable[[], Any]) -> str:
    try:
        return repr(function())
    except Exception as error:  # what a mutation raises is its value
        return f"{type(error).__name__}: {error}"


def _listed(codes: Any, root: Path) -> frozenset[tuple[str, str]]:
    return frozenset((os.path.relpath(file, root), name) for file, name in codes)


def forked(work: Callable[[], Any], seconds: int = SECONDS) -> Any:
    """What a function gives in a process of its own; None where that fails or takes too long."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            signal.alarm(seconds)
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, 1)
            os.dup2(null, 2)
            with os.fdopen(writer, "wb") as stream:
                pickle.dump(work(), stream)
        except BaseException:  # a mutation may break the import
            pass
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        raw = stream.read()
    os.waitpid(child, 0)
    return pickle.loads(raw) if raw else None


# the study


class Verdict(NamedTuple):
    """What became of one step under one mutation."""

    library: str
    mutation: Mutation
    step: str
    is_changed: bool
    runs: dict[str, bool]
    """By setting."""
    did_run: bool
    """Whether the edited definition ran in the step."""


def study(library: str, sources: Path, number: int, seed: int, match: str = "", look: Any = None) -> Iterator[Verdict]:
    """Try a number of mutations of a library."""
    with tempfile.TemporaryDirectory(prefix="mutations-") as folder:
        root = Path(folder).resolve() / "project"
        root.mkdir()
        source = sources / library
        if source.is_dir():
            shutil.copytree(source, root / library, ignore=shutil.ignore_patterns("__pycache__", "tests"))
        else:
            shutil.copy(source.with_suffix(".py"), root)
        for more in [p for p in sources.glob("tlz") if library == "toolz"]:
            shutil.copytree(more, root / more.name)
        shutil.copy(HERE / "libraries" / f"{library}.py", root / f"{STEPS}.py")
        _prepare(root)
        base = forked(lambda: ask(root, None))
        if base is None:
            raise RuntimeError(f"the steps on top of {library} do not run")
        base = base._replace(pruned=forked(lambda: ask(root, base, look)).pruned)
        place = root / library if (root / library).is_dir() else root / f"{library}.py"
        chosen = [m for m in mutations(place, random.Random(seed)) if match in f"{m.file}:{m.name}:{m.kind}"]
        for mutation in chosen[:number]:
            path = root / mutation.file
            kept = path.read_text("utf-8")
            path.write_text(mutation.text, "utf-8")
            after = forked(lambda: ask(root, base, look))
            path.write_text(kept, "utf-8")
            if after is not None:
                yield from _verdicts(library, mutation, base, after)


def _prepare(root: Path) -> None:
    """Compile all, and take for granted afterwards that what is imported is what the files say."""
    import compileall

    from jpipe.fingerprint.source.source_files import SourceFiles

    compileall.compile_dir(
        root, quiet=2, invalidation_mode=importlib.import_module("py_compile").PycInvalidationMode.CHECKED_HASH
    )
    SourceFiles.suspect = lambda self, path: False  # type: ignore[method-assign]


def _verdicts(library: str, mutation: Mutation, base: Answer, after: Answer) -> Iterator[Verdict]:
    for step, value in base.values.items():
        if step not in after.values:
            continue
        reachable = base.digests[step] != after.digests[step]
        pruned = base.pruned.get(step)
        is_same = pruned is not None and after.pruned[step] is not None and after.pruned[step][0] == pruned[0]
        # Under the same fingerprint it is asked only where something ran to which that does not lead.
        ran = reachable and not is_same if pruned is None or not pruned[1] else not is_same
        executed = base.executed[step]
        items = executed[0] if executed is not None else frozenset()
        code = (mutation.file, mutation.name)
        did_run = not mutation.is_body or any(
            c == code or (c[0] == code[0] and c[1].startswith(f"{code[1]}.<locals>")) for c in items
        )
        yield Verdict(
            library, mutation, step, value != after.values[step], {"reachable": reachable, "ran": ran}, did_run
        )


def told(found: list[Verdict]) -> dict[str, Any]:
    """The counts of one library."""
    row: dict[str, Any] = {"mutations": len({(v.mutation.file, v.mutation.text) for v in found}), "steps": len(found)}
    row["changed"] = sum(v.is_changed for v in found)
    for code in ("reachable", "ran"):
        again = [v for v in found if v.runs[code]]
        row[code] = {
            "stale": sum(v.is_changed and not v.runs[code] for v in found),
            "again": len(again),
            "needless": sum(not v.is_changed for v in again),
            "not executed": sum(not v.is_changed and not v.did_run for v in again),
            "by kind": dict(Counter(v.mutation.kind for v in again if not v.is_changed)),
        }
    return row


def _one(options: argparse.Namespace, library: str) -> list[Verdict]:
    found = forked(lambda: list(study(library, options.sources, options.number, options.seed, options.match)), 7200)
    return found or []


def main() -> int:
    """Print a row of counts for each library; 1 when anything was stale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sources", type=Path, required=True, help="the folder that holds the libraries")
    parser.add_argument("--libraries", nargs="*", default=sorted(p.stem for p in (HERE / "libraries").glob("*.py")))
    parser.add_argument("--number", type=int, default=100, help="mutations of each library")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--match", default="", help="a part of file:name:kind")
    parser.add_argument("-j", type=int, default=2)
    parser.add_argument("-v", action="store_true", help="name what was needless, too")
    options = parser.parse_args()
    stale = 0
    with ThreadPoolExecutor(options.j) as pool:
        for library, found in zip(
            options.libraries, pool.map(lambda one: _one(options, one), options.libraries), strict=True
        ):
            row = told(found)
            stale += sum(row[code]["stale"] for code in ("reachable", "ran"))
            print(library, json.dumps(row), flush=True)
            for v in found:
                if v.is_changed and not all(v.runs.values()):
                    print("  STALE", v.runs, v.step, *v.mutation[:3], flush=True)
                elif options.v and v.runs["ran"] and not v.is_changed:
                    print("  needless", v.step, v.mutation.kind, *v.mutation[1:3], "executed" if v.did_run else "")
    return int(stale > 0)


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(main())
