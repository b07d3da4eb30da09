"""The orders folder beside what is applied: which form of each order stands, and what is complained of.

Shell. It reads the folder, the live policy, the archive and the signatures, and changes nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from blocker.approvals import files as signatures
from blocker.errors import NothingApplied, Problem, StoreError
from blocker.orders import check, files, names_file, parse, relations
from blocker.orders.digests import Digests
from blocker.policy import archive, ledger, plan, remembered, removed
from blocker.policy.protect import protected_names
from blocker.policy.reader import Reader
from blocker.policy.standing import Standing, stand
from blocker.yamltext import normal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from blocker.approvals.files import Approved
    from blocker.orders.files import Loaded
    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.parse import Filed
    from blocker.policy.chain import Entry
    from blocker.policy.plan import Live
    from blocker.site import Enforcement, Site

_TOLD = 3  # troubles of many in one sentence


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
                withheld=policy.withheld,
            )
    finally:
        reader.close()


def _live(state: Path) -> tuple[Live, list[Problem]]:
    """What is applied now. Where there is no store: what the operator withholds, and how far generations
    counted, as the ledger has it. A ledger that is not whole keeps nothing out, and is complained of.
    """
    live = live_policy(state)
    if live.number:
        return live, []
    rows: list[Entry] = []
    troubles: list[str] = []
    try:
        rows.extend(ledger.entries(state, only=remembered.EVENTS))  # As far as it can be read.
        troubles += ledger.verify(state)
    except StoreError as error:
        troubles.append(str(error))
    known = remembered.remember(rows)
    troubles += [f"it was never told of {event!r}, {count} of them" for event, count in known.untold.items()]
    problems = [_not_whole(state, troubles)] if troubles else []
    live = replace(live, withheld=known.withheld, reached=known.number, lapsed_from=known.lapses_from)
    return live, problems


def _not_whole(state: Path, troubles: Sequence[str]) -> Problem:
    more = f", and {len(troubles) - _TOLD} more" if len(troubles) > _TOLD else ""
    return Problem(
        id="ledger-not-whole",
        path=str(state / ledger.FILE),
        severity="warning",
        message="there is no policy store, and of what was withheld and rolled back, and of the number of "
        f"the last generation, only the ledger knows. It is not whole: {'; '.join(troubles[:_TOLD])}{more}. "
        "An apply blocks again what the ledger doesn't tell to be withheld, and may give numbers a second "
        "time: read the plan. If it can wait, restore the ledger from its backup before; if not, "
        "`blocker withhold` what is missing, after.",
    )


def recall(site: Site, order: str, digest: str) -> Filed:
    """The applied form of an order: from the archive, or from the orders folder if the archive has lost it
    and the file is unchanged. Raises StoreError.
    """
    shown = str(site.state / "archive" / digest)
    octets = archive.fetch(site.state, digest, lambda: normal(files.source(site.orders, order)))
    filed, problems = parse.read(octets, path=shown, id_=order)
    if filed is None:
        reasons = "; ".join(str(problem) for problem in problems)
        raise StoreError(f"{shown}: the applied order {order} can't be read by this version: {reasons}")
    return filed


def recall_all(site: Site, digests: Mapping[str, str]) -> tuple[dict[str, Order], dict[str, StoreError]]:
    """The applied forms of these orders (id → digest), and of those that can't be read what the matter is."""
    found, unread = {}, {}
    for id_, digest in digests.items():
        try:
            found[id_] = recall(site, id_, digest).order
        except StoreError as error:
            unread[id_] = error
    return found, unread


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """The orders folder beside what is applied; `enforcement` is what the site's values would be if it were
    applied now.
    """

    site: Site
    enforcement: Enforcement
    live: Live
    loaded: Loaded
    standing: Standing
    problems: tuple[Problem, ...]
    signed: Approved

    def read(self, names: NamesFile) -> NameList:
        """The content of a names_file, beside its order or as it was applied."""
        return content(self.site.state, self.loaded, names)


def content(state: Path, loaded: Loaded, names: NamesFile) -> NameList:
    """A names_file beside its order, or as it was applied."""
    if names.sha256 in loaded.list_files:
        return loaded.read(names)
    listing, _ = names_file.parse(archive.fetch(state, names.sha256), names.file)
    return listing.names


def archived(site: Site, order: Order, names: NamesFile) -> NameList:
    """A names_file of an order as it was applied, whence `recall` has it. Raises StoreError."""
    octets = archive.fetch(site.state, names.sha256, lambda: files.source(site.orders, order.id, names.file))
    listing, _ = names_file.parse(octets, names.file)
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
    live, doubts = _live(site.state)
    digests = Digests(site.state, now=now)
    load = partial(files.load, site.orders, check.Facts.of(site), digests=digests, progress=progress)
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
        lambda order: recall(site, order, live.orders[order]).order,
        owed=live.owed,
        since=live.trust.issued,
        emergency=emergency,
        now=now,
        progress=progress,
    )
    standing = standing_of(site, live, loaded, signed.refused, now)
    # What orders are about is judged among the standing forms, not the files alone.
    own = (problem for problem in loaded.problems if problem.id not in relations.IDS)
    idle = _idle_removals(site, live, loaded, standing) if whole else ()
    problems = (*doubts, *own, *standing.problems, *signed.problems, *late, *idle)
    return Examined(
        site=site,
        enforcement=live.enforcing(site.enforcement, now),
        live=live,
        loaded=loaded,
        standing=standing,
        problems=problems,
        signed=signed,
    )


def standing_of(site: Site, live: Live, loaded: Loaded, out: Collection[str], now: float) -> Standing:
    """The standing orders, if these are left out beside the broken ones."""
    return stand(
        {id_: one for id_, one in loaded.filed.items() if id_ not in out},
        loaded.broken.union(out),
        live,
        lambda order, digest: recall(site, order, digest),
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
            return list(removed.check(policy, new, standing.scheduled(), loaded.lists))
    finally:
        reader.close()
