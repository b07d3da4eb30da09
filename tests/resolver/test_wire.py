"""Reading and writing messages: the same as the other codec says, and nothing but Malformed for the rest."""

from __future__ import annotations

import dns.message
import dns.name
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.resolver import wire
from tests.resolver.world import ask, upstream

LABELS = st.lists(st.binary(min_size=1, max_size=63), max_size=6).filter(
    lambda labels: sum(len(label) + 1 for label in labels) < 250
)


def in_wire(labels: list[bytes]) -> bytes:
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


@given(LABELS)
def test_a_name_is_read_as_it_was_written_in_lower_case(labels: list[bytes]) -> None:
    octets = in_wire(labels)
    assert wire.name_at(octets, 0) == (octets.lower(), len(octets))


@given(LABELS, LABELS)
def test_a_compressed_name_is_the_same_as_the_other_codec_reads(head: list[bytes], tail: list[bytes]) -> None:
    octets = b"\0" * 12 + in_wire(tail) + in_wire(head)[:-1] + b"\xc0\x0c"
    start = 12 + len(in_wire(tail))
    if sum(len(label) + 1 for label in head + tail) > 254:
        with pytest.raises(wire.Malformed):
            wire.name_at(octets, start)
        return
    expected, used = dns.name.from_wire(octets, start)
    found, end = wire.name_at(octets, start)
    assert found == expected.canonicalize().to_digestable()
    assert end == start + used


@given(st.binary(max_size=300), st.integers(0, 300))
def test_any_octets_are_a_name_or_malformed(octets: bytes, at: int) -> None:
    try:
        name, end = wire.name_at(octets, at)
    except wire.Malformed:
        return
    assert len(name) <= 255
    assert at < end <= len(octets)
    assert names.to_wire(names.from_wire(name)) == name


@given(st.binary(max_size=400))
def test_any_octets_are_a_query_or_malformed(octets: bytes) -> None:
    try:
        query = wire.parse_query(octets)
    except wire.Malformed:
        return
    assert octets[12 : 12 + len(query.question)] == query.question


BAD_NAMES = {
    "pointer to itself": b"\0" * 12 + b"\xc0\x0c",
    "pointer forwards": b"\0" * 12 + b"\xc0\x20" + b"\0" * 30,
    "pointer into the header": b"\0" * 12 + b"\xc0\x00",
    "pointer cut off": b"\0" * 12 + b"\xc0",
    "label cut off": b"\0" * 12 + b"\x05abc",
    "no end": b"\0" * 12 + b"\x03abc",
    "extended label": b"\0" * 12 + b"\x41abc\0",
    "reserved label": b"\0" * 12 + b"\x80abc\0",
    "too long": b"\0" * 12 + b"\x3f" + b"x" * 63 + (b"\x3f" + b"x" * 63) * 3 + b"\0",
}


@pytest.mark.parametrize("case", BAD_NAMES)
def test_bad_names_are_malformed(case: str) -> None:
    with pytest.raises(wire.Malformed):
        wire.name_at(BAD_NAMES[case], 12)


def test_a_label_before_a_pointer_into_itself_ends() -> None:
    with pytest.raises(wire.Malformed, match="backwards"):
        wire.name_at(b"\0" * 12 + b"\x01a\xc0\x0c", 12)


def test_a_question_has_at_most_255_octets_of_name() -> None:
    def packet(last: int) -> bytes:
        name = (b"\x3f" + b"x" * 63) * 3 + bytes((last,)) + b"x" * last + b"\0"
        return wire.pack_header(1, 0, (1, 0, 0, 0)) + name + b"\0\x01\0\x01"

    assert len(wire.parse_query(packet(61)).qname) == 255
    with pytest.raises(wire.Malformed, match="255"):
        wire.parse_query(packet(62))


def test_a_query_is_what_the_other_codec_wrote() -> None:
    packet = ask("WWW.example", "AAAA", want_dnssec=True, payload=4096)
    query = wire.parse_query(packet)
    assert query.qname == b"\x03www\x07example\0"
    assert query.key == names.to_key("www.example")
    assert (query.qtype, query.qclass, query.do) == (28, 1, True)
    assert query.edns is not None
    assert (query.edns.size, query.edns.version) == (4096, 0)


def test_our_own_query_is_what_the_other_codec_reads() -> None:
    question = b"\x03www\x07example\0\0\x01\0\x01"
    plain = dns.message.from_wire(wire.pack_query(7, question, flags=wire.CD, do=False, edns=False))
    assert (plain.id, plain.edns, plain.question[0].to_text()) == (7, -1, "www.example. IN A")
    assert plain.flags == wire.RD | wire.CD
    signed = dns.message.from_wire(wire.pack_query(7, question, flags=0, do=True))
    assert (signed.edns, signed.payload) == (0, wire.UDP_SIZE)
    assert signed.ednsflags & 0x8000


def test_records_are_where_they_are() -> None:
    packet = ask("a.example")
    message = upstream(packet, "a.example 300 IN CNAME b.example.", "b.example 4294967295 IN A 192.0.2.1")
    found = wire.records(message, wire.question_end(message), wire.header(message).counts, whole=True)
    assert [(one.section, one.owner, one.rtype) for one in found] == [
        (1, b"\x01a\x07example\0", 5),
        (1, b"\x01b\x07example\0", 1),
        (3, b"\0", 41),
    ]
    assert message[found[0].ttl_at : found[0].ttl_at + 4] == (300).to_bytes(4, "big")
    assert message[found[1].data_at : found[1].end] == b"\xc0\0\x02\x01"
    assert found[1].ttl == 0  # RFC 2181 §8


def test_more_records_than_anyone_needs_are_malformed() -> None:
    record = wire.pack_record(b"\0", 1, 1, 0, b"")
    with pytest.raises(wire.Malformed, match="1025 records"):
        wire.records(record * 1025, 0, (0, 1025, 0, 0))
    assert len(wire.records(record * 1024, 0, (0, 1024, 0, 0), whole=True)) == 1024


@pytest.mark.parametrize("cut", [1, 5, 11, 12])
def test_a_record_that_is_cut_off_is_malformed(cut: int) -> None:
    record = wire.pack_record(b"\x01a\0", 1, 1, 0, b"data")
    with pytest.raises(wire.Malformed, match="cut off"):
        wire.records(record[:-cut], 0, (0, 1, 0, 0))


@pytest.mark.parametrize("data", [b"\0", b"\0\x03\0", b"\0\x03\0\x05abc"])
def test_an_option_that_is_cut_off_is_malformed(data: bytes) -> None:
    message = wire.pack_record(b"\0", wire.OPT, 1232, 0, data)
    with pytest.raises(wire.Malformed, match="option"):
        wire.edns_of(message, wire.records(message, 0, (0, 0, 0, 1)))


def test_options_are_read_to_the_last_even_an_empty_one() -> None:
    message = wire.pack_opt(((10, b"12345678"), (3, b"")), do=True, rcode=16)
    edns = wire.edns_of(message, wire.records(message, 0, (0, 0, 0, 1)))
    assert edns == wire.Edns(1232, 1, 0, True, ((10, b"12345678"), (3, b"")))
