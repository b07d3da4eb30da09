"""A new order, put into the orders folder: whole or not at all, and never over a file that is there. A shell.

Files are written aside, synced and linked into their place: unlike a rename, a link fails where a file is.
The order's own comes last, so a crash leaves no half of an order; what it left beside is taken by the next
run that would write the same.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.bounded import Refused, Words, octets, printable
from blocker.errors import OrdersInvalid, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

_WORDS = Words(unreadable="", irregular="", large="", too_large="")  # Nobody is told: it is another file.


def place(folder: Path, id_: str, order: bytes, beside: Mapping[str, bytes], *, mode: int = 0o666) -> Path:
    """Write the order, and before it what lies beside it; its path. They are on the disk when this returns.

    `mode` is what the files may at most be permitted, before the umask. Raises OrdersInvalid if one of the
    files is there already and isn't one beside that is the same, or the place is outside the folder; OSError.
    """
    path = folder / f"{id_}.yaml"
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise _refused(
            "symlink-outside", path, "the folder leads out of the orders folder; choose another id."
        )
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        _sync(path.parent.parent)
    if os.path.lexists(path):
        raise _taken(path)
    missing = {path.parent / name: content for name, content in beside.items()}
    for target in [target for target in missing if os.path.lexists(target)]:
        if not _holds(target, missing.pop(target)):
            raise _refused(
                "duplicate-order-id",
                target,
                "another file is there, and none is overwritten; move it away if no order names it.",
            )
    for target, content in missing.items():
        _write(target, content, mode)
    _write(path, order, mode)
    return path


def _holds(path: Path, content: bytes) -> bool:
    try:
        return octets(path, len(content), _WORDS) == content
    except Refused:
        return False


def _write(path: Path, content: bytes, mode: int) -> None:
    """The whole file, or none; the folder's entry too is on the disk when this returns."""
    aside = path.parent / f".new-{os.getpid()}"
    with suppress(FileNotFoundError):
        aside.unlink()  # Of one that was killed; it may be a finished file by another name.
    try:
        with open(aside, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError as error:
        raise _taken(path) from error
    finally:
        with suppress(OSError):
            aside.unlink()
    _sync(path.parent)


def _sync(folder: Path) -> None:
    """Put the folder's entries on the disk."""
    entries = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(entries)
    finally:
        os.close(entries)


def _taken(path: Path) -> OrdersInvalid:
    return _refused(
        "duplicate-order-id",
        path,
        "there is a file already, and none is overwritten; give the order another id.",
    )


def _refused(id_: str, path: Path, message: str) -> OrdersInvalid:
    return OrdersInvalid([Problem(id=id_, path=printable(path), message=message)])
