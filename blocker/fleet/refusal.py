"""What a plan must not put into force, for a point could not say it.

Pure. A missing form is an error, never a silent downgrade: a point that answers something else than was
ordered, or doesn't know of a name at all, is not what the order demands. Limits of reach are told, see
`capabilities`; they refuse nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker import capabilities, names
from blocker.errors import UnsupportedAction
from blocker.names import Key
from blocker.policy.directives import entries
from blocker.rpz.zone import unsayable, unsayable_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from blocker.orders.model import NameList, NamesFile
    from blocker.orders.timetable import Scheduled
    from blocker.site import Point, Rpz

MOST_TOLD = 5


def check(
    points: Sequence[Point],
    rpz: Rpz | None,
    scheduled: Iterable[Scheduled],
    read: Callable[[NamesFile], NameList],
    *,
    new: frozenset[str],
    now: float,
) -> None:
    """Refuse directives that some point can't say. Raises UnsupportedAction with the first of them.

    The names of those in `new` (refs) are looked at, too; the others' were for these very zones.
    """
    found = list(refusals(points, rpz, scheduled, read, new=new, now=now))
    if found:
        more = f"; and {len(found) - MOST_TOLD} more" if len(found) > MOST_TOLD else ""
        raise UnsupportedAction(
            f"the plan was not applied, for a point can't say what it demands: {'; '.join(found[:MOST_TOLD])}"
            f"{more}. Give the point another way to get the policy ('by'), or take it out of 'points' and "
            "answer for it yourself"
        )


def refusals(
    points: Sequence[Point],
    rpz: Rpz | None,
    scheduled: Iterable[Scheduled],
    read: Callable[[NamesFile], NameList],
    *,
    new: frozenset[str],
    now: float,
) -> Iterator[str]:
    """What can't be said, in sentences; one for each point and directive."""
    for one in scheduled:
        mine = [point for point in points if one.is_cut or one.applies_to(point.region)]
        if one.is_ended(now) or not mine:
            continue
        zones = [point for point in mine if capabilities.of(point.kind, point.by).is_zone]
        odd = _odd(one, read) if zones and one.ref in new else ()
        for point in mine:
            why = None if one.is_cut else capabilities.of(point.kind, point.by).missing(one.action.form)
            if why is None and point in zones and rpz is not None:
                why = _unsayable(one, odd, rpz.zone_of(point.region))
            if why is not None:
                yield f"{one.ref} at {point.name}: {why}"


def _unsayable(one: Scheduled, odd: Iterable[Key], zone: str) -> str | None:
    """What of the directive or cut the zone can't say."""
    why = None if one.is_cut else unsayable(one.action)
    if why is not None:
        return why
    for key in odd:
        why = unsayable_name(key, zone)
        if why is not None:
            return f"{names.to_text(key)}: {why}"
    return None


def _odd(one: Scheduled, read: Callable[[NamesFile], NameList]) -> list[Key]:
    """The names that a zone is most likely to have no room for."""
    longest, found = Key(b""), []
    for key, _ in entries(one, read):
        if len(key) > len(longest):
            longest = key
        if key.startswith(b"rpz-", 1):
            found.append(key)
    return [longest, *found[:1]]
