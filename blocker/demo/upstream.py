"""A small authority for the demo, so that it needs no network: everything below `example` exists.

It answers A and AAAA of any name at or below `example` with documentation addresses and a long TTL, other
types with NODATA, and everything else with NXDOMAIN. UDP only, for the demo's answers are small.
"""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, cast

from dnslib import AAAA, QTYPE, RCODE, RR, SOA, A, DNSError, DNSRecord

if TYPE_CHECKING:
    import socket

TTL = 3600
ADDRESS, ADDRESS6 = "192.0.2.80", "2001:db8::80"

_SOA = SOA("ns.example", "hostmaster.example", (1, 3600, 600, 86400, 60))


def answer(packet: bytes) -> bytes | None:
    """The answer to one query packet; None drops it."""
    try:
        query = DNSRecord.parse(packet)
    except (DNSError, ValueError, IndexError):
        return None
    if query.header.qr or len(query.questions) != 1:
        return None
    reply = query.reply(ra=1, aa=1)
    name, qtype = query.q.qname, QTYPE.get(query.q.qtype)
    if not name.matchSuffix("example"):
        reply.header.rcode = RCODE.NXDOMAIN
    elif qtype == "A":
        reply.add_answer(RR(name, QTYPE.A, rdata=A(ADDRESS), ttl=TTL))
    elif qtype == "AAAA":
        reply.add_answer(RR(name, QTYPE.AAAA, rdata=AAAA(ADDRESS6), ttl=TTL))
    if not reply.rr:
        reply.add_auth(RR("example", QTYPE.SOA, rdata=_SOA, ttl=60))
    return bytes(reply.pack())


class _Server(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Not by isinstance: asyncio's own datagram transports are no DatagramTransport before 3.12.
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = answer(data)
        if reply is not None:
            self._transport.sendto(reply, addr)


def serve(listening: socket.socket) -> None:
    """Answer on this bound UDP socket until SIGTERM."""

    async def forever() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        transport, _ = await loop.create_datagram_endpoint(_Server, sock=listening)
        await stop.wait()
        transport.close()

    asyncio.run(forever())
