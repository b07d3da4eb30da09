"""What came into force since a generation, and what of it can be undone without freeing what that generation
enforces, too.

Pure. Not every order that came has to be undone: a lift or an exception frees names, and undoing it would
block them again. What blocks more than before does: new directives, those that an act brought back or made to
last longer, and those of which an exception went. Withholding takes the whole of a directive, so one that the
generation enforces at this instant, by its own orders, is left as it is: it has grown, and is told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from blocker.orders.timetable import beyond

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled, Span
    from blocker.policy.records import Withheld


_MARKED = re.compile(r"(rollback to generation \d+): ")
_BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Left:
    """A directive that blocks more than it did, and must not be withheld.

    `longer` is the first stretch at which it is in force and was not to be, if there is one; `cuts` are those
    that it was to be spared of by and is no longer. `shields` are other directives that would be withheld
    with it: it is for them alone that it is left, if there are any. `by` are the ids of the orders that came
    since and are about it, or about its cuts.
    """

    ref: str
    longer: Span | None = None
    cuts: tuple[str, ...] = ()
    shields: tuple[str, ...] = ()
    by: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Undoing:
    """What a rollback does: `refs` are the ids of orders and refs of directives to be withheld, sorted.
    `later` tells of those that the older orders alone would have in force at a later time, from when (epoch
    seconds). `kept` are new directives in the stead of older ones, which they continue. `freed` is what
    `policy.freed` finds. `site` says which settings of the site changed since, `unread` are the orders that
    came since of whose family one can't be read: what they changed of older orders is not known, and not
    undone.
    """

    refs: tuple[str, ...] = ()
    later: Mapping[str, float]
    left: tuple[Left, ...] = ()
    kept: Mapping[str, str] = field(default_factory=dict)
    freed: Mapping[str, int] = field(default_factory=dict)
    site: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()


def reason_of(generation: int, why: str) -> str:
    """What is kept with everything that a rollback withholds."""
    return f"{_mark(generation)}{why}"


def is_of(reason: str, generation: int) -> bool:
    """Whether it was a rollback to this generation that withheld it."""
    return reason.startswith(_mark(generation))


def is_by_hand(reason: str) -> bool:
    """Whether no rollback withheld it."""
    return not _MARKED.match(reason)


def kind(reason: str) -> str:
    """Of which kind an act is: `by hand` or `rollback to generation N`. A ref has one of each at most."""
    found = _MARKED.match(reason)
    return found[1] if found else _BY_HAND


def with_act(acts: Iterable[Withheld], one: Withheld) -> tuple[Withheld, ...]:
    """The acts that withhold a ref, with one more: one of the same kind it replaces."""
    return (*(act for act in acts if kind(act.reason) != kind(one.reason)), one)


def _mark(generation: int) -> str:
    return f"rollback to generation {generation}: "


def undoing(
    before: Iterable[Scheduled],
    after: Iterable[Scheduled],
    t: float,
    *,
    orders: Mapping[str, Order] = MappingProxyType({}),
    came: Collection[str] = (),
) -> Undoing:
    """How to undo, from `t` on, that `after` blocks more than `before`: never by freeing what both enforce at
    `t`. A new directive goes with its whole order. `came` are the ids of those of the orders that `before`
    had not.
    """
    old = {one.ref: one for one in before}
    new = {one.ref: one for one in after}
    # What goes on with something older is judged as that, and not withheld with what else its order brought.
    older = _continued(orders, old)
    apart = {new[ref].order for ref in older if ref in new}
    enforced = {
        ref
        for ref, one in new.items()
        if not one.is_cut
        and one.in_force(t)
        and (was := old.get(older.get(ref, ref))) is not None
        and was.in_force(t)
    }
    refs: dict[str, float | None] = {}
    left, kept = [], {}
    for ref, one in sorted(new.items()):
        if one.is_cut:
            continue
        was = old.get(older.get(ref, ref))
        longer = beyond(one.windows, () if was is None else was.windows, t)
        cuts = tuple(
            sorted(cut.ref for cut in old.values() if ref in cut.cuts and _is_less(cut, new, one, t))
        )
        if not (longer or cuts):
            if ref in older and one.in_force(t):
                kept[ref] = older[ref]
            continue
        name = one.order if was is None and one.order not in apart else ref
        shields = tuple(sorted(other for other in enforced if name in new[other].lineage))
        if shields or not longer:
            left.append(
                Left(
                    ref=ref,
                    longer=longer[0] if longer else None,
                    cuts=cuts,
                    shields=() if ref in enforced else shields,
                    by=_about(one.lineage.union(*(old[cut].lineage for cut in cuts)), orders, came),
                )
            )
        else:
            again = [] if was is None else beyond(was.windows, (), t)
            refs[name] = again[0][0] if again else None
    return Undoing(
        refs=tuple(sorted(refs)),
        later={ref: at for ref, at in refs.items() if at is not None},
        left=tuple(left),
        kept=kept,
    )


def _continued(orders: Mapping[str, Order], old: Collection[str]) -> dict[str, str]:
    """Of the new directives that continue one of the old ones, also by another new one: which, by ref."""
    continues = {
        f"{order.id}/{one.id}": one.continues
        for order in orders.values()
        for one in order.directives
        if one.continues
    }
    found = {}
    for ref in continues.keys() - old:
        at, seen = ref, {ref}
        while at not in old and (at := continues.get(at, "")) and at not in seen:
            seen.add(at)
        if at in old:
            found[ref] = at
    return found


def _is_less(cut: Scheduled, new: Mapping[str, Scheduled], one: Scheduled, t: float) -> bool:
    """Whether the cut no longer spares something at an instant at which the directive is in force."""
    now = new.get(cut.ref)
    stands = now.windows if now is not None and one.ref in now.cuts else ()
    gone = beyond(cut.windows, stands, t)
    return len(beyond(one.windows, beyond(one.windows, gone, t), t)) > 0


def _about(reached: frozenset[str], orders: Mapping[str, Order], came: Collection[str]) -> tuple[str, ...]:
    """Those that came and are about what is reached, or about an order that is."""
    found = []
    for id_ in sorted(came):
        seen = {id_}
        of = orders[id_].of
        while of in orders and of not in reached | seen:
            seen.add(of)
            of = orders[of].of
        if of in reached:
            found.append(id_)
    return tuple(found)
