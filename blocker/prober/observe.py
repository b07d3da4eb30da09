"""What came back, uninterpreted: the probe's own reading of DNS messages.

Pure. The prober reads the wire with a codec of its own, so that a fault of the resolver's codec can't hide
itself from its witness. Every message is hostile until read: names are bounded, compression points only
backwards (RFC 1035 §4.1.4), at most 64 answer records are kept. An answer to another question or with
another id is *mismatched*, octets that are no message are *malformed*; both are counted, never dropped in
silence. What an observation means is the judge's business alone.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from blocker import names

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.site import Network

A, CNAME, SOA, MX, TXT, AAAA, DNAME, OPT, HTTPS, ANY = 1, 5, 6, 15, 16, 28, 39, 41, 65, 255
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5
CENSORED = 16  # RFC 8914 §4.17: required by an outside authority

_NSID, _ECS, _EDE = 3, 8, 15  # RFC 5001, RFC 7871, RFC 8914
_KEPT = 64
_TRUNCATED = 0x0200


class Malformed(ValueError):
    """The octets are not a DNS message."""


class Mismatched(ValueError):
    """A DNS message, but not the answer to this query."""


class Transport(StrEnum):
    """How the query travelled: RFC 1035 §4.2, RFC 7858, RFC 8484."""

    UDP = "udp"
    TCP = "tcp"
    DOT = "dot"
    DOH = "doh"


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """In which way a question is asked: what a block must not depend on.

    `place` is which of the point's addresses is asked. `mixed`: the letters' case is mixed. `outside`: as a
    client of another region. Its text is the label that findings carry, such as `udp` or `tcp+do`.
    """

    transport: Transport = Transport.UDP
    edns: bool = True
    do: bool = False
    cd: bool = False
    mixed: bool = False
    place: int = 0
    outside: bool = False

    def __str__(self) -> str:
        marks = {"no-edns": not self.edns, "do": self.do, "cd": self.cd, "mixed-case": self.mixed}
        marks[f"address-{self.place + 1}"] = self.place > 0
        marks["outside"] = self.outside
        return "+".join((str(self.transport), *(mark for mark, is_so in marks.items() if is_so)))


PLAIN = Variant()
OVER_TCP = Variant(transport=Transport.TCP)


class Outcome(StrEnum):
    """What became of the query: answered, no answer in time, or no way to the point."""

    ANSWERED = "answered"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


TROUBLES: dict[str, str] = {
    "not-connected": "The point takes no connections where it should answer encrypted queries.",
    "certificate-wrong-name": "The point's certificate is for another name than the one it must be for.",
    "certificate-expired": "The point's certificate has expired.",
    "certificate-untrusted": "The point's certificate is self-signed, or of a CA that we don't trust.",
    "certificate-refused": "The point's certificate can't be accepted: not valid yet, revoked, or unfit.",
    "tls-failed": "The point and we come to no TLS connection.",
    "http-failed": "The point does not speak HTTP/2 as it should.",
    "http-status": "The point answers over HTTPS with a failure or a redirect, not with a DNS message.",
    "not-dns-message": "What the point sends over HTTPS is no DNS message that answers the query.",
    "ca-unreadable": "We can't read the CA file that the point's certificate is to be checked with.",
}
"""Why no answer could be had by an encrypted way: what an observation's `trouble` is, and what it means."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One resource record; `data` is the RDATA, for CNAME and DNAME the target uncompressed in wire form."""

    owner: Key
    rtype: int
    ttl: int
    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Extended:
    """One Extended DNS Error (RFC 8914)."""

    code: int
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """One answer. `rcode` includes the extended bits of OPT; `flags` is the header's second word.

    `soa` is that of AUTHORITY (RFC 2308 §3); some write one into ADDITIONAL. `edns` is the size in its OPT
    record (RFC 6891 §6.2.3), None without one.
    """

    rcode: int
    flags: int = 0x8180
    answers: tuple[Record, ...] = ()
    soa: Record | None = None
    additional_soa: Record | None = None
    extended: tuple[Extended, ...] = ()
    nsid: bytes = b""
    edns: int | None = None

    @property
    def is_truncated(self) -> bool:
        return bool(self.flags & _TRUNCATED)

    @property
    def is_attributed(self) -> bool:
        """Whether the answer itself says that an outside authority required it."""
        return any(one.code == CENSORED for one in self.extended)

    def data_of(self, qtype: int) -> frozenset[bytes]:
        """The RDATA of every answer record of the type, whatever its owner in the chain; for ANY, of all."""
        return frozenset(record.data for record in self.answers if qtype in (record.rtype, ANY))

    def says(self, qtype: int) -> tuple[int, frozenset[bytes]]:
        """What two answers to one query must have in common."""
        return self.rcode, self.data_of(qtype)

    @property
    def targets(self) -> tuple[Key, ...]:
        """The names that the answer's aliases lead to."""
        return tuple(names.from_wire(record.data) for record in self.answers if record.rtype == CNAME)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrival:
    """One message that answers the query: what it says, its octets, the monotonic seconds from the query to
    it, and the TTL that its IP header had left, where the system tells.
    """

    reply: Reply
    octets: bytes
    latency: float
    ip_ttl: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """One query and what became of it.

    `sent` and `received` are wall-clock seconds since the epoch, `latency` monotonic seconds. `query` are the
    octets that were sent, `arrivals` all that answered them, the first of which is the `reply`. `mismatched`,
    `malformed` and `differing` count what else arrived: answers to other questions, noise, and later
    answers that contradict the first. `trouble` says why there was no way to the point: one of TROUBLES.
    """

    point: str
    variant: Variant = PLAIN
    name: Key
    qtype: int
    sent: float
    outcome: Outcome
    received: float | None = None
    latency: float | None = None
    reply: Reply | None = None
    query: bytes = b""
    arrivals: tuple[Arrival, ...] = ()
    mismatched: int = 0
    malformed: int = 0
    differing: int = 0
    trouble: str = ""

    @property
    def contradicting(self) -> tuple[Arrival, ...]:
        """The arrivals that say something else than the first."""
        first, *others = self.arrivals or (None,)
        if first is None:
            return ()
        return tuple(one for one in others if one.reply.says(self.qtype) != first.reply.says(self.qtype))


def query(
    name: Key, qtype: int, ident: int, variant: Variant = PLAIN, *, subnet: Network | None = None
) -> bytes:
    """A recursive query: with EDNS of 1232 octets (flag day 2020) and a request for NSID (RFC 5001).

    `subnet` is whose client to pretend to be (RFC 7871).
    """
    flags = 0x0100 | (0x0010 if variant.cd else 0)
    wire = names.to_wire(name)
    if variant.mixed:
        # Every other letter: length octets are below any letter.
        wire = bytes(
            octet ^ 0x20 if at % 2 and 0x61 <= octet <= 0x7A else octet for at, octet in enumerate(wire)
        )
    question = wire + struct.pack("!HH", qtype, 1)
    if not variant.edns:
        return struct.pack("!6H", ident, flags, 1, 0, 0, 0) + question
    options = struct.pack("!HH", _NSID, 0)
    if subnet is not None:
        octets = subnet.network_address.packed[: (subnet.prefixlen + 7) // 8]
        family = 1 if subnet.version == 4 else 2
        options += struct.pack("!HHHBB", _ECS, 4 + len(octets), family, subnet.prefixlen, 0) + octets
    opt = b"\0" + struct.pack("!HHIH", OPT, 1232, 0x8000 if variant.do else 0, len(options)) + options
    return struct.pack("!6H", ident, flags, 1, 0, 0, 1) + question + opt


def read(wire: bytes, *, ident: int, name: Key, qtype: int) -> Reply:
    """The answer to this query. Raises Malformed or Mismatched."""
    try:
        return _read(wire, ident=ident, name=name, qtype=qtype)
    except (struct.error, IndexError) as error:
        raise Malformed(f"cut off after {len(wire)} octets") from error


def _read(wire: bytes, *, ident: int, name: Key, qtype: int) -> Reply:
    got, flags, questions, answers, authority, additional = struct.unpack_from("!6H", wire)
    if got != ident or not flags & 0x8000 or flags & 0x7800:
        raise Mismatched("another id, not an answer, or another opcode")
    at = 12
    if questions != 1:
        # REFUSED, FORMERR and the like may come without the question: no way to tell, so no answer.
        raise Mismatched(f"{questions} questions")
    asked, at = _name(wire, at)
    if names.from_wire(asked) != name or struct.unpack_from("!HH", wire, at) != (qtype, 1):
        raise Mismatched("another question")
    at += 4
    sections = []
    for count in (answers, authority, additional):
        section: list[tuple[Record, int]] = []
        for _ in range(count):
            record, rclass, at = _record(wire, at)
            if len(section) < _KEPT or record.rtype == OPT:
                section.append((record, rclass))
        sections.append(section)
    rcode, extended, nsid = _edns(flags & 0xF, [record for record, _ in sections[2]])
    return Reply(
        rcode=rcode,
        flags=flags,
        answers=tuple(record for record, rclass in sections[0] if rclass == 1),
        soa=_soa(sections[1]),
        additional_soa=_soa(sections[2]),
        extended=extended,
        nsid=nsid,
        edns=next((size for one, size in sections[2] if one.rtype == OPT and one.owner == names.ROOT), None),
    )


def _soa(section: list[tuple[Record, int]]) -> Record | None:
    return next((record for record, _ in section if record.rtype == SOA), None)


def _edns(rcode: int, additional: list[Record]) -> tuple[int, tuple[Extended, ...], bytes]:
    """The whole rcode (RFC 6891 §6.1.3), the Extended DNS Errors and the NSID."""
    extended, nsid = [], b""
    for record in additional:
        if record.rtype == OPT and record.owner == names.ROOT:
            rcode |= record.ttl >> 24 << 4
            for code, value in _options(record.data):
                if code == _EDE and len(value) >= 2:
                    info = int.from_bytes(value[:2], "big")
                    extended.append(Extended(code=info, text=value[2:].decode("utf-8", "replace")))
                elif code == _NSID:
                    nsid = value[:255]
    return rcode, tuple(extended[:8]), nsid


def _record(wire: bytes, at: int) -> tuple[Record, int, int]:
    owner, at = _name(wire, at)
    rtype, rclass, ttl, length = struct.unpack_from("!HHIH", wire, at)
    at += 10
    end = at + length
    if end > len(wire):
        raise Malformed("a record reaches beyond the message")
    data = wire[at:end]
    if rtype in (CNAME, DNAME):
        data, name_end = _name(wire, at)
        if name_end != end:
            raise Malformed("an alias is not one name")
    if rtype != OPT and ttl & 0x8000_0000:
        ttl = 0  # RFC 2181 §8
    return Record(owner=names.from_wire(owner), rtype=rtype, ttl=ttl, data=data), rclass, end


def _options(data: bytes) -> list[tuple[int, bytes]]:
    found, at = [], 0
    while at < len(data):
        code, length = struct.unpack_from("!HH", data, at)
        at += 4
        if at + length > len(data):
            raise Malformed("an EDNS option reaches beyond the OPT record")
        found.append((code, data[at : at + length]))
        at += length
    return found


def _name(wire: bytes, at: int) -> tuple[bytes, int]:
    """The uncompressed name at `at`, and where the octets after it begin."""
    labels, octets, end, lowest = [], 1, -1, at
    while (length := wire[at]) != 0:
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | wire[at + 1]
            if end < 0:
                end = at + 2
            if target >= lowest:
                raise Malformed("a compressed name points forwards or at itself")
            at = lowest = target
            continue
        if length > 63:
            raise Malformed("a label of an unknown kind")
        label = wire[at : at + 1 + length]
        octets += len(label)
        if octets > 255 or len(label) != 1 + length:
            raise Malformed("a name over 255 octets, or cut off")
        labels.append(label)
        at += 1 + length
    return b"".join(labels) + b"\0", end if end >= 0 else at + 1
