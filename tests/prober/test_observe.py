"""The probe's own reading of DNS messages, checked with another codec."""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import TYPE_CHECKING

import dns.edns
import dns.flags
import dns.message
import dns.name
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocker.prober.observe import Malformed, Mismatched, Transport, Variant, query, read
from tests.prober.world import AAAA, A, answer, key

if TYPE_CHECKING:
    from blocker.names import Key

NAME = key("www.blocked.example")


def asked(ident: int = 7) -> dns.message.Message:
    return dns.message.from_wire(query(NAME, A, ident))


def test_a_query_asks_recursively_with_edns_and_for_the_instance() -> None:
    made = asked()
    assert made.id == 7
    assert made.question[0].name.to_text() == "www.blocked.example."
    assert made.question[0].rdtype == A
    assert made.flags & dns.flags.RD
    assert made.payload == 1232
    assert [option.otype for option in made.options] == [dns.edns.OptionType.NSID]


VARIANTS = [
    (Variant(edns=False), "udp+no-edns"),
    (Variant(do=True, cd=True), "udp+do+cd"),
    (Variant(transport=Transport.TCP, mixed=True), "tcp+mixed-case"),
    (Variant(transport=Transport.DOH, place=1, outside=True), "doh+address-2+outside"),
]


@pytest.mark.parametrize(("variant", "label"), VARIANTS, ids=[label for _, label in VARIANTS])
def test_a_variant_is_what_its_label_says(variant: Variant, label: str) -> None:
    made = dns.message.from_wire(query(NAME, A, 7, variant))
    assert str(variant) == label
    assert made.question[0].name == dns.name.from_text("www.blocked.example")
    assert (made.edns >= 0) is variant.edns
    assert bool(made.ednsflags & dns.flags.DO) is variant.do
    assert bool(made.flags & dns.flags.CD) is variant.cd
    text = made.question[0].name.to_text()
    assert (text != text.lower() and text != text.upper()) is variant.mixed


@pytest.mark.parametrize("subnet", ["198.51.100.0/24", "192.0.2.128/25", "2001:db8:7::/48"])
def test_a_query_may_say_for_whom_it_is(subnet: str) -> None:
    made = dns.message.from_wire(query(NAME, A, 7, subnet=ip_network(subnet)))
    (option,) = (one for one in made.options if one.otype == dns.edns.OptionType.ECS)
    assert f"{option.address}/{option.srclen}" == subnet


def test_an_answer_is_read_whole() -> None:
    made = answer(asked(), addresses=("192.0.2.1", "192.0.2.2"), ede=(16, 4), cname="target.example")
    reply = read(made.to_wire(), ident=7, name=NAME, qtype=A)
    assert reply.rcode == 0
    assert reply.is_attributed
    assert [one.code for one in reply.extended] == [16, 4]
    assert reply.extended[0].text == "court/o1/d"
    assert reply.data_of(A) == {bytes([192, 0, 2, 1]), bytes([192, 0, 2, 2])}
    assert reply.targets == (key("target.example"),)
    assert {record.ttl for record in reply.answers} == {60}


def test_the_soa_and_the_instance_are_read() -> None:
    made = answer(asked(), rcode=3)
    made.authority.append(dns.rrset.from_text("example.", 30, "IN", "SOA", "a.example. b.example. 1 2 3 4 5"))
    made.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"r1")])
    made.set_rcode(dns.rcode.NXDOMAIN)
    reply = read(made.to_wire(), ident=7, name=NAME, qtype=A)
    assert reply.rcode == 3
    assert reply.soa is not None
    assert (reply.soa.owner, reply.soa.ttl) == (key("example"), 30)
    assert reply.nsid == b"r1"


def test_records_beside_the_opt_in_the_additional_section_say_nothing() -> None:
    made = answer(asked())
    made.use_edns(0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"r1")])
    made.additional.append(dns.rrset.from_text("ns.example.", 60, "IN", "A", "192.0.2.1"))
    assert read(made.to_wire(), ident=7, name=NAME, qtype=A).nsid == b"r1"


def test_options_that_are_unknown_or_too_short_say_nothing() -> None:
    made = answer(asked())
    made.use_edns(
        0,
        options=[
            dns.edns.GenericOption("65001", b"r1"),
            dns.edns.GenericOption(dns.edns.OptionType.EDE, b"\x00"),
        ],
    )
    reply = read(made.to_wire(), ident=7, name=NAME, qtype=A)
    assert (reply.extended, reply.nsid) == ((), b"")


def test_the_rcode_has_its_extended_bits() -> None:
    made = answer(asked())
    made.set_rcode(dns.rcode.BADVERS)
    assert read(made.to_wire(), ident=7, name=NAME, qtype=A).rcode == 16


def test_a_ttl_with_its_highest_bit_set_is_zero() -> None:
    wire = bytearray(answer(asked(), addresses=("192.0.2.1",)).to_wire())
    at = wire.index(struct.pack("!HHI", 1, 1, 60)) + 4
    wire[at] = 0x80
    assert read(bytes(wire), ident=7, name=NAME, qtype=A).answers[0].ttl == 0


def test_the_case_of_the_question_does_not_matter() -> None:
    made = answer(asked(), addresses=("192.0.2.1",))
    wire = made.to_wire().replace(b"\x07blocked", b"\x07BLOCKED")
    assert read(wire, ident=7, name=NAME, qtype=A).data_of(A)


@pytest.mark.parametrize(
    ("ident", "name", "qtype"),
    [(8, NAME, A), (7, key("other.example"), A), (7, NAME, AAAA)],
    ids=["id", "name", "type"],
)
def test_the_answer_to_something_else_is_mismatched(ident: int, name: Key, qtype: int) -> None:
    with pytest.raises(Mismatched):
        read(answer(asked()).to_wire(), ident=ident, name=name, qtype=qtype)


def test_a_query_is_no_answer() -> None:
    with pytest.raises(Mismatched):
        read(query(NAME, A, 7), ident=7, name=NAME, qtype=A)


HEAD = struct.pack("!6H", 7, 0x8180, 1, 1, 0, 0)
QUESTION = query(NAME, A, 7)[12:-15]


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\xc0",
        b"\xc0\xff" + bytes(10),
        bytes([0xC0, 12 + len(QUESTION)]) + bytes(10),
        b"\x80abc" + bytes(20),
        (b"\x3f" + b"a" * 63) * 4 + b"\0" + bytes(10),
        b"\0" + struct.pack("!HHIH", 1, 1, 0, 4) + b"ab",
        b"\0" + struct.pack("!HHIH", 5, 1, 0, 4) + b"\x01a\0\0",
    ],
    ids=["cut", "half", "forward", "itself", "kind", "long", "rdata", "alias"],
)
def test_a_hostile_record_is_malformed(tail: bytes) -> None:
    with pytest.raises(Malformed):
        read(HEAD + QUESTION + tail, ident=7, name=NAME, qtype=A)


def test_an_option_beyond_its_record_is_malformed() -> None:
    opt = b"\0" + struct.pack("!HHIH", 41, 1232, 0, 4) + struct.pack("!HH", 15, 9)
    wire = struct.pack("!6H", 7, 0x8180, 1, 0, 0, 1) + QUESTION + opt
    with pytest.raises(Malformed):
        read(wire, ident=7, name=NAME, qtype=A)


def test_of_a_flood_of_records_only_some_are_kept() -> None:
    record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + bytes([192, 0, 2, 1])
    wire = struct.pack("!6H", 7, 0x8180, 1, 2000, 0, 0) + QUESTION + record * 2000
    assert len(read(wire, ident=7, name=NAME, qtype=A).answers) == 64


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_noise_is_malformed_or_mismatched_and_nothing_else(noise: bytes) -> None:
    for wire in (noise, HEAD + QUESTION + noise):
        try:
            read(wire, ident=7, name=NAME, qtype=A)
        except (Malformed, Mismatched):
            continue


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_answer_is_read_or_malformed_or_mismatched(data: st.DataObject) -> None:
    made = answer(asked(), addresses=("192.0.2.1",), ede=(16,), cname="target.example")
    wire = bytearray(made.to_wire())
    for _ in range(data.draw(st.integers(1, 6))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    try:
        read(bytes(wire), ident=7, name=NAME, qtype=A)
    except (Malformed, Mismatched):
        return
