"""Questions put to a real server, and what came back, in a form that answers of all engines share.

Many are in flight at once, each from the address of its region; a lost datagram is asked again.
"""

from __future__ import annotations

import selectors
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import dns.edns
import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conformance.cases import Ask

_WINDOW = 40
_PATIENCE = 1.5  # seconds until a question is put again
_TRIES = 4
_NOT_DATA = {dns.rdatatype.CNAME, dns.rdatatype.RRSIG}


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came back, if anything did (`rcode` is empty if not).

    `chain` are the names that aliases led to, `records` the data at its end as `TYPE data`. `edes` are code
    and text. `keeps` is the most seconds for which a denial may be kept by its SOA (RFC 2308 §5), None
    without one. `ttl` is the largest in the answer. `asked` and `got` are instants.
    """

    rcode: str = ""
    chain: tuple[str, ...] = ()
    records: frozenset[str] = frozenset()
    edes: tuple[tuple[int, str], ...] = ()
    keeps: int | None = None
    ttl: int = 0
    flags: str = ""
    asked: float = 0
    got: float = 0

    def __str__(self) -> str:
        if not self.rcode:
            return "no answer"
        shown = [self.rcode, *(f"→ {name}" for name in self.chain), *sorted(self.records)]
        return " ".join([*shown, *(f"EDE {code}" for code, _ in self.edes)])


def query_of(ask: Ask) -> dns.message.Message:
    """The question as it is put."""
    flags = dns.flags.Flag(0) if ask.is_iterative else dns.flags.RD
    if ask.is_plain:
        return dns.message.make_query(ask.name, ask.qtype, ask.qclass, flags=flags)
    return dns.message.make_query(
        ask.name, ask.qtype, ask.qclass, use_edns=0, payload=1232, want_dnssec=ask.do, flags=flags
    )


def read(message: dns.message.Message, asked: float, got: float) -> Seen:
    """A message as seen."""
    name = message.question[0].name
    qtype = message.question[0].rdtype
    links = {
        rrset.name.to_text().lower(): rrset[0].target.to_text().lower()
        for rrset in message.answer
        if rrset.rdtype == dns.rdatatype.CNAME
    }
    chain = [name.to_text().lower()]
    while qtype != dns.rdatatype.CNAME and chain[-1] in links and len(chain) < 17:
        chain.append(links[chain[-1]])
    records = {
        f"{dns.rdatatype.to_text(rrset.rdtype)} {record}"
        for rrset in message.answer
        for record in rrset
        if rrset.rdtype not in _NOT_DATA and rrset.name.to_text().lower() == chain[-1]
    }
    soas = [rrset for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA]
    return Seen(
        rcode=dns.rcode.to_text(message.rcode()),
        chain=tuple(one.removesuffix(".") for one in chain[1:]),
        records=frozenset(records),
        edes=tuple(
            (int(option.code), option.text or "")
            for option in message.options
            if isinstance(option, dns.edns.EDEOption)
        ),
        keeps=min(soas[0].ttl, soas[0][0].minimum) if soas else None,
        ttl=max((rrset.ttl for rrset in message.answer), default=0),
        flags=dns.flags.to_text(message.flags),
        asked=asked,
        got=got,
    )


def put(asks: Sequence[Ask], port: int, sources: Sequence[str], *, tcp: bool = False) -> list[Seen]:
    """What came back of questions over UDP, and of those that want it (with `tcp` all) over TCP."""
    by_tcp = [number for number, ask in enumerate(asks) if ask.tcp or tcp]
    by_udp = [number for number, ask in enumerate(asks) if not (ask.tcp or tcp)]
    found: dict[int, Seen] = {}
    for numbers, way in ((by_udp, over_udp), (by_tcp, over_tcp)):
        chosen = [asks[number] for number in numbers]
        came = way(chosen, port, [sources[number] for number in numbers]) if chosen else []
        found.update(zip(numbers, came, strict=True))
    return [found[number] for number in range(len(asks))]


def over_udp(asks: Sequence[Ask], port: int, sources: Sequence[str]) -> list[Seen]:
    """What came back of every question; each is put from its own source address."""
    found: list[Seen] = [Seen()] * len(asks)
    queries = [query_of(ask) for ask in asks]
    todo = [(number, 0) for number in reversed(range(len(asks)))]
    flying: dict[int, tuple[int, int, float, float]] = {}  # id: number, tries, asked, monotonic
    sockets: dict[str, socket.socket] = {}
    with selectors.DefaultSelector() as selector:
        for source in set(sources):
            sock = sockets[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setblocking(False)
            sock.bind((source, 0))
            sock.connect(("127.0.0.1", port))
            selector.register(sock, selectors.EVENT_READ)
        next_id = 1
        while todo or flying:
            while todo and len(flying) < _WINDOW:
                number, tries = todo.pop()
                if tries >= _TRIES:
                    continue
                query, next_id = queries[number], next_id % 65535 + 1
                query.id = next_id
                flying[next_id] = (number, tries + 1, time.time(), time.monotonic())
                with suppress(OSError):
                    sockets[sources[number]].send(query.to_wire())
            for key, _ in selector.select(0.1):
                _drain(key.fileobj, queries, flying, found)  # type: ignore[arg-type]  # ours are sockets
            late = time.monotonic() - _PATIENCE
            for id_ in [one for one, (_, _, _, since) in flying.items() if since < late]:
                number, tries, _, _ = flying.pop(id_)
                todo.append((number, tries))
    for sock in sockets.values():
        sock.close()
    return found


def _drain(
    sock: socket.socket,
    queries: Sequence[dns.message.Message],
    flying: dict[int, tuple[int, int, float, float]],
    found: list[Seen],
) -> None:
    while True:
        try:
            octets = sock.recv(65535)
        except OSError:  # Nothing more; or the server refused the port, and is asked again.
            return
        got = time.time()
        id_ = int.from_bytes(octets[:2], "big")
        if id_ not in flying:
            continue
        number, _, asked, _ = flying[id_]
        try:
            message = dns.message.from_wire(octets)
        except dns.exception.DNSException:
            continue
        if queries[number].question == message.question:
            del flying[id_]
            found[number] = read(message, asked, got)


def over_tcp(asks: Sequence[Ask], port: int, sources: Sequence[str]) -> list[Seen]:
    """What came back of every question, each over a connection of its own: dnslib's takes no second."""
    found = [Seen()] * len(asks)
    for number, (ask, source) in enumerate(zip(asks, sources, strict=True)):
        asked = time.time()
        with suppress(dns.exception.DNSException, EOFError, OSError):
            message = dns.query.tcp(query_of(ask), "127.0.0.1", 5, port, source=source)
            found[number] = read(message, asked, time.time())
    return found
