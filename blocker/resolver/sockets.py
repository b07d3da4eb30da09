"""The resolver's listening sockets, and UDP drained in batches; what TCP accepts is in `connections`.

The parent binds, one socket for each worker and address (SO_REUSEPORT), and the workers inherit them: a
restarted worker loses no port. Each socket has one address, so answers leave from where they were asked
(no wildcard: anycast needs its own source).
"""

from __future__ import annotations

import errno
import socket
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from blocker.errors import PointError
from blocker.resolver.batches import BATCH, batch_of
from blocker.resolver.counters import Count

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Sequence

    from blocker.resolver.batches import Address, Batch
    from blocker.site import Endpoint

LAST = 0.4
"""Seconds in which what waits in full receive buffers is answered when a worker stops."""

_RECEIVE_BUFFER = 4 << 20
_BACKLOG = 256
_TURNS = 4
"""Batches of one socket before another has its turn."""


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
    """Every UDP socket of a worker, drained in batches.

    `sweep` answers in place what it can, and gives the slots that it left: those are for `serve`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        sockets: Sequence[socket.socket],
        sweep: Callable[[Batch, Sequence[int]], Sequence[int]],
        serve: Callable[[Sequence[Asked]], None],
        block: memoryview,
    ) -> None:
        self._loop = loop
        self._batches = [(sock, batch_of(sock)) for sock in sockets]
        self._sweep = sweep
        self._serve = serve
        self._block = block
        self._round = 0
        for sock, batch in self._batches:
            loop.add_reader(sock.fileno(), self._readable, sock, batch)

    def _readable(self, sock: socket.socket, batch: Batch) -> bool:
        """Answer what has come; whether there may be more."""
        for _ in range(_TURNS):  # What is left brings us here again, after others had their turn.
            sizes = batch.receive()
            if not sizes:
                return False
            left = self._sweep(batch, sizes)
            if left:
                self._serve([self._asked(sock, batch, slot, sizes[slot]) for slot in left])
            self._round += 1  # Answers that come from now on are too late for this batch.
            self._block[Count.UNSENT] += batch.send(len(sizes))
            if len(sizes) < BATCH:
                return False
        return True

    def _asked(self, sock: socket.socket, batch: Batch, slot: int, size: int) -> Asked:
        address, at = batch.address(slot), batch.packets[slot]
        reply = partial(self._reply, self._round, batch, slot, sock, address)
        return Asked(batch.octets[at : at + size], address[0], address[1], False, reply)

    def _reply(
        self,
        number: int,
        batch: Batch,
        slot: int,
        sock: socket.socket,
        address: Address,
        octets: bytes | None,
    ) -> None:
        if octets is None:
            return
        if number == self._round:
            at = batch.packets[slot]
            batch.octets[at : at + len(octets)] = octets
            batch.answers[slot] = len(octets)
            return
        try:
            sock.sendto(octets, address)
        except OSError:  # Full, unreachable, or a source port of 0: the client asks again.
            self._block[Count.UNSENT] += 1

    def close(self) -> None:
        """Answer all that has come, for LAST seconds at most if it never ends; then take no more."""
        for sock, _ in self._batches:
            self._loop.remove_reader(sock.fileno())
        waiting, deadline = self._batches, self._loop.time() + LAST
        while waiting and self._loop.time() < deadline:
            waiting = [(sock, batch) for sock, batch in waiting if self._readable(sock, batch)]
        for sock, _ in self._batches:
            sock.close()
