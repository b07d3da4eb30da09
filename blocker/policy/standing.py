"""Which form of each order stands: the file's, the last applied one, or none.

Pure. An order with a Problem is quarantined: what was applied of it stays in force as it was, what never
was applied stays out, and everything else goes on. An applied order that can't be read back stays as it
is live, with all of its family. Deleting or changing a file is not a lift: an applied order stands in its
applied form until its whole family (the block and everything about it) is over and leaves together. While
an approval of one of them is owed none leaves: nobody would know of the debt any more.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.errors import Problem, StoreError
from blocker.orders import relations
from blocker.orders.schedule import schedule
from blocker.policy import still
from blocker.policy.still import Still

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping

    from blocker.orders.model import Order
    from blocker.orders.parse import Filed
    from blocker.orders.timetable import Scheduled
    from blocker.policy.plan import Live


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The orders that hold, by id; the ids that are quarantined; and why, beyond the files' own Problems.

    Those that hold and can't be read are in `still` alone.
    """

    orders: Mapping[str, Order]
    quarantined: tuple[str, ...]
    problems: tuple[Problem, ...]
    still: Still = field(default_factory=Still)

    def scheduled(self, lapses_from: int | None = None) -> list[Scheduled]:
        """Every directive and cut that holds, sorted by ref; `lapses_from` as in `schedule`."""
        told = schedule(
            (order for id_, order in self.orders.items() if id_ not in self.still.members),
            lapses_from=lapses_from,
        )
        return sorted([*told, *self.still.directives], key=lambda one: one.ref)


def stand(
    filed: Mapping[str, Filed],
    broken: Collection[str],
    live: Live,
    recall: Callable[[str, str], Filed],
    *,
    now: float,
    folder: str = "",
    archive: str = "",
) -> Standing:
    """The standing orders.

    `filed` are those whose files are right by themselves, `broken` the ids of those that aren't. `live` is
    what is applied; `recall(id, digest)` gives the applied form of an order, or raises StoreError. `folder`
    is where people find the orders, `archive` where the applied forms are kept by their digests.
    """
    applied = live.orders
    forms = dict(filed)
    problems: list[Problem] = []
    recalled: dict[str, Filed] = {}
    unread: dict[str, str] = {}
    for id_, digest in applied.items():
        if id_ in filed and filed[id_].order.digest == digest:
            continue
        try:
            recalled[id_] = recall(id_, digest)
        except StoreError as error:
            unread[id_] = digest
            path = filed[id_].path if id_ in filed else f"{folder}/{id_}.yaml"
            problems.append(_unreadable(id_, path, error))
            forms.pop(id_, None)
    read = {id_: recalled.get(id_) or filed[id_] for id_ in applied if id_ not in unread}
    kept = still.keep(
        unread,
        {id_: one.order for id_, one in read.items()},
        live.directives,
        {id_: filed[id_].order.of for id_ in unread if id_ in filed and filed[id_].order.of},
        lapses_from=None if live.enforcement is None else live.enforcement.lapses_from,
    )
    gone = recalled.keys() - filed.keys() - set(broken)
    there = {parent for id_ in (*filed, *broken) for parent in _parents(id_)} if gone else set()
    free = {id_: one for id_, one in read.items() if id_ not in kept.members}
    families = _Families(free, now) if recalled else None
    for id_, form in recalled.items():
        is_over = families is not None and id_ in free and families.are_over(id_)
        if families is not None and is_over and families.is_gone(id_, gone.difference(live.owed)):
            continue
        kept_at = f"{archive}/{applied[id_]}"
        if id_ in filed and not is_over:
            problems.append(_changed(filed[id_], kept_at))
        elif id_ in live.owed and (id_ in gone or id_ in filed):
            lost = "is gone" if id_ in gone else "was changed since"
            restore = _restore(id_, folder, kept_at, there)
            problems.append(_owed(id_, lost, restore, folder, is_over=is_over))
        elif id_ in gone and not is_over:
            problems.append(_missing(id_, _restore(id_, folder, kept_at, there), folder))
        forms[id_] = form
    rejected = {problem.order for problem in problems} | set(broken)
    out = {id_ for id_ in rejected if id_ not in applied}
    related = relations.check(
        (form for id_, form in forms.items() if id_ not in kept.members), quarantined=out | kept.members
    )
    rejected |= {problem.order for problem in related}
    out |= {problem.order for problem in related if problem.order not in applied}
    while more := {
        id_
        for id_, form in forms.items()
        if id_ not in out and id_ not in applied and relations.about(form.order) & (out | kept.members)
    }:
        out |= more
    return Standing(
        orders={id_: form.order for id_, form in forms.items() if id_ not in out},
        quarantined=tuple(sorted(rejected | out)),
        problems=(*problems, *related),
        still=kept,
    )


class _Families:
    """The applied orders by family: a block with everything about it. A family is over when all of its
    directives are, and leaves whole: without its lift, a block would hold again.
    """

    def __init__(self, applied: Mapping[str, Filed], now: float) -> None:
        orders = {id_: form.order for id_, form in applied.items()}
        self._roots = {id_: _root(id_, orders) for id_ in orders}
        self._standing = {
            self._roots[one.order]
            for one in schedule(orders.values())
            if not one.is_cut and not one.is_ended(now)
        }

    def are_over(self, id_: str) -> bool:
        """Whether the family of this order is over."""
        return self._roots[id_] not in self._standing

    def is_gone(self, id_: str, gone: Collection[str]) -> bool:
        """Whether all of its family is gone."""
        root = self._roots[id_]
        return all(other in gone for other, its in self._roots.items() if its == root)


def _root(id_: str, orders: Mapping[str, Order]) -> str:
    seen: list[str] = []
    while id_ not in seen and id_ in orders and orders[id_].of:
        seen.append(id_)
        id_ = relations.order_of(orders[id_].of)
    return id_


def _unreadable(id_: str, path: str, error: StoreError) -> Problem:
    return Problem(
        id="applied-order-unreadable",
        path=path,
        order=id_,
        message=f"this order is applied and its applied form can't be read: {error}. Until it can, it and "
        "all orders of its family stay as they are and no order about them comes in; "
        f"`blocker withhold {id_}` ends its enforcement meanwhile.",
    )


def _changed(filed: Filed, kept: str) -> Problem:
    return Problem(
        id="applied-order-changed",
        path=filed.path,
        order=filed.order.id,
        line=1,
        column=1,
        message="this order is applied and its file was changed since; the applied form stays in force. "
        f"Restore the file (`{_copy(kept, filed.path)}`), and write what is to change as an order of its "
        f"own: `blocker new --kind amend --of {filed.order.id}`.",
    )


def _missing(id_: str, restore: str, folder: str) -> Problem:
    return Problem(
        id="applied-order-missing",
        path=f"{folder}/{id_}.yaml",
        order=id_,
        message="this order is applied and its file is gone; the applied form stays in force, for deleting "
        f"a file is not a lift. Restore the file (`{restore}`); if the order is to end, write "
        f"that: `blocker new --kind lift --of {id_}`.",
    )


def _owed(id_: str, lost: str, restore: str, folder: str, *, is_over: bool) -> Problem:
    """An emergency let it in, and its file can't be signed: what it owes stays owed when it is over."""
    stays = "it is over, and stays applied" if is_over else "the applied form stays in force"
    end = "" if is_over else f"; if the order is to end, write that: `blocker new --kind lift --of {id_}`"
    return Problem(
        id="applied-order-missing" if lost == "is gone" else "applied-order-changed",
        path=f"{folder}/{id_}.yaml",
        order=id_,
        message=f"an emergency let this order in, its approval is owed, and its file {lost}; {stays} until "
        f"the approval is there, for deleting a file settles nothing. Restore the file (`{restore}`) and "
        f"sign it; `blocker approvals {id_}` then says what is missing{end}.",
    )


def _restore(id_: str, folder: str, kept: str, there: Collection[str]) -> str:
    """The command that brings the file back."""
    restore = _copy(kept, f"{folder}/{id_}.yaml")
    parent = id_.rpartition("/")[0]
    if parent and parent not in there:  # As far as other orders show; making it again would do no harm.
        return f"mkdir -p {shlex.quote(f'{folder}/{parent}')} && {restore}"
    return restore


def _parents(id_: str) -> Iterator[str]:
    """The folders that an order's file is in, below the orders folder."""
    while id_ := id_.rpartition("/")[0]:
        yield id_


def _copy(kept: str, path: str) -> str:
    return f"cp {shlex.quote(kept)} {shlex.quote(path)}"
