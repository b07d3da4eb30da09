from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders import removals
from blocker.orders.model import Match, NameList, Subject
from blocker.orders.schedule import names_of, schedule
from tests.orders.test_check import UNIVERSE, covers, excepts_, subjects_
from tests.orders.test_relations import ADD, AMEND, filed
from tests.orders.texts import BLOCK, act

LIST = "0" * 64
LISTS = {LIST: NameList(keys=(names.to_key("listed.example"),), below=(names.to_key("deep.example"),))}
BULK = BLOCK.replace("names: [blocked.example]", f"names_file: {{file: list.txt, sha256: {LIST}}}")


def amend(*more: str, of: str = "a/b") -> str:
    return act("a/m", "amend", of, *more, issued="2026-01-21")


def told(*texts: str, lists: dict[str, NameList] | None = None) -> list[str]:
    found = removals.check(filed(*texts), LISTS if lists is None else lists)
    assert {(one.order, one.id, one.severity) for one in found} <= {("a/m", "remove-unused", "warning")}
    return [one.message.partition(" removes nothing")[0] for one in found]


@pytest.mark.parametrize(
    ("text", "removed", "expected"),
    [
        (BLOCK, "blocked.example", []),
        (BLOCK, "a.blocked.example", []),
        (BLOCK, '"*.blocked.example"', []),
        (BLOCK, "bloked.example", ["'bloked.example'"]),
        (BLOCK, "notblocked.example", ["'notblocked.example'"]),
        (BLOCK, "x.bloked.example, blocked.example, y.example", ["'x.bloked.example' and 1 more"]),
        (BLOCK.replace("[blocked.example]", "[a.b.example]"), "b.example", []),
        (BLOCK.replace("[blocked.example]", "[a.b.example]"), '"*.b.example"', []),
        (BLOCK.replace("    regions", "    match: exact\n    regions"), "blocked.example", []),
        (
            BLOCK.replace("    regions", "    match: exact\n    regions"),
            "a.blocked.example",
            ["'a.blocked.example'"],
        ),
        (
            BLOCK.replace("    regions", "    match: exact\n    regions"),
            '"*.blocked.example"',
            ["'*.blocked.example'"],
        ),
        (BULK, "a.listed.example", []),
        (BULK, "deep.example", []),
        (BULK, "blocked.example", ["'blocked.example'"]),
    ],
)
def test_a_removed_name_that_is_nowhere_near_what_is_amended_is_warned_of(
    text: str, removed: str, expected: list[str]
) -> None:
    assert told(text, amend(f"remove: [{removed}]")) == expected


def test_only_the_directives_it_amends_count() -> None:
    assert told(BLOCK, AMEND, amend("remove: [two.example]")) == []
    assert told(BLOCK, AMEND, amend("remove: [two.example]", of="a/b/one")) == ["'two.example'"]
    assert told(BLOCK, amend("remove: [two.example]", *ADD)) == ["'two.example'"]


def test_nothing_is_said_of_lists_that_were_not_read() -> None:
    assert told(BULK, amend("remove: [bloked.example]"), lists={}) == []
    assert told(BLOCK, amend(f"remove_file: {{file: x.txt, sha256: {LIST}}}"), lists={}) == []
    both = amend("remove: [bloked.example]", f"remove_file: {{file: x.txt, sha256: {LIST}}}")
    assert told(BLOCK, both, lists={}) == ["'bloked.example'"]


def test_a_removed_list_is_told_of_by_its_first_odd_name() -> None:
    text = amend(f"remove_file: {{file: x.txt, sha256: {LIST}}}")
    assert told(BLOCK, text) == ["'listed.example' and 1 more"]
    assert told(BULK, text) == []
    (problem,) = removals.check(filed(BLOCK, text), LISTS)
    assert str(problem) == (
        "a/m.yaml:9:21 remove-unused: 'listed.example' and 1 more removes nothing: 'a/b' has no name at, "
        "above or below it; check its spelling, or remove it."
    )


def test_orders_that_remove_nothing_are_not_spoken_of() -> None:
    assert told(BLOCK, AMEND) == []


@given(st.lists(excepts_, max_size=4), st.lists(subjects_, max_size=3))
def test_unused_means_that_no_name_is_covered_by_both(
    removed: list[Subject], subjects: list[Subject]
) -> None:
    def is_used(one: Subject) -> bool:
        return any(covers(one, key) and covers(subject, key) for key in UNIVERSE for subject in subjects)

    found = removals.unused(removed, ((one.key, one.match) for one in subjects))
    assert found == [one for one in removed if not is_used(one)]


def test_a_long_list_of_removed_names_is_checked_against_a_long_list() -> None:
    keys = [names.to_key(f"n{number}.example") for number in range(50_000)]
    removed = [Subject(key=key) for key in keys[::2]] + [Subject(key=names.to_key("odd.example"))]
    assert removals.unused(removed, ((key, Match.SUBTREE) for key in keys)) == removed[-1:]


def test_what_an_order_wrote_is_found_again_by_its_ref() -> None:
    text = amend("remove: [two.example]", *ADD)
    orders = {one.order.id: one.order for one in filed(BLOCK, text)}
    found = schedule(orders.values())
    assert {one.ref for one in found if one.is_cut} == {"a/m:remove"}
    assert [names_of(orders[one.order], one.ref) for one in found] == [one.names for one in found]
    with pytest.raises(KeyError):
        names_of(orders["a/b"], "a/b/other")
