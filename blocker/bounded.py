"""The octets of files nobody trusts: never more than a bound, never waiting for a pipe. A shell."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_CHUNK = 1 << 20


class Refused(Exception):
    """A file that isn't read: the id of the check and its sentence."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__(message)
        self.id = id_


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """How refusals of one sort of file are called."""

    unreadable: str
    irregular: str
    large: str
    too_large: str


def printable(path: Path) -> str:
    """The path as people read it: octets that aren't UTF-8, and control characters, escaped."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _open(path: Path, bound: int, words: Words) -> tuple[int, int]:
    """A descriptor of a regular file within its bound, and its size. Raises Refused."""
    try:
        # Without O_NONBLOCK a pipe would keep us waiting for a writer; links are resolved already.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise Refused(
            words.unreadable, f"it can't be read: {reason}; mend the path, or its permissions."
        ) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise Refused(words.irregular, "it is not a regular file; put a plain file there.")
    if status.st_size > bound:
        os.close(descriptor)
        raise Refused(words.large, words.too_large)
    return descriptor, status.st_size


def octets(path: Path, bound: int, words: Words) -> bytes:
    """The content of a regular file, never more than its bound. Raises Refused."""
    descriptor, _ = _open(path, bound, words)
    try:
        with os.fdopen(descriptor, "rb") as file:
            content = file.read(bound + 1)
    except OSError as error:
        raise Refused(
            words.unreadable,
            f"it can't be read: {error.strerror or error}; mend the disk, or restore the file.",
        ) from error
    if len(content) > bound:
        raise Refused(words.large, words.too_large)
    return content


def _failed(error: OSError, words: Words) -> Refused:
    reason = error.strerror or error
    return Refused(words.unreadable, f"it can't be read: {reason}; mend the disk, or restore the file.")


def digest(path: Path, bound: int, words: Words) -> str:
    """The SHA-256 (hex) of a regular file, read in pieces. Raises Refused."""
    descriptor, size = _open(path, bound, words)
    found = hashlib.sha256()
    try:
        with os.fdopen(descriptor, "rb") as file:
            while size > 0 and (piece := file.read(_CHUNK)):
                found.update(piece)
                size -= len(piece)
    except OSError as error:
        raise Refused(
            words.unreadable,
            f"it can't be read: {error.strerror or error}; mend the disk, or restore the file.",
        ) from error
    return found.hexdigest()
