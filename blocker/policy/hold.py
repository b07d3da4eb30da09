"""Which orders wait for a person: what is held, why, and what is planned of each order.

Pure. Held is the whole order, with every order whose `of` leads to it: an order is applied as the authority
wrote it or not at all, and everything else goes on, for an urgent lift must not wait for somebody's
mistake. Held are orders that were never applied: for the names they block (`policy.radius`), for how
many those are, or, an amend, for how many names of its order it takes away. A directive that was over for
good was never judged, so what brings one back (an amend of its end, the lift of a lift) is held for its
names. Any other lift, a suspension and a reinstatement are never held. What is held is accepted with the
plan, by its digest and with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.orders.model import Kind
from blocker.orders.relations import order_of
from blocker.policy.plan import RATIOS_FROM
from blocker.policy.radius import REASONS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.lists import Edition
    from blocker.policy.plan import Change, Live
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
    """What was found of the new orders, by id: the radius of each that blocks names, why each held one is
    held, the orders that wait with one, and the lists that took part. `is_blind` says that lists were
    wanted and not there.
    """

    radii: Mapping[str, Radius] = field(default_factory=dict)
    holds: Mapping[str, tuple[Why, ...]] = field(default_factory=dict)
    waits: tuple[str, ...] = ()
    package: str = ""
    editions: tuple[Edition, ...] = ()
    is_blind: bool = False


NOBODY = Judged()


def newcomers(scheduled: Iterable[Scheduled], live: Live, now: float) -> dict[str, list[Scheduled]]:
    """The directives of orders that were never applied, by order, without those that are over for good.

    One that is suspended counts: a reinstatement brings it back, and an order that is applied is never held.
    """
    found: dict[str, list[Scheduled]] = {}
    for one in scheduled:
        if not one.is_cut and one.order not in live.orders and not one.is_ended(now):
            found.setdefault(one.order, []).append(one)
    return found


def revived(
    orders: Mapping[str, Order], scheduled: Iterable[Scheduled], live: Live, now: float
) -> dict[str, list[Scheduled]]:
    """The directives of applied orders that were over for good and are not any more, by each of the new
    orders that may have brought them back.
    """
    back = [
        one
        for one in scheduled
        if not one.is_cut
        and not one.is_ended(now)
        and (was := live.directives.get(one.ref)) is not None
        and was.is_ended(now)
    ]
    found: dict[str, list[Scheduled]] = {}
    for order in orders.values() if back else ():
        if order.id not in live.orders and _prolongs(order, orders):
            reached = _reached(order, orders)
            for one in back:
                if not reached.isdisjoint(map(order_of, one.lineage)):
                    found.setdefault(order.id, []).append(one)
    return found


def _prolongs(order: Order, orders: Mapping[str, Order]) -> bool:
    """Whether it may bring back what had ended: an amend that sets an end, a lift of what isn't a block."""
    if order.kind is not Kind.LIFT:
        return order.kind is Kind.AMEND and order.until is not None
    target = orders.get(order_of(order.of))
    return target is None or target.kind is not Kind.BLOCK


def _reached(order: Order, orders: Mapping[str, Order]) -> set[str]:
    """The orders that its `of` leads to."""
    found: set[str] = set()
    at = order_of(order.of)
    while at and at not in found:
        found.add(at)
        at = order_of(orders[at].of) if at in orders else ""
    return found


def holds(
    radii: Mapping[str, Radius],
    new: Mapping[str, Iterable[Scheduled]],
    cuts: Iterable[Scheduled],
    changes: Iterable[Change],
    live: Live,
    limits: Limits,
) -> dict[str, tuple[Why, ...]]:
    """Why each of the new orders is held that is; `cuts` may be of any order."""
    changed = {change.ref: change for change in changes}
    added = {ref: change for ref, change in changed.items() if change.what == "added"}
    found = {order: list(_speaking(radius)) for order, radius in radii.items()}
    for order, written in new.items():
        if why := _grows(sum(changed[one.ref].names for one in written), limits.max_added_per_order):
            found.setdefault(order, []).append(why)
    for one in cuts:
        if one.order in live.orders or one.ref not in added:
            continue
        if why := _shrinks(one, added[one.ref], live, limits.max_removed_per_order):
            found.setdefault(one.order, []).append(why)
    return {order: tuple(whys) for order, whys in sorted(found.items()) if whys}


def _speaking(radius: Radius) -> Iterator[Why]:
    for id_, says in REASONS.items():
        if count := radius.counts.get(id_, 0):
            first = tuple(radius.first[id_])
            verb = "is" if count == 1 else "are"
            noun = "name" if count == 1 else "names"
            yield Why(id=id_, count=count, first=first, sentence=f"{count:,} {noun} {verb} {says}")


def _grows(count: int, most: int | None) -> Why | None:
    """Why an order is held for how much it blocks."""
    if most is None or count <= most:
        return None
    sentence = f"it blocks {count:,} names; limits.max_added_per_order is {most:,}"
    return Why(id="adds-many", count=count, sentence=sentence)


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
