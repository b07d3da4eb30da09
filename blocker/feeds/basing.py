"""The document that the last transfer of a zone gave, kept as the base of the next difference. A shell.

It is the last one transferred, whatever became of its import: what a document is good for is judged each time
anew, beside the last order. It is a help and no condition: one that is missing, damaged or of another place
means a transfer of the whole zone, and one that can't be written leaves the last one there.
"""

from __future__ import annotations

import re
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
_LONGEST = 1024  # octets of the first line
_WHOLE_AT = re.compile(rb", whole at ([0-9]{1,12}), SHA-256 ")
_UNSAID = bounded.Words(unreadable="", irregular="", large="", too_large="")


def whole_at(path: Path) -> int | None:
    """When a whole zone was transferred, from which what is kept comes by differences (epoch seconds), by
    its first line alone; None if that can't be read.
    """
    try:
        with path.open("rb") as file:
            found = _WHOLE_AT.search(file.readline(_LONGEST))
    except OSError:
        return None
    return int(found[1]) if found else None


def read(path: Path, place: str, whole: int) -> Base | None:
    """The base that was kept of this place, None if there is none that can be used."""
    try:
        seal, _, octets = bounded.octets(path, _MOST, _UNSAID).partition(b"\n")
    except bounded.Refused:
        return None
    return Base.of(octets) if seal == _seal(place, whole, octets) else None


def keep(path: Path, place: str, whole: int, octets: bytes) -> None:
    """Keep the document of this place; `whole` as `whole_at` has it."""
    with suppress(OSError):
        aside.write(path, _seal(place, whole, octets) + b"\n" + octets)


def _seal(place: str, whole: int, octets: bytes) -> bytes:
    return f"; {place}, whole at {whole}, SHA-256 {sha256(octets).hexdigest()}".encode()
