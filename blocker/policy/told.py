"""What the ledger is told of an apply: the way from the letter to the live policy.

Pure. `approved` comes with the apply that lets an order in, or with the first one that sees the approvals an
emergency owes; `emergency` comes in its place. No detail holds a domain name.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from typing import TYPE_CHECKING, Any

from blocker.orders.model import instant
from blocker.policy import overdue, rules
from blocker.policy.chain import Event

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from blocker.approvals.files import Approved
    from blocker.policy.apply import Prepared
    from blocker.policy.records import Generation, Owed, Trust


def applied(
    prepared: Prepared, generation: Generation, owed: Mapping[str, Owed], trust: Trust, accept: str
) -> Iterator[Event]:
    """What the ledger is told of an apply, in one: the way from the letter to the live policy."""
    at, plan_ = generation.applied_at, prepared.plan
    for id_ in plan_.orders_added:
        order = prepared.orders[id_]
        yield Event(
            at=at,
            event="received",
            subject=id_,
            detail={
                "received": None if order.received is None else instant(order.received),
                "file": order.digest,
                "document": "" if order.document is None else order.document.sha256,
            },
        )
    checks = Counter(problem.id for problem in prepared.problems)
    yield Event(
        at=at,
        event="checked",
        detail={
            "problems": checks.total(),
            "checks": dict(checks),
            "quarantined": list(prepared.quarantined),
        },
    )
    yield from approvals(prepared.signed, _brought(prepared), prepared.loaded.sources, owed, at)
    yield Event(
        at=at,
        event="planned",
        detail={
            "plan": plan_.digest,
            "base": plan_.base,
            "next": plan_.next,
            "blocks": plan_.added,
            "frees": plan_.removed,
            "changes": len(plan_.changes),
        },
    )
    yield from ruled(prepared.live.trust, trust, by=generation.by, reason=generation.reason, now=at)
    if accept:
        yield _accepted(prepared, generation)
    yield _applied(prepared, generation)
    yield from overdue.overdue(overdue.reviews(prepared.scheduled, at), at)


def approvals(
    signed: Approved,
    orders: Mapping[str, str],
    sources: Mapping[str, bytes],
    owed: Mapping[str, Owed],
    now: float,
) -> list[Event]:
    """What the ledger is told of these newly let in orders (id → digest)."""
    return [
        _emergency(signed, id_, digest, sources[id_], owed[id_])
        if id_ in owed
        else _approved(signed, id_, digest, sources[id_], now)
        for id_, digest in sorted(orders.items())
        if id_ in signed.approved
    ]


def ruled(before: Trust, after: Trust, *, by: str, reason: str, now: float) -> list[Event]:
    """What the ledger is told if orders come in by other rules of approval from now on."""
    if before.rules == after.rules:
        return []
    detail = {"before": rules.before(before), "after": rules.before(after), "by": by, "reason": reason}
    return [Event(at=now, event="approvals-changed", detail=detail)]


def held(prepared: Prepared, known: Collection[tuple[str, Mapping[str, Any]]], now: float) -> list[Event]:
    """Which orders an apply left held and why; not those that the ledger knows (order and detail) already."""
    found = [
        Event(
            at=now,
            event="held",
            subject=order,
            detail={"file": prepared.orders[order].digest, "reasons": {why.id: why.count for why in whys}},
        )
        for order, whys in prepared.judged.holds.items()
    ]
    return [one for one in found if (one.subject, one.detail) not in known]


def _brought(prepared: Prepared) -> dict[str, str]:
    before = prepared.live.orders
    return {
        order.id: order.digest for order in prepared.orders.values() if before.get(order.id) != order.digest
    }


def _accepted(prepared: Prepared, generation: Generation) -> Event:
    holds = prepared.judged.holds if prepared.plan.held else {}
    return Event(
        at=generation.applied_at,
        event="accepted",
        detail={
            "plan": prepared.plan.digest,
            "by": generation.by,
            "reason": generation.reason,
            "orders": {order: {why.id: why.count for why in whys} for order, whys in holds.items()},
        },
    )


def _applied(prepared: Prepared, generation: Generation) -> Event:
    before, since = prepared.live.orders, prepared.enforcement.lapses_from
    return Event(
        at=generation.applied_at,
        event="applied",
        detail={
            "generation": generation.number,
            "policy": generation.digest,
            "by": generation.by,
            "reason": generation.reason,
            "review": prepared.enforcement.review,
            **({} if since is None else {"lapses_from": since}),
            "orders": _brought(prepared),
            "gone": sorted(before.keys() - prepared.digests.keys()),
        },
    )


def _approved(signed: Approved, id_: str, digest: str, octets: bytes, now: float) -> Event:
    return Event(at=now, event="approved", subject=id_, detail=_detail(signed, id_, digest, octets))


def _emergency(signed: Approved, id_: str, digest: str, octets: bytes, owed: Owed) -> Event:
    detail = _detail(signed, id_, digest, octets)
    return Event(
        at=owed.at,
        event="emergency",
        subject=id_,
        detail={**detail, "by": owed.by, "reason": owed.reason, "due": owed.due},
    )


def _detail(signed: Approved, id_: str, digest: str, octets: bytes) -> dict[str, Any]:
    return {
        "digest": digest,
        "signed": hashlib.sha256(octets).hexdigest(),
        "signers": signed.signers,
        "approvals": [
            {"who": one.who, "key": one.key, "roles": [*one.roles], "signature": one.signature}
            for one in signed.approved[id_]
        ],
    }
