"""Directives with their effective windows, and when anything changes: the timetable that a policy is.

Values only: `schedule` makes them of orders. Instants are whole epoch seconds, windows half-open; an open
end is None. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.orders.model import PLAIN, Action, Match, NamesFile, Publication, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

Window = tuple[int, int | None]
Span = tuple[float, float | None]
"""A window, or a part of one."""

LIFTED, SUSPENDED, LAPSED = "lifted", "suspended", "lapsed"
ENDINGS = (LIFTED, SUSPENDED, LAPSED)
"""What can end the force of a directive: its until or an order; a suspension; that nobody reviewed it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """The names of a directive or cut; those of a names_file are left where they are.

    `match` is that of the names in `file`; subjects carry their own.
    """

    subjects: tuple[Subject, ...] = ()
    excepts: tuple[Subject, ...] = ()
    file: NamesFile | None = None
    match: Match = Match.SUBTREE


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """A directive, or a cut, with its effective windows: ascending, disjoint, in epoch seconds.

    `ref` is `<order-id>/<directive-id>`, for a cut `<amend-id>:remove`. `order` is the id of the order that
    wrote it, `issued` its date. `publication` is the strictest of that order's and of those that it amends or
    continues; with sealed-until-effective everybody may know of it since `public_from`, None being never.
    `ends` is when it is over for good, by its `until`, a renewal or a lift; an open suspension ends a window
    and not the directive. `deadline` is when its order must have been carried out, counted from its receipt.
    `cuts` holds the refs of the directives a cut is an except of, and is empty for directives. `hidden` are
    the instants of sealed acts on it: nobody outside may learn of them before they come. `lapsed` are the
    stretches at whose start its review was due and was not recorded, if the site lapses what is not reviewed:
    they are its own doing and end nothing in law, and it has let them lapse since `lapse_from`. `lineage`
    holds every ref and id by which orders and operators can name it.
    """

    ref: str
    order: str
    action: Action = PLAIN
    regions: tuple[str, ...] = ()
    windows: tuple[Window, ...]
    ends: int | None = None
    issued: int
    publication: Publication
    public_from: int | None = None
    review_by: int | None = None
    deadline: int | None = None
    cuts: tuple[str, ...] = ()
    hidden: tuple[int, ...] = ()
    lapsed: tuple[Window, ...] = ()
    lapse_from: int = 0
    lineage: frozenset[str]
    names: Names = field(default_factory=Names, compare=False)

    @property
    def is_cut(self) -> bool:
        return bool(self.cuts)

    def in_force(self, t: float) -> bool:
        """Whether `t` is inside a window."""
        return any(start <= t and (end is None or t < end) for start, end in self.windows)

    def is_ended(self, t: float) -> bool:
        """Whether it is over for good at `t`."""
        return self.ends is not None and self.ends <= t

    def is_sealed(self, t: float) -> bool:
        """Whether nobody outside may learn of it at `t`."""
        if self.publication is Publication.SEALED_UNTIL_EFFECTIVE:
            return self.public_from is None or t < self.public_from
        return self.publication is Publication.SEALED

    def is_lapsed(self, t: float) -> bool:
        """Whether the site lets it lapse at `t`, for want of a review."""
        return any(
            max(start, self.lapse_from) <= t and (end is None or t < end) for start, end in self.lapsed
        )

    def ending(self, end: int) -> str:
        """Which of ENDINGS it is that ends its force at this end of a window."""
        if end == self.ends:
            return LIFTED
        return LAPSED if any(end == max(due, self.lapse_from) for due, _ in self.lapsed) else SUSPENDED

    def applies_to(self, region: str) -> bool:
        """An order for `ID` applies to `ID` and every `ID-…`."""
        return any(region == own or region.startswith(f"{own}-") for own in self.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One change of a directive's force: starts, suspended, lapsed, resumed, ends; of a cut: removes,
    restores.
    """

    at: int
    ref: str
    event: str


def boundaries(scheduled: Iterable[Scheduled], *, after: float) -> list[int]:
    """The instants after `after` at which one of them starts or ends, ascending."""
    edges = {edge for one in scheduled for window in one.windows for edge in window if edge is not None}
    return sorted(edge for edge in edges if edge > after)


def beyond(windows: Iterable[Span], others: Iterable[Span], t: float) -> list[Span]:
    """What of the windows is from `t` on, and in none of the others."""
    held = sorted((start, math.inf if end is None else end) for start, end in others)
    found: list[Span] = []
    for start, end in windows:
        at, till = max(start, t), math.inf if end is None else end
        for begin, until in held:
            if until <= at:
                continue
            if begin >= till:
                break
            if at < begin:
                found.append((at, begin))
            at = until
        if at < till:
            found.append((at, end))
    return found


def last_boundary(scheduled: Iterable[Scheduled], t: float) -> float:
    """The latest instant at or before `t` at which one of them starts or ends, else minus infinity."""
    edges = (edge for one in scheduled for window in one.windows for edge in window if edge is not None)
    return max((edge for edge in edges if edge <= t), default=float("-inf"))


def shown_boundaries(scheduled: Iterable[Scheduled], t: float) -> list[int]:
    """Those of the boundaries after `t` that people outside may know of."""
    return sorted(
        {
            edge
            for one in scheduled
            if not one.is_sealed(t)
            for edge in boundaries([one], after=t)
            if edge not in one.hidden
        }
    )


def timeline(scheduled: Iterable[Scheduled]) -> list[Event]:
    """Every change of force, by instant, then ref."""
    return sorted(
        (event for one in scheduled for event in _events(one)), key=lambda event: (event.at, event.ref)
    )


def _events(one: Scheduled) -> Iterator[Event]:
    for number, (start, end) in enumerate(one.windows):
        begins = "removes" if one.is_cut else "starts" if number == 0 else "resumed"
        yield Event(at=start, ref=one.ref, event=begins)
        if end is not None and end != one.ends:
            yield Event(at=end, ref=one.ref, event=one.ending(end))
    if one.ends is not None and one.windows:
        yield Event(at=one.ends, ref=one.ref, event="restores" if one.is_cut else "ends")
