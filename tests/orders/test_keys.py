from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.keys import RUN, Keys

key = st.lists(st.text("ab-", min_size=1, max_size=2), min_size=1, max_size=4).map(
    lambda labels: names.to_key(".".join(labels))
)


@given(st.lists(key, max_size=40), st.lists(key, max_size=5), st.sampled_from([1, 3, 200]))
def test_they_are_a_set_in_order_however_they_came(
    found: list[names.Key], asked: list[names.Key], times: int
) -> None:
    found = [
        names.Key(one + b"%c%b" % (len(mark), mark))
        for one in found
        for mark in map(b"%d".__mod__, range(times))
    ]
    keys, plain = Keys.of(found), sorted(set(found))
    assert (list(keys), len(keys)) == (plain, len(plain))
    assert [keys.at(position) for position in range(len(keys))] == plain
    assert keys == Keys.of(reversed(found))
    assert hash(keys) == hash(Keys.of(keys))
    for one in asked:
        assert (one in keys) == (one in plain)
        assert keys.position(one) == sum(other < one for other in plain)
        there = [other for other in plain if other == one or names.is_below(other, one)]
        assert [keys.at(position) for position in keys.span(one)] == there


@given(st.lists(key, max_size=40), st.lists(key, max_size=8), st.sampled_from([1, 200]))
def test_where_many_stand_is_found_in_one_go(
    found: list[names.Key], asked: list[names.Key], times: int
) -> None:
    keys = Keys.of(names.Key(one + b"\x03%03d" % number) for one in found for number in range(times))
    assert list(keys.positions(sorted(asked))) == [keys.position(one) for one in sorted(asked)]


def test_a_set_knows_its_own_and_no_other() -> None:
    keys = Keys.of(names.to_key(f"n{number}.example") for number in range(3))
    assert [names.to_key(f"n{number}.example") in keys for number in range(4)] == [True, True, True, False]


def test_they_say_how_many_they_are_and_not_what() -> None:
    keys = Keys.of(names.to_key(f"n{number}.example") for number in range(1000))
    assert repr(keys) == "<1,000 keys>"
    assert keys != list(keys)
    assert not keys.__contains__("n1.example")


@pytest.mark.parametrize("lengths", [[1, 1], [RUN + 1], [0], [RUN, 0]])
def test_runs_of_other_lengths_are_refused(lengths: list[int]) -> None:
    with pytest.raises(ValueError, match="runs are full"):
        Keys([[names.to_key("a.example")] * length for length in lengths])


@given(st.lists(key, max_size=30), st.lists(key, max_size=5), st.sampled_from([1, 200]))
def test_some_more_are_taken_in(found: list[names.Key], more: list[names.Key], times: int) -> None:
    found = [names.Key(one + b"\x03%03d" % number) for one in found for number in range(times)]
    assert Keys.of(found).also(more) == Keys.of([*found, *more])
