from __future__ import annotations

import pytest

from blocker.errors import UnsupportedAction
from blocker.fleet import refusal
from blocker.orders.model import Form, NameList, Order
from blocker.orders.schedule import schedule
from blocker.site import WAYS, Endpoint, Point, Rpz
from tests.resolver.world import T0, block

LONG = ".".join(["a" * 61] * 3 + ["b" * 52, "example"])

MANY = tuple(f"192.0.{number // 256}.{number % 256}" for number in range(501))


def point(kind: str, by: str, region: str = "ID") -> Point:
    return Point(name=f"{kind}-{by}", kind=kind, by=by, address=Endpoint("127.0.0.1", 53), region=region)


EVERY = [point(kind, by) for kind, ways in WAYS.items() for by in ways]
BY_ZONE = {one.name for one in EVERY if one.by == "rpz"}


def refused(*orders: Order, points: list[Point] = EVERY, known: frozenset[str] = frozenset()) -> set[str]:
    """The points that can't say it."""
    found = schedule(orders)
    new = frozenset(one.ref for one in found) - known
    told = refusal.refusals(points, Rpz(), found, lambda _: NameList(keys=()), new=new, now=T0)
    return {sentence.split(" at ")[1].split(":")[0] for sentence in told}


TABLE = [
    ("a plain block can be said by all", block("grok.example"), set()),
    (
        "a redirect can be said by all",
        block("grok.example", form=Form.REDIRECT, addresses=("192.0.2.1",)),
        set(),
    ),
    ("no zone says REFUSED", block("grok.example", form=Form.REFUSED), BY_ZONE),
    ("what is over refuses nothing", block("grok.example", form=Form.REFUSED, until=T0 - 5), set()),
    ("another region's order refuses nothing", block("g.example", form=Form.REFUSED, regions=("GB",)), set()),
    ("a name may be too long for an owner", block(LONG), BY_ZONE),
    ("a name that a zone takes for addresses", block("a.rpz-ip"), BY_ZONE),
    (
        "a redirect may have too many addresses",
        block("a.example", form=Form.REDIRECT, addresses=MANY),
        BY_ZONE,
    ),
    ("an except needs an owner too", block("example.com", excepts=(f"{LONG[:-8]}.example.com",)), BY_ZONE),
]


@pytest.mark.parametrize(("order", "by"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_what_a_point_cannot_say_is_refused(order: Order, by: set[str]) -> None:
    assert refused(order) == by


def test_a_name_that_was_looked_at_before_is_not_looked_at_again() -> None:
    assert refused(block(LONG), known=frozenset({"court/o1/d"})) == set()


def test_the_sentence_names_directive_point_and_way_out() -> None:
    orders = schedule([block("grok.example", form=Form.REFUSED)])
    with pytest.raises(UnsupportedAction, match=r"court/o1/d at bind-rpz: refused can't be said there.*'by'"):
        refusal.check(
            [point("bind", "rpz")], Rpz(), orders, lambda _: NameList(keys=()), new=frozenset(), now=T0
        )


def test_of_many_refusals_the_first_are_told_and_the_rest_counted() -> None:
    orders = schedule([block("grok.example", form=Form.REFUSED)])
    points = [point("bind", "rpz")] * 9
    with pytest.raises(UnsupportedAction, match="and 4 more"):
        refusal.check(points, Rpz(), orders, lambda _: NameList(keys=()), new=frozenset(), now=T0)


def test_nothing_to_refuse_is_silent() -> None:
    orders = schedule([block("grok.example")])
    refusal.check(EVERY, Rpz(), orders, lambda _: NameList(keys=()), new=frozenset(), now=T0)
