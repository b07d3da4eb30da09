"""What stays as it is because an applied form can't be read: the families of such orders, as they are live.

Pure. What the orders of a family mean together can't be told while one of them can't be read: a block without
its lift would hold again. So nothing of the family changes until it can. Which family an order belongs to is
known from the store, which has its directives, or from its file as it is now; where neither says, the family
is one that without the order would not be what the store has.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blocker.names import ancestry
from blocker.orders import relations
from blocker.orders.model import Match, Subject
from blocker.orders.schedule import names_of, schedule
from blocker.orders.timetable import Names
from blocker.policy.directives import SUBJECT_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from blocker.names import Key
    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.protect import Searchable

_MOST = 1000  # names looked at below the one that is asked for

_MATCH = {
    Role.EXACT: Match.EXACT,
    Role.SUBTREE: Match.SUBTREE,
    Role.BELOW: Match.BELOW,
    Role.EXCEPT: Match.SUBTREE,
    Role.EXCEPT_BELOW: Match.BELOW,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Still:
    """The applied orders that can't be read (id → digest); the ids of all that is applied of their families;
    and the live directives of those, with the names of the orders that can be read.
    """

    unread: Mapping[str, str] = field(default_factory=dict)
    members: frozenset[str] = frozenset()
    directives: tuple[Scheduled, ...] = ()


def keep(
    unread: Mapping[str, str],
    read: Mapping[str, Order],
    live: Mapping[str, Scheduled],
    about: Mapping[str, str],
    *,
    lapses_from: int | None = None,
) -> Still:
    """What must stay.

    `unread` are the applied orders that can't be read (id → digest), `read` all others, `live` the applied
    directives by ref. `about` is what the files of the unread ones say now that they are of. `lapses_from` as
    in `schedule`, when the live policy was made.
    """
    if not unread:
        return Still()
    near = dict[str, set[str]]()
    for id_, of in _kinships(read, live, about):
        near.setdefault(id_, set()).add(of)
        near.setdefault(of, set()).add(id_)
    reached: set[str] = set()
    todo = {*unread, *_differing(read, live, lapses_from)}
    while todo:
        reached |= todo
        todo = {other for id_ in todo for other in near.get(id_, ())} - reached
    return Still(
        unread=dict(unread),
        members=frozenset(reached & {*read, *unread}),
        directives=tuple(
            replace(one, names=names_of(read[one.order], one.ref)) if one.order in read else one
            for one in live.values()
            if one.order in reached
        ),
    )


def _kinships(
    read: Mapping[str, Order], live: Mapping[str, Scheduled], about: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """The pairs of ids that belong to one family."""
    for order in read.values():
        if order.of:
            yield order.id, relations.order_of(order.of)
    for one in live.values():
        for name in (*one.lineage, *one.cuts):
            yield one.order, relations.order_of(name)
    for id_, of in about.items():
        yield id_, relations.order_of(of)


def _differing(
    read: Mapping[str, Order], live: Mapping[str, Scheduled], lapses_from: int | None
) -> Iterator[str]:
    """The orders of the directives that are not live as what can be read has them."""
    made = {one.ref: one for one in schedule(read.values(), lapses_from=lapses_from)}
    for ref, one in {**made, **live}.items():
        if made.get(ref) != live.get(ref):
            yield one.order


def named(policy: Searchable, still: Still, key: Key) -> tuple[Scheduled, ...]:
    """The directives that stay; those of unread orders with what the store has of their names at the key and
    above and, as far as that goes, below.
    """
    numbers = {one.ref: number for number, one in policy.directives.items()}
    keys = [*ancestry(key), *(below for below, _ in policy.below(key, _MOST))]
    return tuple(
        replace(one, names=_names(policy, numbers[one.ref], keys, is_cut=one.is_cut))
        if one.order in still.unread
        else one
        for one in still.directives
    )


def _names(policy: Searchable, number: int, keys: Collection[Key], *, is_cut: bool) -> Names:
    found: dict[bool, list[Subject]] = {True: [], False: []}
    for key in keys:
        set_id = policy.set_of(key)
        for owner, role in () if set_id is None else policy.pairs(set_id):
            if owner == number and role in _MATCH:
                is_subject = is_cut or role in SUBJECT_ROLES
                found[is_subject].append(Subject(key=key, match=_MATCH[role]))
    return Names(subjects=tuple(found[True]), excepts=tuple(found[False]))
