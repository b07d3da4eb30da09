"""What an apply does about approvals: keeps the signatures, tells the ledger, and settles what was owed.

Shell. The ledger's `approved` comes with the apply that lets the order in, or with the first one that sees
the approvals an emergency owes; `emergency` comes in its place. Signatures, the people who were believed and
the octets that were signed are archived by their digests first, so whoever doubts can verify again.
"""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from blocker.policy import archive, ledger, writer
from blocker.policy.chain import Event
from blocker.policy.records import Owed, Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from blocker.approvals.files import Approved
    from blocker.policy.plan import Live
    from blocker.site import Site


def let_in(signed: Approved, site: Site, *, by: str, reason: str, now: float) -> dict[str, Owed]:
    """The orders that an emergency lets in, and when their approvals are due."""
    emergency = site.approvals.emergency if site.approvals is not None else None
    if emergency is None:
        return {}
    owed = Owed(at=now, due=now + emergency.within, by=by, reason=reason)
    return dict.fromkeys(sorted(signed.emergency), owed)


def keep(state: Path, signed: Approved, sources: Mapping[str, bytes]) -> None:
    """Archive what was verified. Raises StoreError."""
    for digest, octets in signed.kept.items():
        archive.keep(state, digest, octets)
    for id_ in signed.approved:
        archive.keep(state, hashlib.sha256(sources[id_]).hexdigest(), sources[id_])


def events(
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


def settle(
    site: Site,
    signed: Approved,
    live: Live,
    sources: Mapping[str, bytes],
    now: float,
    warn: Callable[[str], None] | None = None,
) -> tuple[str, ...]:
    """Settle what is owed where the approvals are there now; of which orders. A newer signers.yaml and the
    first rules of approval are noted, too, though no order comes in.

    Raises StoreError. `warn` is told if the ledger can't be written.
    """
    given = {id_: live.orders[id_] for id_ in sorted(live.owed) if id_ in signed.approved}
    before = live.trust
    after = Trust(rules=before.rules or _rules(site), issued=max(signed.issued, before.issued))
    if not live.number or (not given and after == before):
        return ()
    keep(site.state, signed, sources)
    writer.settle(site.state, given, after)
    if (trouble := ledger.note(site.state, *events(signed, given, sources, {}, now))) and warn is not None:
        warn(trouble)
    return tuple(given)


def trust(site: Site, signed: Approved, before: Trust) -> Trust:
    """By what orders come in from now on."""
    return Trust(rules=_rules(site), issued=max(signed.issued, before.issued))


def new_rules(site: Site, before: Trust) -> str:
    """The rules of now, if orders came in by others; empty if they are the same, or the first."""
    now = _rules(site)
    return "" if before.rules in ("", now) else now or "none"


def _rules(site: Site) -> str:
    """The digest of who decides on who may sign, and of how many must; empty on an unsigned site."""
    asked = site.approvals
    if asked is None:
        return ""
    urgent = asked.emergency
    said = [
        sorted(map(str, asked.roots)),
        {kind: [sorted(seat) for seat in seats] for kind, seats in asked.rules.items()},
        [[sorted(seat) for seat in urgent.seats], urgent.within] if urgent is not None else None,
    ]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


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
