"""A site may let lapse what is not reviewed: out of force from the date until an amend renews it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.orders.model import Kind, Order
from blocker.orders.schedule import schedule
from blocker.orders.timetable import Event, Scheduled, timeline
from tests.policy import naive
from tests.policy.strategies import EPOCH, at, directive, order, orders

if TYPE_CHECKING:
    from collections.abc import Sequence

Spans = list[tuple[int, int | None]]


def block(*, review_by: int | None = 5, until: int | None = None) -> Order:
    due = None if review_by is None else at(review_by)
    return order("x/b", directives=(directive("d", "a.example", until=until, review_by=due),))


def renew(id_: str, start: int, review_by: int | None = None, until: int | None = None) -> Order:
    return order(id_, Kind.AMEND, of="x/b", start=start, review_by=review_by, until=until)


def act(kind: Kind, id_: str, start: int, *, of: str = "x/b", until: int | None = None) -> Order:
    return order(id_, kind, of=of, start=start, until=until)


def one_of(found: Sequence[Order], *, since: int = -EPOCH) -> Scheduled:
    (one,) = [one for one in schedule(found, lapses_from=EPOCH + since) if not one.is_cut]
    return one


def spans(windows: Sequence[tuple[int, int | None]]) -> Spans:
    return [(start - EPOCH, None if end is None else end - EPOCH) for start, end in windows]


TABLE: list[tuple[str, list[Order], Spans, Spans]] = [
    ("it ends when its review is due", [block()], [(0, 5)], [(5, None)]),
    ("a window that is over before is as it was", [block(until=4)], [(0, 4)], []),
    ("an end at that very instant is no lapse", [block(until=5)], [(0, 5)], []),
    ("without a date there is nothing to review", [block(review_by=None, until=9)], [(0, 9)], []),
    ("a renewal before it extends", [block(), renew("x/r", 3, 8)], [(0, 8)], [(8, None)]),
    ("one at the very instant does, too", [block(), renew("x/r", 5, 8)], [(0, 8)], [(8, None)]),
    (
        "one that comes later starts it again",
        [block(), renew("x/r", 6, 8)],
        [(0, 5), (6, 8)],
        [(5, 6), (8, None)],
    ),
    ("a renewal that is over already renews nothing", [block(), renew("x/r", 6, 4)], [(0, 5)], [(5, None)]),
    ("an until alone records no review", [block(), renew("x/r", 3, until=9)], [(0, 5)], [(5, 9)]),
    (
        "a renewal that is cancelled leaves the date before it",
        [block(), renew("x/r", 3, 8), act(Kind.LIFT, "x/l", 6, of="x/r")],
        [(0, 6)],
        [(6, None)],
    ),
    (
        "a suspension at that time stays one",
        [block(), act(Kind.SUSPEND, "x/s", 4, until=7)],
        [(0, 4)],
        [(5, None)],
    ),
    (
        "a lift after it is a lift all the same",
        [block(), act(Kind.LIFT, "x/l", 7)],
        [(0, 5)],
        [(5, 7)],
    ),
    ("what was due before it began never holds", [block(review_by=-3)], [], [(0, None)]),
    ("until it is reviewed", [block(review_by=-3), renew("x/r", 2, 4)], [(2, 4)], [(0, 2), (4, None)]),
]


@pytest.mark.parametrize(
    ("found", "windows", "lapsed"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_is_not_reviewed_lapses(found: list[Order], windows: Spans, lapsed: Spans) -> None:
    one = one_of(found)
    assert (spans(one.windows), spans(one.lapsed)) == (windows, lapsed)
    (kept,) = schedule(found)
    assert (kept.lapsed, kept.ends) == ((), one.ends), "in law nothing ended"


def test_the_timeline_calls_it_neither_an_end_nor_a_suspension() -> None:
    found = [block(), renew("x/r", 6, 8), act(Kind.SUSPEND, "x/s", 7)]
    told = [
        (event.at - EPOCH, event.event)
        for event in timeline(schedule(found, lapses_from=0))
        if isinstance(event, Event)
    ]
    assert told == [(0, "starts"), (5, "lapsed"), (6, "resumed"), (7, "suspended")]


def test_a_site_that_chose_so_later_enforced_it_until_then() -> None:
    assert spans(one_of([block()], since=7).windows) == [(0, 7)]
    assert spans(one_of([block(), renew("x/r", 6, 20)], since=7).windows) == [(0, 20)]
    assert spans(one_of([block()], since=3).windows) == [(0, 5)]
    one = one_of([block()], since=7)
    assert [one.is_lapsed(EPOCH + second) for second in (4, 5, 6, 7)] == [False, False, False, True]


def test_what_was_suspended_while_it_was_overdue_and_kept_did_not_lapse_then() -> None:
    paused = [block(), act(Kind.SUSPEND, "x/s", 6, until=9)]
    for since, told in ((5, [(0, "starts"), (5, "lapsed")]), (7, [(0, "starts"), (6, "suspended")])):
        events = timeline(schedule(paused, lapses_from=EPOCH + since))
        assert [(event.at - EPOCH, event.event) for event in events] == told


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(found=orders(), since=st.integers(-2, 11))
def test_at_each_instant_what_holds_is_what_the_law_says_less_what_is_overdue(
    found: list[Order], since: int
) -> None:
    kept = {one.ref: one for one in schedule(found)}
    lapsing = {one.ref: one for one in schedule(found, lapses_from=EPOCH + since)}
    assert kept.keys() == lapsing.keys()
    for second in range(-1, 11):
        world, t = naive.world_at(found, at(second)), EPOCH + second
        for ref, owner, own in world.directives():
            due = world.review_of(ref, owner, own)
            is_overdue = due is not None and due <= at(second) and since <= second
            assert lapsing[ref].in_force(t) == (kept[ref].in_force(t) and not is_overdue), (ref, second)
