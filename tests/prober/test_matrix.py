"""In which ways a question is asked."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from blocker.orders.model import Form
from blocker.prober.expect import Expectation, Why
from blocker.prober.matrix import OUTSIDE, probes, ways
from blocker.prober.observe import ANY, PLAIN, A, Transport, Variant
from blocker.site import Endpoint, Tls
from tests.prober.world import AAAA, POINT, key

HERE = Endpoint("127.0.0.1", 53)
EVERYTHING = replace(POINT, also=(Endpoint("::1", 53),), tls=Tls(name="dns.isp.example", dot=HERE, doh=HERE))
POINTS = {"p1": EVERYTHING}


def expected(form: Form | None = Form.NXDOMAIN, why: Why = Why.SUBJECT, **more: Any) -> Expectation:
    values = {"point": "p1", "region": "ID", "name": key("x.example"), "qtype": A, "why": why, "form": form}
    return Expectation(**{**values, **more})


def test_a_point_is_asked_over_everything_it_has_and_in_the_plain_way_first() -> None:
    transports = {variant.transport for variant in ways(EVERYTHING)}
    assert ways(EVERYTHING)[0] == PLAIN
    assert transports == set(Transport)
    assert Variant(place=1) in ways(EVERYTHING)
    assert {variant.transport for variant in ways(POINT)} == {Transport.UDP, Transport.TCP}


def test_each_way_differs_from_the_plain_one_in_one_thing() -> None:
    labels = [str(variant) for variant in ways(EVERYTHING)]
    assert labels[0] == "udp"
    assert len(set(labels)) == len(labels)
    assert all(label.count("+") + (not label.startswith("udp")) == 1 for label in labels[1:])


def test_a_look_at_the_whole_asks_for_what_must_be_blocked_in_every_way() -> None:
    found = probes([expected(), expected(qtype=AAAA)], POINTS, number=0, whole=True)
    assert {one.variant for one in found if one.expectation.qtype == A} == set(ways(EVERYTHING))
    assert [str(one.variant) for one in found if one.expectation.qtype == AAAA] == ["udp", "tcp"]


def test_as_many_rounds_as_there_are_ways_ask_for_a_name_in_all_of_them() -> None:
    every = ways(EVERYTHING)
    rounds = [probes([expected()], POINTS, number=number, whole=False) for number in range(len(every) - 1)]
    assert all(len(found) == 2 for found in rounds)
    assert {one.variant for found in rounds for one in found} == set(every)


def test_what_must_pass_is_mostly_asked_for_in_the_plain_way_and_in_all_ways_in_the_end() -> None:
    every = ways(EVERYTHING)
    rounds = [
        probes([expected(None, Why.PARENT)], POINTS, number=number, whole=False)
        for number in range(4 * len(every))
    ]
    assert {one.variant for found in rounds for one in found} == set(every)
    assert sum(len(found) for found in rounds) < 1.3 * len(rounds)


def test_a_client_from_outside_asks_from_there_alone() -> None:
    for whole in (True, False):
        found = probes([expected(None, Why.OUTSIDE, outside=True)], POINTS, number=0, whole=whole)
        assert [one.variant for one in found] == [OUTSIDE]


def test_plain_probes_come_first_and_those_with_do_last() -> None:
    found = probes([expected(), expected(name=key("y.example"))], POINTS, number=0, whole=True)
    assert [one.variant for one in found[:2]] == [PLAIN, PLAIN]
    assert [one.variant.do for one in found] == sorted(one.variant.do for one in found)


def test_any_is_asked_when_all_else_is_in_the_points_cache() -> None:
    asked = [expected(qtype=qtype) for qtype in (ANY, AAAA, A)]
    types = [one.expectation.qtype for one in probes(asked, POINTS, number=0, whole=True)]
    assert types == sorted(types, key=lambda qtype: qtype == ANY)
    assert ANY in types
