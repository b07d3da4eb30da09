"""A front: what stands between the prober and an engine, and does one thing wrong.

It relays each query to the engine and its answer back, over UDP and TCP, but for names below `way.example`,
where its `Trick` decides. In a process of its own.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from tests.faults.planted import Query
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_PATIENCE = 2.0
FAR = 47
"""The IP TTL of what an injector sends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trick:
    """What a front does. `leaks`: which queries go to the open resolver instead. `others` are ports of
    further instances, which have all queries in turn. `forges` adds an answer to each over UDP, from as far
    as `ip_ttl` says. `refuses` everything, or `is_silent`.
    """

    leaks: Callable[[Query], bool] | None = None
    others: tuple[int, ...] = ()
    forges: bool = False
    ip_ttl: int = 64
    refuses: bool = False
    is_silent: bool = False


class _Front:
    def __init__(self, engine: int, open_: int, trick: Trick) -> None:
        self._engine, self._open, self._trick = engine, open_, trick
        self._number = 0

    async def answers(self, packet: bytes, *, tcp: bool) -> list[bytes]:
        message = dns.message.from_wire(packet)
        trick = self._trick
        if trick.is_silent:
            return []
        if trick.refuses:
            refusal = dns.message.make_response(message)
            refusal.set_rcode(dns.rcode.REFUSED)
            return [refusal.to_wire()]
        self._number += 1
        port = self._engine
        name = message.question[0].name.to_text()
        is_ours = f".{name.lower()}".endswith(".way.example.")
        if is_ours:
            query = Query(
                qtype=int(message.question[0].rdtype),
                tcp=tcp,
                do=bool(message.ednsflags & dns.flags.DO),
                cd=bool(message.flags & dns.flags.CD),
                edns=message.edns >= 0,
                has_capitals=name != name.lower(),
                is_below=name.lower() != "way.example.",
            )
            if trick.leaks is not None and trick.leaks(query):
                port = self._open
        if trick.others:
            port = (port, *trick.others)[self._number % (1 + len(trick.others))]
        answer = await _relayed(packet, port, tcp=tcp)
        if answer is None:
            return []
        if is_ours and trick.forges and not tcp:
            forged = dns.message.make_response(message)
            forged.answer.append(dns.rrset.from_text(message.question[0].name, 60, "IN", "A", "203.0.113.66"))
            return [answer, forged.to_wire()]
        return [answer]


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
