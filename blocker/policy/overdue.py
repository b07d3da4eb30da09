"""Reviews: by when an order must be looked at again, and whether that has passed.

Pure. The date is the order's `review_by`, or what an amend renewed it to; what has ended needs no review.
What the site does with what is overdue (keep or lapse) is in the timetable already.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.policy.chain import Event

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.orders.timetable import Scheduled

OVERDUE = "review-overdue"
"""The event by which the ledger is told, once for each order and date."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What of one order must be reviewed by one instant (epoch seconds); `lapsed` are those of its `refs`
    that the site does not enforce for want of it.
    """

    order: str
    due: int
    refs: tuple[str, ...]
    lapsed: tuple[str, ...] = ()


def reviews(directives: Iterable[Scheduled], t: float) -> list[Review]:
    """Every review that is due or coming at `t`, the earliest first."""
    found: dict[tuple[int, str], list[Scheduled]] = {}
    for one in directives:
        if one.is_cut or one.is_ended(t):
            continue
        # A renewal that is announced and not yet there leaves a stretch unreviewed.
        unreviewed = (begin for begin, end in one.lapsed if begin <= t and (end is None or t < end))
        due = next(unreviewed, one.review_by)
        if due is not None:
            found.setdefault((due, one.order), []).append(one)
    return [
        Review(
            order=order,
            due=due,
            refs=tuple(sorted(one.ref for one in several)),
            lapsed=tuple(sorted(one.ref for one in several if one.is_lapsed(t))),
        )
        for (due, order), several in sorted(found.items())
    ]


def overdue(found: Iterable[Review], t: float) -> list[Event]:
    """What the ledger is told of them at `t`."""
    return [
        Event(at=t, event=OVERDUE, subject=one.order, detail={"review_by": one.due})
        for one in found
        if one.due <= t
    ]
