"""The table is held to the contract's meaning before any server is."""

from __future__ import annotations

from collections import Counter

import pytest

from blocker.orders.model import Form, NameList
from blocker.orders.schedule import schedule
from blocker.policy.index import Index
from tests.conformance import table
from tests.conformance.cases import Ask, Case, Phase, begins
from tests.conformance.meaning import meaning
from tests.conformance.world import World

NOW = 1_800_000_000
AT = {Phase.STANDING: NOW, Phase.BEFORE: NOW - 5, Phase.AFTER: NOW}
CASES = [*table.standing(NOW, 237), *table.turning(NOW), *table.applied(NOW)]
ROWS = [(case, ask) for case in CASES for ask in case.asks if ask.qclass == "IN"]


def policy_of(case: Case) -> Index:
    return Index(
        schedule(case.orders), lambda _: NameList(keys=()), withheld=dict.fromkeys(case.withheld, object())
    )


@pytest.mark.parametrize(("case", "ask"), ROWS, ids=lambda one: getattr(one, "id", None) or str(one))
def test_decide_says_what_the_table_says(case: Case, ask: Ask) -> None:
    assert meaning(policy_of(case), ask, case.aliases, AT[ask.phase]) == ask.expected, case.says


def test_an_apply_brings_orders_that_change_some_answers_of_each_case_and_others_not() -> None:
    world = World(cases=tuple(table.applied(NOW)))
    before = world.without(lambda order: begins(order) == NOW)
    for case in world.cases:
        changed = {
            meaning(before.policy, ask, world.aliases, NOW) != meaning(world.policy, ask, world.aliases, NOW)
            for ask in case.asks
        }
        assert changed == {False, True}, case.id


def test_no_two_cases_share_names() -> None:
    assert [one for one, count in Counter(case.id for case in CASES).items() if count > 1] == []


def test_every_form_passes_and_blocks_in_the_table() -> None:
    assert {ask.expected.form for _, ask in ROWS} == {None, *Form}
