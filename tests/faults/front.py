"""A front: what stands between the prober and an engine, and does one thing wrong.

It relays each query to the engine and its answer back, over UDP and TCP, but for what its `Trick` says. In a
process of its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

from tests.faults.planted import Query
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from multiprocessing.synchronize import Event

_PATIENCE = 2.0
FAR = 47
"""The IP TTL of what an injector sends."""
SEED = 20260110
"""Which datagrams are lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """What a front does to queries for `zone` and what is below it: `leaks` are those that go to the open
    resolver instead; with `forges` each has another answer over UDP, from as far as `ip_ttl` says, which with
    `mimics` has all else that the true one says.

    And to all queries: `others` are ports of further instances, which have them in turn. `drops` is the share
    of datagrams that never arrive. It `refuses` everything, or `is_silent`. Once `faded` is set, no answer
    says why any more, nor has an SOA.
    """

    zone: str = "way.example"
    leaks: Callable[[Query], bool] | None = None
    forges: bool = False
    mimics: bool = False
    ip_ttl: int = 64
    others: tuple[int, ...] = ()
    drops: float = 0.0
    refuses: bool = False
    is_silent: bool = False
    faded: Event | None = None


class _Front:
    def __init__(self, engine: int, open_: int, trick: Trick) -> None:
        self._engine, self._open, self._trick = engine, open_, trick
        self._number = 0
        self._zone = dns.name.from_text(trick.zone)
        self._random = random.Random(SEED)

    async def answers(self, packet: bytes, *, tcp: bool) -> list[bytes]:
        trick = self._trick
        # `random` is below 1: with drops of 1 nothing arrives.
        if trick.is_silent or (not tcp and self._random.random() < trick.drops):
            return []
        message = dns.message.from_wire(packet)
        if trick.refuses:
            refusal = dns.message.make_response(message)
            refusal.set_rcode(dns.rcode.REFUSED)
            return [refusal.to_wire()]
        self._number += 1
        port = self._engine
        name = message.question[0].name
        is_ours = name.is_subdomain(self._zone)
        if is_ours and trick.leaks is not None:
            query = Query(
                zone=trick.zone,
                name=name,
                qtype=int(message.question[0].rdtype),
                tcp=tcp,
                do=bool(message.ednsflags & dns.flags.DO),
                cd=bool(message.flags & dns.flags.CD),
                edns=message.edns >= 0,
            )
            port = self._open if trick.leaks(query) else port
        if trick.others:
            port = (port, *trick.others)[self._number % (1 + len(trick.others))]
        answer = await _relayed(packet, port, tcp=tcp)
        if answer is None:
            return []
        if trick.faded is not None and trick.faded.is_set():
            answer = _faded(answer)
        if is_ours and trick.forges and not tcp:
            return [answer, _forged(message, answer, mimics=trick.mimics)]
        return [answer]


def _forged(query: dns.message.Message, true: bytes, *, mimics: bool) -> bytes:
    forged = dns.message.make_response(query)
    forged.answer.append(dns.rrset.from_text(query.question[0].name, 60, "IN", "A", "203.0.113.66"))
    if mimics and query.edns >= 0:
        forged.use_edns(options=list(dns.message.from_wire(true).options))
    return forged.to_wire()


def _faded(answer: bytes) -> bytes:
    message = dns.message.from_wire(answer)
    for section in (message.authority, message.additional):
        section[:] = [rrset for rrset in section if rrset.rdtype != dns.rdatatype.SOA]
    message.flags &= ~dns.flags.AA
    if message.edns >= 0:
        options = [one for one in message.options if one.otype != dns.edns.OptionType.EDE]
        message.use_edns(0, message.ednsflags, message.payload, options=options)
    return message.to_wire()


async def _relayed(packet: bytes, port: int, *, tcp: bool) -> bytes | None:
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_PATIENCE):
            if tcp:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(len(packet).to_bytes(2, "big") + packet)
                    return await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                finally:
                    writer.close()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.connect(("127.0.0.1", port))
                await loop.sock_sendall(sock, packet)
                return await loop.sock_recv(sock, 65535)
    except (TimeoutError, OSError, asyncio.IncompleteReadError):
        return None


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, front: _Front, ip_ttl: int) -> None:
        self._front, self._ip_ttl = front, ip_ttl
        self._tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        task = asyncio.get_running_loop().create_task(self._answer(data, addr))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, data: bytes, addr: tuple[str, int]) -> None:
        own, *forged = await self._front.answers(data, tcp=False) or [b""]
        if own:
            self._transport.sendto(own, addr)
        sock = self._transport.get_extra_info("socket")
        for one in forged:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, self._ip_ttl)
            self._transport.sendto(one, addr)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, 64)


async def _serve(front: _Front, port: int, trick: Trick) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                packet = await reader.readexactly(int.from_bytes(await reader.readexactly(2), "big"))
                for one in await front.answers(packet, tcp=True):
                    writer.write(len(one).to_bytes(2, "big") + one)
                await writer.drain()
        writer.close()

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: _Udp(front, trick.ip_ttl), local_addr=("127.0.0.1", port))
    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        await server.serve_forever()


def _run(engine: int, open_: int, port: int, trick: Trick) -> None:
    asyncio.run(_serve(_Front(engine, open_, trick), port, trick))


@contextmanager
def front(engine: int, open_: int, trick: Trick) -> Iterator[int]:
    """The port of a front before an engine, `open_` being the port of an unfiltered resolver."""
    port = lab.free_port()
    process = multiprocessing.get_context("fork").Process(target=_run, args=(engine, open_, port, trick))
    process.start()
    try:
        yield port
    finally:
        process.terminate()
        process.join()
