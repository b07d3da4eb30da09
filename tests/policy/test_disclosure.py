"""What of the ledger may be published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blocker.orders.model import Kind, Publication
from blocker.policy import chain
from blocker.policy.chain import Event, Head
from blocker.policy.disclosure import teller
from tests.policy.strategies import EPOCH, directive, order

if TYPE_CHECKING:
    from blocker.orders.model import Order

EFFECTIVE = Publication.SEALED_UNTIL_EFFECTIVE


def block(id_: str, publication: Publication, *, start: int = 0, reference: str = "") -> Order:
    own = directive("d", "a.example", start=start, until=start + 8)
    return order(id_, directives=(own,), publication=publication, reference=reference)


ORDERS = {
    one.id: one
    for one in (
        block("x/open", Publication.PUBLIC),
        block("x/hushed", Publication.SEALED, reference="Geh. 4/Ä"),
        block("x/dawn", EFFECTIVE, start=4),
        block("x/brief", Publication.SEALED, reference="7"),
        order("x/lift", Kind.LIFT, of="x/open", start=6, publication=EFFECTIVE),
        order("x/secret-lift", Kind.LIFT, of="x/open", start=6, publication=Publication.SEALED),
    )
}
TABLE: list[tuple[str, dict[str, Any], bool]] = [
    ("", {}, True),
    ("x/open", {}, True),
    ("x/open/d", {"reason": "a mistake"}, True),
    ("x/hushed", {}, False),
    ("x/hushed/d", {}, False),
    ("x/dawn", {}, False),
    ("x/lift", {}, False),
    ("x/secret-lift", {}, False),
    ("x/nobody-knows", {}, False),
    ("", {"orders": {"x/open": "digest"}}, True),
    ("", {"orders": {"x/open": "digest", "x/hushed": "digest"}}, False),
    ("", {"gone": ["x/hushed"]}, False),
    ("", {"quarantined": ["x/nobody-knows"]}, False),
    ("", {"refs": ["x/open/d", "x/hushed/d"]}, False),
    ("", {"refs": "x/open"}, True),
    ("x/open", {"reason": "like X/HUSHED"}, False),
    ("x/open", {"reason": "see geh. 4/ä"}, False),
    ("x/open", {"reason": "as in no. 7."}, False),
    ("x/open", {"reason": "17 names", "count": 77}, True),
]


def test_a_row_that_says_the_name_of_a_sealed_order_is_not_told() -> None:
    own = directive("d", "hush.example", start=0, until=8)
    cut = order(
        "x/quiet-cut", Kind.AMEND, of="x/quiet", start=1, remove=["cut.hush2.example"], publication=EFFECTIVE
    )
    sealed = order("x/quiet", directives=(own,), publication=Publication.SEALED)
    may_be_told = teller({**ORDERS, "x/quiet": sealed, "x/quiet-cut": cut}, EPOCH)

    def told(reason: str) -> bool:
        row = chain.entry(Event(at=1.0, event="e", subject="x/open", detail={"reason": reason}), Head())
        return may_be_told(row)

    assert not told("the owner of HUSH.example.")
    assert not told("https://www.hush.example/page")
    assert not told("free cut.hush2.example, please")
    assert told("the owner of a.example")  # a public order says it
    assert told("nothush.example, hush2.example and example")


@pytest.mark.parametrize(("subject", "detail", "told"), TABLE, ids=[f"{s} {d}" for s, d, _ in TABLE])
def test_a_row_is_told_if_it_names_public_orders_alone(
    subject: str, detail: dict[str, Any], told: bool
) -> None:
    row = chain.entry(Event(at=1.0, event="e", subject=subject, detail=detail), Head())
    assert teller(ORDERS, EPOCH + 2)(row) is told


def test_what_has_taken_effect_is_told_and_what_is_sealed_for_good_never() -> None:
    rows = [chain.entry(Event(at=1.0, event="e", subject=one), Head()) for one in ORDERS]
    may_be_told = teller(ORDERS, EPOCH + 7)
    assert [row.subject for row in rows if may_be_told(row)] == ["x/open", "x/dawn", "x/lift"]
