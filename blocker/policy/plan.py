"""The difference between the live policy and the next one, and whether it may be applied unasked.

Pure. A plan is a value: it names its base and its next digest, so a plan reviewed on one node is the same
plan on every node whose live policy is its base. A policy's digest is a function of the orders alone: no
time, node or generation is in it.

The guard counts names newly blocked, or freed, at any instant of the new timetable from now on. What a
newly applied lift, suspend, reinstate or amend explains is never shrinkage. Names are counted by
directive: a name that two new directives block counts twice, for the guard may ask too early, never late.
A cut counts the names that it spares, see `policy.spared`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blocker.errors import TooMuchChange
from blocker.orders.timetable import beyond
from blocker.policy import regions
from blocker.policy.records import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from blocker.approvals.judge import Approval
    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled, Window
    from blocker.policy.records import Owed, Withheld
    from blocker.policy.regions import Shift
    from blocker.site import Enforcement, Limits

RATIOS_FROM = 1000  # live names below which ratios say nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What is applied now. `counts` are names by ref, `zones` those that the names were looked at for, `owed`
    the orders that an emergency let in and whose approvals are owed, `trust` is by what orders came in,
    `withheld` what the operator does not enforce; the empty policy is `NOTHING`. Where there is no store,
    `reached` is the number of the last generation that the ledger knows of, and `lapsed_from` since when the
    site lapsed what was not reviewed, None if it did not.
    """

    digest: str = ""
    number: int = 0
    quarantined: tuple[str, ...] = ()
    orders: Mapping[str, str]
    directives: Mapping[str, Scheduled]
    counts: Mapping[str, int]
    enforcement: Enforcement | None = None
    zones: tuple[str, ...] = ()
    owed: Mapping[str, Owed] = field(default_factory=dict)
    trust: Trust = field(default_factory=Trust)
    withheld: Mapping[str, tuple[Withheld, ...]] = field(default_factory=dict)
    reached: int = 0
    lapsed_from: int | None = None

    def enforcing(self, site: Enforcement, now: float) -> Enforcement:
        """The site's values as an apply `now` would keep them: with since when it lapses what is not
        reviewed. What was kept in force until then was so, whatever the site chooses now.
        """
        if site.lapses_from is None or not (self.number or self.reached):
            return site
        since = self.lapsed_from if self.enforcement is None else self.enforcement.lapses_from
        return replace(site, lapse_from=int(now) if since is None else since)


NOTHING = Live(orders={}, directives={}, counts={})


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What happens to one directive or cut: `what` is added, dropped or retimed. `names` are those that it
    has, of a cut those that it spares.

    `blocks` and `frees` say which way names go at some instant from now on; `explained` whether a newly
    applied order asks for it.
    """

    ref: str
    what: str
    names: int
    blocks: bool
    frees: bool
    explained: bool
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """From the policy with digest `base` to the one with digest `next`.

    `held` are the new orders that wait for a person to accept the plan. `regions` says who is newly in the
    site's regions and who is in them no more; `clients` is the digest of all of that; `shifts` how many
    addresses come and go in the regions that orders name. `review` is what the site's `review` becomes,
    empty if it stays. These move who is blocked and when, as orders do. `approvals` are those of each order
    that it brings; they are part of its digest, and not of the policy's. `rules` is the digest of the rules
    of approval from now on, where orders came in by others until now (`none`: by none); `rules_before` and
    `rules_after` say them in words.
    """

    base: str
    next: str
    changes: tuple[Change, ...]
    orders_added: tuple[str, ...]
    orders_dropped: tuple[str, ...]
    site_changes: tuple[str, ...]
    review: str = ""
    regions: tuple[str, ...] = ()
    clients: str = ""
    shifts: tuple[Shift, ...] = ()
    live_names: int
    added: int
    removed: int
    held: tuple[str, ...] = ()
    approvals: Mapping[str, tuple[Approval, ...]] = field(default_factory=dict)
    rules: str = ""
    rules_before: str = ""
    rules_after: str = ""

    @property
    def digest(self) -> str:
        """The plan's own digest, in hex: what a reviewer accepts, with what is held in it."""
        return hashlib.sha256("".join(f"{line}\n" for line in self._lines()).encode()).hexdigest()

    def _lines(self) -> Iterator[str]:
        yield self.base
        yield self.next
        if self.review:
            yield f"review {self.review}"
        if self.clients:
            yield f"clients {self.clients}"
        for order in self.held:
            yield f"held {order}"
        for order, approvals in sorted(self.approvals.items()):
            for one in sorted(approvals):
                yield json.dumps([order, one.who, one.key])
        if self.rules:
            yield json.dumps(["rules", self.rules])

    @property
    def is_empty(self) -> bool:
        return self.base == self.next and not self.site_changes and not self.changes and not self.rules


def policy_digest(orders: Mapping[str, str]) -> str:
    """The digest of the policy that these orders (id → digest of the file) make."""
    lines = "".join(f"{order} {digest}\n" for order, digest in sorted(orders.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


def make_plan(  # noqa: PLR0913 - what is live, what the orders make, what the site is
    live: Live,
    orders: Mapping[str, Order],
    scheduled: Iterable[Scheduled],
    counts: Mapping[str, int],
    enforcement: Enforcement,
    *,
    zones: tuple[str, ...] = (),
    unread: Mapping[str, str] | None = None,
    spares: Callable[[Scheduled], int] = lambda _: 0,
    now: float,
) -> Plan:
    """The plan from `live` to these orders. `counts` are names by ref, of new directives at least.

    `spares` counts the names that a cut spares; one without names is one as it is applied. It is asked about
    cuts that change what is blocked, and about no others. `zones` are those of the site. `unread` are applied
    orders (id → digest) that stay without being read.
    """
    wanted = {one.ref: one for one in scheduled}
    digests = {order.id: order.digest for order in orders.values()} | dict(unread or {})
    explained = _explained(orders, orders.keys() - live.orders.keys())
    changes = []
    for ref, one in sorted({**live.directives, **wanted}.items()):
        old, new = live.directives.get(ref), wanted.get(ref)
        replaced = new is not None and old is not None and live.orders.get(new.order) != digests[new.order]
        if old == new and not replaced:
            continue
        before, after = (_windows(old), _windows(new))
        gains = replaced or bool(beyond(after, before, now)) or _reaches_further(new, old)
        loses = replaced or bool(beyond(before, after, now)) or _reaches_further(old, new)
        cuts = _forms(old, new, replaced=replaced) if one.is_cut and (gains or loses) else ()
        changes.append(
            Change(
                ref=ref,
                what="added" if old is None else "dropped" if new is None else "retimed",
                names=max(counts.get(ref, 0), live.counts.get(ref, 0), *map(spares, cuts)),
                blocks=loses if one.is_cut else gains,
                frees=gains if one.is_cut else loses,
                explained=not replaced and (one.order in explained or not explained.isdisjoint(one.lineage)),
                windows=after,
            )
        )
    return Plan(
        base=live.digest,
        next=policy_digest(digests),
        changes=tuple(changes),
        orders_added=tuple(sorted(digests.keys() - live.orders.keys())),
        orders_dropped=tuple(sorted(live.orders.keys() - digests.keys())),
        site_changes=tuple(_site_changes(live, enforcement, zones)),
        review=_review(live, enforcement),
        regions=tuple(regions.moves(live.enforcement, enforcement)),
        clients=regions.digest(live.enforcement, enforcement),
        shifts=tuple(regions.shifts(live.enforcement, enforcement, wanted.values())),
        live_names=sum(
            live.counts.get(ref, 0)
            for ref, one in live.directives.items()
            if not one.is_cut and not one.is_ended(now)
        ),
        added=sum(change.names for change in changes if change.blocks),
        removed=sum(change.names for change in changes if change.frees and not change.explained),
    )


def guard(plan: Plan, limits: Limits) -> None:
    """Refuse an unusual plan. Raises TooMuchChange with the numbers, the limit and the way past it."""
    reasons = []
    if plan.rules:
        reasons.append(
            "the approvals in site.yaml are not those that orders came in by until now "
            f"(before: {plan.rules_before}; now: {plan.rules_after})"
        )
    for shift in plan.shifts:
        for is_more, count, limit in _beyond(limits, shift.gained, shift.lost, shift.was):
            reasons.append(
                f"region {shift.region} {'gains' if is_more else 'loses'} {regions.said(count)} addresses of "
                f"{shift.version}, it had {regions.said(shift.was)}; {limit}"
            )
    if plan.added > limits.max_added:
        reasons.append(f"it blocks {plan.added:,} more names, limits.max_added is {limits.max_added:,}")
    if plan.live_names > RATIOS_FROM:
        for is_more, count, limit in _beyond(limits, plan.added, plan.removed, plan.live_names):
            reasons.append(
                f"it {'blocks' if is_more else 'frees'} {count:,} names, {count / plan.live_names:.0%} of "
                f"the {plan.live_names:,} live ones; {limit}"
            )
    if reasons:
        raise TooMuchChange(
            f"the plan was not applied: {'; '.join(reasons)}. Read it with `blocker plan`; if it is right, "
            f"`blocker apply --accept {plan.digest} --reason TEXT` lets this one plan through"
        )


def _beyond(limits: Limits, more: int, less: int, of: int) -> Iterator[tuple[bool, int, str]]:
    """Which of them is a larger part than its limit allows: whether it is `more`, how many, and the limit."""
    if more > limits.max_added_ratio * of:
        yield True, more, f"limits.max_added_ratio is {limits.max_added_ratio:.0%}"
    if less > limits.max_removed_ratio * of:
        yield False, less, f"limits.max_removed_ratio is {limits.max_removed_ratio:.0%}"


def _explained(orders: Mapping[str, Order], added: Iterable[str]) -> frozenset[str]:
    """The newly applied orders, and every id and ref that they reach: shrinkage of those is asked for."""
    found: set[str] = set()
    for name in added:
        at = name
        while at and at not in found:
            found.add(at)
            at = orders[at].of if at in orders else ""
    return frozenset(found)


def _forms(old: Scheduled | None, new: Scheduled | None, *, replaced: bool) -> tuple[Scheduled, ...]:
    """The cut as it was and as it will be: one that reaches as far as both, if its names are the same."""
    if old is None or new is None or replaced:
        return tuple(one for one in (old, new) if one is not None)
    return (replace(new, cuts=tuple(sorted({*old.cuts, *new.cuts}))),)


def _windows(one: Scheduled | None) -> tuple[Window, ...]:
    return () if one is None else one.windows


def _reaches_further(one: Scheduled | None, other: Scheduled | None) -> bool:
    """Whether a cut of `one` holds for directives that `other` leaves alone."""
    return one is not None and other is not None and not set(one.cuts) <= set(other.cuts)


def _review(live: Live, new: Enforcement) -> str:
    return "" if live.enforcement is None or live.enforcement.review == new.review else new.review


def changed_settings(old: Enforcement, new: Enforcement) -> list[str]:
    """What the two say differently."""
    fields = ("regions", "default_region", "ttl", "max_ttl", "info_url", "review")
    return [name for name in fields if getattr(old, name) != getattr(new, name)]


def _site_changes(live: Live, new: Enforcement, zones: tuple[str, ...]) -> Iterable[str]:
    if live.enforcement is None:
        return
    yield from changed_settings(live.enforcement, new)
    if live.zones != zones:
        yield "zones"
