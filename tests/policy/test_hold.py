from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker.orders.model import Kind
from blocker.orders.schedule import schedule
from blocker.policy import hold
from blocker.policy.hold import GUARDS, Why
from blocker.policy.plan import NOTHING, Live, Plan, make_plan, policy_digest
from blocker.policy.radius import REASONS, judge
from blocker.site import Enforcement, Limits
from tests.policy.strategies import EPOCH, directive, order

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled
    from blocker.policy.radius import Radius

NOW = EPOCH + 4
BLOCK = order("x/a", directives=(directive("d", "a.example"), directive("e", "e.example", "f.example")))
COMING = order("x/c", directives=(directive("d", "c.example", start=6),))
OVER = order("x/o", directives=(directive("d", "o.example", until=2),))
ADDS = order("x/m", Kind.AMEND, of="x/a", start=5, directives=(directive("n", "n.example", start=5),))
REMOVES = order("x/r", Kind.AMEND, of="x/a", start=5, remove=["w.a.example"])
TAKES = order("x/t", Kind.AMEND, of="x/a", start=6, remove=["v.a.example"])
UNDOES = order("x/u", Kind.LIFT, of="x/r", start=5)
PAUSE = order("x/p", Kind.SUSPEND, of="x/c", start=1)
LIFT = order("x/l", Kind.LIFT, of="x/a", start=5)
SUSPEND = order("x/s", Kind.SUSPEND, of="x/a", start=5)


def live(given: Sequence[Order], sizes: Mapping[str, int]) -> Live:
    orders = {one.id: one.digest for one in given}
    scheduled = schedule(given)
    return Live(
        digest=policy_digest(orders),
        number=1,
        orders=orders,
        directives={one.ref: one for one in scheduled},
        counts={one.ref: sizes.get(one.ref, 1) for one in scheduled},
        enforcement=Enforcement(),
    )


def planned(
    before: Sequence[Order], after: Sequence[Order], sizes: Mapping[str, int] | None = None
) -> tuple[Plan, list[Scheduled], Live]:
    scheduled = schedule(after)
    base = live(before, sizes or {}) if before else NOTHING
    counts = {one.ref: (sizes or {}).get(one.ref, 1) for one in scheduled}
    return (
        make_plan(base, {one.id: one for one in after}, scheduled, counts, Enforcement(), now=NOW),
        scheduled,
        base,
    )


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([], [BLOCK, COMING], {"x/a": ["x/a/d", "x/a/e"], "x/c": ["x/c/d"]}),
        ([], [OVER], {"x/o": ["x/o/d"]}),
        ([], [COMING, PAUSE], {"x/c": ["x/c/d"]}),
        ([BLOCK], [BLOCK], {}),
        ([BLOCK], [BLOCK, ADDS], {"x/m": ["x/m/n"]}),
        ([BLOCK], [BLOCK, REMOVES, LIFT], {}),
        ([BLOCK, REMOVES], [BLOCK, REMOVES, UNDOES], {}),
        ([BLOCK], [replace(BLOCK, digest="0" * 64)], {}),
    ],
    ids=[
        "blocks",
        "over",
        "suspended",
        "old",
        "an addition",
        "removes, lifts",
        "the end of a cut",
        "a new form",
    ],
)
def test_new_orders_are_judged_whenever_they_hold(
    before: list[Order], after: list[Order], expected: dict[str, list[str]]
) -> None:
    _, scheduled, base = planned(before, after)
    found = hold.newcomers(scheduled, base)
    assert {id_: [one.ref for one in ones] for id_, ones in found.items()} == expected


def held(
    before: list[Order],
    after: list[Order],
    sizes: Mapping[str, int],
    limits: Limits,
    radii: Mapping[str, Radius] | None = None,
) -> Mapping[str, tuple[Why, ...]]:
    plan, scheduled, base = planned(before, after, sizes)
    return hold.holds(radii or {}, {one.id: one for one in after}, scheduled, plan.changes, base, limits)


def ids(found: Mapping[str, tuple[Why, ...]]) -> dict[str, list[str]]:
    return {order: [why.id for why in whys] for order, whys in found.items()}


BOTH_REMOVE = {"x/r": ["removes-many"], "x/t": ["removes-many"]}
SIZES = {"x/a/d": 900, "x/a/e": 200, "x/m/n": 700, "x/r:remove": 600, "x/t:remove": 90, "x/c/d": 700}


@pytest.mark.parametrize(
    ("before", "after", "limits", "expected"),
    [
        ([], [BLOCK], Limits(), {}),
        ([], [BLOCK, COMING], Limits(max_added_per_order=1000), {"x/a": ["adds-many"]}),
        ([], [BLOCK, COMING], Limits(max_added_per_order=1100), {}),
        ([], [OVER], Limits(max_added_per_order=0), {"x/o": ["adds-many"]}),
        ([], [BLOCK, ADDS], Limits(max_added_per_order=1700), {"x/a": ["adds-many"], "x/m": ["adds-many"]}),
        ([], [BLOCK, ADDS, COMING], Limits(max_added_per_order=1800), {}),
        ([BLOCK], [BLOCK, REMOVES, TAKES], Limits(max_removed_per_order=0.6), BOTH_REMOVE),
        ([BLOCK], [BLOCK], Limits(max_added_per_order=0), {}),
        ([BLOCK], [BLOCK, ADDS], Limits(max_added_per_order=699), {"x/m": ["adds-many"]}),
        ([BLOCK], [BLOCK, REMOVES], Limits(), {"x/r": ["removes-many"]}),
        ([BLOCK], [BLOCK, REMOVES], Limits(max_removed_per_order=0.6), {}),
        ([BLOCK, REMOVES], [BLOCK, REMOVES], Limits(max_removed_per_order=0), {}),
        ([BLOCK, REMOVES], [BLOCK, REMOVES, UNDOES], Limits(max_removed_per_order=0), {}),
        ([BLOCK], [BLOCK, LIFT, SUSPEND], Limits(max_added_per_order=0, max_removed_per_order=0), {}),
    ],
    ids=[
        "no limit of its own", "more than the limit", "at the limit", "over already", "in two orders of one",
        "at the limit in two", "a removal in two amends", "applied before",
        "an addition", "a removal of more than half", "within the ratio", "applied before, too",
        "the end of a cut", "a lift and a suspension",
    ],
)  # fmt: skip
def test_an_order_is_held_for_its_size_alone_and_a_lift_never_is(
    before: list[Order], after: list[Order], limits: Limits, expected: dict[str, list[str]]
) -> None:
    assert ids(held(before, after, SIZES, limits)) == expected


def test_the_ratio_says_nothing_of_a_small_order() -> None:
    sizes = {"x/a/d": 900, "x/r:remove": 899}
    assert held([BLOCK], [BLOCK, REMOVES], sizes, Limits()) == {}


def test_every_reason_is_a_sentence_with_its_numbers() -> None:
    shared = directive("d", "github.io", "amazonaws.com").subjects
    radii = {"x/a": judge([(one.match, [one.key]) for one in shared], {}), "x/c": judge([], {})}
    found = held([], [BLOCK, COMING], SIZES, Limits(max_added_per_order=1000), radii)
    assert [why.sentence for why in found["x/a"]] == [
        "2 names are a suffix below which many publish, or above one",
        "it blocks 1,100 names; limits.max_added_per_order is 1,000",
    ]
    (why,) = held([BLOCK], [BLOCK, REMOVES], SIZES, Limits())["x/r"]
    assert why.sentence == (
        "it takes away 600 of the 1,100 names of its order, 55%; limits.max_removed_per_order is 50%"
    )
    (why,) = held([BLOCK], [BLOCK, REMOVES, TAKES], SIZES, Limits(max_removed_per_order=0.6))["x/t"]
    assert why.sentence == (
        "it takes away 90 of the 1,100 names of its order, with other new amends 690, 63%; "
        "limits.max_removed_per_order is 60%"
    )
    (why,) = held([], [BLOCK, ADDS], SIZES, Limits(max_added_per_order=1700))["x/m"]
    assert why.sentence == (
        "it blocks 700 names, with the other new orders of 'x/a' 1,800; limits.max_added_per_order is 1,700"
    )


def test_no_reason_has_two_meanings() -> None:
    assert REASONS.keys().isdisjoint(GUARDS)
