"""Places for all, and for each no more than its share."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from blocker.resolver.shares import SHARE, Shares


def test_one_client_gets_its_share_and_leaves_the_rest_to_others() -> None:
    shares = Shares(8)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert all(shares.take(client) for client in "bcdbcd")
    assert not shares.take("e")
    shares.give_back("a")
    assert shares.take("e")


def test_where_there_is_little_everyone_may_still_have_one() -> None:
    shares = Shares(2)
    assert [shares.take("a"), shares.take("a"), shares.take("b"), shares.take("c")] == [
        True,
        False,
        True,
        False,
    ]


@given(st.lists(st.sampled_from("abcdef"), max_size=60), st.integers(1, 20))
def test_what_is_given_back_can_all_be_taken_again(clients: list[str], most: int) -> None:
    shares = Shares(most)
    first = [client for client in clients if shares.take(client)]
    assert len(first) <= most
    assert max(map(first.count, first), default=0) <= max(1, most // SHARE)
    for client in first:
        shares.give_back(client)
    assert [client for client in clients if shares.take(client)] == first
