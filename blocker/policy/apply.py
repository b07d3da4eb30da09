"""From the orders folder to the live policy: prepare a plan, then apply it.

The shell around standing, plan, guard and the store's writer. Preparing changes nothing. Applying archives
the new orders first and then commits one transaction, so whatever happens in between, the old generation
or the new one is whole, and the archive has what the store speaks of.

Orders that `hold` holds make two plans of one: all of it, which a person accepts by its digest, and the rest
without them, which is applied unasked.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from blocker.approvals.files import Approved
from blocker.errors import StalePlan, StoreError
from blocker.orders import files
from blocker.orders.schedule import names_of
from blocker.policy import approving, archive, holding, ledger, outbox, plan, rules, told, writer
from blocker.policy.directives import by_role
from blocker.policy.examine import archived, content, examine, recall, standing_of
from blocker.policy.hold import NOBODY, Judged
from blocker.policy.records import Generation
from blocker.policy.sparing import Sparing
from blocker.yamltext import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from blocker.errors import Problem
    from blocker.names import Key
    from blocker.orders.files import Loaded
    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.examine import Examined
    from blocker.policy.plan import Live, Plan
    from blocker.policy.standing import Standing
    from blocker.site import Enforcement, Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A plan with all that applying it needs; `problems` are what the input is complained of.

    `signed` is what was found of the signatures over its new orders, `judged` what of their names. `rest`
    is the same without those that are held, None if none is. `unread` are applied orders (id → digest) that
    stay though they can't be read.
    """

    site: Site
    live: Live
    plan: Plan
    orders: Mapping[str, Order]
    scheduled: tuple[Scheduled, ...]
    enforcement: Enforcement
    problems: tuple[Problem, ...]
    quarantined: tuple[str, ...]
    loaded: Loaded
    signed: Approved = field(default_factory=Approved)
    judged: Judged = NOBODY
    rest: Prepared | None = None
    unread: Mapping[str, str] = field(default_factory=dict)

    @property
    def digests(self) -> dict[str, str]:
        """The orders of the policy that the plan makes: id → digest."""
        return {order.id: order.digest for order in self.orders.values()} | dict(self.unread)

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
        base = self.rest.plan.next
        left = replace(self.plan, base=base, review="", clients="", rules="", approvals=approvals)
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
        return content(self.site.state, self.loaded, names)


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
    sparing = Sparing(site.state, found.read, is_live=found.live.number > 0)
    whole = _prepared(site, found, found.standing, sparing, now)
    judged = holding.judge(
        site,
        found.live,
        whole.plan.changes,
        whole.orders,
        whole.scheduled,
        whole.read,
        progress=progress,
    )
    if not judged.holds:
        return replace(whole, judged=judged)
    standing = standing_of(site, found.live, found.loaded, found.signed.refused | judged.holds.keys(), now)
    rest = _prepared(site, found, standing, sparing, now)
    waits = tuple(sorted(whole.orders.keys() - rest.orders.keys() - judged.holds.keys()))
    return replace(
        whole,
        plan=replace(whole.plan, held=tuple(judged.holds)),
        judged=replace(judged, waits=waits),
        rest=rest,
    )


def _prepared(site: Site, found: Examined, standing: Standing, sparing: Sparing, now: float) -> Prepared:
    """The plan that makes these standing orders the policy."""
    live, loaded = found.live, found.loaded
    scheduled = tuple(standing.scheduled(found.enforcement.lapses_from))
    with sparing.counting(scheduled) as spares:
        made = plan.make_plan(
            live,
            standing.orders,
            scheduled,
            {one.ref: _count(one, loaded, live) for one in scheduled},
            found.enforcement,
            zones=site.zones,
            unread=standing.still.unread,
            spares=spares,
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
            rules_before=rules.before(live.trust),
            rules_after=rules.words(rules.kept(site.approvals)),
        ),
        orders=standing.orders,
        unread=standing.still.unread,
        scheduled=scheduled,
        enforcement=found.enforcement,
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
    is held in it. Raises TooMuchChange, StalePlan, NotApproved, StoreError, and OrdersInvalid if a names_file
    changed under us. `warn` is told if the ledger can't be written: the policy holds all the same.
    """
    site, whole = prepared.site, prepared
    prepared = whole.accepted(accept) if accept else whole.unasked
    if not accept:
        plan.guard(prepared.plan, site.limits)
    generation = Generation(
        number=max(prepared.live.number, prepared.live.reached) + 1,
        digest=prepared.plan.next,
        applied_at=now,
        by=by,
        reason=reason,
        quarantined=prepared.quarantined,
    )
    keep(prepared)
    approving.confirm(site, prepared.signed, prepared.loaded, prepared.live, prepared.plan.orders_added, now)
    owed = approving.let_in(prepared.signed, site, by=by, reason=reason, now=now)
    trust = approving.trust(site, prepared.signed, prepared.live.trust)
    writer.commit(
        site.state,
        writer.Target(
            generation=generation,
            orders=prepared.digests,
            directives=prepared.scheduled,
            enforcement=prepared.enforcement,
            read=prepared.loaded.read,
            zones=site.zones,
            owed=owed,
            trust=trust,
            former=partial(_former, prepared),
            withheld=prepared.live.withheld,
        ),
        base=prepared.live.digest,
        events=[*told.applied(prepared, generation, owed, trust, accept)],
        progress=progress,
    )
    outbox.tell(site.state, warn)
    return generation


def keep(prepared: Prepared) -> None:
    """Archive the orders of the plan that the archive doesn't have: new ones, and of what was lost or damaged
    all that the folder has. Raises StoreError; OrdersInvalid if a names_file changed under us.
    """
    state, loaded = prepared.site.state, prepared.loaded
    approving.keep(state, prepared.signed, loaded.sources)
    for order in prepared.orders.values():
        filed = loaded.filed.get(order.id)
        if filed is None or filed.order.digest != order.digest:
            continue
        archive.keep(state, order.digest, normal(loaded.sources[order.id]))
        for _, listed in files.lists_of(order):
            path = loaded.list_files.get(listed.sha256)
            if path is not None and not archive.holds(state, listed.sha256, files.size(path)):
                archive.keep(state, listed.sha256, loaded.octets(listed))


def _former(prepared: Prepared, one: Scheduled) -> Iterator[Key]:
    """The names of an applied directive, as far as the archive has them."""
    try:
        order = recall(prepared.site, one.order, prepared.live.orders[one.order]).order
        written = replace(one, names=names_of(order, one.ref))
        for keys in by_role(written, lambda names: archived(prepared.site, order, names)).values():
            yield from keys
    except (StoreError, KeyError):
        return


def note_held(prepared: Prepared, *, now: float, warn: Callable[[str], None]) -> None:
    """Tell the ledger which orders an apply left held and why, each once; `warn` as in `apply`."""
    state = prepared.site.state
    try:
        known = [(one.subject, one.facts) for one in ledger.entries(state, only=("held",))]
    except StoreError as error:
        warn(str(error))
        return
    events = told.held(prepared, known, now)
    if events and (trouble := ledger.note(state, *events)):
        warn(trouble)


def settle(
    prepared: Prepared, *, by: str, now: float, warn: Callable[[str], None] | None = None
) -> tuple[str, ...]:
    """Note the approvals that an emergency owed, where they are there now; of which orders. The ledger is
    told of that, and of what it could not be told before.

    Raises StalePlan and StoreError. `warn` as in `apply`.
    """
    given = approving.settle(
        prepared.site, prepared.signed, prepared.live, prepared.loaded.sources, by=by, now=now
    )
    outbox.tell(prepared.site.state, warn)
    return given


def _count(one: Scheduled, loaded: Loaded, live: Live) -> int:
    written = one.names
    if written.file is None:
        return len(written.subjects)
    if one.ref in live.counts:
        return live.counts[one.ref]
    return len(written.subjects) + len(loaded.read(written.file))
