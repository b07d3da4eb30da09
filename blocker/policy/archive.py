"""The archive: every applied order file and names_file, by the SHA-256 of its octets.

What was applied can be read back, whatever becomes of the orders folder. Files are written aside, synced
and renamed, so a crash leaves no half of one; nothing is ever changed or removed here, but what is damaged is
replaced by what it was.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy import store

if TYPE_CHECKING:
    from collections.abc import Callable

_SMALL = 1 << 20  # octets; a list of a whole country is not read again at each apply


def keep(state: Path, digest: str, octets: bytes) -> None:
    """Keep the octets under their digest (hex). Raises StoreError."""
    folder = state / "archive"
    path = folder / digest
    try:
        if holds(state, digest, len(octets)):
            return
        store.make(state)
        folder.mkdir(exist_ok=True, mode=0o750)
        handle, aside = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(octets)
                file.flush()
                os.fsync(file.fileno())
            Path(aside).chmod(0o640)
            Path(aside).rename(path)
        except BaseException:
            with suppress(OSError):
                Path(aside).unlink()
            raise
    except OSError as error:
        raise StoreError(f"{path}: the order could not be archived: {error.strerror}") from error


def holds(state: Path, digest: str, size: int) -> bool:
    """Whether so many octets are kept under the digest; what is longer than 1 MiB is not read for it."""
    path = state / "archive" / digest
    try:
        if path.stat().st_size != size:
            return False
        return size > _SMALL or hashlib.sha256(path.read_bytes()).hexdigest() == digest
    except OSError:
        return False


def fetch(state: Path, digest: str, spare: Callable[[], bytes] = bytes) -> bytes:
    """The octets kept under a digest; where they are missing or damaged, what `spare` gives if that has the
    digest. Raises StoreError if neither has.
    """
    path = state / "archive" / digest
    try:
        octets, trouble = path.read_bytes(), "is damaged"
    except OSError as error:
        octets, trouble = b"", f"can't be read back: {error.strerror}"
    if hashlib.sha256(octets).hexdigest() == digest:
        return octets
    if hashlib.sha256(octets := spare()).hexdigest() == digest:
        return octets
    raise StoreError(
        f"{path}: an applied order in the archive {trouble}; `blocker apply` puts it back if the orders "
        "folder has it unchanged (move a damaged list away first), a backup of the archive in any case"
    )
