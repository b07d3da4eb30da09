"""An order's life as lanes and cells: what the pictures of a report show.

Pure. The law's lanes come first, then one for each point with what was observed there. Long lists are cut,
and the picture says so: the tables have everything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.compliance import observed, operator_acts, troubles
from blocker.compliance.document import CHANGES, duration, moment
from blocker.compliance.pictures import Bar, Cell, Lane, Mark, heat, timeline
from blocker.orders.model import instant
from blocker.prober.judge import BAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.compliance.observed import Confirmation, Facts
    from blocker.compliance.troubles import Trouble

_MOST_DIRECTIVES, _MOST_POINTS, _MOST_VARIANTS = 12, 60, 24


def time_picture(facts: Facts) -> str:
    """The timeline: what the order says, and what was seen at each point."""
    facts = observed.told(facts)
    at = facts.as_of
    directives, points = observed.shown_directives(facts), observed.points(facts)
    windows = [window for one in directives for window in observed.shown_windows(one, facts)]
    begins = [float(start) for start, _ in windows if start <= at]
    if facts.order.received is not None:
        begins.append(float(instant(facts.order.received)))
    begins += [kept.record.finding.at for kept in facts.records[:1]]
    begin, end = min([*begins, at]), at
    margin = max(1.0, (end - begin) * 0.03)
    lanes = list(_law(facts))[:_MOST_DIRECTIVES]
    confirmed, troubled = observed.confirmations(facts), troubles.troubles(facts)
    lanes += [
        _point(
            point,
            facts,
            [one for one in confirmed if one.point == point],
            [one for one in troubled if one.point == point],
        )
        for point in points[:_MOST_POINTS]
    ]
    cut = len(directives) > _MOST_DIRECTIVES or len(points) > _MOST_POINTS
    return timeline(
        lanes,
        begin - margin,
        end + margin,
        title="What was ordered, and what was observed at each point",
        says=f"From {moment(int(begin))} to {moment(int(end))}. The table of confirmations has the same "
        f"instants in words.{' Not all of them are drawn.' if cut else ''}",
    )


def heat_picture(facts: Facts) -> str:
    """The heat map: points by variants."""
    facts = observed.told(facts)
    covers = observed.coverage(facts)
    variants = sorted({one.variant for one in covers})
    return heat(
        observed.points(facts)[:_MOST_POINTS],
        variants[:_MOST_VARIANTS],
        {
            (one.point, one.variant): Cell(fine=one.fine, bad=one.bad, unsure=one.unsure)
            for one in covers
            if one.records > one.moot
        },
        title="Records of evidence by point and by the way of asking",
        says="A plain number counts records as ordered; a number with ! those that were not as ordered, with "
        "? those in which nothing could be told. The table of coverage has the same numbers.",
    )


def _law(facts: Facts) -> Iterator[Lane]:
    for one in observed.shown_directives(facts):
        required = observed.due(facts.orders[one.order])
        bars = tuple(
            Bar(
                sort="law",
                start=start,
                end=end,
                says=f"ordered from {moment(start)} until {'further notice' if end is None else moment(end)}",
            )
            for start, end in observed.shown_windows(one, facts)
            if start <= facts.as_of
        )
        marks: tuple[Mark, ...] = ()
        if required is not None:
            marks = (Mark(sort="due", at=required, says=f"deadline {moment(required)}"),)
        yield Lane(label=f"ordered: {one.ref.rpartition('/')[2]}", bars=bars, marks=marks)


def _point(point: str, facts: Facts, confirmed: list[Confirmation], troubled: list[Trouble]) -> Lane:
    bars = [
        bar
        for one in confirmed
        if one.change == "in-force" and one.seen is not None
        for bar in _seen(one, confirmed, facts)
    ]
    bars += [
        Bar(
            sort="trouble" if one.kind in BAD else "unsure",
            start=one.start,
            end=one.last if one.end is None else one.end,
            says=f"{one.kind} ({one.rule}, {one.variant}) from {moment(one.start)}",
        )
        for one in troubled
    ]
    marks = [
        Mark(
            sort="block" if one.change == "in-force" else "lift",
            at=one.seen,
            says=f"{CHANGES[one.change]} first observed {moment(one.seen)}, "
            f"{duration(one.lateness or 0.0)} after it was to take effect",
        )
        for one in confirmed
        if one.seen is not None
    ]
    return Lane(label=f"observed: {point}", bars=tuple(bars), marks=tuple(marks))


def _seen(block: Confirmation, confirmed: list[Confirmation], facts: Facts) -> Iterator[Bar]:
    """From the first confirmation until that of the end which follows it; else until the end in law.

    While the operator withholds the directive nobody says that it is in force, nor after that before it is
    observed anew.
    """
    first = block.seen or 0.0
    ends = [
        one.seen
        for one in confirmed
        if one.change != "in-force" and one.ref == block.ref and one.seen is not None and one.seen >= first
    ]
    in_law = [
        end
        for one in facts.directives
        for begin, end in one.windows
        if one.ref == block.ref and begin == block.since and end is not None
    ]
    end = min(ends, default=None) or min(in_law, default=None)
    start: float | None = first
    for since, until in operator_acts.withheld(facts, block.ref):
        if start is None or (until is not None and until <= start) or (end is not None and end <= since):
            continue
        if start < since:
            yield _in_force(start, since)
        start = None if until is None else observed.seen_again(facts, block, until)
    if start is not None and (end is None or start < end):
        yield _in_force(start, end)


def _in_force(start: float, end: float | None) -> Bar:
    return Bar(sort="seen", start=start, end=end, says=f"in force since {moment(start)}")
