"""The compliance report as a document: what `blocker report --format json` prints.

Pure. One shape, published as a JSON Schema (`schema`); the page for people shows the same document. Instants
are ISO 8601 in UTC, durations seconds. Who is at the operator's keyboard is nobody's business outside and is
left out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from blocker.compliance import observed, operator_acts, troubles
from blocker.orders.model import instant
from blocker.orders.timetable import LAPSED, LIFTED, SUSPENDED
from blocker.prober import judge
from blocker.prober.judge import BAD, RULES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocker.compliance.observed import Confirmation, Facts
    from blocker.orders.model import Authority, Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.chain import Entry

FORMAT = 1
CHANGES = {"in-force": "block", SUSPENDED: "suspension", LAPSED: "lapse", LIFTED: "lift"}
"""What can be observed of a directive, and the word for it."""

STATEMENT = (
    "This report says what was observed by probe: queries that the operator sent to its own resolvers, and "
    "the answers that came back. It does not say that anybody complied. What was not observed is said to be "
    "not observed."
)


def document(facts: Facts) -> dict[str, Any]:
    """The report on one order."""
    facts = observed.told(facts)
    order, confirmed = facts.order, observed.confirmations(facts)
    return {
        "format": FORMAT,
        "statement": STATEMENT,
        "as_of": moment(facts.as_of),
        "operator": {"name": facts.operator, "contact": facts.contact, "node": facts.node},
        "order": {
            **_order(order),
            "kind": str(order.kind),
            "publication": str(order.publication),
            "issued": moment(instant(order.issued)),
            "received": _maybe(None if order.received is None else instant(order.received)),
            "deadline_seconds": None if order.deadline is None else int(order.deadline.total_seconds()),
            "due": _maybe(observed.due(order)),
            "digest": order.digest,
            "document": None
            if order.document is None
            else {"file": order.document.file, "sha256": order.document.sha256},
        },
        "acts": [
            {
                **_order(act),
                "kind": str(act.kind),
                "of": act.of,
                "from": moment(instant(act.start or act.issued)),
                "until": _maybe(None if act.until is None else instant(act.until)),
            }
            for act in observed.shown_acts(facts)
        ],
        "directives": [_directive(one, facts) for one in observed.shown_directives(facts)],
        "applied": [
            {"at": moment(one.at), "generation": one.facts.get("generation", 0), "policy": _policy(one)}
            for one in observed.applies(facts)
        ],
        "operator_acts": [
            {"at": moment(one.at), "act": one.act, "ref": one.ref, "reason": one.reason}
            for one in operator_acts.of_the_operator(facts)
        ],
        "summary": summary(facts),
        "confirmations": [_confirmation(one, facts) for one in confirmed],
        "exceptions": [
            {
                "kind": str(one.kind),
                "rule": one.rule,
                "meaning": RULES.get(one.rule, "A rule of another version."),
                "is_fault": one.kind in BAD,
                "point": one.point,
                "variant": one.variant,
                "ref": one.ref,
                "from": moment(one.start),
                "last_seen": moment(one.last),
                "until": _maybe(one.end),
                "questions": one.questions,
                "records": one.records,
                "detail": one.detail,
            }
            for one in troubles.troubles(facts)
        ],
        "coverage": _coverage(facts),
        "evidence": {
            "records": len(facts.records),
            "digest": observed.digest(facts),
            "rules": sorted({kept.record.rules for kept in facts.records}),
            "rules_now": judge.VERSION,
            "policies": sorted({kept.record.policy for kept in facts.records}),
            "segments": [
                {"stream": one.stream, "segment": one.number, "records": one.records, "head": one.head}
                for one in facts.segments
            ],
            "flaws": list(facts.flaws),
        },
        "ledger": _ledger(facts.events),
    }


def summary(facts: Facts) -> list[str]:
    """What a reader in a hurry must know, a sentence each."""
    found, at = [], facts.as_of
    confirmed = observed.confirmations(facts)
    for change, what in CHANGES.items():
        some = [one for one in confirmed if one.change == change]
        if not some:
            if change in ("in-force", LIFTED):
                found.append(f"No {what} was to be observed by {moment(at)}.")
            continue
        points = {one.point for one in some}
        unseen = sorted({one.point for one in some if one.seen is None})
        late = [one.lateness for one in some if one.lateness is not None]
        sentence = f"The {what} was observed by probe at {len(points) - len(unseen)} of {_points(points)}"
        if named := _named([one for one in some if one.point not in unseen]):
            sentence += f", {named}"
        if late:
            sentence += f", at the latest {duration(max(late))} after it was to take effect"
        if unseen:
            sentence += f"; it was not observed, or not each time, at {', '.join(unseen)}"
        found.append(f"{sentence}.")
    found += _lapses(facts)
    troubled = troubles.troubles(facts)
    faults = sum(one.kind in BAD for one in troubled)
    unsure = len(troubled) - faults
    if troubled:
        found.append(f"Exceptions: {faults} not as ordered, {unsure} in which nothing could be told.")
    else:
        found.append("No exception was observed.")
    if facts.flaws:
        found.append(
            f"The evidence is not whole: {len(facts.flaws)} flaws were found; they are listed below."
        )
    return found


def _lapses(facts: Facts) -> Iterator[str]:
    """What of the order is out of force, or was, for want of a review; it is not the authority's doing."""
    for one in observed.shown_directives(facts):
        for due, start, end in observed.shown_lapses(one, facts):
            till = "" if end is None or end > facts.as_of else f" until {moment(end)}"
            yield (
                f"{one.ref} lapsed at {moment(start)}{till}: its review was due {moment(due)}, and the "
                "operator lets lapse what is not reviewed. The authority did not lift it."
            )


def _named(confirmed: Iterable[Confirmation]) -> str:
    """Of how many of the names ordered that is known, at the point where it is known of the fewest."""
    fewest: dict[str, dict[str, Confirmation]] = {}
    for one in confirmed:
        of = fewest.setdefault(one.point, {})
        if one.ref not in of or one.names_seen < of[one.ref].names_seen:
            of[one.ref] = one
    counts = [
        (sum(one.names_seen for one in of.values()), sum(one.names for one in of.values()))
        for of in fewest.values()
    ]
    if not counts:
        return ""
    seen, ordered = min(counts, key=lambda count: count[0] / max(1, count[1]))
    names = "1 name" if ordered == 1 else f"{ordered:,} names"
    return f"for {'' if seen >= ordered else 'at least '}{seen:,} of {names} at each"


def duration(seconds: float) -> str:
    """A length of time for people, as exact as it matters."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, hours, days = seconds / 60, seconds / 3600, seconds / 86400
    return f"{minutes:.1f} min" if hours < 1 else f"{hours:.1f} h" if days < 2 else f"{days:.1f} d"


def moment(at: float) -> str:
    """An instant in UTC; to the millisecond where it was measured."""
    found = datetime.fromtimestamp(at, UTC)
    return found.isoformat(timespec="milliseconds" if found.microsecond else "seconds").replace("+00:00", "Z")


def _maybe(at: float | None) -> str | None:
    return None if at is None else moment(at)


def _points(points: Collection[str]) -> str:
    return "1 point" if len(points) == 1 else f"{len(points)} points"


def _order(order: Order) -> dict[str, Any]:
    return {
        "id": order.id,
        "authority": _authority(order.authority),
        "legal_basis": list(order.legal_basis),
        "reference": order.reference,
    }


def _authority(one: Authority) -> dict[str, str]:
    return {"name": one.name, "jurisdiction": one.jurisdiction, "contact": one.contact}


def _directive(one: Scheduled, facts: Facts) -> dict[str, Any]:
    return {
        "ref": one.ref,
        "action": str(one.action),
        "regions": list(one.regions),
        "windows": [
            {"from": moment(start), "until": _maybe(end)} for start, end in observed.shown_windows(one, facts)
        ],
        "lapsed": [
            {"due": moment(due), "from": moment(start), "until": _maybe(end)}
            for due, start, end in observed.shown_lapses(one, facts)
        ],
        "review_by": _maybe(one.review_by),
        "names_count": facts.counts.get(one.ref, 0),
        "names": list(facts.names[one.ref]) if one.ref in facts.names else None,
    }


def _confirmation(one: Confirmation, facts: Facts) -> dict[str, Any]:
    in_time = None
    if one.due is not None:
        if one.seen is not None:
            in_time = one.seen <= one.due
        elif facts.as_of > one.due:
            in_time = False
    return {
        "ref": one.ref,
        "point": one.point,
        "change": one.change,
        "required_from": moment(one.since),
        "counted_from": moment(one.counted),
        "first_observed": _maybe(one.seen),
        "lateness_seconds": None if one.lateness is None else round(one.lateness, 3),
        "before_deadline": in_time,
        "rule": one.rule,
        "evidence": one.hash,
        "names": one.names,
        "names_observed": one.names_seen,
        "variants": list(one.variants),
    }


def _coverage(facts: Facts) -> dict[str, Any]:
    expected = {point.name: set(point.instances) for point in facts.points}
    covers = observed.coverage(facts)
    seen: dict[str, set[str]] = {}
    for one in covers:
        seen.setdefault(one.point, set()).update(one.instances)
    return {
        "points": [
            {
                "point": point,
                "instances": sorted(seen.get(point, ())),
                "instances_missing": sorted(expected.get(point, set()) - seen.get(point, set())),
            }
            for point in observed.points(facts)
        ],
        "names": [
            {
                "ref": one.ref,
                "point": one.point,
                "names": one.names,
                "observed": one.seen,
                "as_ordered": one.fine,
                "not_as_ordered": one.bad,
            }
            for one in observed.names_covered(facts)
        ],
        "variants": [
            {
                "point": one.point,
                "variant": one.variant,
                "records": one.records,
                "as_ordered": one.fine,
                "not_as_ordered": one.bad,
                "cannot_be_told": one.unsure,
                "moot": one.moot,
                "first": moment(one.first),
                "last": moment(one.last),
            }
            for one in covers
        ],
    }


def _ledger(events: Iterable[Entry]) -> dict[str, Any]:
    """The head of the ledger before the reports it tells of: to make one changes none."""
    last = [one for one in events if one.event != "reported"]
    return {"entries": last[-1].seq, "head": last[-1].hash} if last else {"entries": 0, "head": ""}


def _policy(one: Entry) -> str:
    return str(one.facts.get("policy", ""))
