"""Whether what an amend removes is there: a removed name beside every name of the directives that it amends
is most likely misspelt, and then too much stays blocked.

Harmless for the order itself, so these are warnings, one for each list of removed names. Lists that were not
read are not judged, nor is what is removed from them. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.check import problem
from blocker.orders.model import Match, Subject
from blocker.orders.schedule import schedule

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from blocker.errors import Problem
    from blocker.names import Key
    from blocker.orders.model import NameList
    from blocker.orders.parse import Filed
    from blocker.orders.timetable import Names


def check(filed: Iterable[Filed], lists: Mapping[str, NameList]) -> list[Problem]:
    """The warnings about orders of which each is right. `lists` are those that were read, by SHA-256."""
    at = {one.order.id: one for one in filed}
    if not any(one.order.remove or one.order.remove_file for one in at.values()):
        return []
    scheduled = {one.ref: one for one in schedule(one.order for one in at.values())}
    found: list[Problem] = []
    for cut in (one for one in scheduled.values() if one.is_cut):
        amended = [scheduled[ref].names for ref in cut.cuts]
        if any(one.file is not None and one.file.sha256 not in lists for one in amended):
            continue
        amend = at[cut.order]
        inline = unused(cut.names.subjects, _reach(amended, lists))
        if inline:
            found.append(warning(amend, ("remove", amend.order.remove.index(inline[0])), inline))
        if cut.names.file is not None and cut.names.file.sha256 in lists:
            listed = unused(subjects(lists[cut.names.file.sha256]), _reach(amended, lists))
            if listed:
                found.append(warning(amend, ("remove_file", "file"), listed))
    return found


def unused(removed: Collection[Subject], reach: Iterable[tuple[Key, Match]]) -> list[Subject]:
    """The removed ones that share no name with any of the keys, each with how far it reaches.

    Both may be millions: keys are gone through once, each asked about by the lengths of removed keys.
    """
    keys = {one.key for one in removed}
    lengths = sorted({len(key) for key in keys})
    above = {key for one in keys for key in _above(one)}
    touched: set[Subject] = set()
    covering: set[Key] = set()
    for key, match in reach:
        if match is not Match.EXACT and key in above:
            covering.add(key)
        for length in lengths:
            at = names.Key(key[:length])
            if at in keys:
                touched.add(Subject(key=at))
                if at != key or match is not Match.EXACT:
                    touched.add(Subject(key=at, match=Match.BELOW))
    return [one for one in removed if one not in touched and covering.isdisjoint(_above(one.key))]


def _above(key: Key) -> list[Key]:
    return list(names.ancestry(key))[:-1]


def _reach(amended: Iterable[Names], lists: Mapping[str, NameList]) -> Iterator[tuple[Key, Match]]:
    for one in amended:
        yield from ((subject.key, subject.match) for subject in one.subjects)
        if one.file is not None:
            yield from ((key, one.match) for key in lists[one.file.sha256].keys)
            yield from ((key, Match.BELOW) for key in lists[one.file.sha256].below)


def subjects(listed: NameList) -> list[Subject]:
    """What a list of removed names removes."""
    return [Subject(key=key) for key in listed.keys] + [
        Subject(key=key, match=Match.BELOW) for key in listed.below
    ]


def warning(amend: Filed, steps: tuple[str | int, ...], idle: Sequence[Subject]) -> Problem:
    """The warning that these removed ones, which the steps lead to, are not there."""
    others = f" and {len(idle) - 1:,} more" if len(idle) > 1 else ""
    return problem(
        amend,
        amend.place(*steps),
        "remove-unused",
        f"'{idle[0]}'{others} removes nothing: '{amend.order.of}' has no name at, above or below it; "
        "check its spelling, or remove it.",
        severity="warning",
    )
