"""TCP as RFC 7766 wants it: many queries a connection, answered in any order, and limits on everything.

Idle after 10 s; limits in total and for each client; who does not read is cut. Strangers, who are not
allowed to ask, share a few places of their own and leave with their first answer, so that they never
take the places of those who are. A client that half-closes is answered all that it sent before.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

from blocker.resolver.batches import MOST_QUERY
from blocker.resolver.counters import Count
from blocker.resolver.sockets import Asked

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

IDLE = 10.0
MOST_CONNECTIONS = 512
MOST_PER_CLIENT = 64
MOST_STRANGERS = 16
MOST_PIPELINED = 64
MOST_UNREAD = 1 << 18
"""Octets of answers that wait for a client to read them."""

MOST_AHEAD = 1 << 16
"""Octets of queries that wait in a connection before we stop reading; more than one query has."""


class Connections:
    """Every TCP connection of a worker, within the limits."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        serve: Callable[[Sequence[Asked]], None],
        block: memoryview,
        *,
        allows: Callable[[str], bool],
    ) -> None:
        """`allows` tells whether a client, by its address, may ask at all."""
        self.loop = loop
        self.serve = serve
        self._allows = allows
        self._block = block
        self._open: set[_Connection] = set()
        self._strangers: set[_Connection] = set()
        self._clients: Counter[str] = Counter()
        self._servers: list[asyncio.Server] = []

    async def listen(self, sockets: Sequence[socket.socket]) -> None:
        """Accept from the bound sockets."""
        for sock in sockets:
            self._servers.append(await self.loop.create_server(lambda: _Connection(self), sock=sock))

    def admit(self, connection: _Connection, client: str) -> bool:
        """Whether there is room for one more of this client."""
        is_stranger = not self._allows(client)
        if is_stranger:
            is_full = len(self._strangers) >= MOST_STRANGERS
        else:
            is_full = len(self._open) >= MOST_CONNECTIONS or self._clients[client] >= MOST_PER_CLIENT
        if is_full:
            self._block[Count.TCP_REJECTED] += 1
            return False
        self._block[Count.TCP_CONNECTIONS] += 1
        if is_stranger:
            self._strangers.add(connection)
            connection.is_stranger = True
        else:
            self._open.add(connection)
            self._clients[client] += 1
        return True

    def gone(self, connection: _Connection, client: str) -> None:
        self._strangers.discard(connection)
        if connection in self._open:
            self._open.remove(connection)
            self._clients[client] -= 1
            if not self._clients[client]:
                del self._clients[client]

    def stop_accepting(self) -> None:
        for server in self._servers:
            server.close()

    def close(self) -> None:
        for connection in (*self._open, *self._strangers):
            connection.end()


class _Connection(asyncio.Protocol):
    """One TCP connection (RFC 7766): messages of two length octets and as many as they say."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._buffer = bytearray()
        self._pending = 0
        self._alive = connections.loop.time()
        self._has_ended = self._is_paused = self._is_choked = self._is_coming = False
        self.is_stranger = False
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
        self._has_ended = True  # The client may still read: what it sent is answered first.
        self._take_soon()
        return True

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._take()

    def _take_soon(self) -> None:
        """Go on after others had their turn; once, however many reasons there are."""
        if not self._is_coming:
            self._is_coming = True
            self._connections.loop.call_soon(self._take)

    def _take(self) -> None:
        """Serve every whole message in the buffer, as many as may be under way at once."""
        self._is_coming = False
        if self._transport is None or self._transport.is_closing():
            return
        asked = []
        at = 0
        most = 1 if self.is_stranger else MOST_PIPELINED
        while len(self._buffer) - at >= 2 and self._pending < most and not self._is_choked:
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
            self._take_soon()  # What came with them, now that there is room.
        elif self._has_ended and self._pending == 0 and not self._is_choked:
            self._transport.close()  # All that was whole is answered.
            return
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
        has_room = self._is_paused and self._pending < MOST_PIPELINED // 2
        if self.is_stranger:
            transport.close()
        elif has_room or (self._has_ended and self._pending == 0):
            self._take_soon()

    def _breathe(self) -> None:
        """Read on while there is room for what would come."""
        if self._transport is None or self._transport.is_closing():
            return
        is_full = self._pending >= MOST_PIPELINED or self._is_choked or len(self._buffer) > MOST_AHEAD
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
