"""A plan as a document: what a person reads before it is applied, and a machine reads as JSON.

Pure. Orders come first, each with who asks for it, on what ground, what it blocks, where and when, what its
names stand for, and why it is held if it is; then what changes for those applied before. The same plan
makes the same document: no time of its own is in it. Names are shown, also those of sealed orders: it is
the operator's own.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from blocker.orders import suffixes
from blocker.orders.model import Kind, Match
from blocker.orders.relations import order_of
from blocker.orders.schedule import due
from blocker.policy.radius import SHOWN, Found

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.timetable import Names, Scheduled, Window
    from blocker.policy.hold import Judged, Why
    from blocker.policy.plan import Change, Live, Plan

    Read = Callable[[NamesFile], NameList]

MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip

_RANK = {"held": 0, "waits": 1, "new": 2}


def document(  # noqa: PLR0913 - the plan and what it was made of
    plan: Plan,
    live: Live,
    orders: Mapping[str, Order],
    scheduled: Sequence[Scheduled],
    judged: Judged,
    read: Read,
    *,
    emergency: Collection[str] = (),
    unasked: Iterable[Scheduled] = (),
) -> dict[str, Any]:
    """The plan as a value that JSON can hold. `read` gives the content of a names_file, `emergency` are the
    orders that come in on fewer approvals, `unasked` the timetable without what is held.
    """
    by_order: dict[str, list[Scheduled]] = {}
    for one in scheduled:
        by_order.setdefault(one.order, []).append(one)
    withheld = {
        one.ref: since
        for one in (*live.directives.values(), *scheduled)
        if not one.is_cut and (since := _withheld(one, live)) is not None
    }
    counts = {change.ref: change.names for change in plan.changes}
    new = [
        {
            **_order(orders[id_], by_order.get(id_, ()), counts, judged, read, withheld),
            "approved_by": [
                {"who": one.who, "roles": list(one.roles), "key": one.key}
                for one in plan.approvals.get(id_, ())
            ],
            "is_emergency": id_ in emergency,
        }
        for id_ in plan.orders_added
    ]
    whole = {one.ref: one.windows for one in scheduled}
    meanwhile = {one.ref: in_force(one.windows) for one in unasked if one.windows != whole[one.ref]}
    for each in (each for one in new for each in one["directives"]):
        each["until_accepted"] = meanwhile.get(each["ref"], "")
    return {
        "digest": plan.digest,
        "base": plan.base,
        "next": plan.next,
        "generation": live.number,
        "added": plan.added,
        "removed": plan.removed,
        "withheld": sum(change.names for change in plan.changes if change.blocks and change.ref in withheld),
        "live_names": plan.live_names,
        "orders_added": list(plan.orders_added),
        "orders_dropped": list(plan.orders_dropped),
        "held": list(plan.held),
        "waits": list(judged.waits),
        "orders": sorted(new, key=lambda one: (_RANK[one["state"]], one["id"])),
        "site_changes": list(plan.site_changes),
        "review": plan.review,
        "regions": list(plan.regions),
        "changes": [_change(change, live, withheld) for change in plan.changes],
        "lists": {
            "missing": judged.is_blind,
            "package": judged.package,
            "suffixes": suffixes.version() if judged.radii else "",
            "editions": [{"name": one.name, "version": one.version} for one in judged.editions],
        },
    }


def instant(at: datetime | float) -> str:
    """An instant as people write it, in UTC: `1 February 2026, 00:00 UTC`."""
    moment = datetime.fromtimestamp(at, UTC) if isinstance(at, int | float) else at.astimezone(UTC)
    seconds = f":{moment.second:02}" if moment.second else ""
    return f"{moment.day} {MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}{seconds} UTC"


def in_force(windows: Iterable[Window]) -> str:
    """Half-open windows in words."""
    spoken = [
        f"from {instant(start)} {'until further notice' if end is None else f'until {instant(end)}'}"
        for start, end in windows
    ]
    return "; ".join(spoken) or "never"


def _order(
    order: Order,
    written: Iterable[Scheduled],
    counts: Mapping[str, int],
    judged: Judged,
    read: Read,
    withheld: Mapping[str, float],
) -> dict[str, Any]:
    held, radius = judged.holds.get(order.id, ()), judged.radii.get(order.id)
    waits = order.id in judged.waits
    to_be_done = due(order)
    directives = [_directive(one, counts, read, withheld) for one in written]
    return {
        "id": order.id,
        "state": "held" if held else "waits" if waits else "new",
        "kind": str(order.kind),
        "authority": {
            "name": order.authority.name,
            "jurisdiction": order.authority.jurisdiction,
            "contact": order.authority.contact,
        },
        "legal_basis": list(order.legal_basis),
        "reference": order.reference,
        "issued": instant(order.issued),
        "received": instant(order.received) if order.received else "",
        "due": "" if to_be_done is None else instant(to_be_done),
        "publication": str(order.publication),
        "file": order.digest,
        "document": order.document.sha256 if order.document else "",
        "act": _act(order),
        "waits_for": order_of(order.of) if waits else "",
        "names": sum(one["names"] for one in directives if not one["is_cut"]),
        "directives": directives,
        "depths": dict(radius.depths) if radius else {},
        "covers": [{"name": str(one), "count": count} for one, count in radius.covers] if radius else [],
        "why": [_why(why) for why in held],
    }


def _act(order: Order) -> str:
    """What an order does to another, in words; empty for a block."""
    if order.start is None:
        return ""
    since = f"from {instant(order.start)}"
    if order.kind is Kind.SUSPEND:
        till = f"until {instant(order.until)}" if order.until else "until it is reinstated"
        return f"puts {order.of} out of force {since} {till}"
    if order.kind is not Kind.AMEND:
        return f"{'lifts' if order.kind is Kind.LIFT else 'reinstates'} {order.of} {since}"
    does = [
        *(["adds names"] if order.directives else []),
        *(["takes names away"] if order.remove or order.remove_file else []),
        *([f"sets its end to {instant(order.until)}"] if order.until else []),
        *([f"is to be reviewed by {instant(order.review_by)}"] if order.review_by else []),
    ]
    return f"amends {order.of} {since}: {', '.join(does)}"


def _withheld(one: Scheduled, live: Live) -> float | None:
    """Since when the operator does not enforce the directive."""
    acts = [act.at for name in one.lineage & live.withheld.keys() for act in live.withheld[name]]
    return min(acts, default=None)


def _until_released(ref: str, withheld: Mapping[str, float]) -> str:
    if ref not in withheld:
        return ""
    return f"by this operator since {instant(round(withheld[ref]))}, and so it stays until it is released"


def _directive(
    one: Scheduled, counts: Mapping[str, int], read: Read, withheld: Mapping[str, float]
) -> dict[str, Any]:
    first = list(islice(_names(one.names, read), SHOWN + 1))
    count = counts.get(one.ref, len(first))
    listed = 0 if one.names.file is None else len(read(one.names.file))
    written = len(one.names.subjects) + listed
    return {
        "ref": one.ref,
        "is_cut": one.is_cut,
        "action": str(one.action),
        "regions": list(one.regions),
        "in_force": in_force(one.windows),
        "withheld": _until_released(one.ref, withheld),
        "review_by": "" if one.review_by is None else instant(one.review_by),
        "names": count,
        "written": written,
        "first": first if len(first) <= SHOWN else first[:SHOWN],
        "excepts": [str(subject) for subject in islice(one.names.excepts, SHOWN)],
        "excepts_count": len(one.names.excepts),
    }


def _names(written: Names, read: Read) -> Iterator[str]:
    """The names of a directive as people read them: how far each reaches is said."""
    for subject in written.subjects:
        yield str(Found(subject.key, subject.match))
    if written.file is not None:
        listed = read(written.file)
        for key in listed.keys:
            yield str(Found(key, written.match))
        for key in listed.below:
            yield str(Found(key, Match.BELOW))


def _why(why: Why) -> dict[str, Any]:
    return {
        "id": why.id,
        "count": why.count,
        "first": [str(one) for one in why.first],
        "sentence": why.sentence,
    }


def _change(change: Change, live: Live, withheld: Mapping[str, float]) -> dict[str, Any]:
    was = live.directives.get(change.ref)
    return {
        "ref": change.ref,
        "what": change.what,
        "names": change.names,
        "windows": [list(window) for window in change.windows],
        "in_force": in_force(change.windows),
        "withheld": _until_released(change.ref, withheld),
        "was": "" if was is None else in_force(was.windows),
    }
