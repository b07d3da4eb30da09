"""Asking upstream: shell around sockets, timers and randomness; it knows nothing of the policy.

For every query a new socket, so a random source port of the kernel's choosing, connected, so that only
that server's datagrams are delivered (RFC 5452 §9.2), and a random id. An answer counts if id and question
agree octet by octet; all else is counted and ignored. What is asked already is not asked again: the second
waits for the answer to the first, which also ends most loops through ourselves. How many are asked and how
many wait is bounded, in all and for each client.

Servers are tried in the order given, those that failed lately last; a failed one is tried again now and
then by a single query. All of it ends at one deadline.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from blocker.errors import PointError
from blocker.resolver import answer, chain, wire
from blocker.resolver.counters import Count
from blocker.resolver.shares import Shares
from blocker.site import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from pathlib import Path

DEADLINE = 4.0
PATIENCE = (0.6, 0.8, 1.2, 1.4)
"""Seconds that the first, second … attempt waits."""

MOST_FLIGHTS = 2048
"""Questions under way; each holds a socket, and all workers share the kernel's 28,000 ports."""

MOST_WAITERS = 4096
"""Queries that wait for one answer: all are answered when it comes, before anybody else's turn."""

MOST_WAITING = 16384
"""Queries that wait in all."""

MOST_MISMATCHED = 32
"""Wrong answers that one attempt bears: more is somebody guessing."""

_MOST_DATAGRAM = 4096
_FAILURES_TO_DOWN = 3
_DOWN = 5.0  # seconds until a failed server is tried by one query again


def system(path: Path) -> tuple[Endpoint, ...]:
    """The name servers of a resolv.conf. Raises PointError if it has none."""
    try:
        lines = path.read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise PointError(
            f'{path}: {error.strerror}; write the upstreams into site.yaml: `upstreams: ["192.0.2.53:53"]`'
        ) from error
    words = [line.split() for line in lines]
    found = tuple(Endpoint(word[1], 53) for word in words if len(word) > 1 and word[0] == "nameserver")
    if not found:
        raise PointError(
            f'{path} names no server; write the upstreams into site.yaml: `upstreams: ["192.0.2.53:53"]`'
        )
    return found


def refuse_ourselves(upstreams: Iterable[Endpoint], listen: Iterable[Endpoint]) -> None:
    """Raises PointError if an upstream is where we listen: every query would go round."""
    ours = set(listen)
    for upstream in upstreams:
        if upstream in ours:
            raise PointError(
                f"the upstream {upstream} is ourselves: we listen there; "
                'name the resolvers to ask in site.yaml: `upstreams: ["192.0.2.53:53"]`'
            )


@dataclass(slots=True)
class _Server:
    endpoint: Endpoint
    family: int
    address: tuple[object, ...]
    failures: int = 0
    down_until: float = 0.0


class _Waiter(NamedTuple):
    client: str
    done: Callable[[chain.Received | None, int], None]


@dataclass(slots=True, eq=False)
class _Flight:
    """One question on its way, and who waits for it."""

    key: Hashable
    client: str
    question: bytes
    do: bool
    flags: int
    deadline: float
    servers: list[_Server]
    waiters: list[_Waiter] = field(default_factory=list)
    tries: int = 0
    edns: bool = True
    ident: int = 0
    mismatched: int = 0
    sock: socket.socket | None = None
    port: int = 0
    timer: asyncio.TimerHandle | None = None
    task: asyncio.Task[None] | None = None
    failure: chain.Received | None = None
    why: int = answer.EDE_UNREACHABLE

    @property
    def server(self) -> _Server:
        return self.servers[(self.tries - 1) % len(self.servers)]


class Upstreams:
    """The resolvers that answer what is not blocked; lives in one event loop. `block` gets the counts."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        endpoints: Sequence[Endpoint],
        block: memoryview,
        *,
        most: int = MOST_FLIGHTS,
    ) -> None:
        self._loop = loop
        self._block = block
        self._under_way, self._waiting = Shares(most), Shares(MOST_WAITING)
        self._is_closed = False
        self._servers = [_resolved(endpoint) for endpoint in endpoints]
        self._flights: dict[Hashable, _Flight] = {}
        self._ports: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._flights)

    def is_ours(self, port: int, ident: int) -> bool:
        """Whether a query from this port with this id is one that we sent: upstream is ourselves."""
        return self._ports.get(port) == ident

    def ask(
        self,
        key: Hashable,
        question: bytes,
        done: Callable[[chain.Received | None, int], None],
        *,
        client: str,
        do: bool = False,
        cd: bool = False,
    ) -> bool:
        """Ask the question (octets, in lower case), or wait for its like; False if there is no place for it.

        `done` is called once with what came, or with None and the EDE code that says why not.
        """
        flight = self._flights.get(key)
        if self._is_closed or not self._servers or (flight and len(flight.waiters) >= MOST_WAITERS):
            return False
        if not self._waiting.take(client):
            return False
        if flight is not None:
            flight.waiters.append(_Waiter(client, done))
            self._block[Count.MERGED] += 1
            return True
        if not self._under_way.take(client):
            self._waiting.give_back(client)
            return False
        now = self._loop.time()
        flags = wire.AD | (wire.CD if cd else 0)
        flight = _Flight(key, client, question, do, flags, now + DEADLINE, self._order(now))
        flight.waiters.append(_Waiter(client, done))
        self._flights[key] = flight
        self._next(flight)
        return True

    def close(self) -> None:
        """End every question without an answer, and take no more."""
        self._is_closed = True
        for flight in list(self._flights.values()):
            self._end(flight, None)

    def _order(self, now: float) -> list[_Server]:
        good, bad = [], []
        for server in self._servers:
            if server.failures < _FAILURES_TO_DOWN:
                good.append(server)
            elif now >= server.down_until:
                server.down_until = now + _DOWN  # This query alone tries it.
                good.append(server)
            else:
                bad.append(server)
        return good + bad

    def _next(self, flight: _Flight) -> None:
        """Try the next server, or end."""
        self._release(flight)
        left = flight.deadline - self._loop.time()
        if flight.tries >= max(len(PATIENCE), len(flight.servers)) or left <= 0.05:
            self._end(flight, flight.failure)
            return
        flight.tries += 1
        self._send(flight, min(left, PATIENCE[min(flight.tries, len(PATIENCE)) - 1]))

    def _send(self, flight: _Flight, patience: float) -> None:
        server = flight.server
        flight.ident = secrets.randbelow(65536)
        flight.mismatched = 0
        self._block[Count.UPSTREAM_QUERIES] += 1
        flight.timer = self._loop.call_later(patience, self._timeout, flight)
        try:
            sock = flight.sock = socket.socket(server.family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            sock.connect(server.address)
            flight.port = sock.getsockname()[1]
            self._ports[flight.port] = flight.ident
            self._loop.add_reader(sock.fileno(), self._readable, flight)
            query = wire.pack_query(
                flight.ident, flight.question, flags=flight.flags, do=flight.do, edns=flight.edns
            )
            sock.send(query)
        except OSError:
            # Not at once: a server that is refused by the kernel must not recurse through all of them.
            self._loop.call_soon(self._failed, flight, flight.tries)

    def _readable(self, flight: _Flight) -> None:
        while (sock := flight.sock) is not None:
            try:
                message = sock.recv(_MOST_DATAGRAM + 1)
            except BlockingIOError:
                return
            except OSError:  # An ICMP error: nobody is there.
                self._failed(flight, flight.tries)
                return
            if len(message) > _MOST_DATAGRAM or not _answers(message, flight):
                self._block[Count.UPSTREAM_MISMATCHED] += 1
                flight.mismatched += 1
                if flight.mismatched >= MOST_MISMATCHED:
                    self._failed(flight, flight.tries)
                    return
                continue
            self._answered(flight, message)
            return

    def _answered(self, flight: _Flight, message: bytes, *, tcp: bool = False) -> None:
        rcode = message[3] & 0xF
        if rcode in (wire.FORMERR, wire.NOTIMP) and flight.edns:
            flight.edns = False  # RFC 6891 §7: a server from before EDNS. Asked again, the same one.
            flight.tries -= 1
            self._next(flight)
            return
        if message[2] & 0x02 and not tcp:
            self._release(flight)
            self._block[Count.UPSTREAM_TCP] += 1
            flight.task = self._loop.create_task(self._over_tcp(flight))
            return
        try:
            received = chain.receive(message, flight.question)
        except wire.Malformed:
            self._block[Count.UPSTREAM_MISMATCHED] += 1
            flight.why = answer.EDE_NETWORK
            self._next(flight)
            return
        flight.server.failures = 0
        if received.rcode in (wire.NOERROR, wire.NXDOMAIN, wire.YXDOMAIN):
            self._end(flight, received)
            return
        self._block[Count.UPSTREAM_FAILURES] += 1
        flight.failure = received
        if flight.tries >= len(flight.servers):  # Each has been asked: a second time helps nobody.
            self._end(flight, received)
        else:
            self._next(flight)

    async def _over_tcp(self, flight: _Flight) -> None:
        number, server = flight.tries, flight.server
        left = max(0.05, min(2.0, flight.deadline - self._loop.time()))
        query = wire.pack_query(
            flight.ident, flight.question, flags=flight.flags, do=flight.do, edns=flight.edns
        )
        writer = None
        try:
            async with asyncio.timeout(left):
                reader, writer = await asyncio.open_connection(server.endpoint.host, server.endpoint.port)
                writer.write(len(query).to_bytes(2, "big") + query)
                size = int.from_bytes(await reader.readexactly(2), "big")
                message = await reader.readexactly(size)
        except (OSError, EOFError, TimeoutError):
            message = b""
        finally:
            if writer is not None:
                writer.transport.abort()
        if self._flights.get(flight.key) is not flight or flight.tries != number:
            return
        flight.task = None
        if _answers(message, flight):
            self._answered(flight, message, tcp=True)
        else:
            self._block[Count.UPSTREAM_MISMATCHED] += bool(message)
            self._failed(flight, number)

    def _timeout(self, flight: _Flight) -> None:
        self._block[Count.UPSTREAM_TIMEOUTS] += 1
        self._blame(flight)
        self._next(flight)

    def _failed(self, flight: _Flight, number: int) -> None:
        if self._flights.get(flight.key) is flight and flight.tries == number:
            self._block[Count.UPSTREAM_FAILURES] += 1
            flight.why = answer.EDE_NETWORK
            self._blame(flight)
            self._next(flight)

    def _blame(self, flight: _Flight) -> None:
        server = flight.server
        server.failures += 1
        if server.failures == _FAILURES_TO_DOWN:
            server.down_until = self._loop.time() + _DOWN

    def _release(self, flight: _Flight) -> None:
        if flight.timer is not None:
            flight.timer.cancel()
            flight.timer = None
        if flight.sock is not None:
            self._loop.remove_reader(flight.sock.fileno())
            self._ports.pop(flight.port, None)
            flight.sock.close()
            flight.sock = None

    def _end(self, flight: _Flight, received: chain.Received | None) -> None:
        self._release(flight)
        if flight.task is not None:
            flight.task.cancel()
        del self._flights[flight.key]
        took = self._loop.time() - (flight.deadline - DEADLINE)
        self._block[Count.UPSTREAM_QUESTIONS] += 1
        self._block[Count.UPSTREAM_MICROSECONDS] += max(0, int(took * 1e6))
        self._under_way.give_back(flight.client)
        for waiter in flight.waiters:
            self._waiting.give_back(waiter.client)
            waiter.done(received, flight.why)


def _answers(message: bytes, flight: _Flight) -> bool:
    """Whether the message answers what was asked: id, QR, opcode, and the question octet by octet."""
    if len(message) < 12 or int.from_bytes(message[:2], "big") != flight.ident or message[2] & 0xF8 != 0x80:
        return False
    if message[3] & 0xF in (wire.FORMERR, wire.NOTIMP) and flight.edns and message[4:6] == b"\0\0":
        return True  # Servers that don't understand a query needn't repeat it.
    return message[4:6] == b"\0\x01" and message[12 : 12 + len(flight.question)] == flight.question


def _resolved(endpoint: Endpoint) -> _Server:
    try:
        found = socket.getaddrinfo(
            endpoint.host, endpoint.port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST
        )
    except (OSError, UnicodeError) as error:
        raise PointError(f"the upstream {endpoint} is not an address: {error}") from error
    return _Server(endpoint, found[0][0], found[0][4])
