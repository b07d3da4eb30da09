"""What came into force since, and so what a rollback stops: never what was freed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders.model import Publication
from blocker.orders.timetable import Scheduled
from blocker.policy.rollback import grown

if TYPE_CHECKING:
    from blocker.orders.timetable import Window

T = 1000


def one(ref: str, *windows: Window, cuts: tuple[str, ...] = ()) -> Scheduled:
    order = ref.rpartition(":" if cuts else "/")[0]
    return Scheduled(
        ref=ref,
        order=order,
        windows=windows,
        issued=0,
        publication=Publication.PUBLIC,
        cuts=cuts,
        lineage=frozenset({ref, order}),
    )


OPEN = (0, None)
A, B = one("x/a/d", OPEN), one("x/b/d", OPEN)

TABLE: list[tuple[str, list[Scheduled], list[Scheduled], tuple[str, ...]]] = [
    ("nothing came", [A], [A], ()),
    ("an order came, and goes whole", [A], [A, B, one("x/b/e", OPEN)], ("x/b",)),
    ("an order that is to come", [], [one("x/a/d", (T + 9, None))], ("x/a",)),
    ("an order that is over", [], [one("x/a/d", (0, T))], ()),
    ("an order that never held", [], [one("x/a/d")], ()),
    ("a lift", [A], [one("x/a/d", (0, T - 1))], ()),
    ("a suspension", [A], [one("x/a/d", (0, T - 1), (T + 9, None))], ()),
    ("what was to end goes on", [one("x/a/d", (0, T + 5))], [A], ("x/a/d",)),
    ("what was suspended is back", [one("x/a/d", (0, T - 9), (T + 9, None))], [A], ("x/a/d",)),
    ("it begins sooner", [one("x/a/d", (T + 9, None))], [one("x/a/d", (T + 5, None))], ("x/a/d",)),
    ("it began sooner, long ago", [one("x/a/d", (T - 5, None))], [A], ()),
    ("an order went", [A, B], [A], ()),
    ("an exception came", [A], [A, one("x/c:remove", OPEN, cuts=("x/a/d",))], ()),
    ("an exception went", [A, B, one("x/c:remove", OPEN, cuts=("x/a/d",))], [A, B], ("x/a/d",)),
    (
        "an exception ends sooner",
        [A, one("x/c:remove", OPEN, cuts=("x/a/d",))],
        [A, one("x/c:remove", (0, T + 5), cuts=("x/a/d",))],
        ("x/a/d",),
    ),
    (
        "an exception went from what is over",
        [one("x/a/d", (0, T)), one("x/c:remove", OPEN, cuts=("x/a/d", "x/b/d"))],
        [one("x/a/d", (0, T))],
        (),
    ),
]


@pytest.mark.parametrize(
    ("before", "after", "refs"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE]
)
def test_what_blocks_more_than_before_is_stopped_and_nothing_else(
    before: list[Scheduled], after: list[Scheduled], refs: tuple[str, ...]
) -> None:
    assert grown(before, after, T) == refs


def windows() -> st.SearchStrategy[tuple[Window, ...]]:
    edges = st.lists(st.integers(T - 6, T + 12), unique=True, min_size=0, max_size=6).map(sorted)

    def made(drawn: Any) -> tuple[Window, ...]:
        found, is_open = drawn
        pairs = [(found[at], found[at + 1]) for at in range(0, len(found) - 1, 2)]
        return (*pairs, (found[-1], None)) if is_open and len(found) % 2 else tuple(pairs)

    return st.tuples(edges, st.booleans()).map(made)


@given(windows(), windows())
def test_a_directive_is_stopped_just_when_it_holds_at_an_instant_at_which_it_did_not(
    old: tuple[Window, ...], new: tuple[Window, ...]
) -> None:
    before, after = one("x/a/d", *old), one("x/a/d", *new)
    more = any(after.in_force(t) and not before.in_force(t) for t in range(T, T + 20))
    assert grown([before], [after], T) == (("x/a/d",) if more else ())
    assert grown([before], [replace(before, windows=old)], T) == ()
