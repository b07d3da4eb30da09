"""What came into force since, and so what a rollback stops: never what was freed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.orders.model import Kind, Publication
from blocker.orders.schedule import schedule
from blocker.orders.timetable import Scheduled
from blocker.policy.rollback import Left, undoing
from tests.policy import naive
from tests.policy.strategies import ASKED_NAMES, EPOCH, LISTS, at, order, orders

if TYPE_CHECKING:
    from blocker.orders.model import Order
    from blocker.orders.timetable import Window

T = 1000


def one(ref: str, *windows: Window, cuts: tuple[str, ...] = ()) -> Scheduled:
    order = ref.rpartition(":" if cuts else "/")[0]
    return Scheduled(
        ref=ref,
        order=order,
        windows=windows,
        issued=0,
        publication=Publication.PUBLIC,
        cuts=cuts,
        lineage=frozenset({ref, order}),
    )


OPEN = (0, None)
A, B = one("x/a/d", OPEN), one("x/b/d", OPEN)
PENDING = one("x/a/d", (T + 9, None))
CUT = one("x/c:remove", OPEN, cuts=("x/a/d",))
AMENDED = replace(one("x/e/d", OPEN), lineage=frozenset({"x/e/d", "x/e", "x/a/d", "x/a"}))

TABLE: list[tuple[str, list[Scheduled], list[Scheduled], tuple[str, ...], tuple[Left, ...]]] = [
    ("nothing came", [A], [A], (), ()),
    ("an order came, and goes whole", [A], [A, B, one("x/b/e", OPEN)], ("x/b",), ()),
    ("an order that is to come", [], [PENDING], ("x/a",), ()),
    ("an order that is over", [], [one("x/a/d", (0, T))], (), ()),
    ("an order that never held", [], [one("x/a/d")], (), ()),
    ("a lift", [A], [one("x/a/d", (0, T - 1))], (), ()),
    ("a suspension", [A], [one("x/a/d", (0, T - 1), (T + 9, None))], (), ()),
    (
        "what was to end goes on",
        [one("x/a/d", (0, T + 5))],
        [A],
        (),
        (Left(ref="x/a/d", longer=(T + 5, None)),),
    ),
    (
        "what was to end ends later",
        [one("x/a/d", (0, T + 5))],
        [one("x/a/d", (0, T + 7))],
        (),
        (Left(ref="x/a/d", longer=(T + 5, T + 7)),),
    ),
    (
        "what was to be suspended is not, and begins sooner",
        [one("x/a/d", (0, T + 5), (T + 7, None))],
        [A],
        (),
        (Left(ref="x/a/d", longer=(T + 5, T + 7)),),
    ),
    ("what was over is back", [one("x/a/d", (0, T - 1))], [A], ("x/a/d",), ()),
    ("what was suspended is back", [one("x/a/d", (0, T - 9), (T + 9, None))], [A], ("x/a/d",), ()),
    ("it begins sooner", [PENDING], [one("x/a/d", (T + 5, None))], ("x/a/d",), ()),
    ("it began sooner, long ago", [one("x/a/d", (T - 5, None))], [A], (), ()),
    ("an order went", [A, B], [A], (), ()),
    ("an exception came", [A], [A, CUT], (), ()),
    (
        "an exception went",
        [A, B, CUT],
        [A, B],
        (),
        (Left(ref="x/a/d", cuts=("x/c:remove",)),),
    ),
    (
        "an exception ends sooner",
        [A, CUT],
        [A, replace(CUT, windows=((0, T + 5),))],
        (),
        (Left(ref="x/a/d", cuts=("x/c:remove",)),),
    ),
    (
        "an exception ends sooner, when all is over",
        [one("x/a/d", (0, T + 4)), CUT],
        [one("x/a/d", (0, T + 4)), replace(CUT, windows=((0, T + 5),))],
        (),
        (),
    ),
    (
        "an exception is of less than before",
        [A, B, replace(CUT, cuts=("x/a/d", "x/b/d"))],
        [A, B, CUT],
        (),
        (Left(ref="x/b/d", cuts=("x/c:remove",)),),
    ),
    (
        "an exception went from what is to come",
        [PENDING, CUT],
        [PENDING],
        (),
        (Left(ref="x/a/d", cuts=("x/c:remove",)),),
    ),
    (
        "an exception went from what is over",
        [one("x/a/d", (0, T)), replace(CUT, cuts=("x/a/d", "x/b/d"))],
        [one("x/a/d", (0, T))],
        (),
        (),
    ),
    (
        "what is back would take with it what was added to it",
        [one("x/a/d", (0, T - 9)), AMENDED],
        [A, AMENDED],
        (),
        (Left(ref="x/a/d", longer=(T, None), shields=("x/e/d",)),),
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "refs", "left"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_blocks_more_than_before_is_stopped_or_told(
    before: list[Scheduled], after: list[Scheduled], refs: tuple[str, ...], left: tuple[Left, ...]
) -> None:
    found = undoing(before, after, T)
    assert (found.refs, found.left) == (refs, left)


def test_what_the_older_orders_have_in_force_later_is_told_with_the_instant() -> None:
    suspended = one("x/a/d", (0, T - 9), (T + 9, T + 12))
    assert undoing([suspended, PENDING], [A], T).later == {"x/a/d": T + 9}
    assert undoing([], [A], T).later == {}


@pytest.mark.parametrize(
    ("came", "by"),
    [
        (("x/1",), ("x/1",)),
        (("x/1", "x/2"), ("x/1", "x/2")),
        (("x/2",), ("x/2",)),
        (("x/3", "x/4", "x/5"), ()),
    ],
)
def test_what_is_left_is_told_with_the_orders_that_came_since_and_are_about_it(
    came: tuple[str, ...], by: tuple[str, ...]
) -> None:
    acts = {
        "x/1": order("x/1", Kind.AMEND, of="x/a", start=0, until=9),
        "x/2": order("x/2", Kind.LIFT, of="x/1", start=0),
        "x/3": order("x/3", Kind.LIFT, of="x/b/d", start=0),
        "x/4": order("x/4", Kind.LIFT, of="x/5", start=0),
        "x/5": order("x/5", Kind.LIFT, of="x/4", start=0),
    }
    (left,) = undoing([one("x/a/d", (0, T + 5))], [A], T, orders=acts, came=came).left
    assert left.by == by


def windows() -> st.SearchStrategy[tuple[Window, ...]]:
    edges = st.lists(st.integers(T - 6, T + 12), unique=True, min_size=0, max_size=6).map(sorted)

    def made(drawn: Any) -> tuple[Window, ...]:
        found, is_open = drawn
        pairs = [(found[at], found[at + 1]) for at in range(0, len(found) - 1, 2)]
        return (*pairs, (found[-1], None)) if is_open and len(found) % 2 else tuple(pairs)

    return st.tuples(edges, st.booleans()).map(made)


@given(windows(), windows())
def test_a_directive_is_told_just_when_it_holds_at_an_instant_at_which_it_did_not(
    old: tuple[Window, ...], new: tuple[Window, ...]
) -> None:
    before, after = one("x/a/d", *old), one("x/a/d", *new)
    more = any(after.in_force(t) and not before.in_force(t) for t in range(T, T + 20))
    found = undoing([before], [after], T)
    assert bool(found.refs or found.left) == more
    assert not (found.refs and before.in_force(T) and after.in_force(T))
    assert not undoing([before], [replace(before, windows=old)], T).refs


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(found=orders(), data=st.data())
def test_a_rollback_frees_nothing_that_the_older_orders_block_and_blocks_nothing_more_than_they_do(
    found: list[Order], data: st.DataObject
) -> None:
    """By directive: what came in the stead of one that was lifted since goes, and the name is free."""
    older = found[: data.draw(st.integers(0, len(found)))]
    second = data.draw(st.integers(0, 8))
    came = [made.id for made in found if made not in older]
    undone = undoing(
        schedule(older),
        schedule(found),
        EPOCH + second,
        orders={made.id: made for made in found},
        came=came,
    )
    withheld = frozenset(undone.refs)
    exempt = {left.ref for left in undone.left} | undone.kept.keys()
    then, now = (naive.world_at(some, at(second), LISTS) for some in (older, found))
    for name in ASKED_NAMES:
        for region in ("ID", "GB"):
            old, new, made = (
                naive.ask(then, name, region, at(second)),
                naive.ask(now, name, region, at(second)),
                naive.ask(now, name, region, at(second), withheld),
            )
            assert made.because >= old.because & new.because, (name, region)
            assert made.because <= old.because | exempt, (name, region)
