"""From orders to directives with effective windows: when does each instruction hold?

Pure and total: it takes orders that passed `check` and never looks at the clock. The rules, from
"Kinds of order" in the design:

- suspend: out of force `[from, until or the first reinstate)`; overlaps join; never extends `until`.
- reinstate: ends every suspension that began before it.
- lift: final for what it names; of a suspend, amend or pending lift it cancels that order from `from`.
- amend: `add` directives share every suspension and lift of what is amended; `remove` is a *cut*, an
  except of the amended directives from `from` on; `until` and `review_by` renew. An amend speaks of the
  directives there are before it, never of its own or later ones. An added directive that *continues* another
  of the family shares what is done about that one, too: the same names go on under another ref.
- At one instant orders take effect by `issued`, then id.

What has ended stays ended: a later `until` can't revive it.

A site may choose to let lapse what is not reviewed by its `review_by`. It is out of force from then until an
amend renews the date. In law nothing ended: the directive can be amended, suspended and lifted as before.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from blocker.orders.model import Directive, Kind, Order, Publication, instant
from blocker.orders.timetable import Names, Scheduled, Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Moment = tuple[int, int, str]  # from, issued, id: the order in which orders take effect


def schedule(orders: Iterable[Order], *, lapses_from: int | None = None) -> list[Scheduled]:
    """Every directive and cut of the orders with its effective windows, sorted by ref.

    `lapses_from` is since when the site lapses what is not reviewed by its date (epoch seconds); None: it
    does not.
    """
    return sorted(Book(orders).scheduled(lapses_from), key=lambda one: one.ref)


class Book:
    """The orders, by id and by what they are of."""

    def __init__(self, orders: Iterable[Order]) -> None:
        self.orders = {order.id: order for order in orders}
        self.writer = {
            f"{order.id}/{directive.id}": order
            for order in self.orders.values()
            for directive in order.directives
        }
        self._continues = {
            f"{order.id}/{directive.id}": directive.continues
            for order in self.orders.values()
            for directive in order.directives
            if directive.continues
        }
        self._acts: dict[tuple[Kind, str], list[Order]] = defaultdict(list)
        for order in self.orders.values():
            if order.of:
                self._acts[order.kind, order.of].append(order)

    def acts(self, kind: Kind, lineage: Iterable[str]) -> list[Order]:
        """The orders of a kind that name one of the lineage, in the order they take effect."""
        found = [order for name in lineage for order in self._acts.get((kind, name), ())]
        return sorted(found, key=moment)

    def lineage(self, of: str) -> frozenset[str]:
        """An id or ref with everything whose acts reach it; a loop, which `check` refuses, ends it."""
        found: set[str] = set()
        todo = [of]
        while todo:
            name = todo.pop()
            if not name or name in found:
                continue
            found.add(name)
            order = self.orders.get(name)
            if order is None and (writer := self.writer.get(name)) is not None:
                todo += [writer.id, self._continues.get(name, "")]
            elif order is not None and order.kind is Kind.AMEND:
                todo.append(order.of)
        return frozenset(found)

    def lifted_from(self, lineage: Iterable[str]) -> int | None:
        """When a lift first takes effect on one of the lineage, leaving out lifts cancelled before."""
        lifted = self._lifted(lineage)
        return None if lifted is None else lifted[0]

    def _lifted(self, lineage: Iterable[str], seen: frozenset[str] = frozenset()) -> _Moment | None:
        for lift in self.acts(Kind.LIFT, lineage):
            if lift.id in seen:
                continue
            cancelled = self._lifted([lift.id], seen | {lift.id})
            # Also at one instant: the lift that comes first finds the other one pending.
            if cancelled is None or cancelled > moment(lift):
                return moment(lift)
        return None

    def active(self, order: Order) -> Window | None:
        """From when until when an amend or suspend stands by itself; None if cancelled before it began."""
        start, until = moment(order)[0], self.lifted_from([order.id])
        if until is not None and until <= start:
            return None
        return (start, until)

    def is_before(self, ref: str, act: Order) -> bool:
        """Whether a directive is there when the act takes effect: what continues another has been there as
        long as that. But an act that wrote it, or what it goes on with, is not about it.
        """
        seen = {ref}
        while (continued := self._continues.get(ref, "")) in self.writer and continued not in seen:
            if self.writer[ref] is act:
                return False
            ref = continued
            seen.add(ref)
        writer = self.writer[ref]
        return writer.kind is Kind.BLOCK or moment(writer) < moment(act)

    def suspensions(self, lineage: frozenset[str]) -> list[tuple[int, int | None, Order]]:
        """Every suspension of what has this lineage: from, until, the order; not joined."""
        reinstates = self.acts(Kind.REINSTATE, lineage)
        found = []
        for suspend in self.acts(Kind.SUSPEND, lineage):
            stands = self.active(suspend)
            if stands is None:
                continue
            ends = [stands[1]] if stands[1] is not None else []
            if suspend.until is not None:
                ends.append(instant(suspend.until))
            ends += [moment(order)[0] for order in reinstates if moment(order) > moment(suspend)]
            end = min(ends, default=None)
            if end is None or end > stands[0]:
                found.append((stands[0], end, suspend))
        return found

    def renewed_by(self, ref: str, t: float) -> Order | None:
        """The amend whose `until` governs the directive at `t`; None if its own does."""
        standing = [
            act
            for act in self.acts(Kind.AMEND, self.lineage(ref))
            if act.until is not None
            and self.is_before(ref, act)
            and (window := self.active(act)) is not None
            and window[0] <= t
            and (window[1] is None or t < window[1])
        ]
        return standing[-1] if standing else None

    def starts(self, ref: str) -> int:
        """When the directive starts by its own words."""
        order = self.writer[ref]
        return next(instant(one.start) for one in order.directives if f"{order.id}/{one.id}" == ref)

    def scheduled(self, lapses_from: int | None = None) -> Iterator[Scheduled]:
        for order in self.orders.values():
            for directive in order.directives:
                yield self.directive(order, directive, lapses_from)
            if order.remove or order.remove_file is not None:
                cut = self._cut(order)
                if cut is not None:
                    yield cut

    def directive(self, order: Order, directive: Directive, lapses_from: int | None = None) -> Scheduled:
        """A directive of one of the orders with its effective windows; `lapses_from` as in `schedule`."""
        ref = f"{order.id}/{directive.id}"
        lineage = self.lineage(ref)
        amends = [act for act in self.acts(Kind.AMEND, lineage) if self.is_before(ref, act)]
        start = instant(directive.start)
        if order.kind is Kind.AMEND:
            start = max(start, moment(order)[0])  # Nothing is added before the amend takes effect.
        until = self._until(start, directive, amends)
        ends = [end for end in (until, self.lifted_from(lineage)) if end is not None]
        over = min(ends, default=None)
        reviews = [
            act.review_by for act in amends if act.review_by is not None and self.active(act) is not None
        ]
        review_by = reviews[-1] if reviews else directive.review_by
        lapsed = () if lapses_from is None else tuple(self._unreviewed(start, over, directive, amends))
        gaps = [(begin, end) for begin, end, _ in self.suspensions(lineage)]
        gaps += [
            (max(begin, lapses_from or 0), end)
            for begin, end in lapsed
            if end is None or end > (lapses_from or 0)
        ]
        windows = _without(start, over, gaps)
        publication, public_from = self._publication(order, lineage, _first(windows))
        return Scheduled(
            ref=ref,
            order=order.id,
            action=directive.action,
            regions=directive.regions,
            windows=windows,
            ends=over,
            issued=instant(order.issued),
            publication=publication,
            public_from=public_from,
            review_by=None if review_by is None else instant(review_by),
            deadline=due(order),
            hidden=self._hidden(lineage),
            lapsed=lapsed,
            lapse_from=(lapses_from or 0) if lapsed else 0,
            lineage=lineage,
            names=_names(directive),
        )

    def _publication(
        self, order: Order, lineage: Iterable[str], first: int | None
    ) -> tuple[Publication, int | None]:
        """Who may know of what the order writes, `first` in force then; and since when, if it is sealed until
        effective. It is told to nobody who may not know of what it amends or continues.
        """
        said = [(order.publication, first)]
        for name in lineage:
            amended = self.orders.get(name) or self.writer.get(name)
            if amended is not None and amended is not order:
                said.append((amended.publication, self._effective(amended, name)))
        strictest = max((publication for publication, _ in said), key=list(Publication).index)
        if strictest is not Publication.SEALED_UNTIL_EFFECTIVE:
            return strictest, None
        instants = [at for publication, at in said if publication is strictest]
        return strictest, None if None in instants else max(at for at in instants if at is not None)

    def _effective(self, order: Order, of: str) -> int | None:
        """When the order first takes effect, or its directive if `of` names that; None: never."""
        if order.publication is not Publication.SEALED_UNTIL_EFFECTIVE:
            return None
        if order.kind is Kind.AMEND and of == order.id:
            window = self.active(order)
            return None if window is None else window[0]
        return min(
            (
                start
                for one in order.directives
                if of in (order.id, f"{order.id}/{one.id}")
                for start, _ in self.directive(order, one).windows
            ),
            default=None,
        )

    def _until(self, start: int, directive: Directive, amends: list[Order]) -> int | None:
        """When the directive ends by its own `until` and its renewals, each standing while not cancelled."""
        renewals = [
            (*window, instant(act.until))
            for act in amends
            if act.until is not None and (window := self.active(act)) is not None
        ]
        own = None if directive.until is None else instant(directive.until)
        for step, following, until in _governing(start, own, renewals):
            if until is not None and (following is None or until <= following):
                return max(until, step)
        return None

    def _unreviewed(
        self, start: int, over: int | None, directive: Directive, amends: list[Order]
    ) -> Iterator[Window]:
        """When its review is overdue: from its own `review_by`, or a renewed one, until the next renewal."""
        renewals = [
            (*window, instant(act.review_by))
            for act in amends
            if act.review_by is not None and (window := self.active(act)) is not None
        ]
        own = None if directive.review_by is None else instant(directive.review_by)
        since: int | None = None  # overdue since then
        for step, following, due in _governing(start, own, renewals):
            is_due = due is not None and (following is None or due < following)
            begin = max(due or step, step) if is_due else None
            if since is not None and begin != step:
                yield since, step if over is None else min(step, over)
                since = None
            if since is None and begin is not None and (over is None or begin < over):
                since = begin
        if since is not None:
            yield since, over

    def _hidden(self, lineage: Iterable[str]) -> tuple[int, ...]:
        """The instants that sealed acts on the lineage, and acts on those, set."""
        todo, seen = list(lineage), set(lineage)
        found: set[int] = set()
        while todo:
            of = todo.pop()
            for act in (act for kind in Kind for act in self._acts.get((kind, of), ())):
                if act.publication is not Publication.PUBLIC:
                    dates = (act.start, act.until, act.review_by)
                    found.update(instant(at) for at in dates if at is not None)
                if act.id not in seen:
                    seen.add(act.id)
                    todo.append(act.id)
        return tuple(sorted(found))

    def _cut(self, amend: Order) -> Scheduled | None:
        window = self.active(amend)
        cuts = tuple(
            sorted(ref for ref in self.writer if amend.of in self.lineage(ref) and self.is_before(ref, amend))
        )
        if not cuts:
            return None
        windows = () if window is None else (window,)
        lineage = self.lineage(amend.id)
        publication, public_from = self._publication(amend, lineage, _first(windows))
        return Scheduled(
            ref=_cut_ref(amend),
            order=amend.id,
            windows=windows,
            ends=moment(amend)[0] if window is None else window[1],
            issued=instant(amend.issued),
            publication=publication,
            public_from=public_from,
            deadline=due(amend),
            cuts=cuts,
            hidden=self._hidden([amend.id]),
            lineage=lineage,
            names=_removed(amend),
        )


def names_of(order: Order, ref: str) -> Names:
    """The names of the order's directive, or of its cut, with this ref. Raises KeyError if it has none."""
    if ref == _cut_ref(order):
        return _removed(order)
    return {f"{order.id}/{one.id}": _names(one) for one in order.directives}[ref]


def _cut_ref(amend: Order) -> str:
    return f"{amend.id}:remove"


def _removed(amend: Order) -> Names:
    return Names(subjects=amend.remove, file=amend.remove_file)


def _names(directive: Directive) -> Names:
    return Names(
        subjects=directive.subjects,
        excepts=directive.excepts,
        file=directive.names_file,
        match=directive.match,
    )


def moment(order: Order) -> _Moment:
    """When an order takes effect among others: `from`, then `issued`, then id."""
    if order.start is None:
        raise ValueError(f"{order.id} is a block: its directives have the windows")
    return (instant(order.start), instant(order.issued), order.id)


def due(order: Order) -> int | None:
    """When the order must have been carried out: its deadline, counted from its receipt."""
    if order.received is None or order.deadline is None:
        return None
    return instant(order.received + order.deadline)


def _governing(
    start: int, own: int | None, renewals: list[tuple[int, int | None, int]]
) -> Iterator[tuple[int, int | None, int | None]]:
    """The date that governs from each instant until the next: its own, or a renewal (from, until, date)."""
    changes = {edge for since, till, _ in renewals for edge in (since, till) if edge is not None}
    steps = [start, *sorted(edge for edge in changes if edge > start)]
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        date = own
        for since, till, renewed in renewals:  # In the order they take effect: the last one holds.
            if since <= step and (till is None or step < till):
                date = renewed
        yield step, following, date


def _first(windows: tuple[Window, ...]) -> int | None:
    """When it is in force for the first time; None: never."""
    return windows[0][0] if windows else None


def _without(start: int, end: int | None, gaps: Iterable[Window]) -> tuple[Window, ...]:
    """`[start, end)` less the gaps."""
    windows: list[Window] = []
    at: int | None = start
    for gap_start, gap_end in sorted(gaps, key=lambda gap: gap[0]):
        if at is None:
            break
        if end is not None and gap_start >= end:
            break
        if gap_start > at:
            windows.append((at, gap_start))
        if gap_end is None:
            at = None
        elif gap_end > at:
            at = gap_end
    if at is not None and (end is None or at < end):
        windows.append((at, end))
    return tuple(windows)
