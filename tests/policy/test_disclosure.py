"""What of the ledger may be published."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from blocker.orders.model import Kind, Publication
from blocker.policy import chain
from blocker.policy.chain import Event, Head
from blocker.policy.disclosure import NOTHING, Waiting, names_in, public_orders, sealed_among, teller
from tests.policy.strategies import EPOCH, directive, key, order

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocker import names
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
        order("x/lift-of-hushed", Kind.LIFT, of="x/hushed/d", start=6),
        order("x/lift-of-nobody", Kind.LIFT, of="x/gone", start=6),
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
    ("x/lift-of-hushed", {}, False),
    ("x/lift-of-nobody", {}, False),
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


def teller_at(
    orders: dict[str, Order], t: float, lists: dict[str, list[str]] | None = None
) -> Callable[[chain.Entry], bool]:
    """The teller of that instant; `lists` are names and whose lists have them."""
    found = {key(name): ids for name, ids in (lists or {}).items()}
    return teller(orders, public_orders(orders.values(), t), lambda one: found.get(one, ()))


def row(**detail: Any) -> chain.Entry:
    return chain.entry(Event(at=1.0, event="e", subject="x/open", detail=detail), Head())


def test_a_row_that_says_a_name_of_a_sealed_list_is_not_told_and_one_that_a_public_list_has_too_is() -> None:
    lists = {
        "hush.example": ["x/hushed"],
        "gone.example": ["x/nobody-knows"],
        "both.example": ["x/hushed", "x/open"],
        "xn--bcher-kva.example": ["x/hushed"],
    }
    may_be_told = teller_at(ORDERS, EPOCH, lists)
    assert not may_be_told(row(reason="see hush.example"))
    assert not may_be_told(row(reason="WWW.Hush.Example, as ever"))
    assert not may_be_told(row(reason="gone.example"))
    assert not may_be_told(row(reason="the Bücher.example of old"))
    assert not may_be_told(row(reasons={"a": [{"b": "(hush.example)"}]}))
    assert not may_be_told(row(reasons={"hush.example": 1}))
    assert may_be_told(row(reason="both.example, example and nothush.example"))


@pytest.mark.parametrize(
    "reason",
    ["on\nhush.example", "on\thush.example", 'a "hush.example"', "“hush.example”…", "a\\hush.example",
     "hush.example's", "mail@hush.example", "-hush.example.", "x" * 70 + ".hush.example",
     "a." * 300 + "hush.example"],
)  # fmt: skip
def test_whatever_stands_around_a_sealed_name_does_not_hide_it(reason: str) -> None:
    assert not teller_at(ORDERS, EPOCH, {"hush.example": ["x/hushed"]})(row(reason=reason))


def test_of_what_waits_neither_ids_nor_references_nor_names_are_told_unless_a_public_order_says_them() -> (
    None
):
    waiting = Waiting(
        ids=frozenset(["x/quiet", "x/open"]),
        references=frozenset(["Geh. 9/ß", ""]),
        has=lambda one: one in {key("quiet.example"), key("a.example")},
    )
    may_be_told = teller(ORDERS, public_orders(ORDERS.values(), EPOCH), lambda _: (), waiting)
    for reason in ("as X/Quiet", "the quiet one", "geh. 9/SS", "www.quiet.example"):
        assert not may_be_told(row(reason=reason))
    for reason in ("x/open", "a.example", "example", "nothing"):
        assert may_be_told(row(reason=reason))
    assert not NOTHING.has(key("quiet.example"))


def test_what_waits_is_public_if_it_says_so_and_is_about_nothing_else() -> None:
    waiting = {
        one.id: one
        for one in (
            block("w/open", Publication.PUBLIC),
            block("w/dawn", EFFECTIVE, start=-9),
            block("w/hush", Publication.SEALED),
            order("w/lift", Kind.LIFT, of="w/open/d", start=6),
            order("w/of-applied", Kind.LIFT, of="x/open", start=6),
            order("w/of-hush", Kind.LIFT, of="w/hush", start=6),
            order("w/of-that", Kind.LIFT, of="w/of-hush", start=6),
            order("w/of-hushed", Kind.LIFT, of="x/hushed", start=6),
            block("x/open", Publication.PUBLIC),
            block("x/hushed", Publication.PUBLIC),
            order("w/one", Kind.LIFT, of="w/other", start=6),
            order("w/other", Kind.LIFT, of="w/one", start=6),
        )
    }
    sealed = sealed_among(waiting, public_orders(ORDERS.values(), EPOCH), ORDERS)
    assert list(sealed) == ["w/dawn", "w/hush", "w/of-hush", "w/of-that", "w/of-hushed", "x/hushed"]


def test_words_of_two_labels_may_be_names() -> None:
    text = "- https://www.hush.example/path, *.below.example: one two. foo..example"
    assert list(names_in(text)) == [key("www.hush.example"), key("below.example")]


def test_a_word_of_many_labels_takes_no_longer_than_a_name() -> None:
    asked: list[names.Key] = []

    def listed(one: names.Key) -> tuple[str, ...]:
        asked.append(one)
        return ()

    may_be_told = teller(ORDERS, public_orders(ORDERS.values(), EPOCH), listed)
    assert may_be_told(row(reason="a." * 100_000))
    assert 0 < len(asked) <= 127


def test_a_row_that_says_the_name_of_a_sealed_order_is_not_told() -> None:
    own = directive("d", "hush.example", start=0, until=8)
    cut = order(
        "x/quiet-cut", Kind.AMEND, of="x/quiet", start=1, remove=["cut.hush2.example"], publication=EFFECTIVE
    )
    sealed = order("x/quiet", directives=(own,), publication=Publication.SEALED)
    may_be_told = teller_at({**ORDERS, "x/quiet": sealed, "x/quiet-cut": cut}, EPOCH)

    def told(reason: str) -> bool:
        return may_be_told(row(reason=reason))

    assert not told("the owner of HUSH.example.")
    assert not told("https://www.hush.example/page")
    assert not told("free cut.hush2.example, please")
    assert told("the owner of a.example")  # a public order says it
    assert told("nothush.example, hush2.example and example")


@pytest.mark.parametrize(("subject", "detail", "told"), TABLE, ids=[f"{s} {d}" for s, d, _ in TABLE])
def test_a_row_is_told_if_it_names_public_orders_alone(
    subject: str, detail: dict[str, Any], told: bool
) -> None:
    entry = chain.entry(Event(at=1.0, event="e", subject=subject, detail=detail), Head())
    assert teller_at(ORDERS, EPOCH + 2)(entry) is told


def test_what_has_taken_effect_is_told_and_what_is_sealed_for_good_never() -> None:
    rows = [chain.entry(Event(at=1.0, event="e", subject=one), Head()) for one in ORDERS]
    may_be_told = teller_at(ORDERS, EPOCH + 7)
    assert [row.subject for row in rows if may_be_told(row)] == ["x/open", "x/dawn", "x/lift"]
