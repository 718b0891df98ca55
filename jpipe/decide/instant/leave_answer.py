"""Leave an instant answer behind, when everything that a run depended on can be named."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from jpipe.decide.instant.answer import Asked, Facts, last_run_at, write
from jpipe.decide.pipeline_session import PipelineSession
from jpipe.decide.pipeline_state import PipelineState
from jpipe.define.layout import call_sites
from jpipe.files import RUN_FOLDER
from jpipe.fingerprint import PartKind
from jpipe.model.plan import Plan
from jpipe.store import BlobPlace, PackPlace
from jpipe.system.import_observer import observed
from jpipe.system.ownership import OWN_FOLDER, Owner, owner_of, owns_file, owns_folder

__all__ = ["answer_of", "leave_answer", "obstacles"]

CLOCK_STEP_NS = 10_000_000
"""File systems stamp with a clock that moves in steps of a few milliseconds, nanoseconds."""
MOST_FILES = 20_000
"""An answer that depends on more files is not left: looking at them would take longer than it saves."""
_OF_SYSTEM = () if os.name == "nt" else ("/proc/", "/sys/", "/dev/")


def leave_answer(
    asked: Asked, session: PipelineSession, pipeline_state: PipelineState, plan: Plan, results: str
) -> None:
    """Leave the answer that everything is up to date, if it is and if that can be told again from the outside.

    Parameters
    ----------
    results
        What the run gave, as the index of runs notes it.
    """
    if not plan.up_to_date or obstacles(session):
        return
    facts = Facts()
    for path in _sources(session):
        if _edited_since(path, observed.started_ns):
            return
    for path in dict.fromkeys(_files(session, pipeline_state)):
        facts.add_file(path)
        if len(facts.files) > MOST_FILES:
            return
    for path in _code_folders(asked, session):
        facts.add_folder(path, code=True)
    for path in _seen(session, observed.listed):
        facts.add_folder(path)
    for path in _seen(session, observed.looks):
        facts.add_look(path, observed.looks[path])
    for read in _reads(pipeline_state):
        if read.kind in ("folder", "kinds"):
            facts.add_folder(session.files.full(read.path))
        elif read.kind in ("status", "link"):
            traits = "l" if read.kind == "link" else read.digest.partition(b":")[0].decode()
            facts.add_look(session.files.full(read.path), traits)
    for name in _variables(session):
        facts.add_variable(name)
    expiring = [
        s.call.step.declared.expires for s in pipeline_state.states.values() if s.call.step.declared.expires is not None
    ]
    if expiring:
        return
    try:
        write(asked, facts, answer_of(session, pipeline_state, plan, results), session.store.disk.key)
    except OSError:
        return


def obstacles(session: PipelineSession) -> list[str]:
    """Why what a run would do cannot be told without importing the pipeline file; empty when it can."""
    found = {_told(session, *use): None for use in observed.volatile}
    found |= dict.fromkeys(f"{effect} while the file was imported" for effect in observed.effects)
    if observed.everything:
        found["the whole environment is read"] = None
    found |= {
        f"{call.step.name} has cache=False": None for call in session.layout.calls if not call.step.declared.cache
    }
    return list(found)


def answer_of(session: PipelineSession, pipeline_state: PipelineState, plan: Plan, results: str) -> dict[str, Any]:
    """What is said again."""
    return {
        "pipeline": session.pipeline.name,
        "calls": call_sites([state.call for state in pipeline_state.states.values()]),
        "cache_dir": str(session.store.root),
        "plan": plan.to_dict(),
        "row": {**session.opening("").to_row(), "results": results},
        "last_run": last_run_at(session.history.place_of_run(session.identity)),
    }


def _own_modules() -> Iterator[str]:
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if file and owns_file(file):
            yield os.path.abspath(file)


def _told(session: PipelineSession, name: str, file: str, line: int) -> str:
    return f"{name} at {session.files.short(file)}:{line}" if file else f"{name} while the file was imported"


def _seen(session: PipelineSession, paths: Iterable[str]) -> Iterator[str]:
    """What was looked at, without what changes with each run: of the cache the files that matter are named apart."""
    cache = os.path.join(session.store.root, "")
    for path in paths:
        is_passing = path.startswith((cache, *_OF_SYSTEM)) or RUN_FOLDER in path or f"{os.sep}.git{os.sep}" in path
        if not is_passing and not _is_metadata(path):
            yield path


def _is_metadata(path: str) -> bool:
    """Whether it is of what installers write of packages, which jpipe looks through for the one behind a module.

    To install, upgrade or remove a package changes the folder of them all, which counts, and so does what is written
    of those that are used (`_installed`); the hundreds of others would be looked at for nothing.
    """
    return path.rpartition(os.sep)[0].endswith((".dist-info", ".egg-info")) and owner_of(path) is Owner.PACKAGE


def _files(session: PipelineSession, pipeline_state: PipelineState) -> Iterator[str]:
    yield from _own_modules()
    yield from _seen(session, observed.opened)
    yield from (session.files.full(r.path) for r in _reads(pipeline_state) if r.kind in ("file", "missing"))
    root = str(session.root)
    yield from (os.path.join(root, name) for name in ("pyproject.toml", "jpipe.toml"))
    yield from _store_files(session, pipeline_state)
    yield from _installed(session)
    yield from _accepted(session)


def _sources(session: PipelineSession) -> Iterator[str]:
    yield from _own_modules()
    yield from (path for path in _seen(session, observed.opened) if observed.opened[path])


def _edited_since(path: str, moment_ns: int) -> bool:
    """Whether a file may have changed after it was imported or read: then memory and file need not agree."""
    try:
        status = os.stat(path)
    except OSError:
        return False
    changed = status.st_mtime_ns if os.name == "nt" else status.st_ctime_ns
    return not os.path.isdir(path) and changed > moment_ns - CLOCK_STEP_NS


def _reads(pipeline_state: PipelineState) -> Iterator[Any]:
    for state in pipeline_state.states.values():
        yield from state.reads
        if state.record is not None:
            yield from state.record.reads


def _store_files(session: PipelineSession, pipeline_state: PipelineState) -> Iterator[str]:
    """The files that hold the records and the results."""
    disk = session.store.disk
    yield os.path.join(str(session.store.root), "format")
    older = {
        family
        for state in pipeline_state.states.values()
        for family in pipeline_state.lookup.accepted.get(state.fingerprint.digest, ())
    }
    families = {state.fingerprint.digest for state in pipeline_state.states.values()} | older
    for family in families:
        folder = disk.family_folder(family)
        yield from (f"{folder}/{pack}" for pack in session.store.family(family).packs())
    for state in pipeline_state.states.values():
        # The record of a mapped call as a whole stands for its items.
        places = [] if state.call.is_mapped else list(state.places)
        if state.record is not None:
            places.append(state.record.where)
        for place in places:
            if isinstance(place, BlobPlace):
                yield disk.blobs.path(place.id)
            elif isinstance(place, PackPlace) and place.family not in families:
                yield f"{disk.family_folder(place.family)}/{place.pack}"


def _installed(session: PipelineSession) -> Iterator[str]:
    """What changes when packages or the interpreter do."""
    yield sys.executable
    yield from (path for path in sys.path if owner_of(os.path.join(path, "_.py")) is Owner.PACKAGE)
    yield os.path.dirname(os.__file__)
    yield OWN_FOLDER
    for step in {id(c.step): c.step for c in session.layout.calls}.values():
        fingerprint = session.fingerprint(step)
        for part in fingerprint.parts:
            if part.kind is PartKind.PACKAGE:
                yield from _metadata(part.name)
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name and owner_of(file) is Owner.PACKAGE:
            yield file


def _metadata(name: str) -> Iterator[str]:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        path = getattr(distribution(name.partition("=")[0]), "_path", None)
    except (PackageNotFoundError, ValueError):
        return
    if path is not None:
        yield str(path)
        yield from (str(path / part) for part in ("METADATA", "PKG-INFO", "RECORD", "top_level.txt"))


def _accepted(session: PipelineSession) -> Iterator[str]:
    folder = os.path.join(str(session.store.root), "v1", "notes", "accepted")
    yield folder
    for where, folders, files in os.walk(folder):
        yield from (os.path.join(where, name) for name in [*folders, *files])


def _code_folders(asked: Asked, session: PipelineSession) -> set[str]:
    """Folders in which a new file could change what an import finds."""
    folders = {os.path.dirname(file) for file in _own_modules()}
    folders |= {os.path.abspath(path) for path in [*asked.path, *sys.path]}
    return {folder for folder in folders if os.path.isdir(folder) and owns_folder(folder)}


def _variables(session: PipelineSession) -> Iterable[str]:
    names = dict.fromkeys(observed.variables)
    names |= {name: None for name in os.environ if name.startswith("JPIPE_")}
    names |= dict.fromkeys(("PYTHONPATH", "PYTHONHOME", "JPIPE_CACHE_DIR", "JPIPE_KEY_FILE", "JPIPE_FILE"))
    for step in {id(c.step): c.step for c in session.layout.calls}.values():
        names |= dict.fromkeys(session.fingerprint(step).environment)
        names |= dict.fromkeys(step.declared.env)
    return names
