"""What a compliance report is made of, gathered: the archive, the ledger, the evidence and the site.

Shell. Orders that left the policy long ago are found by the ledger and read from the archive: a report can be
made as long as those are there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from blocker import names as domain
from blocker.compliance.observed import Facts, in_order, told
from blocker.compliance.operator_acts import ROLLED_BACK, own
from blocker.errors import OrdersInvalid, Problem, StoreError
from blocker.orders import relations
from blocker.orders.model import Match, Publication
from blocker.orders.schedule import schedule
from blocker.policy import chain, disclosure, ledger, listed, remembered, unapplied
from blocker.policy.examine import archived, live_policy, recall_all
from blocker.prober.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from blocker.orders.model import Order, Subject
    from blocker.orders.timetable import Scheduled
    from blocker.policy.chain import Entry
    from blocker.site import Site

SMALL = 50
"""So many names of a public directive are listed; more are counted."""


def gather(site: Site, order: str, *, names: bool = False) -> Facts:
    """The facts about one order; its names too if `names`, or if it is public and has few.

    An order that can't be read and may be an act about it is a flaw. Raises OrdersInvalid if there was no
    such order, StoreError if something of its own can't be read.
    """
    orders, unread = every_order(site)
    family = _family(orders, unread, order)
    root = family.pop(order)
    lapses_from = remembered.lapses_from(ledger.entries(site.state, only=("applied",)))
    scheduled = schedule([root, *family.values()], lapses_from=lapses_from)
    directives = tuple(one for one in scheduled if not one.is_cut)
    counts, shown = {}, {}
    for one in directives:
        found = _names(site, family.get(one.order, root), one)
        counts[one.ref] = len(found)
        is_public = root.publication is Publication.PUBLIC and one.publication is Publication.PUBLIC
        if names or (is_public and len(found) <= SMALL):
            shown[one.ref] = tuple(sorted(found))
    shelf = Shelf(site.state)
    records = in_order(shelf.records([order, *family]))
    ids = {order, *family, *(one.ref for one in directives)}
    events: list[Entry] = []
    flaws = chain.flaws(_noting(site.state, ids, events))
    facts = Facts(
        operator=site.operator,
        contact=site.contact,
        node=site.node,
        order=root,
        acts=tuple(family.values()),
        directives=directives,
        counts=counts,
        names=shown,
        points=site.points,
        events=tuple(events),
        records=records,
        segments=tuple(shelf.segments),
        flaws=(*shelf.flaws, *flaws, *_unknown(site, order, unread)),
        lapses_from=lapses_from or 0,
    )
    return replace(facts, untold=frozenset(_untold(site, facts, orders, unread)))


def _untold(
    site: Site, facts: Facts, orders: Mapping[str, Order], unread: Mapping[str, StoreError]
) -> Iterator[int]:
    """The numbers of the operator's acts whose reason says what the reader of the report may not know: as of
    the instant it speaks of, so that it stays as it is. Orders that wait in the folder are sealed, too, and
    are no evidence: they are looked at for this alone.
    """
    reasons = {
        one.seq: str(one.facts["reason"])
        for one in facts.events
        if one.facts.get("reason") and any(ref in facts.ids for _, ref in own(one))
    }
    if not reasons:
        return
    shown = told(facts)
    known = disclosure.public_orders(orders.values(), shown.as_of).union(shown.orders)
    hidden = [one for id_, one in orders.items() if id_ not in known]
    waiting = unapplied.waiting(site, orders, known, unread.keys())
    with listed.asked(site, hidden) as lists:
        may_be_said = disclosure.text_teller(orders, known, lists, waiting)
        for seq, reason in reasons.items():
            try:
                is_told = may_be_said(reason)
            except StoreError:  # Whether it names one of a list that is lost nobody knows.
                is_told = False
            if not is_told:
                yield seq


def _noting(state: Path, ids: set[str], events: list[Entry]) -> Iterator[Entry]:
    """Every entry of the ledger; those about these ids, the applies, the rollbacks
    and the last one are put aside.
    """
    last = None
    for one in ledger.entries(state):
        if one.subject in ids or one.event in ("applied", ROLLED_BACK):
            events.append(one)
        if one.event != "reported":
            last = one
        yield one
    if last is not None and last not in events:
        events.append(last)
        events.sort(key=lambda one: one.seq)


def _unknown(site: Site, order: str, unread: Mapping[str, StoreError]) -> Iterator[str]:
    """What to say of orders that can't be read and may be acts about this one: the store still tells of what
    their directives are. It names none of them, for what one order's report says is of that order alone.
    """
    lineages = {one.order: one.lineage for one in live_policy(site.state).directives.values()}
    if many := sum(order in lineages.get(id_, (order,)) for id_ in unread):
        yield (
            f"applied orders that can't be read: {many}; acts about this order may be among them, "
            "`blocker check` names them"
        )


def every_order(site: Site) -> tuple[dict[str, Order], dict[str, StoreError]]:
    """Every order that was ever applied, in the form that was applied last; and of those that can't be read
    what the matter is, by id. Raises StoreError if it is not known which they are.
    """
    forms: dict[str, str] = {}
    for one in ledger.entries(site.state, only=("applied",)):
        told = one.facts.get("orders")
        forms.update(told if isinstance(told, dict) else {})
    forms.update(live_policy(site.state).orders)
    return recall_all(site, forms)


def _family(orders: Mapping[str, Order], unread: Mapping[str, StoreError], order: str) -> dict[str, Order]:
    """The order and all about it. Raises OrdersInvalid if there is none, StoreError if it can't be read."""
    if order in unread:
        raise unread[order]
    if order not in orders:
        close = sorted(name for name in orders if order in name or name in order)[:3]
        hint = f"; did you mean {' or '.join(close)}?" if close else "; `blocker timeline --live` lists them"
        problem = f"no order {order!r} was ever applied here{hint}"
        raise OrdersInvalid([Problem(id="order-unknown", path=order, message=problem)])
    root = order
    while root in orders and orders[root].of:
        root = relations.order_of(orders[root].of)
    if root != order:
        problem = f"this is an act about another order; report on {root}, which has all of it"
        raise OrdersInvalid([Problem(id="order-is-an-act", path=order, message=problem)])
    family = {order: orders[order]}
    while more := {
        id_: one
        for id_, one in orders.items()
        if id_ not in family and one.of and relations.order_of(one.of) in family
    }:
        family.update(more)
    return family


def _names(site: Site, order: Order, one: Scheduled) -> list[str]:
    """The names of a directive as people read them."""
    found = [_subject(each) for each in one.names.subjects]
    if one.names.file is not None:
        listed = archived(site, order, one.names.file)
        found += [domain.to_text(key) for key in listed.keys]
        found += [f"*.{domain.to_text(key)}" for key in listed.below]
    return found


def _subject(one: Subject) -> str:
    return f"{one} (this name alone)" if one.match is Match.EXACT else str(one)
