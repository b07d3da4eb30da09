"""Why a name is blocked, or why not: the sentence a user, an operator and a court are owed.

Pure. It says of every directive that speaks of the name how it stands at the instant: in force, or not
and for which reason, naming the order that is that reason.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.orders.model import Kind, Order
from blocker.orders.schedule import Book, moment
from blocker.policy.decide import Policy, Verdict, cap, coverage, decide, path_of
from blocker.policy.records import Withheld

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocker.names import Key
    from blocker.orders.model import Form
    from blocker.orders.timetable import Scheduled
    from blocker.site import Enforcement


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one directive stands towards the name.

    `state` is one of in-force, excepted, removed, other-region, withheld, pending, suspended, lapsed,
    lifted, ended. `by` is the id of the order (or, for withheld, the ref) that is the reason, `since` from
    when; for in-force and ended it is the amend that renewed the directive, if one did. `due` is when the
    review was, without which it lapsed. `reason` is why the operator withholds it, and who did.
    """

    directive: Scheduled
    state: str
    by: str = ""
    since: int | None = None
    until: int | None = None
    due: int | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What is answered for the name, and how every directive that speaks of it stands.

    `answer` is the form as sent for the asked type, None where it passes; `ttl_cap` (seconds) the highest
    TTL an answer may carry.
    """

    verdict: Verdict
    answer: Form | None
    ttl_cap: int
    standings: tuple[Standing, ...]


def explain(
    policy: Policy,
    orders: Mapping[str, Order],
    key: Key,
    *,
    region: str | None,
    t: float,
    qtype: int,
    enforcement: Enforcement,
) -> Explanation:
    """The explanation for a name, region, instant (epoch seconds) and query type (a number).

    Of the applied `orders`, some may be missing that can't be read.
    """
    verdict = decide(policy, key, region, t)
    answer = verdict.form_for(qtype)
    ttl_cap = cap(verdict.until, enforcement.max_ttl if answer is None else enforcement.ttl, t)
    path, has_own = path_of(policy, key)
    reach = coverage(policy, path, has_own=has_own)
    book = Book(orders.values())
    cuts = {
        ref: one
        for number, at in reach.items()
        if (one := policy.directives[number]).is_cut and at.excepted and one.in_force(t)
        for ref in one.cuts
    }
    standings = [
        _standing(policy, book, policy.directives[number], cuts, region=region, t=t, excepted=at.excepted)
        for number, at in reach.items()
        if not policy.directives[number].is_cut and (at.rank is not None or at.excepted)
    ]
    order = {ref: rank for rank, ref in enumerate(verdict.because)}
    standings.sort(key=lambda one: (order.get(one.directive.ref, len(order)), one.directive.ref))
    return Explanation(verdict=verdict, answer=answer, ttl_cap=ttl_cap, standings=tuple(standings))


def _standing(
    policy: Policy,
    book: Book,
    one: Scheduled,
    cuts: Mapping[str, Scheduled],
    *,
    region: str | None,
    t: float,
    excepted: bool,
) -> Standing:
    if excepted:
        return Standing(directive=one, state="excepted", by=one.order)
    if region is None or not one.applies_to(region):
        return Standing(directive=one, state="other-region")
    if one.is_ended(t):
        lifts = [act for act in book.acts(Kind.LIFT, one.lineage) if moment(act)[0] == one.ends]
        if lifts:
            return Standing(directive=one, state="lifted", by=lifts[0].id, since=one.ends)
        return Standing(directive=one, state="ended", by=_until_by(book, one, one.ends or 0), since=one.ends)
    if held := one.lineage & policy.withheld.keys():
        acts = policy.withheld[min(held)]
        known = [act for act in acts if isinstance(act, Withheld)] if isinstance(acts, tuple) else []
        reason = "; ".join(f"{act.reason}, {act.by}" for act in known)
        return Standing(directive=one, state="withheld", by=min(held), reason=reason)
    if (cut := cuts.get(one.ref)) is not None:
        return Standing(directive=one, state="removed", by=cut.order, since=cut.windows[0][0])
    return _by_time(book, one, t)


def _by_time(book: Book, one: Scheduled, t: float) -> Standing:
    for start, end in one.windows:
        if start <= t and (end is None or t < end):
            return Standing(
                directive=one, state="in-force", by=_until_by(book, one, t), since=start, until=end
            )
    for begun, till, suspend in book.suspensions(one.lineage):
        if begun <= t and (till is None or t < till) and _starts(book, one) <= t:
            return Standing(directive=one, state="suspended", by=suspend.id, since=begun, until=till)
    for due, till in one.lapsed:
        since = max(due, one.lapse_from)
        if since <= t and (till is None or t < till):
            return Standing(directive=one, state="lapsed", by=one.order, since=since, until=till, due=due)
    coming = (start for start, _ in one.windows if start > t)
    return Standing(directive=one, state="pending", by=one.order, since=min(coming, default=None))


def _starts(book: Book, one: Scheduled) -> float:
    """When it starts by its own words; by its windows, if its order can't be read."""
    if one.ref in book.writer:
        return book.starts(one.ref)
    return min((start for start, _ in one.windows), default=float("inf"))


def _until_by(book: Book, one: Scheduled, t: float) -> str:
    """The order whose `until` governs the directive: its own, or the amend that renewed it."""
    renewal = book.renewed_by(one.ref, t) if one.ref in book.writer else None
    return one.order if renewal is None else renewal.id
