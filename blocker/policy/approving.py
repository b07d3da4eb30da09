"""What an apply does about approvals: keeps the signatures, and settles what an emergency owed.

Shell. Signatures, the people who were believed and the octets that were signed are archived by their digests
first, so whoever doubts can verify again.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from blocker.approvals import files as signatures
from blocker.errors import StalePlan
from blocker.policy import archive, rules, told, writer
from blocker.policy.examine import recall
from blocker.policy.records import Owed, Trust, rules_digest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from blocker.approvals.files import Approved
    from blocker.orders.files import Loaded
    from blocker.policy.plan import Live
    from blocker.site import Site

_TOLD = 5  # ids of many in one sentence


def let_in(signed: Approved, site: Site, *, by: str, reason: str, now: float) -> dict[str, Owed]:
    """The orders that an emergency lets in, and when their approvals are due."""
    emergency = site.approvals.emergency if site.approvals is not None else None
    if emergency is None:
        return {}
    owed = Owed(at=now, due=now + emergency.within, by=by, reason=reason)
    return dict.fromkeys(sorted(signed.emergency), owed)


def confirm(
    site: Site, signed: Approved, loaded: Loaded, live: Live, brought: Collection[str], now: float
) -> None:
    """Look once more at the approvals of the orders that come in: a question may have stood open for long.

    Raises StalePlan if they, or who may sign, are not what they were, NotApproved for an emergency's.
    """
    if site.approvals is None or not brought:
        return
    again = signatures.examine(
        site,
        loaded.filed,
        loaded.sources,
        live.orders,
        lambda order: recall(site, order, live.orders[order]).order,
        since=live.trust.issued,
        emergency=signed.emergency.intersection(brought),
        verified=signed.verified,
        now=now,
    )
    moved = [id_ for id_ in brought if again.approved.get(id_) != signed.approved.get(id_)]
    if moved or again.signers != signed.signers:
        what = f"the approvals of {', '.join(moved[:_TOLD])}" if moved else "those who may sign"
        raise StalePlan(
            f"{what} are not what they were when the plan was made: a signature or signers.yaml changed "
            "since, or a key is not good any more; read it again with `blocker plan`"
        )


def keep(state: Path, signed: Approved, sources: Mapping[str, bytes]) -> None:
    """Archive what was verified. Raises StoreError."""
    for digest, octets in signed.kept.items():
        archive.keep(state, digest, octets)
    for id_ in signed.approved:
        archive.keep(state, hashlib.sha256(sources[id_]).hexdigest(), sources[id_])


def settle(
    site: Site,
    signed: Approved,
    live: Live,
    sources: Mapping[str, bytes],
    *,
    by: str,
    now: float,
) -> tuple[str, ...]:
    """Settle what is owed where the approvals are there now; of which orders. A newer signers.yaml and the
    first rules of approval are noted, too, though no order comes in.

    Raises StalePlan and StoreError.
    """
    given = {id_: live.orders[id_] for id_ in sorted(live.owed) if id_ in signed.approved}
    before = live.trust
    after = trust(site, signed, before)
    if before.rules not in ("", after.rules):
        return ()  # What was signed was judged by rules, or a root, that nobody has accepted yet.
    if not live.number or (not given and after == before):
        return ()
    keep(site.state, signed, sources)
    events = [
        *told.ruled(before, after, by=by, reason="", now=now),
        *told.approvals(signed, given, sources, {}, now),
    ]
    writer.settle(site.state, given, after, events=events)
    return tuple(given)


def trust(site: Site, signed: Approved, before: Trust) -> Trust:
    """By what orders come in from now on."""
    now = rules.kept(site.approvals)
    return Trust(rules=rules_digest(now), issued=max(signed.issued, before.issued), said=now)


def new_rules(site: Site, before: Trust) -> str:
    """The digest of the rules of now, if orders came in by others; empty if they stay, or are the first."""
    now = rules_digest(rules.kept(site.approvals))
    return "" if before.rules in ("", now) else now or "none"
