"""A new order, put into the orders folder: whole or not at all, and never over a file that is there. A shell.

Files are written aside, synced and linked into their place: unlike a rename, a link fails where a file is.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.bounded import printable
from blocker.errors import OrdersInvalid, Problem

if TYPE_CHECKING:
    from collections.abc import Mapping


def place(folder: Path, id_: str, order: bytes, beside: Mapping[str, bytes]) -> Path:
    """Write the order, and before it what lies beside it; its path.

    Raises OrdersInvalid if one of the files is there already, or the place is outside the folder; OSError.
    """
    path = folder / f"{id_}.yaml"
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(folder)):
        raise _refused(
            "symlink-outside", path, "the folder leads out of the orders folder; choose another id."
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    for target in [path, *(path.parent / name for name in beside)]:
        if os.path.lexists(target):
            raise _taken(target)
    for name, octets in beside.items():
        _write(path.parent / name, octets)
    _write(path, order)
    return path


def _write(path: Path, octets: bytes) -> None:
    aside = path.parent / f".new-{os.getpid()}"
    try:
        with aside.open("xb") as file:
            file.write(octets)
            file.flush()
            os.fsync(file.fileno())
        os.link(aside, path)
    except FileExistsError as error:
        raise _taken(path) from error
    finally:
        with suppress(OSError):
            aside.unlink()


def _taken(path: Path) -> OrdersInvalid:
    return _refused(
        "duplicate-order-id",
        path,
        "there is a file already, and none is overwritten; give the order another id.",
    )


def _refused(id_: str, path: Path, message: str) -> OrdersInvalid:
    return OrdersInvalid([Problem(id=id_, path=printable(path), message=message)])
