"""What can't be read back stays as it is live, and its family with it; all else goes on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocker.errors import StoreError
from blocker.names import ancestry
from blocker.orders import parse, relations
from blocker.orders.model import Kind
from blocker.orders.schedule import schedule
from blocker.orders.timetable import Names
from blocker.policy import still
from blocker.policy.index import Index
from blocker.policy.plan import Live, make_plan
from blocker.policy.standing import Standing, stand
from blocker.site import Enforcement
from blocker.yamltext import read as tree
from tests.policy.strategies import EPOCH, directive, key, order, orders, read

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from blocker.names import Key
    from blocker.orders.model import Order

PLAIN = Enforcement()
LAPSING = Enforcement(review="lapse")
ROOT, _ = tree(b"of: x", "x.yaml")


def live(given: Sequence[Order], site: Enforcement = PLAIN) -> Live:
    """As the store has them: without their names."""
    return Live(
        number=1,
        orders={one.id: one.digest for one in given},
        directives={
            one.ref: replace(one, names=Names()) for one in schedule(given, lapses_from=site.lapses_from)
        },
        counts={},
        enforcement=site,
    )


def filed(given: Iterable[Order]) -> dict[str, parse.Filed]:
    assert ROOT is not None
    return {
        one.id: parse.Filed(
            path=f"{one.id}.yaml",
            id=one.id,
            root=ROOT,
            order_id=one.id,
            directives_key="directives",
            directives=(),
            order=one,
        )
        for one in given
    }


def stood(
    applied: Sequence[Order],
    unread: Collection[str],
    new: Iterable[Order] = (),
    *,
    changed: Iterable[Order] = (),
    site: Enforcement = PLAIN,
) -> Standing:
    """What stands if the files of `unread` are gone, or `changed`, and nothing has their applied forms."""

    def recall(id_: str, digest: str) -> parse.Filed:
        assert {one.id: one.digest for one in applied}[id_] == digest
        raise StoreError(f"{id_} is damaged")

    there = [*(one for one in applied if one.id not in unread), *new, *changed]
    return stand(filed(there), (), live(applied, site), recall, now=EPOCH + 4)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(orders(), st.data(), st.sampled_from([PLAIN, LAPSING]))
def test_whatever_cannot_be_read_nothing_of_the_live_policy_changes(
    given: list[Order], data: st.DataObject, site: Enforcement
) -> None:
    unread = data.draw(st.sets(st.sampled_from([one.id for one in given]), min_size=1))
    found = stood(given, unread, site=site)
    now = live(given, site)
    assert {one.ref: one for one in found.scheduled(lapses_from=site.lapses_from)} == now.directives
    plan = make_plan(
        now,
        found.orders,
        found.scheduled(lapses_from=site.lapses_from),
        {},
        site,
        unread=found.still.unread,
        now=EPOCH,
    )
    assert (plan.changes, plan.orders_added, plan.orders_dropped) == ((), (), ())
    unreadable = {one.order for one in found.problems if one.id == "applied-order-unreadable"}
    others = {one.order for one in relations.check(filed(given).values())}  # of what is told anyway
    assert unreadable == unread
    assert set(found.quarantined) <= unread | others


A = order("x/a", directives=(directive("d", "a.example", excepts=["c.a.example"]),))
B = order("x/b", directives=(directive("d", "b.example"),))
SUSPEND = order("x/s", Kind.SUSPEND, of="x/a", start=2)
LIFT = order("x/l", Kind.LIFT, of="x/a", start=5)
AMEND = order(
    "x/m",
    Kind.AMEND,
    of="x/a",
    start=1,
    directives=(directive("n", "n.example", start=1),),
    remove=["d.a.example"],
)
END_B = order("x/end", Kind.LIFT, of="x/b", start=5)
BACK = order("x/back", Kind.REINSTATE, of="x/a", start=6)


@pytest.mark.parametrize(
    ("applied", "unread"),
    [
        ([A, B], "x/a"),
        ([A, B, LIFT], "x/l"),
        ([A, B, SUSPEND, LIFT], "x/a"),
        ([A, B, SUSPEND], "x/s"),
        ([A, B, AMEND], "x/m"),
        ([A, B, AMEND], "x/a"),
    ],
)
def test_another_family_goes_on_and_nothing_new_comes_into_its_own(applied: list[Order], unread: str) -> None:
    new = [END_B, order("x/new", Kind.SUSPEND, of="x/a/d", start=7), BACK]
    found = stood(applied, {unread}, new)
    expected = schedule([*applied, END_B])
    assert found.scheduled() == expected
    assert {one.order for one in found.problems} == {unread}
    assert {"x/new", "x/back"} <= set(found.quarantined)


def test_what_is_about_an_order_that_waits_waits_too() -> None:
    new = [order("x/new", Kind.SUSPEND, of="x/a", start=7), order("x/over", Kind.LIFT, of="x/new", start=8)]
    assert {"x/new", "x/over"} <= set(stood([A, B], {"x/a"}, new).quarantined)


def test_a_changed_file_says_of_which_family_an_order_was_that_changes_nothing() -> None:
    idle = order("x/idle", Kind.LIFT, of="x/a", start=6)
    applied = [A, B, LIFT, idle]
    hint = order("x/idle", Kind.LIFT, of="x/a/d", start=7)
    new = order("x/undo", Kind.LIFT, of="x/l", start=4)
    assert "x/undo" in stood(applied, {"x/idle"}, [new], changed=[hint]).quarantined
    assert "x/undo" not in stood(applied, {"x/idle"}, [new]).quarantined


def test_the_names_of_what_can_be_read_are_known_and_the_store_has_the_others_around_a_name() -> None:
    applied = [A, B, AMEND]
    kept = stood(applied, {"x/a"}).still
    policy = Policy(applied)
    assert {one.ref: len(one.names.subjects) for one in kept.directives} == {
        "x/a/d": 0,
        "x/m/n": 1,
        "x/m:remove": 1,
    }
    named = {one.ref: one.names for one in still.named(policy, kept, key("a.example"))}
    assert (named["x/a/d"].subjects, named["x/a/d"].excepts) == (
        A.directives[0].subjects,
        A.directives[0].excepts,
    )
    away = {one.ref: one.names for one in still.named(policy, kept, key("www.b.example"))}
    assert not away["x/a/d"].subjects
    cut = stood(applied, {"x/m"}).still
    named = {one.ref: one.names for one in still.named(policy, cut, key("www.d.a.example"))}
    assert named["x/m:remove"].subjects == AMEND.remove


class Policy(Index):
    """A policy in memory whose names can be walked in order, as the store's."""

    def __init__(self, given: Iterable[Order]) -> None:
        super().__init__(schedule(given), read)

    def below(self, top: Key, limit: int) -> list[tuple[Key, int]]:
        return [(one, set_id) for one, set_id in self.walk() if top in list(ancestry(one))[:-1]][:limit]
