from __future__ import annotations

from blocker.orders.schedule import schedule
from blocker.policy.decide import decide
from blocker.policy.directives import Role
from blocker.policy.index import Index
from blocker.site import Enforcement
from tests.policy.strategies import EPOCH, directive, key, order, read

BLOCK = order(
    "x/b",
    directives=(
        directive("d", "a.example", "*.b.example", excepts=["c.a.example"]),
        directive("e", *(f"n{number}.example" for number in range(20))),
    ),
)


def test_a_small_directive_is_sampled_whole_with_its_excepts() -> None:
    assert Index(schedule([BLOCK]), read).sample(0, 3, seed=1) == [
        (key("a.example"), Role.SUBTREE),
        (key("c.a.example"), Role.EXCEPT),
        (key("b.example"), Role.BELOW),
    ]


def test_a_large_directive_is_sampled_within_the_limit_and_by_the_seed() -> None:
    index = Index(schedule([BLOCK]), read)
    whole = set(index.sample(1, 20, seed=1))
    assert len(whole) == 20
    assert set(index.sample(1, 5, seed=1)) < whole
    assert len(index.sample(1, 5, seed=1)) == 5
    assert index.sample(1, 5, seed=1) == index.sample(1, 5, seed=1)
    assert index.sample(1, 5, seed=1) != index.sample(1, 5, seed=2)


def test_an_index_of_one_names_ancestry_decides_that_name_as_the_whole_does() -> None:
    name = key("x.c.a.example")
    only = frozenset({key("a.example"), key("c.a.example"), name})
    whole, part = Index(schedule([BLOCK]), read), Index(schedule([BLOCK]), read, only=only)
    assert decide(part, name, "ID", EPOCH) == decide(whole, name, "ID", EPOCH)
    assert set(part.names) == {key("a.example"), key("c.a.example")}


def test_two_indexes_never_share_a_stamp() -> None:
    first, second = Index([], read), Index([], read, enforcement=Enforcement(ttl=1))
    assert first.stamp != second.stamp
    assert (first.enforcement.ttl, second.enforcement.ttl) == (30, 1)
