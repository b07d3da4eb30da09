"""What came into force by an apply: what its undoing must stop.

Pure. Not every order that came has to be undone: a lift or an exception frees names, and undoing it would
block them again. What blocks more than before does: new directives, those that an act brought back or made to
last longer, and those of which an exception went.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.orders.timetable import Scheduled, Window


def reason_of(generation: int, why: str) -> str:
    """What is kept with everything that a rollback withholds."""
    return f"{_mark(generation)}{why}"


def is_of(reason: str, generation: int) -> bool:
    """Whether it was a rollback to this generation that withheld it."""
    return reason.startswith(_mark(generation))


def _mark(generation: int) -> str:
    return f"rollback to generation {generation}: "


def grown(before: Iterable[Scheduled], after: Iterable[Scheduled], t: float) -> tuple[str, ...]:
    """The ids of the orders and the refs of the directives by which `after` blocks more than `before`, from
    `t` on; sorted. A new directive goes with its whole order.
    """
    old = {one.ref: one for one in before}
    new = {one.ref: one for one in after}
    found = set()
    for ref, one in new.items():
        if one.is_cut:
            continue
        if ref not in old:
            if _lasting(one.windows, t):
                found.add(one.order)
        elif _exceed(one.windows, old[ref].windows, t):
            found.add(ref)
    for ref, cut in old.items():
        if cut.is_cut and _exceed(cut.windows, new[ref].windows if ref in new else (), t):
            found.update(one for one in cut.cuts if one in new and _lasting(new[one].windows, t))
    return tuple(sorted(found))


def _lasting(windows: Iterable[Window], t: float) -> list[Window]:
    """What of them is not past."""
    return [(start, end) for start, end in windows if end is None or end > t]


def _exceed(windows: Iterable[Window], others: Iterable[Window], t: float) -> bool:
    """Whether they hold at an instant from `t` on at which the others don't. Windows of one directive neither
    touch nor overlap.
    """
    held = _lasting(others, t)
    return not all(
        any(
            max(start, t) >= begin and (until is None or (end is not None and end <= until))
            for begin, until in held
        )
        for start, end in _lasting(windows, t)
    )
