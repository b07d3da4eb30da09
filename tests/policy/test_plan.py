from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings

from blocker.errors import TooMuchChange
from blocker.orders.model import Kind
from blocker.orders.schedule import schedule
from blocker.policy.plan import NOTHING, Live, Plan, guard, make_plan, policy_digest
from blocker.site import Enforcement, Limits
from tests.policy.strategies import EPOCH, directive, order, orders

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocker.orders.model import Order
    from blocker.orders.timetable import Scheduled

NOW = EPOCH + 4
SITE = Enforcement()


def counts_of(given: Sequence[Order], sizes: Mapping[str, int]) -> dict[str, int]:
    return {one.ref: sizes.get(one.ref, 1) for one in schedule(given)}


def live(given: Sequence[Order], sizes: Mapping[str, int], site: Enforcement = SITE) -> Live:
    orders = {one.id: one.digest for one in given}
    return Live(
        digest=policy_digest(orders),
        number=1,
        orders=orders,
        directives={one.ref: one for one in schedule(given)},
        counts=counts_of(given, sizes),
        enforcement=site,
    )


def plan(
    before: Sequence[Order] | None,
    after: Sequence[Order],
    *,
    sizes: Mapping[str, int] | None = None,
    was: Enforcement = SITE,
    site: Enforcement = SITE,
    now: float = NOW,
) -> Plan:
    base = NOTHING if before is None else live(before, sizes or {}, was)
    by_id = {one.id: one for one in after}
    return make_plan(base, by_id, schedule(after), counts_of(after, sizes or {}), site, now=now)


def block(id_: str, **changes: int | None) -> Order:
    return order(id_, directives=(directive("d", f"{id_.partition('/')[2]}.example", **changes),))


A, B = block("x/a"), block("x/b")
OPEN = block("x/a", until=None)
ENDED, COMING = block("x/a", until=2), block("x/a", start=6)
LIFT = order("x/l", Kind.LIFT, of="x/a", start=5)
SUSPEND = order("x/s", Kind.SUSPEND, of="x/a", start=5, until=6)
REINSTATE = order("x/r", Kind.REINSTATE, of="x/a", start=5)
LONG_SUSPEND = order("x/s", Kind.SUSPEND, of="x/a", start=1)
RENEWAL = order("x/m", Kind.AMEND, of="x/a", start=5, until=50)
SHORTENING = order("x/m", Kind.AMEND, of="x/a", start=5, until=6)
REMOVAL = order("x/m", Kind.AMEND, of="x/a", start=5, remove=["c.a.example"])
ADDITION = order("x/m", Kind.AMEND, of="x/a", start=5, directives=(directive("n", "n.example", start=5),))


@pytest.mark.parametrize(
    ("before", "after", "ref", "what", "expected"),
    [
        (None, [A], "x/a/d", "added", (True, False, True)),
        (None, [ENDED], "x/a/d", "added", (False, False, True)),
        (None, [COMING], "x/a/d", "added", (True, False, True)),
        ([A], [A, LIFT], "x/a/d", "retimed", (False, True, True)),
        ([A], [A, SUSPEND], "x/a/d", "retimed", (False, True, True)),
        ([A, LONG_SUSPEND], [A, LONG_SUSPEND, REINSTATE], "x/a/d", "retimed", (True, False, True)),
        ([A], [A, RENEWAL], "x/a/d", "retimed", (True, False, True)),
        ([OPEN], [OPEN, RENEWAL], "x/a/d", "retimed", (False, True, True)),
        ([A], [A, SHORTENING], "x/a/d", "retimed", (False, True, True)),
        ([A], [A, REMOVAL], "x/m:remove", "added", (False, True, True)),
        ([A, REMOVAL], [A], "x/m:remove", "dropped", (True, False, False)),
        ([A], [A, ADDITION], "x/m/n", "added", (True, False, True)),
        ([A, B], [B], "x/a/d", "dropped", (False, True, False)),
        ([A, B, LIFT], [B], "x/a/d", "dropped", (False, True, False)),
        ([ENDED, B], [B], "x/a/d", "dropped", (False, False, False)),
        ([A], [replace(A, digest="0" * 64)], "x/a/d", "retimed", (True, True, False)),
        ([A], [block("x/a", until=6)], "x/a/d", "retimed", (True, True, False)),
        ([A, LIFT], [A], "x/a/d", "retimed", (True, False, False)),
    ],
    ids=[
        "a new block",
        "a new block already over",
        "a new block to come",
        "a lift",
        "a suspension",
        "a reinstatement",
        "a renewal",
        "an open window closed by a renewal",
        "a shortening",
        "a removal",
        "a removal whose file is gone",
        "an addition",
        "a dropped order",
        "an order dropped with its lift",
        "a dropped order that had ended",
        "a changed file with the same windows",
        "a changed file with a shorter window",
        "a dropped lift",
    ],
)
def test_every_change_says_which_way_names_go_and_whether_an_order_asks_for_it(
    before: list[Order] | None,
    after: list[Order],
    ref: str,
    what: str,
    expected: tuple[bool, bool, bool],
) -> None:
    blocks, frees, explained = expected
    made = plan(before, after, sizes={ref: 7})
    (change,) = [one for one in made.changes if one.ref == ref]
    assert (change.what, change.blocks, change.frees) == (what, blocks, frees)
    assert change.explained == explained
    assert change.names == 7
    assert change.windows == next((one.windows for one in schedule(after) if one.ref == ref), ())
    if len(made.changes) == 1:
        assert made.added == (7 if blocks else 0)
        assert made.removed == (7 if frees and not explained else 0)


def test_a_removal_that_reaches_further_frees_and_one_that_reaches_less_blocks() -> None:
    two = order("x/a", directives=(directive("d", "a.example"), directive("e", "e.example")))
    early = order("x/e", Kind.AMEND, of="x/a", start=1, directives=(directive("n", "n.example", start=1),))
    before, after = [two, REMOVAL], [two, early, REMOVAL]
    (wider,) = [one for one in plan(before, after).changes if one.ref == "x/m:remove"]
    assert (wider.what, wider.blocks, wider.frees) == ("retimed", False, True)
    (narrower,) = [one for one in plan(after, before).changes if one.ref == "x/m:remove"]
    assert (narrower.blocks, narrower.frees) == (True, False)


WIDER = order("x/e", Kind.AMEND, of="x/a", start=1, directives=(directive("n", "n.example", start=1),))
UNDONE = order("x/u", Kind.LIFT, of="x/m", start=6)


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [
        ([A], [A, REMOVAL], ["x/a/d"]),
        ([A, REMOVAL], [A, REMOVAL, UNDONE], ["x/a/d"]),
        ([A, REMOVAL, UNDONE], [A, REMOVAL], ["x/a/d"]),
        ([A, REMOVAL], [A], ["x/a/d"]),
        ([A, WIDER, REMOVAL], [A, REMOVAL], ["x/a/d x/e/n"]),
        ([A, REMOVAL], [A, WIDER, REMOVAL], ["x/a/d x/e/n"]),
        ([A, REMOVAL], [A, replace(REMOVAL, digest="0" * 64)], ["x/a/d", "x/a/d"]),
        ([A, REMOVAL], [A, REMOVAL, B], []),
        ([A], [A, RENEWAL, ADDITION], []),
    ],
    ids=[
        "a removal",
        "its end",
        "its end, undone",
        "dropped",
        "reaches less",
        "reaches further",
        "others in its place",
        "unchanged",
        "no removal",
    ],
)
def test_a_removal_counts_the_names_that_it_spares_where_the_plan_changes_it(
    before: list[Order], after: list[Order], asked: list[str]
) -> None:
    found: list[str] = []

    def spares(cut: Scheduled) -> int:
        found.append(" ".join(cut.cuts))
        return 600 if len(found) == 1 else 500

    by_id = {one.id: one for one in after}
    made = make_plan(
        live(before, {}), by_id, schedule(after), counts_of(after, {}), SITE, spares=spares, now=NOW
    )
    assert found == asked
    assert [one.names for one in made.changes if one.ref == "x/m:remove"] == [600][: len(asked)]
    without = make_plan(live(before, {}), by_id, schedule(after), counts_of(after, {}), SITE, now=NOW)
    assert made.digest == without.digest


def test_a_removal_counts_its_own_names_if_it_spares_fewer() -> None:
    (change,) = plan([A], [A, REMOVAL], sizes={"x/m:remove": 7}).changes
    assert change.names == 7


def test_the_end_of_a_removal_is_refused_for_the_names_that_it_blocks() -> None:
    after = [A, REMOVAL, UNDONE]
    made = make_plan(
        live([A, REMOVAL], {}),
        {one.id: one for one in after},
        schedule(after),
        counts_of(after, {}),
        SITE,
        spares=lambda _: 2000,
        now=NOW,
    )
    with pytest.raises(TooMuchChange, match=r"it blocks 2,000 more names, limits\.max_added is 1,000"):
        guard(made, Limits(max_added=1000))


def test_what_is_over_counts_for_nothing() -> None:
    gap = order("x/s", Kind.SUSPEND, of="x/a", start=1, until=3)
    assert plan([A], [A, gap]).changes[0].frees is False
    assert plan([A], [A, gap], now=EPOCH + 2).changes[0].frees is True
    assert plan([ENDED], [ENDED]).live_names == 0
    assert plan([A, LONG_SUSPEND], [A, LONG_SUSPEND]).live_names == 1  # Suspended is not over.
    assert plan([A, REMOVAL], [A, REMOVAL]).live_names == 1  # A cut blocks nothing.


def test_the_plan_of_the_applied_policy_is_empty() -> None:
    given = [A, B, RENEWAL, SUSPEND]
    assert plan(given, given).is_empty
    assert not plan(given, [*given, LIFT]).is_empty
    assert not plan(None, []).is_empty  # The first apply makes the store, even for no orders.


@settings(max_examples=40)
@given(found=orders())
def test_applied_again_any_policy_changes_nothing_and_from_nothing_it_blocks_what_is_to_come(
    found: list[Order],
) -> None:
    assert plan(found, found).is_empty
    first = plan(None, found)
    assert all(one.what == "added" and one.explained for one in first.changes)
    assert first.removed == 0
    to_come = {
        one.ref
        for one in schedule(found)
        if any(end is None or end > NOW for _, end in one.windows) and not one.is_cut
    }
    assert {one.ref for one in first.changes if one.blocks} == to_come


def test_a_change_of_the_site_alone_is_no_empty_plan_and_is_named() -> None:
    other = Enforcement(
        default_region="ID", ttl=1, max_ttl=2, info_url="https://isp.example/x", regions={"ID": ()}
    )
    made = plan([A], [A], site=other)
    assert made.site_changes == ("regions", "default_region", "ttl", "max_ttl", "info_url")
    assert made.changes == ()
    assert not made.is_empty


def test_what_a_site_does_with_overdue_reviews_is_part_of_what_a_reviewer_accepts() -> None:
    keep, lapse = plan([A], [A]), plan([A], [A], site=replace(SITE, review="lapse"))
    assert (lapse.site_changes, lapse.review, keep.review) == (("review",), "lapse", "")
    assert lapse.digest != keep.digest
    assert lapse.next == keep.next, "the policy's own digest is a function of the orders alone"


def test_another_zone_is_a_change_of_the_site() -> None:
    by_id, base = {A.id: A}, replace(live([A], {}), zones=("id.rpz",))
    for zones, changes in ((("id.rpz",), ()), (("id.other",), ("zones",)), ((), ("zones",))):
        made = make_plan(base, by_id, schedule([A]), counts_of([A], {}), SITE, zones=zones, now=NOW)
        assert made.site_changes == changes


def test_the_digest_of_a_policy_is_a_pure_function_of_its_orders() -> None:
    given = [A, B, LIFT, SUSPEND]
    digests = {one.id: one.digest for one in given}
    shuffled = list(digests.items())
    random.Random(3).shuffle(shuffled)
    assert policy_digest(dict(shuffled)) == policy_digest(digests)
    assert policy_digest({**digests, "x/a": "0" * 64}) != policy_digest(digests)
    assert policy_digest({"x/a": "1", "x/b": "2"}) != policy_digest({"x/a": "2", "x/b": "1"})
    here, there = plan([A], given, now=EPOCH), plan([A], given, now=EPOCH + 5, sizes={"x/b/d": 99})
    assert (here.base, here.next, here.digest) == (there.base, there.next, there.digest)
    assert plan([B], given).digest != here.digest
    assert here.next == policy_digest(digests)


def test_the_plan_lists_the_orders_that_come_and_go() -> None:
    made = plan([A, SUSPEND], [B, A, LIFT])
    assert made.orders_added == ("x/b", "x/l")
    assert made.orders_dropped == ("x/s",)


LIMITS = Limits(max_added=1000, max_added_ratio=0.3, max_removed_ratio=0.3)
C = block("x/c")


@pytest.mark.parametrize(
    ("before", "after", "sizes", "reasons"),
    [
        (None, [A], {"x/a/d": 1000}, []),
        (None, [A], {"x/a/d": 1001}, ["it blocks 1,001 more names, limits.max_added is 1,000"]),
        ([B], [A, B], {"x/b/d": 1000, "x/a/d": 900}, []),
        (
            [B],
            [A, B],
            {"x/b/d": 1001, "x/a/d": 900},
            ["it blocks 900 names, 90% of the 1,001 live ones; limits.max_added_ratio is 30%"],
        ),
        ([B], [A, B], {"x/b/d": 2000, "x/a/d": 600}, []),
        ([B, A], [B], {"x/b/d": 900, "x/a/d": 100}, []),
        (
            [B, A],
            [B],
            {"x/b/d": 901, "x/a/d": 500},
            ["it frees 500 names, 36% of the 1,401 live ones; limits.max_removed_ratio is 30%"],
        ),
        ([B, A], [B, A, LIFT], {"x/b/d": 901, "x/a/d": 500}, []),
        ([B, A], [B, A, SUSPEND], {"x/b/d": 901, "x/a/d": 500}, []),
        ([B, A], [B, A, SHORTENING], {"x/b/d": 901, "x/a/d": 500}, []),
        (
            [B, A],
            [B, A, RENEWAL],
            {"x/b/d": 901, "x/a/d": 500},
            ["it blocks 500 names, 36% of the 1,401 live ones; limits.max_added_ratio is 30%"],
        ),
        (
            [B, A],
            [B, C],
            {"x/b/d": 1, "x/a/d": 2000, "x/c/d": 1500},
            [
                "it blocks 1,500 more names, limits.max_added is 1,000",
                "it blocks 1,500 names, 75% of the 2,001 live ones; limits.max_added_ratio is 30%",
                "it frees 2,000 names, 100% of the 2,001 live ones; limits.max_removed_ratio is 30%",
            ],
        ),
    ],
    ids=[
        "growth at the limit",
        "growth above the limit",
        "a ratio says nothing up to a thousand live names",
        "a ratio counts above a thousand",
        "growth at the ratio",
        "shrinkage below a thousand names",
        "an order dropped",
        "a lift explains shrinkage",
        "a suspension explains it",
        "an amend explains it",
        "a renewal is growth",
        "all reasons at once",
    ],
)
def test_the_guard_refuses_what_is_unusual_and_names_numbers_limit_and_flag(
    before: list[Order] | None, after: list[Order], sizes: dict[str, int], reasons: list[str]
) -> None:
    made = plan(before, after, sizes=sizes)
    if not reasons:
        guard(made, LIMITS)
        return
    with pytest.raises(TooMuchChange) as refused:
        guard(made, LIMITS)
    said = str(refused.value)
    for reason in reasons:
        assert reason in said
    assert said.count("it blocks") + said.count("it frees") == len(reasons)
    assert f"`blocker apply --accept {made.digest} --reason TEXT`" in said
    assert refused.value.exit_code == 3
