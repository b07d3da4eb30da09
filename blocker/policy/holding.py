"""Judging what a plan would newly block: the shell around radius and hold.

It reads the names of the new orders, the warning lists and the live policy, only when there is something to
judge.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import ExitStack
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.model import Match
from blocker.policy import hold, radius, warninglists
from blocker.policy.directives import SUBJECT_ROLES
from blocker.policy.lists import NOTHING
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from blocker.names import Key
    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.timetable import Names, Scheduled
    from blocker.policy.hold import Judged
    from blocker.policy.lists import Lists
    from blocker.policy.plan import Change, Live
    from blocker.policy.radius import Radius
    from blocker.policy.store import Snapshot
    from blocker.site import Site

    Group = tuple[Match, Collection[Key]]

FEW = 100_000
"""New names up to which those of other orders below each are counted, and lists looked through for them."""

_PIECE = 1 << 18  # names judged between two looks of whoever waits
_MOST = 1000  # of them that are counted below one name


def judge(
    site: Site,
    live: Live,
    changes: Sequence[Change],
    orders: Mapping[str, Order],
    scheduled: Sequence[Scheduled],
    read: Callable[[NamesFile], NameList],
    *,
    progress: Callable[[str, int, int], None] | None = None,
) -> Judged:
    """What is to be known of the new orders of a plan. `progress` is told what is done, how much of it, and
    how much there is. Raises StoreError.
    """
    groups = {
        order: [group for one in found for group in _groups(one.names, read)]
        for order, found in hold.newcomers(scheduled, live).items()
    }
    known, radii = _radii(site.state, groups, live, progress or (lambda _what, _done, _all: None))
    return hold.Judged(
        radii=radii,
        holds=hold.holds(radii, orders, scheduled, changes, live, site.limits),
        package=known.package,
        editions=known.editions,
        is_blind=bool(radii) and not known.editions,
    )


def _radii(
    state: Path, groups: dict[str, list[Group]], live: Live, progress: Callable[[str, int, int], None]
) -> tuple[Lists, dict[str, Radius]]:
    """The lists and what they say of the names of each order."""
    count = sum(len(keys) for found in groups.values() for _, keys in found)
    if not count:
        return NOTHING, {}
    asked = None
    if count <= FEW:
        asked = {key for found in groups.values() for _, keys in found for key in keys}
    known = warninglists.known_of(asked, progress=partial(progress, "warning lists"))
    with ExitStack() as stack:
        others = None
        if count <= FEW:
            others = _Others(groups, _snapshot(stack, state) if live.number else None)
        tell = _Teller(count, partial(progress, "names to be judged"))
        return known, {
            order: radius.judge(
                tell.cut(found), known.table, others=None if others is None else others.of(order)
            )
            for order, found in groups.items()
        }


def _groups(written: Names, read: Callable[[NamesFile], NameList]) -> list[Group]:
    """The names of a directive by their match."""
    found: list[Group] = [
        (match, [subject.key for subject in written.subjects if subject.match is match]) for match in Match
    ]
    if written.file is not None:
        listed = read(written.file)
        found += [(written.match, listed.keys), (Match.BELOW, listed.below)]
    return [(match, keys) for match, keys in found if keys]


class _Teller:
    """Cuts the names into pieces and tells how many of them were taken."""

    def __init__(self, count: int, progress: Callable[[int, int], None]) -> None:
        self._done, self._count, self._progress = 0, count, progress

    def cut(self, groups: Iterable[Group]) -> Iterator[Group]:
        for match, keys in groups:
            rest = iter(keys)
            while piece := list(islice(rest, _PIECE)):
                yield match, piece
                self._done += len(piece)
                self._progress(self._done, self._count)


def _snapshot(stack: ExitStack, state: Path) -> Snapshot:
    reader = Reader(state)
    stack.callback(reader.close)
    return stack.enter_context(reader.snapshot())


class _Others:
    """The names of all orders, live and new, to be counted below one of them."""

    def __init__(self, groups: dict[str, list[Group]], live: Snapshot | None) -> None:
        self._new = sorted(
            (key, order) for order, found in groups.items() for _, keys in found for key in keys
        )
        self._live = live

    def of(self, order: str) -> Callable[[Key], int]:
        """What counts the names of other orders strictly below one of this order's, a thousand at most."""

        def count(key: Key) -> int:
            found: set[Key] = set()
            at = bisect_right(self._new, (key, "\x7f"))
            while at < len(self._new) and names.is_below(self._new[at][0], key) and len(found) < _MOST:
                other, whose = self._new[at]
                if whose != order:
                    found.add(other)
                at += 1
            if self._live is not None:
                for other, set_id in self._live.below(key, _MOST):
                    if any(role in SUBJECT_ROLES for _, role in self._live.pairs(set_id)):
                        found.add(other)
            return min(len(found), _MOST)

        return count
