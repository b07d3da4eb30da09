"""Whether what a new amend removes is there, asked of the applied names where nobody read the amended lists.

The same warning as of `orders.removals`, which asks the lists themselves. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.orders import removals
from blocker.orders.model import Match
from blocker.policy.decide import coverage, path_of
from blocker.policy.directives import SUBJECT_ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from blocker.errors import Problem
    from blocker.orders.model import NameList, Subject
    from blocker.orders.parse import Filed
    from blocker.orders.timetable import Scheduled
    from blocker.policy.protect import Searchable

_MOST = 1000  # names looked at below a removed one; among more of them, one is taken for ours


def check(
    policy: Searchable,
    amends: Mapping[str, Filed],
    scheduled: Iterable[Scheduled],
    lists: Mapping[str, NameList],
) -> Iterator[Problem]:
    """The warnings about these amends, by id, whose directives are all applied. `lists` are those that were
    read, by SHA-256.
    """
    numbers = {one.ref: number for number, one in policy.directives.items()}
    by_ref = {one.ref: one for one in scheduled}
    for cut in by_ref.values():
        if cut.order not in amends or not cut.is_cut or not numbers.keys() >= set(cut.cuts):
            continue
        files = [by_ref[ref].names.file for ref in cut.cuts]
        if all(file is None or file.sha256 in lists for file in files):
            continue  # `orders.removals` did it.
        ours = {numbers[ref] for ref in cut.cuts}
        inline = cut.names.subjects
        listed: Sequence[Subject] = ()
        if cut.names.file is not None and cut.names.file.sha256 in lists:
            listed = removals.subjects(lists[cut.names.file.sha256])
        for written in (inline, listed):
            idle = [one for one in written if not _meets(policy, ours, one)]
            if idle:
                steps = ("remove", inline.index(idle[0])) if written is inline else ("remove_file", "file")
                yield removals.warning(amends[cut.order], steps, idle)


def _meets(policy: Searchable, ours: Collection[int], removed: Subject) -> bool:
    """Whether one of our directives covers a name that the removed one covers, too."""
    path, has_own = path_of(policy, removed.key)
    reach = coverage(policy, path, has_own=has_own)
    if any(
        at.covers_below or (at.rank is not None and removed.match is not Match.BELOW)
        for number, at in reach.items()
        if number in ours
    ):
        return True
    below = [set_id for _, set_id in policy.below(removed.key, _MOST)]
    return len(below) == _MOST or any(
        number in ours and role in SUBJECT_ROLES for set_id in below for number, role in policy.pairs(set_id)
    )
