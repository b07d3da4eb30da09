"""Which orders wait for a person: what is held, why, and what is planned of each order.

Pure. Held is the whole order, with every order whose `of` leads to it: an order is applied as the authority wrote it
or not at all, and everything else goes on, for an urgent lift must not wait for somebody's mistake. Held are orders
that were never applied: for the names they newly block (`policy.radius`), for how many those are, or, an amend, for
how many names of its order it takes away. A lift, a suspension and a reinstatement are never held. What is held is
accepted with the plan, by its digest and with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.policy.plan import RATIOS_FROM
from blocker.policy.radius import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from blocker.orders.timetable import Scheduled
    from blocker.policy.lists import Edition
    from blocker.policy.plan import Change, Live, Plan
    from blocker.policy.radius import Found, Radius
    from blocker.site import Limits

GUARDS: dict[str, str] = {
    "adds-many": "it blocks more names than limits.max_added_per_order allows",
    "removes-many": "it takes away a larger part of its order than limits.max_removed_per_order allows",
}
"""Why an order is held for its size alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """One reason to hold an order: its id, how many names speak for it, the first of them, and a sentence."""

    id: str
    count: int
    first: tuple[Found, ...] = ()
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What was found of the new orders, by id: the radius of each that blocks names, why each held one is held, the
    orders that wait with one, and the lists that took part. `is_blind` says that lists were wanted and not there.
    """

    radii: Mapping[str, Radius] = field(default_factory=dict)
    holds: Mapping[str, tuple[Why, ...]] = field(default_factory=dict)
    waits: tuple[str, ...] = ()
    editions: tuple[Edition, ...] = ()
    is_blind: bool = False


NOBODY = Judged()


def newly_blocking(plan: Plan, scheduled: Iterable[Scheduled], live: Live) -> dict[str, list[Scheduled]]:
    """The new directives that block something from now on, by the order that wrote them, if it is new too."""
    coming = {change.ref for change in plan.changes if change.what == "added" and change.blocks}
    found: dict[str, list[Scheduled]] = {}
    for one in scheduled:
        if one.ref in coming and not one.is_cut and one.order not in live.orders:
            found.setdefault(one.order, []).append(one)
    return found


def holds(
    radii: Mapping[str, Radius], plan: Plan, scheduled: Iterable[Scheduled], live: Live, limits: Limits
) -> dict[str, tuple[Why, ...]]:
    """Why each of the new orders is held that is."""
    changes = {change.ref: change for change in plan.changes if change.what == "added"}
    added: dict[str, int] = {}
    found: dict[str, list[Why]] = {}
    for order, radius in radii.items():
        if speaking := list(_speaking(radius)):
            found[order] = speaking
    cuts = []
    for one in scheduled:
        change = changes.get(one.ref)
        if change is None or one.order in live.orders:
            continue
        if one.is_cut:
            cuts.append((one, change))
        elif change.blocks:
            added[one.order] = added.get(one.order, 0) + change.names
    most = limits.max_added_per_order
    for order, count in added.items():
        if most is not None and count > most:
            sentence = f"it blocks {count:,} names; limits.max_added_per_order is {most:,}"
            found.setdefault(order, []).append(Why(id="adds-many", count=count, sentence=sentence))
    for one, change in cuts:
        if why := _shrinks(one, change, live, limits.max_removed_per_order):
            found.setdefault(one.order, []).append(why)
    return {order: tuple(whys) for order, whys in sorted(found.items())}


def _speaking(radius: Radius) -> Iterator[Why]:
    for id_, says in REASONS.items():
        if count := radius.counts.get(id_, 0):
            first = tuple(radius.first[id_])
            verb = "is" if count == 1 else "are"
            noun = "name" if count == 1 else "names"
            yield Why(id=id_, count=count, first=first, sentence=f"{count:,} {noun} {verb} {says}")


def _shrinks(cut: Scheduled, change: Change, live: Live, most: float) -> Why | None:
    """Why an amend is held for what it takes away."""
    whole = sum(live.counts.get(ref, 0) for ref in cut.cuts)
    if not change.frees or whole <= RATIOS_FROM or change.names <= most * whole:
        return None
    sentence = (
        f"it takes away {change.names:,} of the {whole:,} names of its order, {change.names / whole:.0%}; "
        f"limits.max_removed_per_order is {most:.0%}"
    )
    return Why(id="removes-many", count=change.names, sentence=sentence)
