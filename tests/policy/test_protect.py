from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.orders.schedule import schedule
from blocker.policy.index import Index
from blocker.policy.protect import protected_names
from tests.policy.strategies import directive, key, order, read

if TYPE_CHECKING:
    from collections.abc import Iterator


class Walked(Index):
    """An index whose names can be walked in order, as the store's can."""

    def below(self, key: names.Key, limit: int) -> Iterator[tuple[names.Key, int]]:
        found = [(name, set_id) for name, set_id in sorted(self.names.items()) if names.is_below(name, key)]
        yield from found[:limit]


POLICY = Walked(
    schedule(
        [
            order(
                "x/a", directives=(directive("d", "a.example", "*.b.example", excepts=["free.a.example"]),)
            ),
            order("x/c", directives=(directive("d", "deep.c.example", excepts=["free.deep.c.example"]),)),
        ]
    ),
    read,
)


@pytest.mark.parametrize(
    ("protected", "blocked"),
    [
        ("a.example", ["a.example"]),
        ("www.a.example", ["www.a.example"]),
        ("free.a.example", []),
        ("b.example", ["b.example"]),
        ("www.b.example", ["www.b.example"]),
        ("c.example", ["deep.c.example"]),
        ("free.deep.c.example", []),
        ("other.example", []),
    ],
)
def test_a_name_is_protected_with_all_below_it(protected: str, blocked: list[str]) -> None:
    found = list(protected_names(POLICY, [key(protected)], {"x/a", "x/c"}))
    assert [one.message.split("'")[1] for one in found] == blocked


def test_orders_that_were_read_again_are_left_to_check() -> None:
    assert not list(protected_names(POLICY, [key("a.example")], {"x/c"}))
