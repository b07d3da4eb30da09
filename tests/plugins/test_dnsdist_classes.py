"""dnsdist's two look-ups and one answer say what `decide` says, for every name at every instant."""

from __future__ import annotations

import struct
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import Action, Form, Kind, Match
from blocker.orders.schedule import schedule
from blocker.plugins import dnsdist_classes
from blocker.plugins.dnsdist_classes import FREE, Classes, answer, answers
from blocker.policy.decide import PASS, Verdict, decide
from blocker.policy.index import Index
from tests.policy.strategies import (
    ALL_PUBLICATIONS,
    ASKED_NAMES,
    EPOCH,
    INSTANTS,
    REGIONS,
    directive,
    key,
    order,
    orders,
    read,
)

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.orders.model import Order

INFO = "https://isp.example/blocked"


class Tables:
    """What dnsdist would read, looked up as it does."""

    def __init__(self, index: Index, *, known: dict[bytes, int] | None = None, following: int = 1) -> None:
        self.index = index
        self.classes = Classes(index, {}, known=known or {}, following=following)
        self.rows = list(self.classes.rows(sorted(index.names.items())))
        self.own: dict[bytes, int] = {}
        self.below: dict[bytes, int] = {}
        for name, packed in self.rows:
            for table, number in zip((self.own, self.below), struct.unpack(">II", packed), strict=True):
                if number != 0xFFFFFFFF:
                    table[names.to_wire(name)] = number

    def class_of(self, name: Key) -> int:
        wire = names.to_wire(name)
        if wire in self.own:
            return self.own[wire]
        while wire != b"\0":
            if wire in self.below:
                return self.below[wire]
            wire = wire[1 + wire[0] :]
        return FREE

    def answer(self, name: Key, region: str, t: float) -> bytes | None:
        return answers(self.index, self.classes.members, region, t, INFO).get(self.class_of(name))


def meaning(said: bytes | None) -> bytes | None:
    """Without the instant until which it holds, and without what passes."""
    if said is None or said.startswith(b"p"):
        return None
    form, _, rest = said.split(b" ", 2)
    return form + rest


@settings(max_examples=60)
@given(given_orders=orders(publications=tuple(ALL_PUBLICATIONS)), withheld=st.booleans())
def test_the_look_ups_say_what_decide_says(given_orders: list[Order], withheld: bool) -> None:
    index = Index(schedule(given_orders), read, withheld={given_orders[0].id: 1} if withheld else {})
    tables = Tables(index)
    for region in REGIONS[:4]:
        for second in INSTANTS[::2]:
            t = EPOCH + second
            found = answers(index, tables.classes.members, region, t, INFO)
            for name in map(key, ASKED_NAMES):
                verdict = decide(index, name, region, t)
                said = found.get(tables.class_of(name))
                assert meaning(said) == meaning(answer(verdict, INFO)), (name, region, second)


def one(*written: str, **changes: object) -> list[Order]:
    return [order("x/1", directives=(directive("d", *written, **changes),))]


@pytest.mark.parametrize(
    ("given_orders", "rows"),
    [
        pytest.param(one("a.example"), {"a.example": "below"}, id="a subtree takes one row below it"),
        pytest.param(
            one("a.example", match=Match.EXACT), {"a.example": "own"}, id="an exact name one of its own"
        ),
        pytest.param(one("*.a.example"), {"a.example": "both"}, id="what is only below takes both"),
        pytest.param(
            one("a.example", excepts=["c.b.a.example"]),
            {"a.example": "both", "b.a.example": "own", "c.b.a.example": "below"},
            id="the ancestors of an except have holes, what is beside it has none",
        ),
        pytest.param(
            one("a.example", "b.a.example"),
            {"a.example": "below"},
            id="a name that its own order covers already takes none",
        ),
        pytest.param(
            [*one("a.example"), order("x/2", directives=(directive("d", "b.a.example"),))],
            {"a.example": "below", "b.a.example": "below"},
            id="a name that a second order covers is another class",
        ),
    ],
)
def test_a_name_takes_the_rows_it_needs(given_orders: list[Order], rows: dict[str, str]) -> None:
    tables = Tables(Index(schedule(given_orders), read))
    kinds = {(True, True): "both", (True, False): "own", (False, True): "below"}
    found = {
        names.to_text(name): kinds[names.to_wire(name) in tables.own, names.to_wire(name) in tables.below]
        for name, _ in tables.rows
    }
    assert found == rows


def test_an_except_frees_by_the_class_of_what_nothing_covers() -> None:
    tables = Tables(Index(schedule(one("a.example", excepts=["b.a.example"])), read))
    assert tables.class_of(key("x.b.a.example")) == FREE
    assert tables.class_of(key("x.c.a.example")) != FREE
    assert FREE not in tables.classes.members


def test_all_names_of_one_directive_are_one_class() -> None:
    many = one(*(f"n{number}.example" for number in range(1000)))
    assert len(Tables(Index(schedule(many), read)).classes.members) == 1


def test_classes_keep_their_numbers_and_numbers_are_never_given_again() -> None:
    first = [*one("a.example"), order("x/2", directives=(directive("d", "b.example"),))]
    before = Tables(Index(schedule(first), read))
    known = {identity: number for number, (identity, _) in before.classes.members.items()}
    second = [first[0], order("x/3", directives=(directive("d", "b.example"),))]
    after = Tables(Index(schedule(second), read), known=known, following=before.classes.following)
    assert after.class_of(key("a.example")) == before.class_of(key("a.example"))
    assert after.class_of(key("b.example")) not in before.classes.members


def test_an_order_elsewhere_changes_no_class() -> None:
    before = Tables(Index(schedule(one("a.example", excepts=["b.a.example"])), read))
    known = {identity: number for number, (identity, _) in before.classes.members.items()}
    added = order("x/0", directives=(directive("d", "c.example"),))
    index = Index(schedule([*one("a.example", excepts=["b.a.example"]), added]), read)
    after = Tables(index, known=known, following=before.classes.following)
    assert set(before.rows) < set(after.rows)


def test_a_name_can_be_found_when_there_are_more_paths_than_are_remembered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dnsdist_classes, "_MOST_STEPS", 1)
    index = Index(schedule(one("a.example", "*.b.a.example", "c.example", excepts=["c.a.example"])), read)
    tables = Tables(index)
    for name in map(key, ASKED_NAMES):
        expected = meaning(answer(decide(index, name, "ID", EPOCH), INFO))
        assert meaning(tables.answer(name, "ID", EPOCH)) == expected


REDIRECT = Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"), ip_address("2001:db8::1")))


@pytest.mark.parametrize(
    ("verdict", "said"),
    [
        (PASS, None),
        (Verdict(until=9), b"p. 9 -"),
        (
            Verdict(action=Action(), because=("a/b",), public=("a/b",)),
            b"x. 0 - a/b https://isp.example/blocked",
        ),
        (Verdict(action=Action(), has_holes=True, until=5), b"d* 5 - https://isp.example/blocked"),
        (Verdict(action=Action(form=Form.NODATA)), b"d. 0 - https://isp.example/blocked"),
        (Verdict(action=Action(form=Form.REFUSED), has_holes=True), b"r* 0 - https://isp.example/blocked"),
        (
            Verdict(action=REDIRECT),
            b"a. 0 c0000201,20010db8000000000000000000000001 https://isp.example/blocked",
        ),
    ],
)
def test_an_answer_says_form_holes_until_addresses_and_text(verdict: Verdict, said: bytes | None) -> None:
    assert answer(verdict, INFO) == said


def test_an_answer_without_text_ends_at_the_addresses() -> None:
    assert answer(Verdict(action=Action()), "") == b"x. 0 -"


def test_a_cut_counts_only_where_it_cuts() -> None:
    block = order("x/1", directives=(directive("d", "a.example"), directive("e", "b.example")))
    cut = order("x/2", Kind.AMEND, of="x/1/d", start=2, remove=["c.a.example", "c.b.example"])
    tables = Tables(Index(schedule([block, cut]), read))
    assert tables.class_of(key("c.b.example")) == tables.class_of(key("b.example"))
    assert tables.answer(key("c.a.example"), "ID", EPOCH) is not None
    assert tables.answer(key("c.a.example"), "ID", EPOCH + 2) is None
