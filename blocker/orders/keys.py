"""Millions of keys, each once and in order, in little more room than their octets.

A Python object for each name of a national list would take a gigabyte. Here they lie side by side, some
hundred in one run of octets with a zero between them, for no label is empty and so no canonical key has a
zero. A run is split when somebody looks into it. Frozen and pure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection
from heapq import merge
from itertools import chain, groupby, islice
from typing import TYPE_CHECKING, cast

from blocker.names import Key

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

RUN = 256
"""Keys in one run: to look a key up splits one, and each costs an object."""

_BETWEEN = b"\0"
_AFTER_BELOW = b"\x40"  # Labels have 63 octets at most (RFC 1035 §2.3.4): no key below another goes on so.


class Keys(Collection[Key]):
    """A set of keys in order. Going through them is fast; looking one up takes some microseconds."""

    __slots__ = ("_firsts", "_length", "_runs")

    def __init__(self, runs: Iterable[Sequence[Key]] = ()) -> None:
        """`runs` are of RUN keys, the last one at most so many; all of them ascending, each key once."""
        packed, firsts, length = [], [], 0
        for run in runs:
            if length % RUN or not 0 < len(run) <= RUN:
                raise ValueError("runs are full, but for the last one")
            packed.append(_BETWEEN.join(run))
            firsts.append(run[0])
            length += len(run)
        self._runs, self._firsts, self._length = tuple(packed), tuple(firsts), length

    @classmethod
    def of(cls, keys: Iterable[Key]) -> Keys:
        """The keys, in whatever order and however often they come."""
        if isinstance(keys, Keys):
            return keys
        found = sorted(set(keys))
        return cls(found[at : at + RUN] for at in range(0, len(found), RUN))

    def also(self, keys: Collection[Key]) -> Keys:
        """These and those."""
        if not keys:
            return self
        if not self:
            return Keys.of(keys)
        ordered = groupby(merge(self, Keys.of(keys)))
        return Keys(iter(lambda: [key for key, _ in islice(ordered, RUN)], []))

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Key]:
        return chain.from_iterable(map(self._split, range(len(self._runs))))

    def __contains__(self, key: object) -> bool:
        if not isinstance(key, bytes):
            return False
        found = self.position(Key(key))
        return found < self._length and self.at(found) == key

    def __eq__(self, other: object) -> bool:
        return self._runs == other._runs if isinstance(other, Keys) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._runs)

    def __repr__(self) -> str:
        return f"<{self._length:,} keys>"

    def at(self, position: int) -> Key:
        """The key that so many others come before."""
        return self._split(position // RUN)[position % RUN]

    def position(self, key: Key) -> int:
        """How many of them come before the key."""
        after = bisect_left(self._firsts, key)
        return (after - 1) * RUN + bisect_left(self._split(after - 1), key) if after else 0

    def positions(self, ascending: Iterable[Key]) -> Iterator[int]:
        """The position of each of these keys, which come in order: a run is split once for all in it."""
        at, split = 0, list[Key]()
        for key in ascending:
            after = bisect_left(self._firsts, key, lo=at)
            if after > at:
                at, split = after, self._split(after - 1)
            yield (at - 1) * RUN + bisect_left(split, key) if at else 0

    def span(self, key: Key) -> range:
        """The positions of the key, if it is among them, and of all that lie below it."""
        return range(self.position(key), self.position(Key(key + _AFTER_BELOW)))

    def _split(self, run: int) -> list[Key]:
        return cast("list[Key]", self._runs[run].split(_BETWEEN))
