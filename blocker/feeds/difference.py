"""From what a feed's orders list to what its document lists: which names come, which go.

An amend removes by cutting a name *with all below it* out of what was ordered before, and never touches what
it adds itself. So a name that stays while one at or above it goes is ordered anew by the same amend; and one
that goes while a name above it stays is not cut, for that would free what still is listed. But where absence
says nothing, that it goes is said once and must be kept: it is cut, and the name above it is ordered anew.
Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from blocker.feeds.extract import BELOW, ONLY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from collections.abc import Set as AbstractSet

    from blocker.feeds.extract import Extract


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """What a document changes. `removed` are the names to cut, `again` those that the cuts would take along.
    `beneath` are those of the added that lie at or below a cut: they are ordered in the same breath, for what
    is removed may have blocked them. `absent` are names that are gone from the document and stay; `withdrawn`
    those that an order other than the feed's took out, with all below them, and that stay out though the
    document lists them. `excepted` lie below what comes and were taken out so, too. `crossed` are names of
    others that the cuts would take along.
    """

    added: frozenset[bytes] = frozenset()
    removed: frozenset[bytes] = frozenset()
    again: frozenset[bytes] = frozenset()
    beneath: frozenset[bytes] = frozenset()
    absent: frozenset[bytes] = frozenset()
    withdrawn: frozenset[bytes] = frozenset()
    excepted: frozenset[bytes] = frozenset()
    crossed: frozenset[bytes] = frozenset()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed)


def difference(
    before: AbstractSet[bytes],
    extract: Extract,
    withdrawn: AbstractSet[bytes] = frozenset(),
    *,
    others: AbstractSet[bytes] = frozenset(),
    keeps_absent: bool = False,
) -> Difference:
    """What must change so that the feed's orders list what the document lists. `others` are names that
    somebody else's amends add to these orders.
    """
    listed = extract.names.keys()
    new = listed - before
    out = frozenset(name for name in new if withdrawn and is_within(name, withdrawn))
    added = frozenset(new - out)
    gone = before - listed
    if keeps_absent:
        absent = frozenset(gone - extract.ended)
        gone = gone & extract.ended
    else:
        absent = frozenset()
    if extract.unsaid:
        absent |= gone & extract.unsaid
        gone -= extract.unsaid
    stays = listed | absent if absent else listed
    removed = frozenset(name for name in gone if not any(above in stays for above in _covering(name)))
    freed = set[bytes]()
    if keeps_absent:
        for name in gone - removed:
            freed.update(above for above in _covering(name) if above in before and above in stays)
        removed = frozenset(gone)
    along = _taken_along(before & stays, removed) if removed else ()
    again = frozenset(name for name in chain(along, freed) if not is_within(name, withdrawn))
    cuts = {cut(name) for name in removed}
    return Difference(
        added=added,
        removed=removed,
        again=again,
        beneath=frozenset(_taken_along(added, removed)) if removed else frozenset(),
        absent=absent,
        withdrawn=out,
        excepted=frozenset(
            name
            for name in withdrawn
            if not name.startswith(ONLY) and any(one in added or one in again for one in _covering(name))
        ),
        crossed=frozenset(_crossed(others, cuts)) if others else frozenset(),
    )


def _crossed(others: AbstractSet[bytes], cuts: AbstractSet[bytes]) -> Iterator[bytes]:
    """Those of the others that a cut takes whole, or a piece of."""
    above = {one for name in cuts for one in _covering(name)}
    yield from (name for name in others if name in above or is_within(name, cuts))


def is_within(name: bytes, wider: AbstractSet[bytes]) -> bool:
    """Whether one of them is the name, or reaches all that it does."""
    return name in wider or any(one in wider for one in _covering(name))


def cut(name: bytes) -> bytes:
    """How the removal of a name is written: one that was listed alone is cut with all below it."""
    return name.removeprefix(ONLY)


def _covering(name: bytes) -> Iterator[bytes]:
    """The listed forms that reach all that this one does."""
    at = name
    if name.startswith((BELOW, ONLY)):
        at = name.removeprefix(BELOW).removeprefix(ONLY)
        yield at
    while (at := at.partition(b".")[2]) != b"":
        yield at
        yield BELOW + at


def _taken_along(kept: Collection[bytes], removed: frozenset[bytes]) -> Iterator[bytes]:
    """The names that stay and lie at or below a cut."""
    cuts = {cut(name) for name in removed}
    for name in kept:
        if any(above in cuts for above in _covering(name)):
            yield name
