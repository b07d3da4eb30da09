from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders import removals
from blocker.orders.model import Match, NameList, NamesFile, Subject
from blocker.orders.schedule import schedule
from blocker.policy import removed
from tests.orders.test_check import excepts_, subjects_
from tests.orders.test_relations import filed
from tests.orders.test_removals import BULK, LISTS, amend
from tests.orders.texts import BLOCK
from tests.policy.strategies import key
from tests.policy.test_protect import Walked

if TYPE_CHECKING:
    from blocker.orders.parse import Filed

REMOVED = "2" * 64
FREED = {
    REMOVED: NameList(keys=(key("a.listed.example"), key("odd.example")), below=(key("listed.example"),))
}


def read(file: NamesFile) -> NameList:
    return LISTS[file.sha256]


def told(*texts: str, applied: int = 1, lists: dict[str, NameList] | None = None) -> list[str]:
    """What is said of the last of these orders when only the first so many are applied."""
    orders: list[Filed] = list(filed(*texts))
    policy = Walked(schedule(one.order for one in orders[:applied]), read)
    new = {one.order.id: one for one in orders[applied:]}
    found = removed.check(
        policy, new, schedule(one.order for one in orders), FREED if lists is None else lists
    )
    return [str(one).partition(" removes nothing")[0] for one in found]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ("listed.example", []),
        ("a.listed.example", []),
        ('"*.listed.example"', []),
        ("deep.example", []),
        ('"*.deep.example"', []),
        ("listed.example, bloked.example", ["a/m.yaml:9:26 remove-unused: 'bloked.example'"]),
    ],
)
def test_a_name_removed_from_an_applied_list_is_looked_for_in_the_store(
    names: str, expected: list[str]
) -> None:
    assert told(BULK, amend(f"remove: [{names}]")) == expected


def test_a_list_of_removed_names_is_looked_for_too() -> None:
    text = amend(f"remove_file: {{file: x.txt, sha256: {REMOVED}}}")
    assert told(BULK, text) == ["a/m.yaml:9:21 remove-unused: 'odd.example'"]


def test_what_the_lists_themselves_were_asked_is_not_asked_again() -> None:
    assert told(BULK, amend("remove: [bloked.example]"), lists=LISTS) == []
    assert told(BLOCK, amend("remove: [bloked.example]")) == []


def test_nothing_is_said_of_what_is_not_applied_or_applied_already() -> None:
    assert told(BULK, amend("remove: [bloked.example]"), applied=0) == []
    assert told(BULK, amend("remove: [bloked.example]"), applied=2) == []
    assert told(BULK, amend(f"remove_file: {{file: x.txt, sha256: {REMOVED}}}"), lists={}) == []


@given(st.lists(subjects_, max_size=3), st.lists(excepts_, max_size=4))
def test_the_store_says_what_the_list_itself_would(subjects: list[Subject], freed: list[Subject]) -> None:
    by_match = {match: [one.key for one in subjects if one.match is match] for match in Match}
    for match in (Match.EXACT, Match.SUBTREE):
        listed = NameList(keys=by_match[match], below=by_match[Match.BELOW])
        policy = Walked(
            schedule(
                one.order for one in filed(BULK.replace("    regions", f"    match: {match}\n    regions"))
            ),
            partial(lambda found, _: found, listed),
        )
        reach = [(one, match) for one in listed.keys] + [(one, Match.BELOW) for one in listed.below]
        idle = [one for one in freed if not removed._meets(policy, policy.directives.keys(), one)]
        assert idle == removals.unused(freed, reach)


def test_among_very_many_names_one_is_taken_for_ours() -> None:
    crowd = NameList(keys=[key(f"n{number}.x.example") for number in range(1001)])
    policy = Walked(schedule(one.order for one in filed(BULK)), lambda _: crowd)
    assert removed._meets(policy, [99], Subject(key=key("x.example")))
    assert not removed._meets(policy, [99], Subject(key=key("n1.x.example")))
