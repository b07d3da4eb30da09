"""Which reviews are due, by order; what has ended needs none."""

from __future__ import annotations

from blocker.orders.model import Kind
from blocker.orders.schedule import schedule
from blocker.policy.overdue import overdue, reviews
from tests.policy.strategies import EPOCH, at, directive, order

TWO = order(
    "x/b",
    directives=(
        directive("d", "a.example", until=None, review_by=at(5)),
        directive("e", "b.example", until=None, review_by=at(9)),
        directive("f", "c.example", until=None, review_by=at(5)),
        directive("g", "d.example", until=4, review_by=at(5)),
        directive("h", "e.example", until=99, review_by=None),
    ),
)


def test_each_order_has_its_dates_with_what_is_under_them() -> None:
    removal = order("x/r", Kind.AMEND, of="x/b", start=1, remove=["c.a.example"])
    found = reviews(schedule([TWO, removal]), EPOCH + 6)
    assert [(one.order, one.due - EPOCH, one.refs, one.lapsed) for one in found] == [
        ("x/b", 5, ("x/b/d", "x/b/f"), ()),
        ("x/b", 9, ("x/b/e",), ()),
    ]
    assert [(one.subject, one.detail) for one in overdue(found, EPOCH + 6)] == [
        ("x/b", {"review_by": EPOCH + 5})
    ]


def test_what_lapses_says_so_and_an_announced_renewal_does_not_hide_it() -> None:
    renewal = order("x/r", Kind.AMEND, of="x/b/d", start=8, review_by=20)
    found = reviews(schedule([TWO, renewal], lapses_from=0), EPOCH + 6)
    assert [(one.due - EPOCH, one.lapsed) for one in found] == [(5, ("x/b/d", "x/b/f")), (9, ())]
    assert [one.due - EPOCH for one in reviews(schedule([TWO, renewal]), EPOCH + 6)] == [5, 9, 20]
