"""The line of the user's that something happens on while a pipeline is laid out."""

from __future__ import annotations

import sys

from jpipe.errors import Location

__all__ = ["users_line"]


def users_line() -> Location:
    """The innermost line of the pipeline function's own stack that is the user's, else the innermost of all there."""
    from jpipe.system.ownership import is_jpipe_file, is_users  # not for an instant answer

    frame = sys._getframe(1)
    while frame.f_back is not None and is_jpipe_file(frame.f_code.co_filename):
        frame = frame.f_back
    found = Location(frame.f_code.co_filename, frame.f_lineno)
    while not is_users(frame.f_code.co_filename):  # a library that was handed an output
        if frame.f_back is None or is_jpipe_file(frame.f_back.f_code.co_filename):
            return found
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)
