"""Compliance: what the evidence says about one order, for its authority and for a court.

Pure: archived orders, their timetable, the ledger and the records that were kept come in; the same input
gives the same report, for even its date is that of the last thing in it. It says what was *observed by
probe*: when the order had to be in force, when it was first seen so at each point, what else was seen, and
when its end was seen. What was not observed is said to be not observed; nothing is inferred from silence.

Reports travel. A report on one order says nothing of another one: acts that are still sealed are left out of
that of a public order and so are acts on those, reasons that speak of other orders are not told, and details
of findings hold no names.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from blocker.compliance import operator_acts
from blocker.orders import relations
from blocker.orders.model import Publication, instant
from blocker.orders.timetable import ENDINGS
from blocker.prober.evidence import instances_of
from blocker.prober.expect import Why
from blocker.prober.judge import BAD, Kind
from blocker.prober.keeping import TAKEN_BACK, change_of, confirms

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.chain import Entry
    from blocker.prober.judge import Finding
    from blocker.prober.shelf import Kept, Segment
    from blocker.site import Point


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a report is made of.

    `acts` are the orders about `order`, `directives` those of all of them, `counts` how many names each has
    (by ref), `names` those that may be told, as people read them. `events` is the ledger, `records` what was
    kept about these orders, `segments` where from; `flaws` what is wrong with either. `lapses_from` is since
    when the site lapses what is overdue for review (epoch seconds). `untold` are the numbers of the events
    whose reason is not told, for it speaks of other orders.
    """

    operator: str
    contact: str
    node: str
    order: Order
    acts: tuple[Order, ...] = ()
    directives: tuple[Scheduled, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    points: tuple[Point, ...] = ()
    events: tuple[Entry, ...] = ()
    records: tuple[Kept, ...] = ()
    segments: tuple[Segment, ...] = ()
    flaws: tuple[str, ...] = ()
    lapses_from: int = 0
    untold: frozenset[int] = frozenset()

    @cached_property
    def as_of(self) -> float:
        """The instant the report speaks of: that of the last thing known about the order."""
        ids = self.ids
        known = [kept.record.finding.at for kept in self.records]
        known += [one.at for one in self.events if _concerns(one, ids)]
        if any(one.lapsed for one in self.directives):
            known.append(float(self.lapses_from))
        return max(known, default=float(instant(self.order.issued)))

    @cached_property
    def ids(self) -> frozenset[str]:
        """The ids of the order and its acts, and the refs of their directives."""
        return frozenset([*self.orders, *(one.ref for one in self.directives)])

    @cached_property
    def orders(self) -> dict[str, Order]:
        """The order and its acts by id."""
        return {order.id: order for order in (self.order, *self.acts)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmation:
    """Whether one start (`in-force`) or end (`lifted`, `suspended`, `lapsed`) of a directive was seen at a
    point.

    `since` is that instant in law, `counted` from when lateness counts: the latest of it, receipt and apply
    of the orders that set it. `due` is their deadline, None if there is none. `seen` is when it was first
    observed, None if it was not; `hash` that of the record which proves it, empty if only the ledger
    remembers. Epoch seconds. Of the directive's `names` so many were `names_seen` to be so, in these
    `variants`, as far as there is evidence of it.
    """

    ref: str
    point: str
    change: str
    since: int
    counted: float
    due: float | None = None
    seen: float | None = None
    rule: str = ""
    hash: str = ""
    names: int = 0
    names_seen: int = 0
    variants: tuple[str, ...] = ()

    @property
    def lateness(self) -> float | None:
        """Seconds."""
        return None if self.seen is None else max(0.0, self.seen - self.counted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Of how many `names` of a directive there is evidence at a point: of how many something, answers that
    are as ordered, and answers that accuse.
    """

    ref: str
    point: str
    names: int
    seen: int
    fine: int
    bad: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cover:
    """What was kept of one point in one variant: records in all, those that are as ordered, those that
    accuse, those of which nothing else could be expected (`moot`), and from whom.
    """

    point: str
    variant: str
    records: int
    fine: int
    bad: int
    moot: int
    first: float
    last: float
    instances: tuple[str, ...]

    @property
    def unsure(self) -> int:
        return self.records - self.fine - self.bad - self.moot


def told(facts: Facts) -> Facts:
    """The facts without the acts that may not be told of, what they add, and what was kept of that."""
    acts = shown_acts(facts)
    ids = {facts.order.id, *(act.id for act in acts)}
    return replace(
        facts,
        acts=acts,
        directives=tuple(one for one in facts.directives if one.order in ids),
        records=tuple(kept for kept in facts.records if kept.record.finding.order in ids),
    )


def shown_acts(facts: Facts) -> tuple[Order, ...]:
    """The acts on the order that may be told of, in the order in which they take effect."""
    at = facts.as_of
    # What an act writes may be more secret than it says itself: it may continue what is sealed.
    sealed = {one.order for one in facts.directives if one.is_sealed(at)}
    acts = {
        act.id: act
        for act in facts.acts
        if facts.order.publication is not Publication.PUBLIC
        or (act.publication is Publication.PUBLIC and act.id not in sealed)
        or (act.publication is Publication.SEALED_UNTIL_EFFECTIVE and _start(act) <= at)
    }
    while of_others := [
        id_ for id_, act in acts.items() if relations.order_of(act.of) not in {facts.order.id, *acts}
    ]:
        for id_ in of_others:
            del acts[id_]
    return tuple(sorted(acts.values(), key=lambda act: (_start(act), instant(act.issued), act.id)))


def shown_directives(facts: Facts) -> tuple[Scheduled, ...]:
    """The directives of the order and of the acts that may be told of; cuts are not among them."""
    told = {facts.order.id, *(act.id for act in shown_acts(facts))}
    return tuple(one for one in facts.directives if one.order in told and not one.is_cut)


def shown_windows(one: Scheduled, facts: Facts) -> list[tuple[int, int | None]]:
    """Its windows without the coming instants that nobody outside may know."""
    secret = _secret(one, facts)
    return [(start, None if end in secret else end) for start, end in one.windows if start not in secret]


def shown_lapses(one: Scheduled, facts: Facts) -> list[tuple[int, int, int | None]]:
    """When its review was due, and the site let it lapse for want of one from when until when."""
    secret, since = _secret(one, facts), facts.lapses_from
    return [
        (due, max(due, since), None if end in secret else end)
        for due, end in one.lapsed
        if max(due, since) <= facts.as_of and (end is None or end > since)
    ]


def _secret(one: Scheduled, facts: Facts) -> set[int]:
    """The coming instants that nobody outside may know."""
    if facts.order.publication is not Publication.PUBLIC:
        return set()
    return {edge for edge in one.hidden if edge > facts.as_of}


def applied_at(facts: Facts, order: str) -> float | None:
    """When the ledger first saw the order applied."""
    found = (one.at for one in facts.events if one.event == "applied" and order in _orders_of(one))
    return next(found, None)


def due(order: Order) -> float | None:
    """By when the authority wanted it done."""
    if order.received is None or order.deadline is None:
        return None
    return (order.received + order.deadline).timestamp()


def confirmations(facts: Facts) -> list[Confirmation]:
    """Every start and end up to now at every point concerned, seen or not."""
    seen, acts, proofs = _seen(facts), shown_acts(facts), _proofs(facts)
    found = []
    for one in shown_directives(facts):
        for point in _points(facts, one):
            for number, (change, since) in enumerate(_edges(one, facts.as_of)):
                own = [facts.orders[one.order]] if number == 0 else []
                setters = [*own, *(act for act in acts if since in _instants(act))]
                place = (change_of(change), one.ref, point, since)
                proof = seen.get(place)
                several = [each for each in proofs.get(place, []) if proof and each.at >= proof[0]]
                found.append(
                    Confirmation(
                        ref=one.ref,
                        point=point,
                        change=change,
                        since=since,
                        counted=max([float(since), *_known(facts, setters)]),
                        due=min(
                            (by for setter in setters if (by := due(setter)) is not None and by > since),
                            default=None,
                        ),
                        seen=proof[0] if proof else None,
                        rule=proof[1] if proof else "",
                        hash=proof[2] if proof else "",
                        names=facts.counts.get(one.ref, 0),
                        # What the ledger remembers was seen of one name at least.
                        names_seen=len({each.name for each in several}) or int(proof is not None),
                        variants=tuple(sorted({str(each.variant) for each in several})),
                    )
                )
    return found


def _edges(one: Scheduled, until: float) -> list[tuple[str, int]]:
    """Its starts and ends up to an instant."""
    found = []
    for start, end in one.windows:
        found.append(("in-force", start))
        if end is not None:
            found.append((one.ending(end), end))
    return [edge for edge in found if edge[1] <= until]


def _known(facts: Facts, setters: Iterable[Order]) -> Iterator[float]:
    """When the operator had received and applied these orders."""
    for order in setters:
        if order.received is not None:
            yield order.received.timestamp()
        if (at := applied_at(facts, order.id)) is not None:
            yield at


def _instants(act: Order) -> set[int]:
    """The instants that an act sets."""
    return {instant(moment) for moment in (act.start, act.until) if moment is not None}


_Seen = tuple[float, str, str]
_Start = tuple[str, str, str, int]


def _proofs(facts: Facts) -> dict[_Start, list[Finding]]:
    """What is kept that confirms each (change, ref, point, transition)."""
    found: dict[_Start, list[Finding]] = defaultdict(list)
    for kept in facts.records:
        finding = kept.record.finding
        if (confirmed := confirms(kept.record.expectation, finding)) is not None:
            change, since = confirmed
            found[change, finding.ref, finding.point, since].append(finding)
    return found


def _seen(facts: Facts) -> dict[_Start, _Seen]:
    """The first confirmation of each (change, ref, point, transition), by the ledger and by what is kept.

    What the ledger says was taken back is no confirmation, nor is a record of that time: while answers
    contradicted each other the prober alone knew which of them it relied on, and told the ledger.
    """
    found: dict[_Start, _Seen] = {}
    taken_back = {place: one.seq for one in facts.events if (place := _withdraws(one)) is not None}

    def take(place: _Start, seen: _Seen) -> None:
        if place not in found or seen[0] < found[place][0]:
            found[place] = seen

    for kept in facts.records:
        finding = kept.record.finding
        if (confirmed := confirms(kept.record.expectation, finding)) is not None:
            change, since = confirmed
            place = (change, finding.ref, finding.point, since)
            if place not in taken_back:
                take(place, (finding.at, finding.rule, kept.hash))
    for one in facts.events:
        if one.event in ("in-force", *ENDINGS):
            told = one.facts
            point, at, rule = told.get("point"), told.get("since"), told.get("rule")
            if isinstance(point, str) and isinstance(at, int):
                place = (change_of(one.event), one.subject, point, at)
                if one.seq > taken_back.get(place, 0):
                    take(place, (one.at, str(rule), str(told.get("evidence", ""))))
    return found


def _withdraws(one: Entry) -> _Start | None:
    """What the event says was not observed after all."""
    change, point, since = one.facts.get("change"), one.facts.get("point"), one.facts.get("since")
    is_whole = isinstance(change, str) and isinstance(point, str) and isinstance(since, int)
    if one.event != TAKEN_BACK or not is_whole:
        return None
    return str(change), one.subject, str(point), int(str(since))


def coverage(facts: Facts) -> list[Cover]:
    """What was kept, by point and variant."""
    grouped: dict[tuple[str, str], list[Kept]] = defaultdict(list)
    for kept in facts.records:
        grouped[kept.record.finding.point, str(kept.record.finding.variant)].append(kept)
    return [
        Cover(
            point=point,
            variant=variant,
            records=len(several),
            fine=sum(one.record.finding.kind is Kind.OK for one in several),
            moot=sum(one.record.finding.kind is Kind.MOOT for one in several),
            bad=sum(one.record.finding.kind in BAD for one in several),
            first=several[0].record.finding.at,
            last=several[-1].record.finding.at,
            instances=tuple(sorted({name for one in several for name in instances_of(one.record.samples)})),
        )
        for (point, variant), several in sorted(grouped.items())
    ]


def names_covered(facts: Facts) -> list[Named]:
    """Of how many names of each directive there is evidence, by point."""
    grouped: dict[tuple[str, str], list[Finding]] = defaultdict(list)
    for kept in facts.records:
        finding = kept.record.finding
        if finding.why in (Why.SUBJECT, Why.ENDED):
            grouped[finding.ref, finding.point].append(finding)
    return [
        Named(
            ref=one.ref,
            point=point,
            names=facts.counts.get(one.ref, 0),
            seen=len({each.name for each in grouped[one.ref, point]}),
            fine=len({each.name for each in grouped[one.ref, point] if each.kind is Kind.OK}),
            bad=len({each.name for each in grouped[one.ref, point] if each.kind in BAD}),
        )
        for one in shown_directives(facts)
        for point in _points(facts, one)
    ]


def points(facts: Facts) -> list[str]:
    """Every point that ought to obey the order, or was asked about it."""
    found = {point for one in shown_directives(facts) for point in _points(facts, one)}
    return sorted(found | {kept.record.finding.point for kept in facts.records})


def digest(facts: Facts) -> str:
    """SHA-256 (hex) over the hashes of the records used, a line each, and the heads of the segments."""
    lines = [kept.hash for kept in facts.records]
    lines += [f"{one.stream} {one.number} {one.head}" for one in facts.segments]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def in_order(records: Iterable[Kept]) -> tuple[Kept, ...]:
    """The records by time."""
    return tuple(sorted(records, key=lambda kept: (kept.record.finding.at, kept.hash)))


def seen_again(facts: Facts, block: Confirmation, after: float) -> float | None:
    """When it was first observed to hold after that instant, of what is kept."""
    found = _proofs(facts).get((block.change, block.ref, block.point, block.since), [])
    return min((one.at for one in found if one.at >= after), default=None)


def applies(facts: Facts) -> list[Entry]:
    """The applies by which the order and its acts came or went."""
    told = {facts.order.id, *(act.id for act in shown_acts(facts))}
    return [one for one in facts.events if one.event == "applied" and not told.isdisjoint(_orders_of(one))]


def _points(facts: Facts, one: Scheduled) -> list[str]:
    found = {point.name for point in facts.points if one.applies_to(point.region)}
    for event in facts.events:
        if event.event in ("in-force", *ENDINGS) and event.subject == one.ref:
            found.add(str(event.facts.get("point")))
    return sorted(found)


def _concerns(one: Entry, ids: frozenset[str]) -> bool:
    if one.event == "reported":  # To have been reported on is no news about the order.
        return False
    named = {one.subject, *(ref for _, ref in operator_acts.own(one))}
    return not ids.isdisjoint(named) or (one.event == "applied" and not ids.isdisjoint(_orders_of(one)))


def _orders_of(one: Entry) -> set[str]:
    told = one.facts
    orders, gone = told.get("orders"), told.get("gone")
    return {
        *(orders if isinstance(orders, dict) else ()),
        *(str(each) for each in (gone if isinstance(gone, list) else ())),
    }


def _start(act: Order) -> int:
    return instant(act.start or act.issued)
