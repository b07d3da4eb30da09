"""DNS messages as octets: where things are, and nothing of what they mean.

Everything is read from hostile input: every offset is checked, every loop is bounded, and the one way to
fail is Malformed. Compression pointers must point strictly backwards (RFC 1035 §4.1.4: a *prior*
occurrence), so following them ends. Names come out uncompressed and in lower case; the question's name is
also kept as it was sent, for it is echoed octet by octet.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import NamedTuple

from blocker import names

QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
OPCODE = 0x7800

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, YXDOMAIN, BADVERS = 0, 1, 2, 3, 4, 5, 6, 16

A, NS, CNAME, SOA, HINFO, TXT, AAAA, DNAME, OPT, RRSIG = 1, 2, 5, 6, 13, 16, 28, 39, 41, 46
TKEY, TSIG, IXFR, AXFR, MAILB, MAILA, ANY = 249, 250, 251, 252, 253, 254, 255
IN, CH = 1, 3

OPTION_NSID, OPTION_EDE = 3, 15

UDP_SIZE = 1232
"""Octets of the largest datagram we send or ask for (DNS flag day 2020)."""

MOST_OCTETS = 65535
MOST_RECORDS = 1024
"""Records of one message that we care to walk; more are Malformed."""

_HEADER = Struct("!6H")
_PAIR = Struct("!HH")
_RECORD = Struct("!HHIH")


class Malformed(ValueError):
    """The octets are no DNS message, or none that anybody should send."""


class Header(NamedTuple):
    """RFC 1035 §4.1.1; `counts` of question, answer, authority, additional."""

    id: int
    flags: int
    counts: tuple[int, int, int, int]


class Edns(NamedTuple):
    """An OPT record (RFC 6891 §6.1.2). `rcode` holds the upper eight bits; options as (code, octets)."""

    size: int
    rcode: int
    version: int
    do: bool
    options: tuple[tuple[int, bytes], ...]


class Record(NamedTuple):
    """One resource record; `section` 1 answer, 2 authority, 3 additional. Offsets are into the message."""

    section: int
    owner: bytes
    rtype: int
    rclass: int
    ttl: int
    start: int
    ttl_at: int
    data_at: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """A query with one question. `question` is its octets as sent: name, type, class."""

    id: int
    flags: int
    question: bytes
    key: names.Key
    qtype: int
    qclass: int
    edns: Edns | None = None

    @property
    def qname(self) -> bytes:
        """The name in wire form and lower case."""
        return self.question[:-4].lower()

    @property
    def do(self) -> bool:
        return self.edns is not None and self.edns.do


def header(message: bytes) -> Header:
    """The first twelve octets. Raises Malformed."""
    if len(message) < 12:
        raise Malformed("a message has at least twelve octets")
    ident, flags, *counts = _HEADER.unpack_from(message)
    return Header(ident, flags, (counts[0], counts[1], counts[2], counts[3]))


def pack_header(ident: int, flags: int, counts: tuple[int, int, int, int]) -> bytes:
    return _HEADER.pack(ident, flags, *counts)


def question_end(message: bytes) -> int:
    """The offset after the only question, whose name is not compressed. Raises Malformed."""
    at = 12
    try:
        while length := message[at]:
            if length > 63:
                raise Malformed("a question's name is not compressed")
            at += length + 1
    except IndexError:
        raise Malformed("the question is cut off") from None
    if at - 11 > 255:
        raise Malformed("a name has at most 255 octets")
    if at + 5 > len(message):
        raise Malformed("the question is cut off")
    return at + 5


def parse_query(message: bytes) -> Query:
    """The query in a message whose QDCOUNT must be 1. Raises Malformed."""
    head = header(message)
    if head.counts[0] != 1:
        raise Malformed("a query has one question")
    end = question_end(message)
    qtype, qclass = _PAIR.unpack_from(message, end - 4)
    edns = None
    if len(message) > end or any(head.counts[1:]):
        edns = edns_of(message, records(message, end, head.counts, whole=True))
    return Query(
        id=head.id,
        flags=head.flags,
        question=message[12:end],
        key=names.from_wire(message[12 : end - 4]),
        qtype=qtype,
        qclass=qclass,
        edns=edns,
    )


def records(
    message: bytes, at: int, counts: tuple[int, int, int, int], *, whole: bool = False
) -> list[Record]:
    """Every record from the offset on; `whole`: and nothing after them. Raises Malformed."""
    _, answers, authority, additional = counts
    total = answers + authority + additional
    if total > MOST_RECORDS:
        raise Malformed(f"{total} records, {MOST_RECORDS} is the most")
    found = []
    known: dict[int, bytes] = {}
    for number in range(total):
        start = at
        owner, at = name_at(message, at, known)
        if at + 10 > len(message):
            raise Malformed("a record is cut off")
        rtype, rclass, ttl, length = _RECORD.unpack_from(message, at)
        end = at + 10 + length
        if end > len(message):
            raise Malformed("a record is cut off")
        section = 1 if number < answers else 2 if number < answers + authority else 3
        # RFC 2181 §8: a TTL with its first bit set counts as 0.
        found.append(
            Record(
                section,
                owner,
                rtype,
                rclass,
                0 if ttl >> 31 and rtype != OPT else ttl,
                start,
                at + 4,
                at + 10,
                end,
            )
        )
        at = end
    if whole and at != len(message):
        raise Malformed(f"{len(message) - at} octets after the last record")
    return found


def name_at(message: bytes, at: int, known: dict[int, bytes] | None = None) -> tuple[bytes, int]:
    """The name at the offset, uncompressed and in lower case, and the offset after it. Raises Malformed.

    `known` remembers names by the offset they were pointed to.
    """
    labels: list[bytes] = []
    size, end, limit, pointed = 1, -1, at, -1
    try:
        while octet := message[at]:
            if octet < 64:
                labels.append(message[at : at + 1 + octet])
                at += 1 + octet
                size += 1 + octet
                if size > 255:
                    raise Malformed("a name has at most 255 octets")
                continue
            target = _pointer(octet << 8 | message[at + 1], limit)
            end = at + 2 if end < 0 else end
            if known is not None and not labels:
                if target in known:
                    return known[target], end
                pointed = target
            at = limit = target
    except IndexError:
        raise Malformed("a name is cut off") from None
    name = b"".join([*labels, b"\0"]).lower()
    if known is not None and pointed >= 0:
        known[pointed] = name
    return name, at + 1 if end < 0 else end


def _pointer(word: int, limit: int) -> int:
    if word < 0xC000:
        raise Malformed("a label type of no standard")
    target = word & 0x3FFF
    if not 12 <= target < limit:
        raise Malformed("a compression pointer points backwards")
    return target


def edns_of(message: bytes, found: list[Record]) -> Edns | None:
    """The message's OPT record. Raises Malformed, also for a second one (RFC 6891 §6.1.1)."""
    edns = None
    for record in found:
        if record.rtype != OPT:
            continue
        if edns is not None or record.section != 3 or record.owner != b"\0":
            raise Malformed("there is one OPT record at most, in the additional section, of the root")
        options = tuple(_options(message[record.data_at : record.end]))
        ttl = record.ttl
        edns = Edns(record.rclass, ttl >> 24, ttl >> 16 & 0xFF, bool(ttl & 0x8000), options)
    return edns


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        if at + 4 > len(data):
            raise Malformed("an EDNS option is cut off")
        code, length = _PAIR.unpack_from(data, at)
        at += 4 + length
        if at > len(data):
            raise Malformed("an EDNS option is cut off")
        found.append((code, data[at - length : at]))
    return found


def pack_record(owner: bytes, rtype: int, rclass: int, ttl: int, data: bytes) -> bytes:
    """A record in wire form; the owner as it shall be written, so a pointer is welcome."""
    return owner + _RECORD.pack(rtype, rclass, ttl, len(data)) + data


def pack_opt(options: tuple[tuple[int, bytes], ...], *, do: bool, rcode: int = 0) -> bytes:
    """Our OPT record; `rcode` is the whole extended one, its upper bits go here."""
    data = b"".join([_PAIR.pack(code, len(value)) + value for code, value in options])
    return pack_record(b"\0", OPT, UDP_SIZE, rcode >> 4 << 24 | do << 15, data)


def pack_query(ident: int, question: bytes, *, flags: int, do: bool, edns: bool = True) -> bytes:
    """A query of ours with recursion desired."""
    head = pack_header(ident, RD | flags, (1, 0, 0, 1 if edns else 0))
    return head + question + (pack_opt((), do=do) if edns else b"")
