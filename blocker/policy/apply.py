"""From the orders folder to the live policy: prepare a plan, then apply it.

The shell around standing, plan, guard and the store's writer. Preparing changes nothing. Applying archives
the new orders first and then commits one transaction, so whatever happens in between, the old generation
or the new one is whole, and the archive has what the store speaks of.

Orders that `hold` holds make two plans of one: all of it, which a person accepts by its digest, and the rest
without them, which is applied unasked.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from blocker.approvals import files as signatures
from blocker.approvals.files import Approved
from blocker.errors import NothingApplied, StalePlan, StoreError
from blocker.orders import check, files, names_file, parse, relations
from blocker.orders.digests import Digests
from blocker.orders.model import instant
from blocker.orders.schedule import names_of, schedule
from blocker.policy import approving, archive, holding, ledger, overdue, plan, removed, writer
from blocker.policy.chain import Event
from blocker.policy.directives import by_role
from blocker.policy.hold import NOBODY, Judged
from blocker.policy.protect import protected_names
from blocker.policy.reader import Reader
from blocker.policy.records import Generation
from blocker.policy.standing import Standing, stand
from blocker.yamltext import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from blocker.errors import Problem
    from blocker.names import Key
    from blocker.orders.files import Loaded
    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.parse import Filed
    from blocker.orders.timetable import Scheduled
    from blocker.policy.plan import Live, Plan
    from blocker.policy.records import Owed
    from blocker.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan with all that applying it needs; `problems` are what the input is complained of.

    `signed` is what was found of the signatures over its new orders, `judged` what of their names. `rest`
    is the same without those that are held, None if none is.
    """

    site: Site
    live: Live
    plan: Plan
    orders: Mapping[str, Order]
    scheduled: tuple[Scheduled, ...]
    problems: tuple[Problem, ...]
    quarantined: tuple[str, ...]
    loaded: Loaded
    signed: Approved = field(default_factory=Approved)
    judged: Judged = NOBODY
    rest: Prepared | None = None

    @property
    def unasked(self) -> Prepared:
        """What is applied without anybody's acceptance."""
        return self.rest or self

    def accepted(self, digest: str) -> Prepared:
        """The plan with this digest: all of it, or the rest without what is held. Raises StalePlan."""
        for one in (self, self.unasked):
            if one.plan.digest == digest:
                return one
        raise StalePlan(
            f"the plan is {self.plan.digest} now, {digest[:16]}… was accepted: the orders, the live policy "
            "or the lists that orders are judged by changed since; read it again with `blocker plan`"
        )

    @property
    def afterwards(self) -> str:
        """The digest of the plan for what is held, once the rest is applied."""
        if self.rest is None or self.rest.is_idle:
            return self.plan.digest
        applied = self.rest.orders
        approvals = {id_: given for id_, given in self.plan.approvals.items() if id_ not in applied}
        left = replace(self.plan, base=self.rest.plan.next, review="", rules="", approvals=approvals)
        return left.digest

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to apply."""
        return self.plan.is_empty and self.live.number > 0 and self.live.quarantined == self.quarantined

    @property
    def unseen(self) -> frozenset[str]:
        """The refs whose names nobody looked at yet for every zone of the site."""
        if set(self.site.zones) <= set(self.live.zones):
            return frozenset(change.ref for change in self.plan.changes if change.what == "added")
        return frozenset(one.ref for one in self.scheduled)

    def read(self, names: NamesFile) -> NameList:
        """The content of a names_file, beside its order or as it was applied."""
        return _content(self.site.state, self.loaded, names)


def facts(site: Site) -> check.Facts:
    """What this site's orders are checked against."""
    return check.Facts(regions=frozenset(site.enforcement.regions), protected=frozenset(site.protected))


def live_policy(state: Path) -> Live:
    """What is applied now; plan.NOTHING if there is no store yet. Raises StoreError."""
    try:
        reader = Reader(state)
    except NothingApplied:
        return plan.NOTHING
    try:
        with reader.snapshot() as policy:
            counts = policy.counts()
            return plan.Live(
                digest=policy.generation.digest,
                number=policy.generation.number,
                quarantined=policy.generation.quarantined,
                orders=policy.orders,
                directives={one.ref: one for one in policy.directives.values()},
                counts={policy.directives[number].ref: count for number, count in counts.items()},
                enforcement=policy.enforcement,
                zones=policy.zones,
                owed=policy.owed,
                trust=policy.trust,
            )
    finally:
        reader.close()


def recall(state: Path, order: str, digest: str) -> Filed:
    """The applied form of an order, from the archive. Raises StoreError."""
    shown = str(state / "archive" / digest)
    filed, problems = parse.read(archive.fetch(state, digest), path=shown, id_=order)
    if filed is None:
        reasons = "; ".join(str(problem) for problem in problems)
        raise StoreError(f"{shown}: the applied order {order} can't be read by this version: {reasons}")
    return filed


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The orders folder beside what is applied."""

    state: Path
    live: Live
    loaded: Loaded
    standing: Standing
    problems: tuple[Problem, ...]
    signed: Approved

    def read(self, names: NamesFile) -> NameList:
        """The content of a names_file, beside its order or as it was applied."""
        return _content(self.state, self.loaded, names)


def _content(state: Path, loaded: Loaded, names: NamesFile) -> NameList:
    if names.sha256 in loaded.list_files:
        return loaded.read(names)
    return _archived(state, names)


def _archived(state: Path, names: NamesFile) -> NameList:
    listing, _ = names_file.parse(archive.fetch(state, names.sha256), names.file)
    return listing.names


def examine(
    site: Site,
    *,
    now: float,
    whole: bool = False,
    emergency: Collection[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Examined:
    """Read the orders and find which form of each stands. Raises OrdersInvalid, StoreError.

    The names of lists applied before are read again only if one of them is protected by now, and if `whole`:
    then the complaint has its line. `emergency` are the ids of orders that a person lets in by the site's
    emergency; raises NotApproved if one of those can't be.
    """
    live = live_policy(site.state)
    digests = Digests(site.state, now=now)
    load = partial(files.load, site.orders, facts(site), digests=digests, progress=progress)
    loaded = load(known=live.orders.items())
    late = _protected_since(site, live, loaded)
    if whole and late:
        loaded, late = load(), []
    digests.keep()
    signed = signatures.examine(
        site,
        loaded.filed,
        loaded.sources,
        live.orders,
        lambda order: recall(site.state, order, live.orders[order]).order,
        owed=live.owed,
        since=live.trust.issued,
        emergency=emergency,
        now=now,
        progress=progress,
    )
    standing = _stand(site, live, loaded, signed.refused, now)
    # What orders are about is judged among the standing forms, not the files alone.
    own = (problem for problem in loaded.problems if problem.id not in relations.IDS)
    idle = _idle_removals(site, live, loaded, standing) if whole else ()
    problems = (*own, *standing.problems, *signed.problems, *late, *idle)
    return Examined(
        state=site.state, live=live, loaded=loaded, standing=standing, problems=problems, signed=signed
    )


def _stand(site: Site, live: Live, loaded: Loaded, out: Collection[str], now: float) -> Standing:
    """The standing orders, if these are left out beside the broken ones."""
    return stand(
        {id_: one for id_, one in loaded.filed.items() if id_ not in out},
        loaded.broken.union(out),
        live.orders,
        lambda order, digest: recall(site.state, order, digest),
        now=now,
        folder=str(site.orders),
        archive=str(site.state / "archive"),
    )


def _protected_since(site: Site, live: Live, loaded: Loaded) -> list[Problem]:
    """What the lists that weren't read again have against the protected names of today."""
    unread = {
        order.id
        for order in loaded.orders
        if live.orders.get(order.id) == order.digest and any(files.lists_of(order))
    }
    if not unread:
        return []
    reader = Reader(site.state)
    try:
        with reader.snapshot() as policy:
            return list(protected_names(policy, site.protected, unread))
    finally:
        reader.close()


def _idle_removals(site: Site, live: Live, loaded: Loaded, standing: Standing) -> list[Problem]:
    """What new amends remove from lists that weren't read, and isn't there."""
    new = {
        id_: loaded.filed[id_]
        for id_, order in standing.orders.items()
        if id_ not in live.orders and (order.remove or order.remove_file)
    }
    if not new or not live.number:
        return []
    reader = Reader(site.state)
    try:
        with reader.snapshot() as policy:
            return list(removed.check(policy, new, schedule(standing.orders.values()), loaded.lists))
    finally:
        reader.close()


def prepare(
    site: Site,
    *,
    now: float,
    emergency: Collection[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> Prepared:
    """Read the orders and plan what applying them would change. Raises OrdersInvalid, StoreError.

    `emergency` as in `examine`.
    """
    found = examine(site, now=now, emergency=emergency, progress=progress)
    whole = _prepared(site, found, found.standing, now)
    judged = holding.judge(
        site,
        found.live,
        whole.plan.changes,
        whole.orders,
        whole.scheduled,
        whole.read,
        now=now,
        progress=progress,
    )
    if not judged.holds:
        return replace(whole, judged=judged)
    standing = _stand(site, found.live, found.loaded, found.signed.refused | judged.holds.keys(), now)
    rest = _prepared(site, found, standing, now)
    waits = tuple(sorted(whole.orders.keys() - rest.orders.keys() - judged.holds.keys()))
    return replace(
        whole,
        plan=replace(whole.plan, held=tuple(judged.holds)),
        judged=replace(judged, waits=waits),
        rest=rest,
    )


def _prepared(site: Site, found: Examined, standing: Standing, now: float) -> Prepared:
    """The plan that makes these standing orders the policy."""
    live, loaded = found.live, found.loaded
    scheduled = tuple(schedule(standing.orders.values(), lapse=site.enforcement.lapses))
    made = plan.make_plan(
        live,
        standing.orders,
        scheduled,
        {one.ref: _count(one, loaded, live) for one in scheduled},
        site.enforcement,
        zones=site.zones,
        now=now,
    )
    approved = found.signed.approved
    return Prepared(
        site=site,
        live=live,
        plan=replace(
            made,
            approvals={id_: approved[id_] for id_ in made.orders_added if id_ in approved},
            rules=approving.new_rules(site, live.trust),
        ),
        orders=standing.orders,
        scheduled=scheduled,
        problems=found.problems,
        quarantined=standing.quarantined,
        loaded=loaded,
        # An emergency lets nothing in that is held all the same.
        signed=replace(found.signed, emergency=found.signed.emergency & standing.orders.keys()),
    )


def apply(
    prepared: Prepared,
    *,
    by: str,
    now: float,
    accept: str = "",
    reason: str = "",
    progress: Callable[[str, int, int], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Generation:
    """Make the plan the live policy, without what is held in it unless it is accepted; the new generation.

    `accept` is the digest of a plan that a person reviewed: it lets that one plan past the guard, and what
    is held in it. Raises TooMuchChange, StalePlan, StoreError, and OrdersInvalid if a names_file changed
    under us. `warn` is told if the ledger can't be written: the policy holds all the same.
    """
    site, whole = prepared.site, prepared
    prepared = whole.accepted(accept) if accept else whole.unasked
    if not accept:
        plan.guard(prepared.plan, site.limits)
    generation = Generation(
        number=prepared.live.number + 1,
        digest=prepared.plan.next,
        applied_at=now,
        by=by,
        reason=reason,
        quarantined=prepared.quarantined,
    )
    _archive(prepared)
    owed = approving.let_in(prepared.signed, site, by=by, reason=reason, now=now)
    writer.commit(
        site.state,
        writer.Target(
            generation=generation,
            orders={order.id: order.digest for order in prepared.orders.values()},
            directives=prepared.scheduled,
            enforcement=site.enforcement,
            read=prepared.loaded.read,
            zones=site.zones,
            owed=owed,
            trust=approving.trust(site, prepared.signed, prepared.live.trust),
            former=partial(_former, prepared),
        ),
        base=prepared.live.digest,
        progress=progress,
    )
    if (trouble := ledger.note(site.state, *_told(prepared, generation, owed, accept))) and warn is not None:
        warn(trouble)
    return generation


def _former(prepared: Prepared, one: Scheduled) -> Iterator[Key]:
    """The names of an applied directive, as far as the archive has them."""
    state = prepared.site.state
    try:
        order = recall(state, one.order, prepared.live.orders[one.order]).order
        written = replace(one, names=names_of(order, one.ref))
        for keys in by_role(written, lambda names: _archived(state, names)).values():
            yield from keys
    except (StoreError, KeyError):
        return


def _told(
    prepared: Prepared, generation: Generation, owed: Mapping[str, Owed], accept: str
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
    yield from approving.events(prepared.signed, _brought(prepared), prepared.loaded.sources, owed, at)
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
    if accept:
        yield _accepted(prepared, generation)
    yield _applied(prepared, generation)
    yield from overdue.overdue(overdue.reviews(prepared.scheduled, at), at)


def settle(prepared: Prepared, *, now: float, warn: Callable[[str], None] | None = None) -> tuple[str, ...]:
    """Note the approvals that an emergency owed, where they are there now; of which orders.

    Raises StoreError. `warn` as in `apply`.
    """
    return approving.settle(prepared.site, prepared.signed, prepared.live, prepared.loaded.sources, now, warn)


def _brought(prepared: Prepared) -> dict[str, str]:
    before = prepared.live.orders
    return {
        order.id: order.digest for order in prepared.orders.values() if before.get(order.id) != order.digest
    }


def note_held(prepared: Prepared, *, now: float, warn: Callable[[str], None]) -> None:
    """Tell the ledger which orders an apply left held and why, each once; `warn` as in `apply`."""
    state = prepared.site.state
    try:
        told = [(one.subject, one.facts) for one in ledger.entries(state, only=("held",))]
    except StoreError as error:
        warn(str(error))
        return
    events = []
    for order, whys in prepared.judged.holds.items():
        detail = {"file": prepared.orders[order].digest, "reasons": {why.id: why.count for why in whys}}
        if (order, detail) not in told:
            events.append(Event(at=now, event="held", subject=order, detail=detail))
    if events and (trouble := ledger.note(state, *events)):
        warn(trouble)


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
    before = prepared.live.orders
    return Event(
        at=generation.applied_at,
        event="applied",
        detail={
            "generation": generation.number,
            "policy": generation.digest,
            "by": generation.by,
            "reason": generation.reason,
            "review": prepared.site.enforcement.review,
            "orders": _brought(prepared),
            "gone": sorted(before.keys() - prepared.orders.keys()),
        },
    )


def _count(one: Scheduled, loaded: Loaded, live: Live) -> int:
    written = one.names
    if written.file is None:
        return len(written.subjects)
    if one.ref in live.counts:
        return live.counts[one.ref]
    return len(written.subjects) + len(loaded.read(written.file))


def _archive(prepared: Prepared) -> None:
    state, loaded = prepared.site.state, prepared.loaded
    approving.keep(state, prepared.signed, loaded.sources)
    for order in prepared.orders.values():
        if prepared.live.orders.get(order.id) == order.digest or order.id not in loaded.sources:
            continue
        archive.keep(state, order.digest, normal(loaded.sources[order.id]))
        for _, listed in files.lists_of(order):
            archive.keep(state, listed.sha256, loaded.octets(listed))
