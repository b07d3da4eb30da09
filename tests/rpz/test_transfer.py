from __future__ import annotations

from contextlib import suppress

import dns.message
import dns.name
import dns.rdataclass
import dns.rdatatype
import dns.rrset
import dns.tsig
import dns.tsigkeyring
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.rpz import transfer, zone
from blocker.rpz.transfer import Malformed, Message, Record
from tests.policy.strategies import key
from tests.rpz.test_update import KEYS

ORIGIN = key("id.rpz")
KEYRING = dns.tsigkeyring.from_text({"blocker": "MDEyMzQ1Njc4OWFiY2RlZg=="})
SOA = "id.rpz. 30 IN SOA localhost. nobody.invalid. 7 30 5 2592000 30"


def wire_of(*records: str, key: bool = False, rcode: int = 0) -> bytes:
    message = dns.message.make_query("id.rpz.", "AXFR", id=4711)
    message.flags |= 0x8000
    message.set_rcode(dns.rcode.Rcode(rcode))
    message.answer = [dns.rrset.from_text(*record.split(" ", 4)) for record in records]  # type: ignore[arg-type]  # of strings, all of them
    if key:
        message.use_tsig(KEYRING)
    return message.to_wire(max_size=65535)


def rules(*records: str) -> list[tuple[str, str]]:
    return [(names.to_text(one.owner), one.rule) for one in Message(wire_of(*records), ORIGIN).records]


@given(
    found=st.lists(
        st.tuples(
            KEYS,
            st.booleans(),
            st.sampled_from([".", "*.", "rpz-passthru.", "192.0.2.1", "2001:db8::1"]),
            st.integers(0, 1 << 31),
        ),
        max_size=20,
        unique_by=lambda one: one[:2],
    )
)
def test_what_zones_hold_is_read_as_it_is_written(found: list[tuple[names.Key, bool, str, int]]) -> None:
    """With names compressed against each other, and letters in either case."""
    wanted = [
        Record(names.Key(owner + zone.STAR) if wild else owner, 0, rule, ttl)
        for owner, wild, rule, ttl in found
    ]
    kinds = [(":" in rule and "AAAA") or (rule[0].isdigit() and "A") or "CNAME" for _, _, rule, _ in found]
    records = [
        f"{names.to_text(one.owner).upper()}.ID.rpz. {one.ttl} IN {kind} {one.rule}"
        for one, kind in zip(wanted, kinds, strict=True)
    ]
    message = Message(wire_of(*records), ORIGIN)
    assert [one._replace(kind=0) for one in message.records] == wanted
    assert [dns.rdatatype.to_text(dns.rdatatype.RdataType(one.kind)) for one in message.records] == kinds
    assert (message.number, message.rcode, message.signature) == (4711, 0, None)


def test_the_head_of_the_zone_is_known_with_its_serial_and_name_servers_are_left_out() -> None:
    records = Message(wire_of(SOA, "id.rpz. 30 IN NS localhost.", SOA), ORIGIN).records
    assert {(one.owner, one.kind, one.serial) for one in records} == {(names.ROOT, transfer.SOA, 7)}


def test_a_head_without_its_numbers_is_refused() -> None:
    wire = wire_of("id.rpz. 30 IN TYPE65280 \\# 21 " + "00" * 21)
    with pytest.raises(Malformed, match="SOA record is too short"):
        Message(wire.replace(b"\xff\x00", b"\0\6"), ORIGIN)


@pytest.mark.parametrize(
    "record",
    [
        "a.example.id.rpz. 30 IN TXT x",
        "a.example.id.rpz. 30 IN CNAME rpz-drop.",
        "a.example.id.rpz. 30 IN CNAME a.example.id.rpz.",
        "a.example.id.rpz. 30 IN NS localhost.",
        "a.example.id.rpz. 30 IN MX 10 .",
    ],
)
def test_what_zones_never_hold_is_foreign(record: str) -> None:
    assert rules(record) == [("a.example", transfer.FOREIGN)]


def test_a_signature_is_found_where_it_stands() -> None:
    wire = wire_of(SOA, key=True)
    found = Message(wire, ORIGIN).signature
    assert found is not None
    assert found.owner == key("blocker")
    assert found.data + found.octets == len(wire)
    tsig = dns.rdata.from_wire(dns.rdataclass.ANY, dns.rdatatype.TSIG, wire, found.data, found.octets)
    assert tsig == dns.message.from_wire(wire, keyring=KEYRING).tsig[0]  # type: ignore[index]  # it is signed


def test_a_record_behind_the_answers_that_is_no_signature_is_none() -> None:
    message = dns.message.make_query("id.rpz.", "AXFR", use_edns=0)
    assert Message(message.to_wire(), ORIGIN).signature is None


@pytest.mark.parametrize(
    "before",
    [
        "id.rpz. 30 IN NS ns.id.rpz.",
        "a.id.rpz. 30 IN MX 10 mail.ns.id.rpz.",
        "id.rpz. 30 IN SOA x.ns.id.rpz. b. 7 1 1 1 1",
    ],
)
def test_a_name_may_be_compressed_against_one_in_data_that_isn_t_read(before: str) -> None:
    """As servers do (RFC 1035 §4.1.4): any earlier name may be pointed to."""
    found = Message(wire_of(before, "ns.id.rpz. 30 IN A 192.0.2.1"), ORIGIN).records[-1]
    assert (names.to_text(found.owner), found.rule) == ("ns", "192.0.2.1")


def test_the_rcode_is_read() -> None:
    assert Message(wire_of(rcode=5), ORIGIN).rcode == 5


WHOLE = wire_of(SOA, "a.example.id.rpz. 30 IN CNAME .", "b.example.id.rpz. 30 IN A 192.0.2.1", key=True)
HEAD = WHOLE[:4] + b"\0\1\0\0\0\0\0\0"


@pytest.mark.parametrize(
    ("wire", "why"),
    [
        (b"", "ends midway"),
        (WHOLE + b"\0", "another length"),
        (HEAD + b"\xc0\x0c\0\6\0\1", "leads nowhere"),
        (HEAD + b"\xc0\x20\0\6\0\1", "leads nowhere"),
        (HEAD + b"\x40\0\0\6\0\1", "no kind"),
        (HEAD + b"\1a\xc0\x0c\0\6\0\1", "leads nowhere"),
        (HEAD + b"\x3f" * 63 * 64 + b"\0\0\6\0\1", "longer than 255"),
        (HEAD + b"\1a" * 32_000 + b"\0\0\6\0\1", "longer than 255"),
        (HEAD + b"\2id\3rp", "ends midway"),
        (wire_of("a.example.gb.rpz. 30 IN CNAME ."), "another zone"),
    ],
)
def test_what_is_malformed_is_refused_with_its_reason(wire: bytes, why: str) -> None:
    with pytest.raises(Malformed, match=why):
        Message(wire, ORIGIN)


def test_every_beginning_of_a_message_is_refused() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(Malformed):
            Message(WHOLE[:length], ORIGIN)


def test_data_of_a_wrong_length_is_foreign() -> None:
    wire = bytearray(wire_of("b.example.id.rpz. 30 IN A 192.0.2.1"))
    wire[wire.rindex(b"\0\1\0\1") + 1] = 28  # AAAA, with four octets
    assert [one.rule for one in Message(bytes(wire), ORIGIN).records] == [transfer.FOREIGN]
    wire = bytearray(wire_of("b.example.id.rpz. 30 IN CNAME ."))
    wire[-2] = 2  # One octet more than the name in it.
    assert [one.rule for one in Message(bytes(wire) + b"\0", ORIGIN).records] == [transfer.FOREIGN]


@given(
    changes=st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4)
)
def test_whatever_is_sent_nothing_but_a_refusal_comes_of_it(changes: list[tuple[int, int]]) -> None:
    wire = bytearray(WHOLE)
    for at, octet in changes:
        wire[at] = octet
    with suppress(Malformed):
        for record in Message(bytes(wire), ORIGIN).records:
            assert len(record.owner) < 255
