"""What the law means, said slowly: a model to hold the policy room to.

Written from the contract's text alone (Semantics, Kinds of order), never from the code it judges. Names are
strings, times are datetimes, every question replays the whole history, nothing is remembered. Where the
text is silent:

- an amend speaks of the directives that exist before it (by from, issued, id), never its own or later ones;
- a lift that cancels an amend ends what it added and reverts its `until` and `remove` from then on;
- what has ended by `until` stays ended, also when the renewal comes at the very instant; what never began
  has not ended;
- an added directive begins with its amend at the earliest;
- what speaks of a directive speaks of what an amend of that directive added, as it does for orders;
  so does a withholding;
- NXDOMAIN is sent only for a blocked name below which one directive in force covers everything, with no
  except or cut in force at or below the name; else NODATA, and DS and DNSKEY pass.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.model import Action, Directive, Form, Kind, Match, NameList, Order, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

STRICTEST = [Form.REFUSED, Form.NXDOMAIN, Form.NODATA, Form.REDIRECT]
MOST_SPECIFIC = [Match.EXACT, Match.SUBTREE, Match.BELOW]
NO_LISTS: Mapping[str, NameList] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client of the region gets: `sent` for A, `sent_ds` for DS and DNSKEY; None is a pass.

    A redirect sent for another type than A and AAAA is a NODATA.
    """

    action: Action | None = None
    because: frozenset[str] = frozenset()
    sent: Form | None = None
    sent_ds: Form | None = None


@dataclass
class World:
    """The orders, and what of them has happened so far."""

    orders: dict[str, Order]
    lists: Mapping[str, NameList] = field(default_factory=dict)
    happened: list[Order] = field(default_factory=list)
    cancelled: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)

    def directives(self) -> list[tuple[str, Order, Directive]]:
        return [
            (f"{order.id}/{directive.id}", order, directive)
            for order in self.orders.values()
            for directive in order.directives
        ]

    def covers(self, of: str, ref: str, owner: Order) -> bool:
        """Whether an order `of` that speaks of this directive; added ones go with the amended order, and with
        what they continue.
        """
        reached = {ref, owner.id}
        (continued,) = [one.continues for one in owner.directives if f"{owner.id}/{one.id}" == ref]
        if continued:
            reached |= self.reached(continued)
        if owner.kind is Kind.AMEND:
            reached |= self.reached(owner.of)
        return of in reached

    def reached(self, name: str) -> set[str]:
        """The name, and what an order or directive of that name goes with."""
        order = self.order_named(name)
        found = {name, order.id}
        found |= self.reached(order.of) if order.kind is Kind.AMEND else set()
        continued = [one.continues for one in order.directives if name == f"{order.id}/{one.id}"]
        return found.union(*(self.reached(one) for one in continued if one))

    def order_named(self, of: str) -> Order:
        return self.orders[of] if of in self.orders else self.orders[of.rpartition("/")[0]]

    def speaks_of(self, amend: Order, was: str, owner: Order) -> bool:
        """What continues a directive has been there as long as that; nobody speaks of what goes on with their
        own.
        """
        first, ref = owner, was
        while continued := self.continued(ref):
            if first is amend:
                return False
            first, ref = self.order_named(continued), continued
        exists = first.kind is Kind.BLOCK or rank(first) < rank(amend)
        return exists and self.covers(amend.of, was, owner)

    def continued(self, ref: str) -> str:
        return next(one.continues for written, _, one in self.directives() if written == ref)

    def amends(self) -> list[Order]:
        return [
            event for event in self.happened if event.kind is Kind.AMEND and event.id not in self.cancelled
        ]

    def until(self, ref: str, owner: Order, directive: Directive) -> datetime | None:
        until = directive.until
        for amend in self.amends():
            if amend.until is not None and self.speaks_of(amend, ref, owner):
                until = amend.until
        return until

    def review_of(self, ref: str, owner: Order, directive: Directive) -> datetime | None:
        due = directive.review_by
        for amend in self.amends():
            if amend.review_by is not None and self.speaks_of(amend, ref, owner):
                due = amend.review_by
        return due

    def cuts(self, ref: str, owner: Order) -> list[Subject]:
        found: list[Subject] = []
        for amend in self.amends():
            if self.speaks_of(amend, ref, owner):
                found += amend.remove
                if amend.remove_file is not None:
                    listed = self.lists[amend.remove_file.sha256]
                    found += [Subject(key=key) for key in listed.keys]
                    found += [Subject(key=key, match=Match.BELOW) for key in listed.below]
        return found

    def subjects(self, directive: Directive) -> list[Subject]:
        found = list(directive.subjects)
        if directive.names_file is not None:
            listed = self.lists[directive.names_file.sha256]
            found += [Subject(key=key, match=directive.match) for key in listed.keys]
            found += [Subject(key=key, match=Match.BELOW) for key in listed.below]
        return found

    def suspensions(self, ref: str, owner: Order, t: datetime) -> list[Order]:
        """The suspensions open on a directive at t."""
        return [
            suspend
            for at, suspend in enumerate(self.happened)
            if suspend.kind is Kind.SUSPEND
            and suspend.id not in self.cancelled
            and self.covers(suspend.of, ref, owner)
            and (suspend.until is None or t < suspend.until)
            and not any(
                later.kind is Kind.REINSTATE and self.covers(later.of, ref, owner)
                for later in self.happened[at:]
            )
        ]

    def time_passes(self, t: datetime, *, all_of_t: bool = False) -> None:
        """What has ended until t has; what begins at t may first be spoken of by the orders of t."""
        for ref, owner, directive in self.directives():
            until = self.until(ref, owner, directive)
            begins = max(directive.start, owner.start or directive.start)
            began = begins <= t if all_of_t else begins < t
            if began and until is not None and until <= t:
                self.gone.add(ref)

    def happen(self, event: Order) -> None:
        if event.id in self.cancelled:
            return
        self.happened.append(event)
        if event.kind is not Kind.LIFT:
            return
        target = self.orders.get(event.of)
        if target is not None and target.kind is not Kind.BLOCK:
            self.cancelled.add(target.id)
        for ref, owner, _ in self.directives():
            if self.covers(event.of, ref, owner):
                self.gone.add(ref)

    def in_force(self, ref: str, owner: Order, directive: Directive, t: datetime) -> bool:
        exists = owner.kind is Kind.BLOCK or owner in self.amends()
        return (
            exists and directive.start <= t and ref not in self.gone and not self.suspensions(ref, owner, t)
        )


def rank(order: Order) -> tuple[datetime, datetime, str]:
    assert order.start is not None
    return (order.start, order.issued, order.id)


def events(orders: Sequence[Order]) -> list[Order]:
    return sorted((order for order in orders if order.kind is not Kind.BLOCK), key=rank)


def world_at(orders: Sequence[Order], t: datetime, lists: Mapping[str, NameList] = NO_LISTS) -> World:
    world = World({order.id: order for order in orders}, lists)
    for event in events(orders):
        assert event.start is not None
        if event.start <= t:
            world.time_passes(event.start)
            world.happen(event)
    world.time_passes(t, all_of_t=True)
    return world


def below(name: str, ancestor: str) -> bool:
    return name.endswith("." + ancestor)


def reaches(subject: Subject, name: str) -> bool:
    """Whether the subject (or except, or cut) takes in the name."""
    own = names.to_text(subject.key)
    if subject.match is Match.EXACT:
        return name == own
    if subject.match is Match.SUBTREE:
        return name == own or below(name, own)
    return below(name, own)


def specificity(subject: Subject) -> tuple[int, int]:
    """Sorts the most specific subject first."""
    return (-len(names.to_text(subject.key).split(".")), MOST_SPECIFIC.index(subject.match))


def applies_in(directive: Directive, region: str | None) -> bool:
    return region is not None and any(
        region == ordered or region.startswith(ordered + "-") for ordered in directive.regions
    )


def ask(
    world: World,
    name: str,
    region: str | None,
    t: datetime,
    withheld: frozenset[str] = frozenset(),
) -> Answer:
    """What the contract answers for a name, to a client of a region; `t` is the world's own instant."""
    candidates = []
    closed = False
    for ref, owner, directive in world.directives():
        if any(world.covers(held, ref, owner) for held in withheld) or not applies_in(directive, region):
            continue
        if not world.in_force(ref, owner, directive, t):
            continue
        subjects = world.subjects(directive)
        free = [*directive.excepts, *world.cuts(ref, owner)]
        if any(reaches(subject, name) for subject in free):
            continue
        covering = [subject for subject in subjects if reaches(subject, name)]
        if covering:
            best = min(covering, key=specificity)
            strictness = STRICTEST.index(directive.action.form)
            choice = (specificity(best), strictness, owner.issued, owner.id, directive.id)
            candidates.append((choice, ref, directive.action))
        holes = [names.to_text(subject.key) for subject in free]
        has_hole = any(hole == name or below(hole, name) for hole in holes)
        if any(reaches(subject, "anything." + name) for subject in subjects) and not has_hole:
            closed = True
    if not candidates:
        return Answer()
    _, _, action = min(candidates, key=lambda candidate: candidate[0])
    sent = action.form
    if sent is Form.NXDOMAIN and not closed:
        sent = Form.NODATA
    return Answer(
        action=action,
        because=frozenset(ref for _, ref, _ in candidates),
        sent=sent,
        sent_ds=sent if closed else None,
    )


def is_valid(orders: Sequence[Order]) -> bool:
    """Whether no order names nothing, something already ended, or a suspension that is not open."""
    world = World({order.id: order for order in orders})
    if len(world.orders) != len(orders):
        return False
    refs = {ref for ref, _, _ in world.directives()}
    for event in events(orders):
        if event.of not in refs and event.of not in world.orders:
            return False
        owner = world.order_named(event.of)
        cancels = event.kind is Kind.LIFT and event.of in world.orders and owner.kind is not Kind.BLOCK
        if not cancels:
            if owner.kind not in (Kind.BLOCK, Kind.AMEND):
                return False
            if owner.kind is Kind.AMEND and rank(owner) >= rank(event):
                return False
        continued = {one.continues for one in event.directives if one.continues}
        there = {
            ref
            for ref, own, _ in world.directives()
            if world.covers(event.of, ref, own) and (own.kind is Kind.BLOCK or rank(own) < rank(event))
        }
        if not continued <= there:
            return False
    for event in events(orders):
        assert event.start is not None
        world.time_passes(event.start)
        if event.id not in world.cancelled and not _speaks_of_something(world, event, event.start):
            return False
        world.happen(event)
    return True


def _speaks_of_something(world: World, event: Order, t: datetime) -> bool:
    owner = world.order_named(event.of)
    alive = [
        (ref, order)
        for ref, order, _ in world.directives()
        if world.covers(event.of, ref, order) and ref not in world.gone and order.id not in world.cancelled
    ]
    if event.kind is Kind.REINSTATE:
        return any(world.suspensions(ref, order, t) for ref, order in alive)
    if event.kind is not Kind.LIFT or event.of not in world.orders or owner.kind is Kind.BLOCK:
        return bool(alive)
    if owner.id in world.cancelled:
        return False
    if owner.kind is Kind.LIFT:
        return owner not in world.happened
    touched = [
        (ref, order)
        for ref, order, _ in world.directives()
        if (world.covers(owner.of, ref, order) or order is owner) and ref not in world.gone
    ]
    if owner.kind is Kind.SUSPEND and owner in world.happened:
        return any(owner in world.suspensions(ref, order, t) for ref, order in touched)
    return bool(touched)
