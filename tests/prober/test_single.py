from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_network

import pytest

from blocker.orders.model import Form, Match, Publication
from blocker.prober.expect import Why
from blocker.prober.matrix import OUTSIDE
from blocker.prober.observe import ANY, PLAIN
from blocker.prober.single import Expected, expected
from blocker.site import Outside
from tests.prober.world import POINT, A, T, block, key, policy

SEALED = Publication.SEALED_UNTIL_EFFECTIVE


def of(name: str, *orders: object, withheld: dict[str, str] | None = None) -> Expected:
    made = policy(*orders, withheld=withheld)  # type: ignore[arg-type]  # blocks, as `block` makes them
    return expected(made, POINT, (key(name), A), PLAIN, T)


@pytest.mark.parametrize(
    ("name", "match"),
    [("shop.example", Match.SUBTREE), ("www.shop.example", Match.SUBTREE), ("shop.example", Match.EXACT)],
)
def test_a_name_that_an_order_blocks_must_be_blocked_because_of_it(name: str, match: Match) -> None:
    one, is_secret = of(name, block("shop.example", match=match))
    assert (one.form, one.why, one.ref, one.because) == (
        Form.NXDOMAIN if match is Match.SUBTREE else Form.NODATA,
        Why.SUBJECT,
        "court/o1/d",
        ("court/o1/d",),
    )
    assert one.until == T + 10**6
    assert not is_secret


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("other.example", block("shop.example")),
        ("www.shop.example", block("shop.example", match=Match.EXACT)),
        ("shop.example", block("*.shop.example")),
        ("notshop.example", block("shop.example")),
    ],
)
def test_a_name_that_no_order_speaks_of_must_pass(name: str, order: object) -> None:
    one, is_secret = of(name, order)
    assert (one.form, one.why, one.ref, is_secret) == (None, Why.ASKED, "", False)


@pytest.mark.parametrize(
    ("order", "why"),
    [
        (block("shop.example", excepts=("www.shop.example",)), Why.EXCEPT),
        (block("shop.example", until=T - 10), Why.ENDED),
        (block("shop.example", start=T + 10), Why.COMING),
        (block("shop.example", regions=("GB",)), Why.ELSEWHERE),
    ],
)
def test_a_name_that_an_order_leaves_free_must_pass_and_it_is_said_why(order: object, why: Why) -> None:
    one, _ = of("www.shop.example", order)
    assert (one.form, one.why, one.ref) == (None, why, "court/o1/d")


def test_a_withheld_order_is_told_before_others_that_speak_of_the_name() -> None:
    ended = block("shop.example", ident="court/o2", until=T - 10)
    one, _ = of("shop.example", ended, block("shop.example"), withheld={"court/o1/d": "a mistake"})
    assert (one.form, one.why, one.ref) == (None, Why.WITHHELD, "court/o1/d")


def test_an_order_with_two_subjects_that_speak_of_a_name_is_one_order() -> None:
    one, _ = of("www.shop.example", block("shop.example", "www.shop.example"))
    assert one.because == ("court/o1/d",)


def test_a_sealed_order_that_has_not_begun_is_a_secret_and_not_told() -> None:
    one, is_secret = of("shop.example", block("shop.example", start=T + 10, publication=SEALED))
    assert (one.form, one.ref, is_secret) == (None, "", True)


def test_the_name_of_a_sealed_order_in_force_is_a_secret_too() -> None:
    one, is_secret = of("shop.example", block("shop.example", publication=Publication.SEALED))
    assert (one.form, one.ref, one.is_sealed, is_secret) == (Form.NXDOMAIN, "court/o1/d", True, True)


def test_the_name_of_an_order_that_is_no_longer_sealed_is_no_secret() -> None:
    one, is_secret = of("shop.example", block("shop.example", publication=SEALED))
    assert (one.ref, one.is_sealed, is_secret) == ("court/o1/d", False, False)


def test_a_client_of_another_region_is_answered_by_that_regions_orders() -> None:
    made = policy(block("shop.example"))
    outside = replace(POINT, outside=Outside(subnet=ip_network("198.51.100.0/24")))
    one, _ = expected(made, outside, (key("shop.example"), A), OUTSIDE, T)
    assert (one.form, one.why, one.outside, one.region, one.ref) == (
        None,
        Why.OUTSIDE,
        True,
        None,
        "court/o1/d",
    )


def test_what_the_point_does_not_reach_is_told_with_the_question() -> None:
    made = policy(block("shop.example", excepts=("free.shop.example",)))
    bind = replace(POINT, kind="bind", by="rpz")
    one = expected(made, bind, (key("free.shop.example"), A), PLAIN, T).expectation
    assert (one.why, one.misses_aliases) == (Why.EXCEPT, True)
    assert expected(made, bind, (key("shop.example"), ANY), PLAIN, T).expectation.declared == "any"
    assert expected(made, POINT, (key("shop.example"), ANY), PLAIN, T).expectation.declared == ""
