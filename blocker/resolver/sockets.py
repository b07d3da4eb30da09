"""The resolver's listening sockets: UDP drained in batches, TCP with every limit that keeps it alive.

The parent binds, one socket for each worker and address (SO_REUSEPORT), and the workers inherit them: a
restarted worker loses no port. Each socket has one address, so answers leave from where they were asked
(no wildcard: anycast needs its own source). TCP as RFC 7766 wants it: many queries a connection, answered
in any order; idle after 10 s, limits in total and for each client, and who does not read is cut.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from blocker.errors import PointError
from blocker.resolver.counters import Count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from blocker.site import Endpoint

BATCH = 64
MOST_QUERY = 4096
"""Octets of a query that we read; none that means well comes near."""

IDLE = 10.0
MOST_CONNECTIONS = 512
MOST_PER_CLIENT = 64
MOST_PIPELINED = 64
MOST_UNREAD = 1 << 18
"""Octets of answers that wait for a client to read them."""

_RECEIVE_BUFFER = 4 << 20
_BACKLOG = 256


class Asked(NamedTuple):
    """One packet, from whom, and what to call with the answer's octets (None: there will be none)."""

    packet: bytes
    client: str
    port: int
    tcp: bool
    reply: Callable[[bytes | None], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Listening:
    """One worker's sockets."""

    udp: tuple[socket.socket, ...]
    tcp: tuple[socket.socket, ...]

    def close(self) -> None:
        for sock in (*self.udp, *self.tcp):
            sock.close()


def bind(endpoints: Sequence[Endpoint], workers: int, *, held: Collection[Endpoint] = ()) -> list[Listening]:
    """The sockets of every worker. Raises PointError that names the address.

    Port 0 takes any free port, the same for all workers and for UDP and TCP. `held` are addresses that
    this process listens on already, to be shared while the old workers hand over to the new.
    """
    opened: list[tuple[list[socket.socket], list[socket.socket]]] = [([], []) for _ in range(workers)]
    try:
        for endpoint in endpoints:
            port = endpoint.port if endpoint in held else _free(endpoint)
            for udp, tcp in opened:
                udp.append(_bound(endpoint, port, socket.SOCK_DGRAM))
                tcp.append(_bound(endpoint, port, socket.SOCK_STREAM))
    except BaseException:
        for udp, tcp in opened:
            for sock in (*udp, *tcp):
                sock.close()
        raise
    return [Listening(udp=tuple(udp), tcp=tuple(tcp)) for udp, tcp in opened]


def _free(endpoint: Endpoint) -> int:
    """The port, free of others: SO_REUSEPORT alone would quietly share it with another instance of us."""
    for _ in range(8):
        with _bound(endpoint, endpoint.port, socket.SOCK_DGRAM, share=False) as udp:
            port: int = udp.getsockname()[1]
            try:
                _bound(endpoint, port, socket.SOCK_STREAM, share=False).close()
            except PointError:
                if endpoint.port:
                    raise
                continue  # Any port was asked for, and this one is half taken.
            return port
    raise PointError(f"no port of {endpoint.host} is free for both UDP and TCP")


def _bound(endpoint: Endpoint, port: int, kind: socket.SocketKind, *, share: bool = True) -> socket.socket:
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        if share:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
        sock.bind((endpoint.host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError as error:
        sock.close()
        raise PointError(_why_not(endpoint, kind, error)) from error
    return sock


def _why_not(endpoint: Endpoint, kind: socket.SocketKind, error: OSError) -> str:
    transport = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
    where = f"can't listen on {endpoint} ({transport})"
    if error.errno == errno.EADDRINUSE:
        return f"{where}: the port is taken; stop what holds it (`ss -lnp`) or change resolver.listen"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{where}: this host does not have that address; change resolver.listen"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"{where}: no permission; ports below 1024 need CAP_NET_BIND_SERVICE"
    return f"{where}: {error.strerror or error}"


class Datagrams:
    """Every UDP socket of a worker, drained until empty, in batches."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        serve: Callable[[Sequence[Asked]], None],
        block: memoryview,
    ) -> None:
        self._loop = loop
        self._sockets = tuple(sockets)
        self._serve = serve
        self._block = block
        for sock in self._sockets:
            loop.add_reader(sock.fileno(), self._readable, sock)

    def _readable(self, sock: socket.socket) -> None:
        asked = []
        for _ in range(BATCH):  # What is left brings us here again, after others had their turn.
            try:
                packet, address = sock.recvfrom(MOST_QUERY)
            except OSError:  # Nothing is left, or an ICMP error of a former answer.
                break
            asked.append(Asked(packet, address[0], address[1], False, partial(self._reply, sock, address)))
        if asked:
            self._serve(asked)

    def _reply(self, sock: socket.socket, address: tuple[object, ...], octets: bytes | None) -> None:
        if octets is not None:
            try:
                sock.sendto(octets, address)
            except OSError:  # Full, unreachable, or a source port of 0: the client asks again.
                self._block[Count.UNSENT] += 1

    def close(self) -> None:
        """Answer what has come, then take no more."""
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())
            self._readable(sock)
            sock.close()


class Connections:
    """Every TCP connection of a worker, within the limits."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, serve: Callable[[Sequence[Asked]], None], block: memoryview
    ) -> None:
        self.loop = loop
        self.serve = serve
        self._block = block
        self._open: set[_Connection] = set()
        self._clients: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from the bound sockets."""
        for sock in sockets:
            self._servers.append(await self.loop.create_server(lambda: _Connection(self), sock=sock))

    def admit(self, connection: _Connection, client: str) -> bool:
        """Whether there is room for one more of this client."""
        if len(self._open) >= MOST_CONNECTIONS or self._clients[client] >= MOST_PER_CLIENT:
            self._block[Count.TCP_REJECTED] += 1
            return False
        self._block[Count.TCP_CONNECTIONS] += 1
        self._open.add(connection)
        self._clients[client] += 1
        return True

    def gone(self, connection: _Connection, client: str) -> None:
        if connection in self._open:
            self._open.remove(connection)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def stop_accepting(self) -> None:
        for server in self._servers:
            server.close()

    def close(self) -> None:
        for connection in list(self._open):
            connection.end()


class _Connection(asyncio.Protocol):
    """One TCP connection (RFC 7766): messages of two length octets and as many as they say."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._buffer = bytearray()
        self._pending = 0
        self._alive = connections.loop.time()
        self._has_ended = self._is_paused = self._is_choked = False
        self._client, self._port = "", 0
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the types: TCP has no other
        address = transport.get_extra_info("peername") or ("", 0)
        self._client, self._port = address[0], address[1]
        if not self._client or not self._connections.admit(self, self._client):
            transport.abort()
            return
        self._transport = transport
        transport.set_write_buffer_limits(high=MOST_UNREAD // 4)
        self._timer = self._connections.loop.call_later(IDLE, self._look)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._transport = None
        if self._timer is not None:
            self._timer.cancel()
        self._connections.gone(self, self._client)

    def eof_received(self) -> bool:
        self._has_ended = True  # The client may still read: what is under way is answered first.
        return self._pending > 0

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def _take(self) -> None:
        """Serve every whole message in the buffer, as many as may be under way at once."""
        if self._transport is None or self._transport.is_closing():
            return
        asked = []
        at = 0
        while len(self._buffer) - at >= 2 and self._pending < MOST_PIPELINED and not self._is_choked:
            size = int.from_bytes(self._buffer[at : at + 2], "big")
            if not 12 <= size <= MOST_QUERY:  # Nobody who means well; and we need not read it to the end.
                self.end()
                return
            if len(self._buffer) - at - 2 < size:
                break
            packet = bytes(self._buffer[at + 2 : at + 2 + size])
            asked.append(Asked(packet, self._client, self._port, True, self._reply))
            at += 2 + size
            self._pending += 1
        del self._buffer[:at]
        if asked:
            self._alive = self._connections.loop.time()
            self._connections.serve(asked)
            self._connections.loop.call_soon(self._take)  # What came with them, now that there is room.
        self._breathe()

    def _reply(self, octets: bytes | None) -> None:
        self._pending -= 1
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if octets is not None:
            transport.write(len(octets).to_bytes(2, "big") + octets)
            if transport.get_write_buffer_size() > MOST_UNREAD:
                transport.abort()
                return
        if self._has_ended and self._pending == 0:
            transport.close()
        elif self._is_paused and self._pending < MOST_PIPELINED // 2:
            self._connections.loop.call_soon(self._take)

    def _breathe(self) -> None:
        """Read on while there is room for what would come."""
        if self._transport is None or self._transport.is_closing():
            return
        is_full = self._pending >= MOST_PIPELINED or self._is_choked
        if is_full and not self._is_paused:
            self._transport.pause_reading()
        elif self._is_paused and not is_full:
            self._transport.resume_reading()
        self._is_paused = is_full

    def pause_writing(self) -> None:
        self._is_choked = True
        self._breathe()

    def resume_writing(self) -> None:
        self._is_choked = False
        self._take()

    def _look(self) -> None:
        """Whether a whole query came lately; drops of one don't count."""
        left = self._alive + IDLE - self._connections.loop.time()
        if left <= 0 and (self._pending == 0 or self._is_choked):
            self.end()
        else:
            self._timer = self._connections.loop.call_later(max(left, 1.0), self._look)

    def end(self) -> None:
        if self._transport is not None:
            if self._is_choked:
                self._transport.abort()
            else:
                self._transport.close()
