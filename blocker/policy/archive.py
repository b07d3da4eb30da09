"""The archive: every applied order file and names_file, by the SHA-256 of its octets.

What was applied can be read back, whatever becomes of the orders folder. Files are written aside, synced
and renamed, so a crash leaves no half of one; nothing is ever changed or removed here.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from blocker.errors import StoreError
from blocker.policy import store


def keep(state: Path, digest: str, octets: bytes) -> None:
    """Keep the octets under their digest (hex). Raises StoreError."""
    folder = state / "archive"
    path = folder / digest
    try:
        if path.exists() and path.stat().st_size == len(octets):
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


def kept(state: Path) -> frozenset[str]:
    """The digests that something is kept under. Raises StoreError."""
    folder = state / "archive"
    try:
        with os.scandir(folder) as found:
            return frozenset(one.name for one in found)
    except FileNotFoundError:
        return frozenset()
    except OSError as error:
        raise StoreError(f"{folder}: the archive can't be read: {error.strerror}") from error


def fetch(state: Path, digest: str) -> bytes:
    """The octets kept under a digest. Raises StoreError if they are missing or damaged."""
    path = state / "archive" / digest
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: an applied order can't be read back: {error.strerror}; `blocker apply` puts it back "
            "if the orders folder has it unchanged, a backup of the archive in any case"
        ) from error
    if hashlib.sha256(octets).hexdigest() != digest:
        raise StoreError(f"{path}: an applied order in the archive is damaged; restore it from a backup")
    return octets
