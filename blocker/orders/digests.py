"""The digests of large files that didn't change since somebody hashed them: a shell.

To hash a national list takes half a second, and an urgent order beside it must not wait for that. A file is
taken for unchanged while its device, inode, size and both its times are the same, and is only remembered if
it had been left alone for a while before it was read: what is written twice within the grain of the clock may
keep its times. What is remembered is kept in the state directory if there is one that may be written to, and
believed only if all of it reads as it was written. Names never come from here: they are read and hashed anew.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from blocker import bounded
from blocker.bounded import Refused, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = "digests.json"
FORMAT = 1
LEAST = 1 << 16
"""Octets of a file that is worth remembering."""

MOST = 10_000
"""Files that are remembered."""

_SETTLED = 2_000_000_000  # nanoseconds: file systems have clocks of 1 or 2 s
_MAX_OCTETS = 4 << 20
_WORDS = Words(unreadable="", irregular="", large="", too_large="")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")

_Stamp = tuple[int, int, int, int, int]


class Digests:
    """What was remembered, and what this run found out."""

    def __init__(self, state: Path | None = None, *, now: float = 0) -> None:
        """`now` is in epoch seconds, before anything is read. Without `state` nothing is remembered."""
        self._path = None if state is None else state / FILE
        self._now = int(now * 1_000_000_000)
        self._known = {} if self._path is None else _read(self._path)
        self._found: dict[_Stamp, str] = {}

    def of(self, path: Path, bound: int, words: Words) -> str:
        """The SHA-256 (hex) of a regular file. Raises Refused."""
        before = _stamp(path)
        known = None if before is None else self._known.get(before)
        if known is None or before is None:
            known = bounded.digest(path, bound, words)
        self._remember(path, before, known)
        return known

    def read(self, path: Path, bound: int, words: Words) -> tuple[bytes, str]:
        """The octets of a regular file and their SHA-256 (hex), never from memory. Raises Refused."""
        before = _stamp(path)
        octets = bounded.octets(path, bound, words)
        sha256 = hashlib.sha256(octets).hexdigest()
        self._remember(path, before, sha256)
        return octets, sha256

    def _remember(self, path: Path, before: _Stamp | None, sha256: str) -> None:
        if before is None or before[2] < LEAST or before != _stamp(path):
            return
        if max(before[3], before[4]) + _SETTLED <= self._now and len(self._found) < MOST:
            self._found[before] = sha256

    def keep(self) -> None:
        """Remember what this run came across, and forget the rest. Whether that works changes nothing."""
        if self._path is None or self._found == self._known or not self._path.parent.is_dir():
            return
        files = [[*stamp, sha256] for stamp, sha256 in self._found.items()]
        with suppress(OSError):
            handle, aside = tempfile.mkstemp(dir=self._path.parent, prefix=f".{FILE}-")
            try:
                with os.fdopen(handle, "w") as file:
                    json.dump({"format": FORMAT, "files": files}, file)
                Path(aside).chmod(0o640)
                Path(aside).rename(self._path)
            except BaseException:
                Path(aside).unlink()
                raise


def _stamp(path: Path) -> _Stamp | None:
    """What tells one state of a file from another; None if it can't be known."""
    try:
        status = os.stat(path, follow_symlinks=False)  # noqa: PTH116 - as open in bounded: links are resolved
    except (OSError, ValueError):
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)


def _read(path: Path) -> dict[_Stamp, str]:
    """What the file remembers; nothing if any of it is not as it was written."""
    try:
        found = json.loads(bounded.octets(path, _MAX_OCTETS, _WORDS))
        if found["format"] != FORMAT or len(found["files"]) > MOST:
            return {}
        return dict(_entries(found["files"]))
    except (Refused, ValueError, TypeError, KeyError, RecursionError):
        return {}


def _entries(files: list[Any]) -> Iterator[tuple[_Stamp, str]]:
    """Raises ValueError or TypeError for what isn't one."""
    for *stamp, sha256 in files:
        device, inode, size, modified, changed = stamp
        if not all(type(one) is int for one in stamp) or not _SHA256.match(sha256):
            raise ValueError("not a stamp and a digest")
        yield (device, inode, size, modified, changed), sha256
