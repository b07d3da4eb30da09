"""A file is there whole, or not at all: written aside, then renamed. A shell.

Imports run one at a time, so what a crash left aside is written over by the next.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def write(path: Path, octets: bytes) -> None:
    """The whole file, or none; the folder's entry too is on the disk when this returns. Raises OSError."""
    aside = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with open(handle, "wb") as file:  # noqa: PTH123 - an open descriptor has no path
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except BaseException:
        with suppress(OSError):
            aside.unlink()
        raise
    entry = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(entry)
    finally:
        os.close(entry)
