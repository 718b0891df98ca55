"""Digests all cases in this process and prints the digests as JSON: ``evaluate.py left|right``."""

from __future__ import annotations

import json
import pickle
import sys
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import cases
import vocabulary

from jpipe.digest import complete, digest
from jpipe.errors import UndigestibleError
from jpipe.fingerprint import Fingerprinter

warnings.simplefilter("ignore", ResourceWarning)
fingerprint = Fingerprinter(Path(__file__).parent)


def value(expression: str) -> object:
    return eval(expression, vars(vocabulary))


def told(thing: object) -> str:
    found = digest(thing, fingerprint=fingerprint)
    return complete(found.content, found.code, fingerprint.of_reference).hex()


def constant(thing: object) -> str:
    """What the fingerprint of code says of a value under one of its names."""
    return fingerprint.of_object(thing).hex()


def stable(expression: str) -> list[str]:
    thing = value(expression)
    before = told(thing)
    try:
        copy = pickle.loads(pickle.dumps(thing))
    except TypeError:
        return [before, before]
    return [before, told(copy)]


def refused(expression: str) -> str:
    try:
        told(value(expression))
    except UndigestibleError as error:
        return f"{error.message}\n{error.hint}"
    return ""


def main(side: str) -> dict[str, object]:
    return {
        "equal": [told(value(pair[side == "right"])) for pair in cases.EQUAL],
        "stable": [stable(expression) for expression in cases.STABLE],
        "different": [[told(value(expression)) for expression in group] for group in cases.DIFFERENT],
        "constants": {
            "equal": [constant(value(pair[side == "right"])) for pair in cases.EQUAL],
            "different": [[constant(value(expression)) for expression in group] for group in cases.DIFFERENT],
            "refused": [constant(value(expression)) for expression, _ in cases.REFUSED],
        },
        "refused": [refused(expression) for expression, _ in cases.REFUSED],
    }


print(json.dumps(main(sys.argv[1])))
