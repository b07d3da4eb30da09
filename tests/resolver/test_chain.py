"""Taking upstream's messages apart."""

from __future__ import annotations

from typing import Any

import dns.edns
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.resolver import chain, wire
from tests.resolver.world import ask, upstream

SOA = "example 900 IN SOA ns.example. host.example. 1 2 3 4 60"


def received(qname: str, *records: str, qtype: str = "A", **options: Any) -> chain.Received:
    query = ask(qname, qtype)
    return chain.receive(upstream(query, *records, **options), wire.parse_query(query).question)


@pytest.mark.parametrize(
    ("records", "options", "lifetime"),
    [
        (("a.example 300 IN A 192.0.2.1",), {}, 300),
        (("a.example 300 IN A 192.0.2.1",), {"tc": True}, 0),
        (("a.example 300 IN A 192.0.2.1",), {"rcode": 2}, 0),
        (("a.example 999999 IN A 192.0.2.1",), {}, chain.LONGEST),
        (("a.example 0 IN A 192.0.2.1",), {}, 0),
        (("a.example 300 IN CNAME b.example.", "b.example 20 IN A 192.0.2.1"), {}, 20),
        (("a.example 300 IN CNAME b.example.",), {}, 0),
        (("a.example 300 IN CNAME b.example.",), {"authority": (SOA,)}, 60),
        (("a.example 30 IN CNAME b.example.",), {"authority": (SOA,), "rcode": 3}, 30),
        ((), {"authority": (SOA,)}, 60),
        ((), {"authority": (SOA,), "rcode": 3}, 60),
        ((), {"authority": (SOA,), "rcode": 2}, 0),
        ((), {"authority": ("other 900 IN SOA ns.example. host.example. 1 2 3 4 60",), "rcode": 3}, 0),
        ((), {"authority": (". 900 IN SOA ns.example. host.example. 1 2 3 4 60",), "rcode": 3}, 60),
        ((), {"authority": ("example 900 IN NS ns.example.",)}, 0),
        ((), {"rcode": 3}, 0),
        (("a.example 300 IN A 192.0.2.1", "stray.example 300 IN A 192.0.2.2"), {}, 0),
    ],
)
def test_an_answer_is_kept_as_long_as_it_may_be(
    records: tuple[str, ...], options: dict[str, Any], lifetime: int
) -> None:
    assert received("a.example", *records, **options).lifetime == lifetime


def test_an_alias_that_was_asked_for_is_kept() -> None:
    found = received("a.example", "a.example 300 IN CNAME b.example.", qtype="CNAME")
    assert found.lifetime == 300
    assert found.keys == (names.to_key("a.example"),)


def test_the_chain_is_followed_in_order_whatever_the_records_order() -> None:
    records = [
        "c.example 9 IN A 192.0.2.1",
        "b.example 9 IN CNAME c.example.",
        "a.example 9 IN CNAME b.example.",
    ]
    found = received("a.example", *records)
    assert [names.to_text(key) for key in found.keys] == ["a.example", "b.example", "c.example"]
    assert found.strays == ()


def test_a_stray_is_told_apart_and_a_dname_is_none() -> None:
    found = received(
        "www.a.example",
        "a.example 9 IN DNAME b.example.",
        "www.b.example 9 IN A 192.0.2.1",
        "x.example 9 IN A 192.0.2.2",
    )
    assert found.strays == (names.to_key("x.example"),)
    assert [names.to_text(key) for key in found.keys] == ["www.a.example", "www.b.example"]


def test_a_dname_to_a_name_that_is_too_long_ends_the_chain() -> None:
    long = ".".join(["x" * 60] * 4)
    found = received(f"{'y' * 60}.a.example", f"a.example 9 IN DNAME {long}.", rcode=6)
    assert len(found.keys) == 1


def test_the_longest_chain_is_read_and_the_next_is_malformed() -> None:
    links = [f"c{n}.example 9 IN CNAME c{n + 1}.example." for n in range(chain.MOST_LINKS + 1)]
    assert len(received("c0.example", *links[:-1]).keys) == chain.MOST_LINKS + 1
    with pytest.raises(wire.Malformed, match="16 links"):
        received("c0.example", *links)


def test_two_aliases_of_one_name_are_malformed() -> None:
    query = ask("a.example")
    message = dns.message.from_wire(upstream(query))
    for target in ("b.example.", "c.example."):
        message.answer.append(dns.rrset.from_text("a.example.", 9, "IN", "CNAME", target))
    with pytest.raises(wire.Malformed, match="two aliases"):
        chain.receive(message.to_wire(), wire.parse_query(query).question)


def crafted(rtype: int, data: bytes, section: int = 1) -> bytes:
    question = wire.parse_query(ask("a.example")).question
    counts = (1, int(section == 1), int(section == 2), 0)
    return wire.pack_header(1, wire.QR, counts) + question + wire.pack_record(b"\xc0\x0c", rtype, 1, 9, data)


@pytest.mark.parametrize(
    "message",
    [
        crafted(wire.CNAME, b"\x01b\0rest"),
        crafted(wire.CNAME, b"\x05b"),
        crafted(wire.SOA, b"\0\0short", 2),
        crafted(wire.OPT, b""),
        crafted(wire.A, b"")[:2] + b"\x00\x00" + crafted(wire.A, b"")[4:],
        crafted(wire.A, b"")[:2] + b"\xa0\x00" + crafted(wire.A, b"")[4:],
        crafted(wire.A, b"")[:5] + b"\x02" + crafted(wire.A, b"")[6:],
        b"",
    ],
)
def test_what_is_no_proper_response_is_malformed(message: bytes) -> None:
    with pytest.raises(wire.Malformed):
        chain.receive(message, wire.parse_query(ask("a.example")).question)


def test_a_negative_soas_ttl_is_the_lesser_of_its_two() -> None:
    found = received("a.example", authority=(SOA,), rcode=3)
    assert [ttl for _, ttl in found.ttls] == [60]


def test_upstreams_explanations_are_kept_within_reason() -> None:
    query = ask("a.example")
    message = dns.message.from_wire(upstream(query, rcode=2))
    code = dns.edns.EDECode
    options: list[dns.edns.Option] = [
        dns.edns.EDEOption(code(6), "bogus"),
        dns.edns.EDEOption(code(7), "x" * 300),
    ]
    options += [dns.edns.EDEOption(code(1))] * 5
    message.use_edns(0, options=options)
    found = chain.receive(message.to_wire(), wire.parse_query(query).question)
    assert found.edes == ((15, b"\0\x06bogus"), (15, b"\0\x01"), (15, b"\0\x01"))


@given(st.binary(max_size=300))
def test_any_octets_after_the_question_are_a_message_or_malformed(rest: bytes) -> None:
    question = wire.parse_query(ask("a.example")).question
    message = wire.pack_header(1, wire.QR, (1, 2, 1, 1)) + question + rest
    try:
        found = chain.receive(message, question)
    except wire.Malformed:
        return
    assert len(found.owners) == len(found.links) + 1
