from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.rpz import delta, zone
from blocker.rpz.delta import Edit
from blocker.rpz.zone import Entry
from tests.policy.strategies import ASKED_NAMES, EPOCH, REGIONS, directive, key, order, orders
from tests.policy.test_decide import INSTANT, LAW, index_of
from tests.rpz import resolvers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.orders.model import Order
    from blocker.rpz.delta import Step

ASKED = [*ASKED_NAMES, *(f"y.x.{name}" for name in ASKED_NAMES)]
READINGS = [resolvers.strict, resolvers.lax]


def rendered(found: list[Order], second: int, region: str = "ID") -> list[Entry]:
    return list(zone.entries(index_of(found), "id.rpz", region, EPOCH + second))


def steps(held: Iterable[Entry], wanted: Iterable[Entry], most: int) -> list[Step]:
    found = list(held)
    return list(delta.steps(found, wanted, rule_of=dict(found).get, cost=lambda _: 1, most=most))


def taken(held: resolvers.Zone, step: Step) -> resolvers.Zone:
    """The zone after one step, which must fit what it holds."""
    after = dict(held)
    for edit in step:
        owner = names.to_text(edit.owner)
        assert after.pop(owner, None) == edit.was
        if edit.now is not None:
            after[owner] = edit.now
    return after


@LAW
@given(
    before=orders(),
    after=orders(),
    seconds=st.tuples(INSTANT, INSTANT),
    region=st.sampled_from(REGIONS),
    most=st.sampled_from([1, 2, 3, 7, 1000]),
)
def test_each_name_goes_over_once_and_the_last_step_ends_at_the_new_zone(
    before: list[Order], after: list[Order], seconds: tuple[int, int], region: str, most: int
) -> None:
    old, new = rendered(before, seconds[0], region), rendered(after, seconds[1], region)
    states = [resolvers.zone(old)]
    for step in steps(old, new, most):
        assert len({edit.owner for edit in step}) == len(step)
        assert all(edit.was != edit.now for edit in step)
        states.append(taken(states[-1], step))
    assert states[-1] == resolvers.zone(new)
    for reading in READINGS:
        for name in ASKED:
            said = [reading(state, name) for state in states]
            changes = [rule for at, rule in enumerate(said) if at == 0 or rule != said[at - 1]]
            assert changes in ([said[0]], [said[0], said[-1]]), (name, changes)


@LAW
@given(before=orders(), after=orders(), most=st.integers(2, 9))
def test_no_step_costs_more_than_it_may(before: list[Order], after: list[Order], most: int) -> None:
    for step in steps(rendered(before, 4), rendered(after, 4), most):
        assert 0 < len(step) <= most


@LAW
@given(found=orders(), second=INSTANT)
def test_a_zone_that_says_it_already_needs_no_step(found: list[Order], second: int) -> None:
    held = rendered(found, second)
    assert steps(held, held, 3) == []


@pytest.mark.parametrize("run", [1, 2, 3, 1024])
@LAW
@given(data=st.data())
def test_the_edits_are_the_owners_that_differ_in_order_however_long_runs_are(
    run: int, data: st.DataObject
) -> None:
    rules = st.dictionaries(
        st.sampled_from("abcdefgh").map(lambda label: key(f"{label}.example")), st.sampled_from([".", "*."])
    )
    old, new = data.draw(rules), data.draw(rules)
    held, wanted = ([Entry(*one) for one in sorted(found.items())] for found in (old, new))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(delta, "_RUN", run)
        found = list(delta.edits(held, wanted))
    owners = sorted(old.keys() | new.keys())
    assert found == [Edit(one, old.get(one), new.get(one)) for one in owners if old.get(one) != new.get(one)]


DEEP = order(
    "x/b",
    directives=(directive("d", "a.example", excepts=[f"n{number}.x.a.example" for number in range(10)]),),
)
FLAT = order("x/b", directives=(directive("d", *(f"n{number}.example" for number in range(10))),))


@pytest.mark.parametrize(
    ("found", "most", "count"),
    [
        (FLAT, 1000, 1),
        (FLAT, 20, 1),
        (FLAT, 19, 2),
        # Below one name: whole while it fits, else expanded, flipped and contracted.
        (DEEP, 24, 1),
        (DEEP, 23, 2),
    ],
)
def test_how_many_steps_a_start_takes(found: Order, most: int, count: int) -> None:
    assert len(steps([], rendered([found], 0), most)) == count


def test_the_edits_of_one_name_stay_together_whatever_they_cost() -> None:
    found = list(delta.steps([], rendered([FLAT], 0), rule_of=lambda _: None, cost=lambda _: 100, most=150))
    assert [len(step) for step in found] == [2] * 10


def test_where_many_names_take_no_step_an_empty_one_comes_now_and_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = steps(rendered([DEEP], 0), [], 3)
    monkeypatch.setattr(delta, "_RUN", 4)
    found = steps(rendered([DEEP], 0), [], 3)
    assert [step for step in found if step] == whole
    assert found.index(()) < found.index(whole[0]), "all have records of their own already: nothing to expand"
