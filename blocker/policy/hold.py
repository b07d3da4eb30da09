"""Which orders wait for a person: what is held, why, and what is planned of each order.

Pure. Held is the whole order, with every order whose `of` leads to it: an order is applied as the authority
wrote it or not at all, and everything else goes on, for an urgent lift must not wait for somebody's
mistake. Held are orders that were never applied: for the names they block (`policy.radius`), for how
many those are, or, an amend, for how many names of its order it takes away; what one plan adds to an order,
or takes from it, counts together. When they block doesn't count: an order whose time is over comes back by an
amend of its end, the lift of a lift, or a clock that is set right, and none of these is held. What is held is
accepted with the plan, by its digest and with a reason.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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


def newcomers(scheduled: Iterable[Scheduled], live: Live) -> dict[str, list[Scheduled]]:
    """The directives of orders that were never applied, by order."""
    found: dict[str, list[Scheduled]] = {}
    for one in scheduled:
        if not one.is_cut and one.order not in live.orders:
            found.setdefault(one.order, []).append(one)
    return found


def holds(
    radii: Mapping[str, Radius],
    orders: Mapping[str, Order],
    scheduled: Iterable[Scheduled],
    changes: Iterable[Change],
    live: Live,
    limits: Limits,
) -> dict[str, tuple[Why, ...]]:
    """Why each of the new orders is held that is."""
    names = {change.ref: change.names for change in changes if change.what == "added"}
    found = {order: list(_speaking(radius)) for order, radius in radii.items()}
    for order, why in _grown(newcomers(scheduled, live), orders, names, limits.max_added_per_order):
        found.setdefault(order, []).append(why)
    frees = {change.ref for change in changes if change.frees}
    cuts = [one for one in scheduled if one.order not in live.orders and one.ref in frees & names.keys()]
    for order, why in _shrunk(cuts, names, live, limits.max_removed_per_order):
        found.setdefault(order, []).append(why)
    return {order: tuple(whys) for order, whys in sorted(found.items()) if whys}


def _speaking(radius: Radius) -> Iterator[Why]:
    for id_, says in REASONS.items():
        if count := radius.counts.get(id_, 0):
            first = tuple(radius.first[id_])
            verb = "is" if count == 1 else "are"
            noun = "name" if count == 1 else "names"
            yield Why(id=id_, count=count, first=first, sentence=f"{count:,} {noun} {verb} {says}")


def _grown(
    new: Mapping[str, Iterable[Scheduled]],
    orders: Mapping[str, Order],
    names: Mapping[str, int],
    most: int | None,
) -> Iterator[tuple[str, Why]]:
    """The orders held for how much they block, each with the other new ones that it belongs to."""
    own = {order: sum(names[one.ref] for one in written) for order, written in new.items()}
    roots = {order: _root(order, orders) for order in own}
    families: dict[str, int] = {}
    for order, count in own.items():
        families[roots[order]] = families.get(roots[order], 0) + count
    for order, count in own.items():
        whole = families[roots[order]]
        if most is not None and whole > most:
            shared = f", with the other new orders of '{roots[order]}' {whole:,}" if whole > count else ""
            sentence = f"it blocks {count:,} names{shared}; limits.max_added_per_order is {most:,}"
            yield order, Why(id="adds-many", count=whole, sentence=sentence)


def _root(order: str, orders: Mapping[str, Order]) -> str:
    """The order that its `of` leads to at last; itself, if it has none."""
    seen, at = {order}, order
    while at in orders and (above := order_of(orders[at].of)) and above not in seen:
        seen.add(above)
        at = above
    return at


def _shrunk(
    cuts: Iterable[Scheduled], names: Mapping[str, int], live: Live, most: float
) -> Iterator[tuple[str, Why]]:
    """The amends held for what they take away, each with the other new ones that take from the same."""
    takes: dict[str, int] = {}
    for one in cuts:
        for ref in one.cuts:
            takes[ref] = takes.get(ref, 0) + names[one.ref]
    for one in cuts:
        whole = sum(live.counts.get(ref, 0) for ref in one.cuts)
        own = names[one.ref]
        count = min(whole, max(own, *(takes[ref] for ref in one.cuts)))
        if whole <= RATIOS_FROM or count <= most * whole:
            continue
        shared = f" with other new amends {count:,}," if count > own else ""
        sentence = (
            f"it takes away {own:,} of the {whole:,} names of its order,{shared} {count / whole:.0%}; "
            f"limits.max_removed_per_order is {most:.0%}"
        )
        yield one.order, Why(id="removes-many", count=count, sentence=sentence)
