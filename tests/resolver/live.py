"""Real sockets on loopback: a scripted upstream that may lie, and real workers under a real supervisor."""

from __future__ import annotations

import faulthandler
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import dns.message
import dns.query
import dns.rcode

from blocker.orders.model import NameList
from blocker.orders.schedule import schedule
from blocker.policy.records import Generation
from blocker.policy.writer import Target, commit
from blocker.resolver import counters, wire, workers
from blocker.resolver.sockets import bind
from blocker.site import Endpoint, ResolverConfig
from blocker.supervisor import supervise
from tests.resolver.world import block, enforcement, upstream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from blocker.orders.model import Order

LOOPBACK = "127.0.0.1"


class Upstream:
    """A name server that does what the question's first label says; `asked` counts names by transport."""

    def __init__(self) -> None:
        (listening,) = bind((Endpoint(LOOPBACK, 0),), 1)
        self.udp, self.tcp = listening.udp[0], listening.tcp[0]
        self.udp.setblocking(True)
        self.tcp.setblocking(True)
        self.endpoint = Endpoint(LOOPBACK, self.udp.getsockname()[1])
        self.asked: Counter[tuple[str, str]] = Counter()
        self.sources: list[tuple[int, int]] = []
        self.held: list[tuple[bytes, Any]] = []
        for job in (self._serve_udp, self._serve_tcp):
            threading.Thread(target=job, daemon=True).start()

    def close(self) -> None:
        self.udp.close()
        self.tcp.close()

    def _serve_udp(self) -> None:
        with suppress(OSError):  # Closed: the end.
            while True:
                query, address = self.udp.recvfrom(4096)
                name = self._note(query, "udp")
                self.sources.append((address[1], int.from_bytes(query[:2], "big")))
                for said in self.says(name, query):
                    self.udp.sendto(said, address)
                if name.startswith("held"):
                    self.held.append((query, address))

    def release(self) -> None:
        """Answer what was held back."""
        for query, address in self.held:
            self.udp.sendto(self.plain(query), address)

    def _serve_tcp(self) -> None:
        while True:
            try:
                sock, _ = self.tcp.accept()
            except OSError:
                return
            with sock:
                size = int.from_bytes(sock.recv(2), "big")
                query = sock.recv(size)
                if not query:
                    continue
                name = self._note(query, "tcp")
                said = b"x" * 20 if name.startswith("tcpgarbage") else self.plain(query)
                sock.sendall(len(said).to_bytes(2, "big") + said)

    def _note(self, query: bytes, transport: str) -> str:
        name = dns.message.from_wire(query).question[0].name.to_text().lower()
        self.asked[name.removesuffix("."), transport] += 1
        return name

    def plain(self, query: bytes) -> bytes:
        name = dns.message.from_wire(query).question[0].name.to_text()
        return upstream(query, f"{name} 300 IN A 192.0.2.9")

    def says(self, name: str, query: bytes) -> list[bytes]:
        """What to send back, by the first label without its digits."""
        label = name.split(".", maxsplit=1)[0].rstrip("0123456789")
        return _SCRIPT[label](self.plain(query), name, query) if label in _SCRIPT else [self.plain(query)]


def _wrong_id(good: bytes) -> bytes:
    return bytes((good[0] ^ 1,)) + good[1:]


def _of_another(query: bytes) -> bytes:
    other = dns.message.make_query("other.example", "A", id=int.from_bytes(query[:2], "big")).to_wire()
    return upstream(other, "other.example 300 IN A 192.0.2.9")


def _endless(name: str, query: bytes) -> bytes:
    links = [f"c{n}.example 300 IN CNAME c{n + 1}.example." for n in range(30)]
    return upstream(query, f"{name} 300 IN CNAME c0.example.", *links)


def _alias(name: str, query: bytes) -> bytes:
    return upstream(query, f"{name} 300 IN CNAME grok.example.", "grok.example 300 IN A 192.0.2.66")


_SCRIPT: dict[str, Callable[[bytes, str, bytes], list[bytes]]] = {
    "wrongid": lambda good, *_: [_wrong_id(good), good],
    "onlywrong": lambda good, *_: [_wrong_id(good)] * 40,
    "wrongquestion": lambda good, _, query: [_of_another(query), good],
    "wrongcase": lambda good, *_: [good.replace(b"example", b"eXample", 1), good],
    "oversized": lambda good, *_: [good + b"x" * 9000, good],
    "garbage": lambda good, name, _: [good[: 12 + len(name) + 5] + b"\xff" * 30],
    "stump": lambda good, *_: [good[:7], good],
    "tc": lambda _, __, query: [upstream(query, tc=True)],
    "tcpgarbage": lambda _, __, query: [upstream(query, tc=True)],
    "endless": lambda _, name, query: [_endless(name, query)],
    "alias": lambda _, name, query: [_alias(name, query)],
    "servfail": lambda _, __, query: [upstream(query, rcode=2)],
    "refused": lambda _, __, query: [upstream(query, rcode=5)],
    "old": lambda good, _, query: [query[:2] + b"\x80\x01" + b"\0" * 8 if query[11] else good],
    "silent": lambda *_: [],
    "held": lambda *_: [],
}


def store(state: Path, *orders: Order, number: int = 1, **changes: Any) -> None:
    """Make the store hold these orders."""
    base = "" if number == 1 else str(number - 1)
    target = Target(
        generation=Generation(number=number, digest=str(number), applied_at=time.time(), by="test"),
        orders={order.id: order.digest for order in orders},
        directives=schedule(orders),
        enforcement=enforcement(**changes),
        read=lambda _: NameList(keys=()),
    )
    commit(state, target, base=base)


class Resolver:
    """Real workers; `ports` are those of the addresses listened on."""

    def __init__(self, state: Path, pid: int, endpoints: Sequence[Endpoint]) -> None:
        self.state = state
        self.pid = pid
        self.endpoints = list(endpoints)
        self.endpoint = self.endpoints[0]

    def udp(self, packet: bytes, timeout: float = 6.0, at: int = 0, source: str = LOOPBACK) -> bytes | None:
        """The octets that come back, None for silence."""
        endpoint = self.endpoints[at]
        family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            if family == socket.AF_INET:
                sock.bind((source, 0))
            sock.settimeout(timeout)
            sock.connect(endpoint)
            sock.send(packet)
            try:
                return sock.recv(65535)
            except TimeoutError:
                return None

    def ask(self, qname: str, qtype: str = "A", **options: Any) -> dns.message.Message:
        query = dns.message.make_query(qname, qtype, **options)
        return dns.query.udp(query, self.endpoint.host, port=self.endpoint.port, timeout=8)

    def ask_tcp(self, qname: str, qtype: str = "A") -> dns.message.Message:
        query = dns.message.make_query(qname, qtype)
        return dns.query.tcp(query, self.endpoint.host, port=self.endpoint.port, timeout=8)

    def connect(self, source: str = LOOPBACK) -> socket.socket:
        return socket.create_connection(self.endpoint, timeout=15, source_address=(source, 0))

    def counts(self) -> counters.WorkerCounts:
        """The sum over all workers, in the form of one."""
        found = counters.read(self.state / "counters")
        sums = {name: sum(getattr(one, name) for one in found) for name in counters.COUNTER_NAMES}
        return counters.WorkerCounts(worker=len(found), **sums)

    def stop(self) -> tuple[int, float]:
        """The exit code and the seconds it took."""
        begun = time.monotonic()
        os.kill(self.pid, signal.SIGTERM)
        return self.ended(), time.monotonic() - begun

    def ended(self) -> int:
        """Wait for the end; the exit code."""
        code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        self.pid = 0
        return code


@contextmanager
def resolver(
    state: Path,
    *upstreams: Endpoint,
    listen: Sequence[str] = (LOOPBACK,),
    number: int = 1,
    **changes: Any,
) -> Iterator[Resolver]:
    """Workers on free ports, until the end of the block."""
    config = ResolverConfig(listen=tuple(Endpoint(host, 0) for host in listen), workers=number, **changes)
    listening = bind(config.listen, number)
    endpoints = [
        Endpoint(host, sock.getsockname()[1]) for host, sock in zip(listen, listening[0].udp, strict=True)
    ]
    pid = os.fork()
    if pid == 0:
        code = 99
        faulthandler.disable()  # A worker may be meant to crash; where pytest stood is of no interest then.
        try:
            children = workers.children(listening, config, upstreams, state=state, node="r1.isp.example")
            code = supervise(children)
        finally:
            os._exit(code)
    for one in listening:
        one.close()
    running = Resolver(state, pid, endpoints)
    try:
        wait(lambda: (state / "counters").exists() and running.counts().starts >= number)
        yield running
    finally:
        if running.pid:
            running.stop()


def wait(true: Any, seconds: float = 30.0) -> None:
    """Until it is so."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came to be"
        time.sleep(0.005)


def over(sock: socket.socket, *packets: bytes) -> None:
    sock.sendall(b"".join(len(packet).to_bytes(2, "big") + packet for packet in packets))


def answers(sock: socket.socket, number: int) -> list[bytes]:
    """So many answers from a connection, in the order they come."""
    with sock.makefile("rb") as stream:
        return [stream.read(int.from_bytes(stream.read(2), "big")) for _ in range(number)]


def rcode(octets: bytes | None) -> int:
    assert octets is not None
    return octets[3] & 0xF


NXDOMAIN, SERVFAIL, REFUSED = wire.NXDOMAIN, wire.SERVFAIL, wire.REFUSED


GROK = block("grok.example", start=time.time() - 100, until=time.time() + 10**7)


def has_ipv6() -> bool:
    """Whether this host has ::1."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
