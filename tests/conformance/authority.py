"""The world behind every engine: an authority in which each name has each type, and some names are aliases.

An alias written `*.name` is a DNAME (RFC 6672): what is below the name leads to the same below the target.

Asked for every class (255) it gives what it has in IN; other classes it refuses.

Asked for ANY it gives one of them (RFC 8482 §4.1): BIND takes "nothing of any type" for the name's absence.

It stands for an unfiltered resolver, so its answers can be told from any blocked one: whatever is asked gets
records that no order orders. Asked with DO, every RRset is signed; the signatures are of nobody, for the
engines in these tests do not validate, but they look signed to whoever spares signed answers from rewriting.
"""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

TTL = 300

RECORDS = {
    "A": "192.0.2.80",
    "AAAA": "2001:db8::80",
    "TXT": '"here"',
    "MX": "10 mail.elsewhere.example.",
    "HTTPS": "1 . alpn=h2 ipv4hint=192.0.2.80",
    "NS": "ns.elsewhere.example.",
    "DS": "12345 13 2 " + "ab" * 32,
    "DNSKEY": "257 3 13 " + "A" * 86 + "==",
}
"""What every name has, in the form of zone files."""

_A, _CNAME, _DNAME, _RRSIG, _OPT, _ANY = 1, 5, 39, 46, 41, 255
_BELOW = b"\1*"
_SIGNER = dns.name.from_text("example").to_wire()
assert _SIGNER is not None
_SOA = b"\0" * 2 + struct.pack("!IIIII", 1, 3600, 600, 86400, 60)


def _rdata() -> dict[int, bytes]:
    found = {}
    for text, data in RECORDS.items():
        rtype = dns.rdatatype.from_text(text)
        made = dns.rdata.from_text(dns.rdataclass.IN, rtype, data).to_wire()
        assert made is not None
        found[int(rtype)] = made
    return found


_DATA = _rdata()


def wire(name: str) -> bytes:
    """A name in wire form, lower case; text as people write it."""
    made = dns.name.from_text(name.lower()).to_wire()
    assert made is not None
    return made


def listening() -> tuple[socket.socket, socket.socket]:
    """Sockets for UDP and TCP, on one port of loopback."""
    for _ in range(100):
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        udp.bind(("127.0.0.1", 0))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            tcp.bind(udp.getsockname())
        except OSError:
            udp.close()
            tcp.close()
            continue
        tcp.listen()
        return udp, tcp
    raise AssertionError("no port is free for UDP and TCP")


def serve(udp: socket.socket, tcp: socket.socket, aliases: Mapping[bytes, bytes]) -> None:
    """Answer for ever. `aliases` are owner → target, as `wire` gives them."""
    threading.Thread(target=_serve_tcp, args=(tcp, aliases), daemon=True).start()
    while True:
        packet, client = udp.recvfrom(4096)
        answered = answer(packet, aliases)
        if answered is not None:
            udp.sendto(answered, client)


def _serve_tcp(tcp: socket.socket, aliases: Mapping[bytes, bytes]) -> None:
    while True:
        sock, _ = tcp.accept()
        threading.Thread(target=_serve_connection, args=(sock, aliases), daemon=True).start()


def _serve_connection(sock: socket.socket, aliases: Mapping[bytes, bytes]) -> None:
    with suppress(OSError), sock, sock.makefile("rb") as stream:
        while len(head := stream.read(2)) == 2:
            answered = answer(stream.read(int.from_bytes(head, "big")), aliases)
            if answered is None:
                break
            sock.sendall(len(answered).to_bytes(2, "big") + answered)


def answer(packet: bytes, aliases: Mapping[bytes, bytes]) -> bytes | None:
    """The answer to one query; None drops what is none."""
    if len(packet) < 17 or packet[2] & 0x80 or packet[4:6] != b"\0\1":
        return None
    end = 12
    while packet[end]:
        end += 1 + packet[end]
    end += 1
    qtype = int.from_bytes(packet[end : end + 2], "big")
    if int.from_bytes(packet[end + 2 : end + 4], "big") not in (dns.rdataclass.IN, dns.rdataclass.ANY):
        return packet[:2] + b"\x81\x85" + struct.pack("!HHHH", 1, 0, 0, 0) + packet[12 : end + 4]
    question = packet[12 : end + 4]
    opt = packet[end + 4 :]
    has_opt = packet[11] > 0 and opt[:3] == b"\0\0\x29"
    do = has_opt and bool(opt[7] & 0x80)
    records, owner = [], b"\xc0\x0c"
    for above, target in _links(packet[12:end].lower(), aliases) if qtype != _CNAME else ():
        if above is not None:
            records += _rrset(above, _DNAME, aliases[_BELOW + above], do=do)
        # The alias that a DNAME makes has no signature (RFC 6672 §5.3.1).
        records += _rrset(owner, _CNAME, target, do=do and above is None)
        owner = target
    authority = []
    rtype = _A if qtype == _ANY else qtype
    if rtype in _DATA:
        records += _rrset(owner, rtype, _DATA[rtype], do=do)
    else:
        authority.append(_record(owner, 6, _SOA))  # Every name has NS records, so is a zone of its own.
    tail = b"\0" + struct.pack("!HHIH", _OPT, 1232, 0x8000 if do else 0, 0) if has_opt else b""
    head = packet[:2] + b"\x85\x80" + struct.pack("!HHHH", 1, len(records), len(authority), bool(tail))
    return head + question + b"".join(records + authority) + tail


def _links(name: bytes, aliases: Mapping[bytes, bytes]) -> Iterator[tuple[bytes | None, bytes]]:
    """Where the aliases lead, each with the owner of the DNAME that it is of, if it is of one."""
    for _ in range(16):
        above = _dname_above(name, aliases)
        target = aliases.get(name) if above is None else name[: -len(above)] + aliases[_BELOW + above]
        if target is None:
            return
        yield above, target
        name = target


def _dname_above(name: bytes, aliases: Mapping[bytes, bytes]) -> bytes | None:
    """The owner of the DNAME above a name, if there is one."""
    above = name
    while above[0]:
        above = above[1 + above[0] :]
        if _BELOW + above in aliases:
            return above
    return None


def _rrset(owner: bytes, rtype: int, data: bytes, *, do: bool) -> list[bytes]:
    """One record, and with DO its signature."""
    signature = [_record(owner, _RRSIG, _signature(rtype))] if do else []
    return [_record(owner, rtype, data), *signature]


def _record(owner: bytes, rtype: int, data: bytes) -> bytes:
    return owner + struct.pack("!HHIH", rtype, 1, TTL, len(data)) + data


def _signature(covered: int) -> bytes:
    fixed = struct.pack("!HBBIIIH", covered, 13, 2, TTL, 2**32 - 1, 0, 12345)
    return fixed + (_SIGNER or b"") + b"\x2a" * 64


def has(qtype: str) -> bool:
    """Whether names have data of this type."""
    return qtype in RECORDS


def shown(qtype: str) -> str:
    """The data of a type as dnspython prints it."""
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(qtype), RECORDS[qtype]).to_text()
