"""Answers of our own, as octets: blocked names, refusals, errors, and what upstream said, fitted.

A blocked answer tells no lies: it carries EDE 16 (RFC 8914 §4.17) whenever the query can carry it back,
an SOA whose TTL bounds how long the denial is kept (RFC 2308 §5), and neither AD, AA nor signatures. What
does not fit the client's datagram goes in this order: the EDE's text, then the records (TC); never the
SOA alone.

Nothing here decides, and nothing here knows of time: TTLs come in whole seconds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from struct import Struct
from typing import TYPE_CHECKING

import dnslib

from blocker.orders.model import Form
from blocker.resolver import wire

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv6Address

    from blocker.policy.decide import Verdict
    from blocker.resolver.chain import Link, Received

EDE_OTHER, EDE_FORGED, EDE_CENSORED, EDE_PROHIBITED, EDE_NOT_AUTHORITATIVE = 0, 4, 16, 18, 20
EDE_UNREACHABLE, EDE_NETWORK = 22, 23

MOST_REFS = 3

_QNAME = b"\xc0\x0c"
RCODES = {
    Form.REFUSED: wire.REFUSED,
    Form.NXDOMAIN: wire.NXDOMAIN,
    Form.NODATA: wire.NOERROR,
    Form.REDIRECT: wire.NOERROR,
}
_U16 = Struct("!H")
_U32 = Struct("!I")

Options = tuple[tuple[int, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """How to say that a name is blocked.

    `form` is that of the answer as sent, `text` the EXTRA-TEXT, `ttl` in seconds. `chain` leads from the
    question to the blocked `owner` (wire form); without one the qname itself is blocked.
    """

    form: Form
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    ttl: int
    text: str
    chain: tuple[Link, ...] = ()
    owner: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What the transport allows: octets of the answer, and the name that NSID tells."""

    limit: int
    node: bytes


def limit_of(query: wire.Query, *, tcp: bool) -> int:
    """Octets the client can take (RFC 6891 §6.2.3: less than 512 counts as 512), at most 1232 over UDP."""
    if tcp:
        return wire.MOST_OCTETS
    return 512 if query.edns is None else max(512, min(query.edns.size, wire.UDP_SIZE))


def ede(code: int, text: str = "") -> tuple[int, bytes]:
    """An EDE option (RFC 8914 §2)."""
    return (wire.OPTION_EDE, _U16.pack(code) + text.encode())


def reason(verdict: Verdict, info_url: str) -> str:
    """The EXTRA-TEXT: refs of public orders, the winner first, and where to read more."""
    return " ".join([*verdict.public[:MOST_REFS], *([info_url] if info_url else [])])


def blocked(query: wire.Query, block: Block, room: Room) -> bytes:
    """The answer to a blocked name."""
    at = block.owner if block.chain else _QNAME
    version = {wire.A: 4, wire.AAAA: 6}.get(query.qtype)
    addresses = [address.packed for address in block.addresses if address.version == version]
    answers = [_link(query, link) for link in block.chain]
    answers += [wire.pack_record(at, query.qtype, wire.IN, block.ttl, octets) for octets in addresses]
    authority = []
    if not addresses and block.form is not Form.REFUSED:  # Only denials are kept by an SOA.
        authority = [wire.pack_record(at, wire.SOA, wire.IN, block.ttl, soa(block.ttl))]
    forged: Options = (ede(EDE_FORGED),) if addresses else ()
    return fit(
        query,
        RCODES[block.form],
        (answers, authority),
        room,
        options=(ede(EDE_CENSORED, block.text), *forged),
        spare=(ede(EDE_CENSORED), *forged),
    )


def _link(query: wire.Query, link: Link) -> bytes:
    owner = _QNAME if link.owner == query.qname else link.owner
    return wire.pack_record(owner, link.rtype, wire.IN, link.ttl, link.target)


@lru_cache(maxsize=4096)
def soa(ttl: int) -> bytes:
    """The data of the SOA that bounds negative caching to `ttl`; the names are those of RFC 6303 §3."""
    buffer = dnslib.DNSBuffer()
    # Labels, not text: dnslib sends text through IDNA 2003.
    names = [dnslib.DNSLabel([b"localhost"]), dnslib.DNSLabel([b"nobody", b"invalid"])]
    dnslib.SOA(mname=names[0], rname=names[1], times=(1, 3600, 1200, 604800, ttl)).pack(buffer)
    return bytes(buffer.data)


def error(query: wire.Query, rcode: int, room: Room, *options: tuple[int, bytes]) -> bytes:
    """An answer without records."""
    return fit(query, rcode, ([], []), room, options=options, spare=())


def bare_error(message: bytes, rcode: int) -> bytes:
    """An error for a message of which no more than its header can be trusted."""
    head = wire.header(message)
    flags = wire.QR | wire.RA | head.flags & (wire.OPCODE | wire.RD) | rcode
    return wire.pack_header(head.id, flags, (0, 0, 0, 0))


def own_text(query: wire.Query, text: bytes, room: Room) -> bytes:
    """One TXT record of the question's own class, not to be cached (RFC 4892 §3)."""
    data = bytes((len(text[:255]),)) + text[:255]
    return fit(query, 0, ([wire.pack_record(_QNAME, wire.TXT, query.qclass, 0, data)], []), room)


def any_refused(query: wire.Query, ttl: int, room: Room) -> bytes:
    """The synthesised HINFO of RFC 8482 §4.2."""
    data = b"\x07RFC8482\0"
    return fit(query, 0, ([wire.pack_record(_QNAME, wire.HINFO, wire.IN, ttl, data)], []), room)


def fit(
    query: wire.Query,
    rcode: int,
    sections: tuple[Sequence[bytes], Sequence[bytes]],
    room: Room,
    *,
    options: Options = (),
    spare: Options | None = None,
) -> bytes:
    """Put an answer together within the room: with the options, else with the spare ones, else TC.

    `sections` are the records of answer and authority.
    """
    spare = options if spare is None else spare
    answers, authority = sections
    body = b"".join([query.question, *answers, *authority])
    counts = (1, len(answers), len(authority))
    for chosen in (options, spare):
        tail = _opt(query, chosen, rcode, room)
        if 12 + len(body) + len(tail) <= room.limit:
            return _head(query, rcode, counts, tail) + body + tail
    tail = _opt(query, spare, rcode, room)
    return _head(query, rcode, (1, 0, 0), tail, wire.TC) + query.question + tail


def passing(query: wire.Query, received: Received, *, age: int, cap: int, room: Room) -> bytes:
    """What upstream said, for this client.

    `age`, the seconds it was kept, is taken from each TTL, then `cap` is the most. AD goes only to who
    asked for it by AD or DO (RFC 6840 §5.8). Upstream's explanations go before any record does. What came
    cut off says so here too (RFC 2181 §9), or the client would not ask again over TCP.
    """
    tail = _opt(query, received.edes, received.rcode, room)
    if len(received.octets) + len(tail) > room.limit:
        tail = _opt(query, (), received.rcode, room)
    if len(received.octets) + len(tail) > room.limit:
        return _head(query, received.rcode, (1, 0, 0), tail, wire.TC) + query.question + tail
    ad = wire.AD if received.ad and (query.do or query.flags & wire.AD) else 0
    made = bytearray(received.octets)
    tc = wire.TC if received.tc else 0
    made[:12] = _head(query, received.rcode, (1, *received.counts), tail, ad | tc)
    made[12 : 12 + len(query.question)] = query.question
    for at, ttl in received.ttls:
        _U32.pack_into(made, at, max(0, min(ttl - age, cap)))
    return bytes(made) + tail


def _head(query: wire.Query, rcode: int, counts: tuple[int, int, int], tail: bytes, more: int = 0) -> bytes:
    flags = wire.QR | wire.RA | more | query.flags & (wire.OPCODE | wire.RD | wire.CD) | rcode & 0xF
    return wire.pack_header(query.id, flags, (*counts, 1 if tail else 0))


def _opt(query: wire.Query, options: Options, rcode: int, room: Room) -> bytes:
    if query.edns is None:
        return b""
    if any(code == wire.OPTION_NSID for code, _ in query.edns.options):  # RFC 5001 §2.1
        options = (*options, (wire.OPTION_NSID, room.node))
    return wire.pack_opt(options, do=query.edns.do, rcode=rcode)
