"""What changes in dnsdist's file between what it holds and what it is to hold.

Differences of names are walked in one merge and written to a spool, so that a million of them take a known
amount of memory. A change is absolute: it says what rows are to be, and of which state of the file it is
the difference.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from struct import Struct
from typing import IO, TYPE_CHECKING

from blocker.names import Key
from blocker.plugins.dnsdist_classes import GONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

Rows = dict[bytes, bytes | None]
"""Rows of one database by key: what they are to be, None for those that go."""

NUMBER = Struct(">I")
"""How a class is written."""

_IN_MEMORY = 32 << 20
_CHUNK = 1 << 20
_PULSE_EVERY = 1000
_END: tuple[None, bytes] = (None, GONE)


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
    """Changed rows in order, many of them on disk: key, what it was and what it is to be, both packed."""

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
            while at < len(left) and (end := at + 1 + left[at] + 2 * len(GONE)) <= len(left):
                middle, last = end - 2 * len(GONE), end - len(GONE)
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
    def lack(self) -> str:
        return ""  # The file has room for every name and form.

    @property
    def size(self) -> int:
        """Names and answers that change."""
        return self.names.count + sum(map(len, self.answers.values()))

    @property
    def is_empty(self) -> bool:
        return not (self.is_new or self.is_fresh or self.answers or self.size)


def delta(held: Mapping[bytes, bytes], wanted: Mapping[bytes, bytes]) -> Rows:
    """The rows of `wanted` that aren't so, and those that go."""
    changed: Rows = {key: value for key, value in wanted.items() if held.get(key) != value}
    changed.update(dict.fromkeys(held.keys() - wanted.keys()))
    return changed


def difference(
    held: Iterable[tuple[bytes, bytes]], wanted: Iterable[tuple[bytes, bytes]], pulse: Callable[[], None]
) -> Iterator[tuple[bytes, bytes, bytes]]:
    """Both in order of their keys, side by side: key, what it is and what it is to be, where they differ."""
    there = iter(held)
    key, value = next(there, _END)
    for count, (name, classed) in enumerate(wanted):
        if count % _PULSE_EVERY == 0:
            pulse()
        while key is not None and key < name:
            yield key, value, GONE
            key, value = next(there, _END)
        if key == name:
            if value != classed:
                yield name, value, classed
            key, value = next(there, _END)
        else:
            yield name, GONE, classed
    while key is not None:
        yield key, value, GONE
        key, value = next(there, _END)
