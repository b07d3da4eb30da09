"""The document that the last transfer of a zone gave, kept as the base of the next difference. A shell.

It is the last one transferred, whatever became of its import: what a document is good for is judged each time
anew, beside the last order. It is a help and no condition: one that is missing, damaged or of another place
means a transfer of the whole zone, and one that can't be written leaves the last one there.
"""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import TYPE_CHECKING

from blocker import bounded
from blocker.feeds import aside
from blocker.feeds.zonecopy import Base
from blocker.orders.files import MAX_LIST_OCTETS

if TYPE_CHECKING:
    from pathlib import Path

_MOST = MAX_LIST_OCTETS + 1024
_UNSAID = bounded.Words(unreadable="", irregular="", large="", too_large="")


def read(path: Path, place: str) -> Base | None:
    """The base that was kept of this place, None if there is none that can be used."""
    try:
        seal, _, octets = bounded.octets(path, _MOST, _UNSAID).partition(b"\n")
    except bounded.Refused:
        return None
    return Base.of(octets) if seal == _seal(place, octets) else None


def keep(path: Path, place: str, octets: bytes) -> None:
    """Keep the document of this place."""
    with suppress(OSError):
        aside.write(path, _seal(place, octets) + b"\n" + octets)


def _seal(place: str, octets: bytes) -> bytes:
    return f"; {place}, SHA-256 {sha256(octets).hexdigest()}".encode()
