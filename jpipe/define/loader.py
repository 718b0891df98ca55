"""Import a user's pipeline file and find its pipeline."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import Any

from jpipe.define.import_guard import importing
from jpipe.define.import_path import make_importable
from jpipe.define.pipeline import Pipeline
from jpipe.errors import JpipeError, Location, PipelineLoadError, did_you_mean
from jpipe.system.code_tracer import tracer
from jpipe.system.import_observer import observing
from jpipe.system.main_module import module_name
from jpipe.system.ownership import is_users
from jpipe.system.package_place import package_place

__all__ = ["import_file", "load", "module_name"]


def load(path: str | Path, name: str | None = None, pythonpath: Iterable[Path] | None = None) -> Pipeline[..., Any]:
    """The pipeline in a file.

    The file is imported as a module under its own name, or as part of the package that it is in, so that what it
    defines can be pickled by reference and its neighbours can be imported.

    Parameters
    ----------
    path
        The pipeline file.
    name
        Which pipeline, where the file defines several. Default: the only one, or the one called ``main``.
    pythonpath
        See `make_importable`.

    Raises
    ------
    PipelineLoadError
        When the file does not exist, does not parse, raises, has no pipeline called `name`, or none or several at all.
    """
    file = Path(path).resolve()
    if not file.is_file():
        raise PipelineLoadError(f"there is no pipeline file {str(path)!r}", hint=_near_file(Path(path)))
    make_importable(file, pythonpath)
    tracer.start()
    with observing(calls=True):
        module = _imported(file)
    return _chosen(_pipelines(module), name, file, path)


def import_file(name: str, file: Path) -> ModuleType:
    """Import a file as the module `name`, or return it when that is done already.

    Whatever the file raises passes through.
    """
    known = sys.modules.get(name)
    if known is not None and getattr(known, "__file__", None) == str(file):
        return known
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with importing(file):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _part_of_package(name: str, file: Path) -> ModuleType | None:
    """The module `name`, if it is that file."""
    with importing(file):
        module = importlib.import_module(name)
    return module if os.path.realpath(str(module.__file__)) == str(file) else None


def _imported(file: Path) -> ModuleType:
    try:
        package = package_place(file)
        module = None if package is None else _part_of_package(package.name, file)
        return module or import_file(module_name(file), file)
    except JpipeError as error:
        if error.location is None:
            error.location = _users_place(error, file)
        raise
    except SyntaxError as error:
        place = Location(error.filename or str(file), error.lineno or 1)
        raise PipelineLoadError(f"{file.name} does not parse: {error.msg}", location=place) from error
    except ImportError as error:
        raise PipelineLoadError(
            f"{file.name} cannot be imported: {error}", location=_users_place(error, file), hint=_import_hint(error)
        ) from error
    except SystemExit as error:
        raise PipelineLoadError(_ended(error, file), location=_users_place(error, file), hint=_BELOW) from error
    except Exception as error:
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        place = _users_place(error, file)
        raise PipelineLoadError(f"{file.name} raised {text}", location=place, hint=_missing_file(error)) from error


def _import_hint(error: ImportError) -> str | None:
    if isinstance(error, ModuleNotFoundError) and error.name:
        return (
            f"install {error.name.partition('.')[0]} in the environment that jpipe runs in: {sys.executable};"
            " or name its folder, if it is your own: pythonpath in [tool.jpipe]"
        )
    if "relative import" in str(error):
        return "the file is in no package: put it into a folder of the project, or import without the dot"
    return None


def _ended(error: SystemExit, file: Path) -> str:
    """That the import ended the process; of argparse, which has printed two lines, with the remedy."""
    argparse = getattr(sys.modules.get("argparse"), "__file__", "")
    if any(frame.filename == argparse for frame in traceback.extract_tb(error.__traceback__)):
        return f"argparse in {file.name} read jpipe's arguments: make its options parameters of the pipeline, for --set"
    return f"{file.name} ends the process when it is imported: SystemExit: {error}".rstrip(": ")


_BELOW = 'what is for scripts alone stands below `if __name__ == "__main__":`'


def _missing_file(error: Exception) -> str | None:
    """Where a file was looked for that is not there."""
    name = getattr(error, "filename", None)
    if not isinstance(error, FileNotFoundError) or not isinstance(name, str) or os.path.isabs(name):
        return None
    return f"it was looked for in the current folder, {os.getcwd()}; Path(__file__).parent is that of the file"


def _users_place(error: BaseException, file: Path) -> Location:
    """The innermost line of the user's own files in a traceback."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if is_users(frame.filename)]
    if own and own[-1].lineno is not None:
        return Location(own[-1].filename, own[-1].lineno)
    return Location(str(file), 1)


def _pipelines(module: ModuleType) -> dict[str, Pipeline[..., Any]]:
    # By the real type: `isinstance` asks an object for its class, which may run code of the user's.
    return {key: value for key, value in vars(module).items() if issubclass(type(value), Pipeline)}


def _chosen(
    found: dict[str, Pipeline[..., Any]], name: str | None, file: Path, given: str | Path
) -> Pipeline[..., Any]:
    if name is not None:
        if name in found:
            return found[name]
        known = ", ".join(sorted(found)) or "none"
        raise PipelineLoadError(
            f"{file.name} has no pipeline {name!r}",
            hint=did_you_mean(name, found, f"it defines: {known}"),
        )
    own = {key: value for key, value in found.items() if value.file == str(file)} or found
    distinct = {id(value): key for key, value in own.items()}
    if len(distinct) == 1:
        return next(iter(own.values()))
    if "main" in own:
        return own["main"]
    if not own:
        raise PipelineLoadError(
            f"{file.name} defines no pipeline",
            location=Location(str(file), 1),
            hint="mark the function that calls the steps with @jpipe.pipeline",
        )
    choices = ", ".join(sorted(own))
    raise PipelineLoadError(
        f"{file.name} defines several pipelines: {choices}",
        location=Location(str(file), min(value.line for value in own.values())),
        hint=f"name one: {given}:{min(own)}",
    )


def _near_file(path: Path) -> str | None:
    folder = path.resolve().parent
    names = [p.name for p in folder.glob("*.py")] if folder.is_dir() else []
    if near := did_you_mean(path.name, names, None):
        return near
    if path.name == "pipeline.py":
        return "name the file, or make one with `jpipe init`"
    return f"this folder has {', '.join(sorted(names)[:5])}" if names else "this folder has no Python files"
