"""What changes in dnsdist's file between what it holds and what it is to hold.

Differences of names are walked in one merge and written to a spool, so that a million of them take a known
amount of memory. A change is absolute: it says what rows are to be, and of which state of the file it is
the difference.
"""

from __future__ import annotations

import struct
import tempfile
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING

from blocker.names import Key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from blocker.plugins.dnsdist_classes import Row

Rows = dict[bytes, bytes | None]
"""Rows of one database by key: what they are to be, None for those that go."""

NUMBER = struct.Struct(">I")
_PAIR = struct.Struct(">II")
_NOTHING = 0xFFFFFFFF
GONE = _PAIR.pack(_NOTHING, _NOTHING)
"""The two classes of a name that has no rows."""

_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20
_PULSE_EVERY = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """What the file says of itself. `policy` names the generation its names are of, `at` is the instant of
    its answers, `token` the change that made it so (empty: it can't be known), `following` the least class
    never given.
    """

    policy: str = ""
    at: int = 0
    token: str = ""
    following: int = 1


class Spool:
    """Changed rows in order, many of them on disk: key, what it was and what it is to be (see `pack`)."""

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.SpooledTemporaryFile(_IN_MEMORY, dir=str(folder))  # noqa: SIM115 - __del__
        self.count = 0

    def __del__(self) -> None:
        self._file.close()

    def add(self, key: bytes, was: bytes, now: bytes) -> None:
        self._file.write(bytes((len(key),)) + key + was + now)
        self.count += 1

    def __iter__(self) -> Iterator[tuple[Key, bytes, bytes]]:
        self._file.seek(0)
        left = b""
        while chunk := self._file.read(_CHUNK):
            left += chunk
            at = 0
            while at < len(left) and (end := at + 1 + left[at] + 2 * _PAIR.size) <= len(left):
                middle, last = end - 2 * _PAIR.size, end - _PAIR.size
                yield Key(left[at + 1 : middle]), left[middle:last], left[last:end]
                at = end
            left = left[at:]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What makes the file hold `held`, if `base` is still the token of what it holds now.

    `answers` are by region, `classes` by number. `is_new`: the names are of another generation now.
    `is_fresh`: nothing that is there counts.
    """

    held: Held
    base: str
    is_fresh: bool
    is_new: bool
    names: Spool
    answers: dict[str, Rows] = field(default_factory=dict)
    classes: Rows = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Names and answers that change."""
        return self.names.count + sum(map(len, self.answers.values()))

    @property
    def is_empty(self) -> bool:
        return not (self.is_new or self.is_fresh or self.answers or self.size)


def pack(row: Row) -> bytes:
    """The classes of a row: own, below."""
    return _PAIR.pack(_NOTHING if row.own is None else row.own, _NOTHING if row.below is None else row.below)


def tables(packed: bytes) -> tuple[bytes | None, bytes | None]:
    """The values for the tables `own` and `names`."""
    own, below = packed[:4], packed[4:]
    return (None if own == GONE[:4] else own, None if below == GONE[4:] else below)


def delta(held: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes]) -> Rows:
    """The rows of `wanted` that aren't so, and those that go."""
    changed: Rows = {key: value for key, value in wanted.items() if held.get(key) != value}
    changed.update(dict.fromkeys(held.keys() - wanted.keys()))
    return changed


def difference(
    held: Iterable[tuple[bytes, bytes]], wanted: Iterable[Row], pulse: Callable[[], None]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Both in order of their keys, side by side: key, what it is and what it is to be, where they differ."""
    there = iter(held)
    key, value = next(there, (None, GONE))
    for count, row in enumerate(wanted):
        if count % _PULSE_EVERY == 0:
            pulse()
        while key is not None and key < row.key:
            yield key, value, GONE
            key, value = next(there, (None, GONE))
        now = pack(row)
        if key == row.key:
            if value != now:
                yield row.key, value, now
            key, value = next(there, (None, GONE))
        else:
            yield row.key, GONE, now
    while key is not None:
        yield key, value, GONE
        key, value = next(there, (None, GONE))
