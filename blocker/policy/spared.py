"""How many ordered names a cut spares: those at or below its own that the directives it cuts have.

Pure. A removed name takes away all that its order has below it, too: `remove: [many.example]` may free as
many names as a long list, and its end may block as many. So what it spares is counted, not what is written.
Names are counted by directive, as everywhere in a plan, and a name counts, too, of which only what is below
it is removed: the guard may ask too early, never late. A removed name that spares none of a list counts as
one, for below a `subtree` it frees itself.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

from blocker.names import Key
from blocker.orders.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blocker.orders.model import NameList, NamesFile
    from blocker.orders.timetable import Names

Span = tuple[Key, Key]
"""The keys from the first on, up to the second and without it."""

_AFTER = b"\x40"  # Labels have 63 octets at most (RFC 1035 §2.3.4): no key below another goes on so.


def removed(written: Names, read: Callable[[NamesFile], NameList]) -> Keys:
    """The names of a cut; `read` gives the content of a names_file."""
    inline = [subject.key for subject in written.subjects]
    if written.file is None:
        return Keys.of(inline)
    listed = read(written.file)
    return listed.keys.also(listed.below).also(inline)


def spans(ascending: Iterable[Key]) -> Iterator[Span]:
    """Each of these keys with all below it, in order, those left out that lie in another's: none overlaps."""
    last: Key | None = None
    for key in ascending:
        if last is None or not key.startswith(last):
            last = key
            yield key, Key(key + _AFTER)


def among(keys: Keys, found: Iterable[Span]) -> Iterator[int]:
    """How many of the keys lie in each of the spans."""
    edges = keys.positions(edge for span in found for edge in span)
    return (after - first for first, after in zip(edges, edges, strict=True))


def among_few(ascending: Sequence[Key], found: Iterable[Span]) -> Iterator[int]:
    """As `among`, of keys that may come more than once."""
    return (bisect_left(ascending, after) - bisect_left(ascending, first) for first, after in found)


def total(counts: Iterable[tuple[int, ...]]) -> int:
    """How many names are spared: `counts` are those in each span, by where names are found."""
    return sum(max(1, sum(each)) for each in counts)
