"""Whether what an order is about is there: the checks on `of`.

An order is judged by the orders before it (`issued`, `from`, id) and by what its `of` leads to, never by
later ones: an order that was right when it came stays right. Orders may be found in the post, though: a
lift that was right and then turns out to lift what an older lift had ended is warned of and stands, so that
the same orders mean the same wherever and whenever they arrive. One whose `of` leads to a quarantined
order is quarantined with it and not complained of. A *family* is a block with everything about it; nothing
outside a family changes what holds inside. Pure.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blocker.orders.check import problem
from blocker.orders.model import Kind, Publication
from blocker.orders.schedule import Book, moment

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from blocker.errors import Problem
    from blocker.orders.model import Order
    from blocker.orders.parse import Filed
    from blocker.orders.timetable import Scheduled

IDS = frozenset({"of-unknown", "of-kind", "of-loop", "of-ended", "nothing-to-reinstate", "continues-unknown"})
"""The Problems that depend on which other orders there are."""

_TARGETS = {
    Kind.SUSPEND: (Kind.BLOCK, Kind.AMEND),
    Kind.REINSTATE: (Kind.BLOCK, Kind.AMEND),
    Kind.AMEND: (Kind.BLOCK, Kind.AMEND),
    Kind.LIFT: (Kind.BLOCK, Kind.AMEND, Kind.SUSPEND, Kind.LIFT),
}


_BEFORE_ALL = datetime.min.replace(tzinfo=UTC)


def check(filed: Iterable[Filed], *, quarantined: Collection[str] = ()) -> list[Problem]:
    """What is wrong with the `of` of these orders, each right by itself.

    `quarantined` are the ids of orders that are there and have Problems, so that they aren't among `filed`.
    """
    return [one for one in judge(filed, quarantined=quarantined) if one.severity == "error"]


def judge(filed: Iterable[Filed], *, quarantined: Collection[str] = ()) -> list[Problem]:
    """What `check` says, and the warnings, which reject nothing."""
    return _Judge(filed, quarantined).problems()


def order_of(of: str) -> str:
    """The order id in an `of`, which is an order id or a directive's ref."""
    return "/".join(of.split("/")[:2])


def about(order: Order) -> frozenset[str]:
    """The ids of the orders that it means nothing without: what it is of, what its directives continue."""
    found = [order.of, *(one.continues for one in order.directives)]
    return frozenset(order_of(name) for name in found if name)


def came(order: Order) -> tuple[datetime, datetime, str]:
    """What orders are known in: by `issued`; those of one day as they take effect, then by id."""
    return (order.issued, order.start or _BEFORE_ALL, order.id)


class _Judge:
    def __init__(self, filed: Iterable[Filed], quarantined: Collection[str]) -> None:
        self._filed = {one.order.id: one for one in filed}
        self._orders = {id_: one.order for id_, one in self._filed.items()}
        self._quarantined = quarantined
        self._accepted: dict[str, bool] = {}
        self._families: dict[str, list[Order]] = defaultdict(list)
        self._found: list[Problem] = []

    def problems(self) -> list[Problem]:
        for order in sorted(self._orders.values(), key=came):
            # What an order is about may be issued later in the same day: it is judged first all the same.
            for one in reversed(self._chain(order)):
                if one.id not in self._accepted:
                    self._accepted[one.id] = self._judge(one)
        return self._found

    def _chain(self, order: Order) -> list[Order]:
        """The order, what it is about, what that is about, …; a circle is cut where it closes."""
        chain: dict[str, Order] = {}
        at: Order | None = order
        while at is not None and at.id not in chain:
            chain[at.id] = at
            at = self._orders.get(order_of(at.of)) if at.of else None
        return list(chain.values())

    def _judge(self, order: Order) -> bool:
        if not order.of:
            self._families[order.id].append(order)
            return True
        target = self._orders.get(order_of(order.of))
        if target is None:
            if order_of(order.of) not in self._quarantined:
                self._complain(order, "of-unknown", self._unknown(order))
            return False
        chain = self._chain(order)
        if chain[-1].of and order.id in {order_of(one.of) for one in chain}:
            self._complain(
                order,
                "of-loop",
                f"'{order.of}' leads back to this order; an order is about one that was there before it.",
            )
            return False
        if order.of != target.id and order.of not in {f"{target.id}/{one.id}" for one in target.directives}:
            self._complain(order, "of-unknown", self._unknown(order))
            return False
        if order.of == target.id and target.kind not in _TARGETS[order.kind]:
            allowed = " or ".join(_TARGETS[order.kind])
            self._complain(
                order,
                "of-kind",
                f"'{order.of}' is a {target.kind} order, but a {order.kind} is of a {allowed} order, "
                "or a directive of one.",
            )
            return False
        if not all(self._accepted.get(one.id, False) for one in chain[1:]):
            return False
        family = self._families[chain[-1].id]
        ids = {one.id for one in chain[1:]}
        known = [one for one in family if came(one) < came(order) or one.id in ids]
        if order.kind is Kind.LIFT:
            own = [one for one in known if one.kind is not Kind.LIFT or one.id in ids]
            accepted = self._judge_lift(order, _Known(known), _Known(own))
        else:
            there = _Known(known)
            accepted = self._judge_act(order, there) and self._judge_continued(order, there)
        if accepted:
            family.append(order)
            self._warn_of_secrets(order, chain[1:])
        return accepted

    def _warn_of_secrets(self, order: Order, amended: Iterable[Order]) -> None:
        """What an amend writes is told to nobody who may not know of what it amends: see `schedule`."""
        is_written = bool(order.directives or order.remove or order.remove_file)
        if not is_written or order.publication is Publication.SEALED:
            return
        for one in amended:
            if one.publication is Publication.SEALED:
                self._complain(
                    order,
                    "of-sealed",
                    f"'{one.id}' is sealed, so nobody outside is told of this amend either, though it is "
                    f"{order.publication}; names that people may know of need a block of their own.",
                    severity="warning",
                )
                return

    def _judge_lift(self, lift: Order, known: _Known, own: _Known) -> bool:
        """`own` is what was known less the other lifts."""
        at = moment(lift)[0]
        if own.is_ended(lift.of, at):
            self._complain_ended(lift, own)
            return False
        if known.is_ended(lift.of, at):
            self._complain(
                lift,
                "already-lifted",
                f"another lift had ended '{lift.of}' before; this one stands and changes nothing.",
                severity="warning",
            )
        return True

    def _judge_act(self, order: Order, known: _Known) -> bool:
        at = moment(order)[0]
        if not any(known.directives(order.of)):
            self._complain(
                order,
                "of-kind",
                f"'{order.of}' adds no directives, so a {order.kind} of it changes nothing; "
                "name the order it amends.",
            )
        elif known.is_ended(order.of, at):
            self._complain_ended(order, known)
        elif order.kind is Kind.REINSTATE and not known.is_suspended(order):
            self._complain(
                order,
                "nothing-to-reinstate",
                f"'{order.of}' is not suspended at {_when(order)}; "
                "check 'of' and 'from', or remove the file.",
            )
        else:
            return True
        return False

    def _judge_continued(self, amend: Order, known: _Known) -> bool:
        """Whether what its directives continue is there, among what it amends, and goes on as it was."""
        continued = [(at, one) for at, one in enumerate(amend.directives) if one.continues]
        if not continued:
            return True
        there = {one.ref: one for one in known.directives(amend.of)}
        is_right = True
        for at, one in continued:
            old = there.get(one.continues)
            if old is not None and (one.regions, one.action) == (old.regions, old.action):
                continue
            is_right = False
            if old is not None:
                id_ = "continues-otherwise"
                message = f"'{one.continues}' has other regions, or another action; what goes on has its own."
            elif order_of(one.continues) in self._quarantined:
                continue
            else:
                id_ = "continues-unknown"
                message = (
                    f"'{one.continues}' is no directive of what '{amend.of}' names, there before this order; "
                    "mend it."
                )
            filed = self._filed[amend.id]
            self._found.append(problem(filed, filed.place("add", at, "continues"), id_, message))
        return is_right

    def _complain_ended(self, order: Order, known: _Known) -> None:
        ended = known.ended_at(order.of)
        since = _when(order) if ended is None else _as_in(order, ended)
        self._complain(
            order,
            "of-ended",
            f"'{order.of}' had already ended {'by' if ended is None else 'at'} {since}; "
            "check 'of' and 'from', or write a new block if it is to hold again.",
        )

    def _unknown(self, order: Order) -> str:
        target = self._orders.get(order_of(order.of))
        if target is None:
            return f"there is no order '{order_of(order.of)}'; check 'of', or add that order first."
        ids = ", ".join(one.id for one in target.directives) or "none"
        return f"'{target.id}' has no directive '{order.of.rpartition('/')[2]}' (it has {ids}); check 'of'."

    def _complain(self, order: Order, id_: str, message: str, *, severity: str = "error") -> None:
        filed = self._filed[order.id]
        self._found.append(problem(filed, filed.place("of"), id_, message, severity=severity))


def _when(order: Order) -> str:
    return "" if order.start is None else order.start.isoformat()


def _as_in(order: Order, at: int) -> str:
    """The instant in the zone that the order is written in."""
    return datetime.fromtimestamp(at, UTC if order.start is None else order.start.tzinfo).isoformat()


class _Known:
    """What was known of a family when an order came."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self._book = Book(orders)

    def directives(self, of: str) -> Iterator[Scheduled]:
        """The directives that an act of `of` reaches."""
        for ref, writer in self._book.writer.items():
            if of in self._book.lineage(ref):
                directive = next(one for one in writer.directives if f"{writer.id}/{one.id}" == ref)
                yield self._book.directive(writer, directive)

    def is_ended(self, of: str, at: int) -> bool:
        """Whether it is over for good at the instant, so that no act can be about it."""
        order = self._book.orders.get(of)
        if order is None or order.kind is Kind.BLOCK:
            return all(one.is_ended(at) for one in self.directives(of))
        cancelled = self._book.lifted_from([order.id])
        if cancelled is not None and cancelled <= at:
            return True
        if order.kind is Kind.LIFT:
            # A lift is final once it has come; only one that is still to come can be cancelled.
            return moment(order)[0] <= at or self.is_ended(order.of, at)
        if order.kind is Kind.SUSPEND:
            return not any(
                suspend.id == order.id and (end is None or end > at)
                for one in self.directives(order.of)
                if not one.is_ended(at)
                for _, end, suspend in self._book.suspensions(one.lineage)
            )
        changes_more = order.remove or order.remove_file or order.until or order.review_by
        if changes_more and not self.is_ended(order.of, at):
            return False
        return all(one.is_ended(at) for one in self.directives(order.id))

    def ended_at(self, of: str) -> int | None:
        """When a block or a directive that is over for good ended; None for acts, which end in many ways."""
        order = self._book.orders.get(of)
        if order is not None and order.kind is not Kind.BLOCK:
            return None
        return max((one.ends for one in self.directives(of) if one.ends is not None), default=None)

    def is_suspended(self, reinstate: Order) -> bool:
        """Whether there is a suspension for the reinstate to end."""
        at = moment(reinstate)
        return any(
            moment(suspend) < at and (end is None or end > at[0])
            for one in self.directives(reinstate.of)
            if not one.is_ended(at[0])
            for _, end, suspend in self._book.suspensions(one.lineage)
        )
