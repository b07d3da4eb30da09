"""From a list to what is blocked: the whole way of each format, and what never changes anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.feeds.conftest import Fed

NAMES = "".join(f"casino-{number}.example\n" for number in range(10))


def test_a_list_becomes_an_order_that_blocks_once_it_is_applied(fed: Fed) -> None:
    fed.feed("names")
    assert fed.take(NAMES).code == 0
    ran = fed.run("check")
    assert (ran.code, ran.out) == (0, "")
    assert fed.apply().code == 0
    assert fed.is_blocked("www.casino-3.example", at="2026-12-01")
    assert not fed.is_blocked("notcasino-3.example", at="2026-12-01")
