"""Real workers on loopback: what goes in, what comes out, and what they survive."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from ipaddress import ip_network
from typing import TYPE_CHECKING, Any, Self

import dns.flags
import dns.message
import pytest

from blocker.errors import PointError
from blocker.orders.model import Form
from blocker.policy.reader import Reader
from blocker.resolver import live, upstream, workers
from blocker.resolver.counters import Count
from blocker.resolver.engine import Engine
from blocker.resolver.quick import Quick
from blocker.resolver.sockets import bind
from blocker.resolver.workers import Worker
from blocker.site import Endpoint, ResolverConfig
from tests.resolver.live import (
    GROK,
    LOOPBACK,
    NXDOMAIN,
    REFUSED,
    SERVFAIL,
    Resolver,
    Upstream,
    answers,
    has_ipv6,
    over,
    rcode,
    resolver,
    store,
    wait,
)
from tests.resolver.world import Block, ask, block

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, up: Upstream) -> Iterator[Resolver]:
    state = tmp_path_factory.mktemp("state")
    store(state, GROK)
    with resolver(state, up.endpoint, number=2) as one:
        yield one


@pytest.mark.parametrize("host", [LOOPBACK, "::1"])
def test_a_blocked_name_is_blocked_over_both_transports_and_both_families(
    tmp_path: Path, up: Upstream, host: str
) -> None:
    if host == "::1" and not has_ipv6():
        pytest.skip("this host has no IPv6 loopback address: sysctl net.ipv6.conf.lo.disable_ipv6=0")
    packet = ask("www.grok.example")
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint, listen=(host,)) as one:
        assert rcode(one.udp(packet)) == NXDOMAIN
        with socket.create_connection(one.endpoints[0], timeout=5) as sock:
            over(sock, packet)
            assert rcode(answers(sock, 1)[0]) == NXDOMAIN


def test_another_name_resolves_through_upstream_once_and_then_from_the_cache(
    running: Resolver, up: Upstream
) -> None:
    for _ in range(8):  # More often than there are workers, each with a cache of its own.
        said = running.ask("free.example")
        assert [str(rdata) for rdata in said.answer[0]] == ["192.0.2.9"]
        assert said.flags & dns.flags.RA
    assert 1 <= up.asked["free.example", "udp"] <= 2


def test_an_alias_of_a_blocked_name_is_blocked(running: Resolver) -> None:
    said = running.ask("alias1.example")
    assert said.rcode() == NXDOMAIN
    assert len(said.answer) == 1


def test_a_client_outside_the_allowed_prefixes_is_refused(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint, allow=()) as one:
        assert rcode(one.udp(ask("grok.example"))) == REFUSED
        assert rcode(one.udp(ask("free.example"))) == REFUSED
        assert one.counts().refused == 2


def test_an_apply_is_obeyed_by_the_next_query(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        assert one.ask("new.example").rcode() == 0
        store(
            tmp_path,
            GROK,
            block("new.example", ident="court/o2", start=time.time() - 10, form=Form.REFUSED),
            number=2,
        )
        assert one.ask("new.example").rcode() == REFUSED
        wait(lambda: one.counts().generation == 2)


def test_an_order_takes_effect_at_its_instant_and_not_before(tmp_path: Path, up: Upstream) -> None:
    start = int(time.time()) + 2
    store(tmp_path, block("grok.example", start=start, until=start + 1))
    with resolver(tmp_path, up.endpoint) as one:
        seen: list[tuple[float, float, int]] = []
        while time.time() < start + 1.2:
            before = time.time()
            said = one.ask("grok.example")
            seen.append((before, time.time(), said.rcode()))
            if said.rcode() == 0:
                assert said.answer[0].ttl <= max(0, start - before) or before >= start + 1 - 0.1
        for before, after, code in seen:
            if after < start or before >= start + 1:
                assert code == 0
            elif before >= start and after < start + 1:
                assert code == NXDOMAIN
        assert {code for _, _, code in seen} == {0, NXDOMAIN}


def test_an_answer_leaves_from_the_address_that_was_asked(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint, listen=("127.0.0.1", "127.0.0.9")) as one:
        assert rcode(one.udp(ask("grok.example"), at=1)) == NXDOMAIN  # A connected socket takes no other.


def test_counts_add_up(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        for _ in range(3):
            one.ask("grok.example")
        one.ask("counted.example")
        one.ask("counted.example")
        one.udp(b"\0" * 12)
        one.udp(b"short", timeout=0.05)
        one.ask_tcp("version.bind", "TXT")
        found = one.counts()
        assert (found.queries, found.blocked, found.forwarded, found.cache_hits) == (8, 3, 2, 1)
        assert (found.malformed, found.dropped, found.errors, found.tcp_connections) == (1, 1, 0, 1)
        assert found.pid not in (0, os.getpid())


def test_a_bug_in_one_query_is_servfail_counted_and_that_querys_alone(
    tmp_path: Path, up: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Any = Engine.handle

    def buggy(self: Engine, packet: bytes, *rest: Any, **named: Any) -> Any:
        if b"buggy" in packet:
            raise ZeroDivisionError
        return honest(self, packet, *rest, **named)

    monkeypatch.setattr(Engine, "handle", buggy)
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        assert one.ask("buggy.example").rcode() == SERVFAIL
        assert one.ask("grok.example").rcode() == NXDOMAIN
        assert (one.counts().errors, one.counts().starts) == (1, 1)


class Full:
    """A log on a disk that is full, or whose reader is gone."""

    def write(self, _: str) -> int:
        raise OSError("no space left on device")

    def flush(self) -> None:
        raise OSError("no space left on device")


def test_a_fault_that_the_log_does_not_take_leaves_the_answers_of_its_neighbours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store(tmp_path, GROK)
    mind, counts = Engine(node="n", allow=(ip_network("127.0.0.0/8"),)), memoryview(bytearray(8 * len(Count)))
    policy = live.LivePolicy(tmp_path, lambda: None)
    worker = Worker(mind, policy, (), counts.cast("Q"))
    packets = [ask(name) for name in ("a.grok.example", "b.grok.example", "c.grok.example")]
    with policy.snapshot() as snapshot:
        mind.handle(packets[0], LOOPBACK, snapshot, time.time(), time.monotonic())
    monkeypatch.setattr("sys.stderr", Full())
    honest: Any = Quick._remember

    def buggy(self: Quick, body: bytes, *rest: Any) -> Any:
        if b"\1b" in body:
            raise ZeroDivisionError
        return honest(self, body, *rest)

    monkeypatch.setattr(Quick, "_remember", buggy)
    batch = Block(*((packet, b"\x7f\0\0\1") for packet in packets))
    assert worker.sweep(batch, batch.sizes) == [1]
    assert [rcode(batch.answer(slot)) for slot in (0, 2)] == [NXDOMAIN] * 2
    assert batch.octets[batch.packets[1] :][: len(packets[1])] == packets[1]
    policy.close()


def test_a_store_that_fails_is_counted_and_read_again_when_it_is_back(
    tmp_path: Path, up: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest: Any = Reader.snapshot
    broken: list[Reader] = []

    def failing(self: Reader) -> Any:
        if (tmp_path / "broken").exists():
            broken.append(self)
        if any(one is self for one in broken):
            raise OSError("the disk is gone")
        return honest(self)

    monkeypatch.setattr(Reader, "snapshot", failing)
    monkeypatch.setattr(live, "REOPEN", 0.05)
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        (tmp_path / "broken").touch()
        assert one.ask("grok.example").rcode() == SERVFAIL
        (tmp_path / "broken").unlink()
        wait(lambda: one.ask("grok.example").rcode() == NXDOMAIN)
        assert one.counts().store_errors >= 1
        assert one.counts().starts == 1


def test_a_query_there_is_no_place_for_is_dropped_and_counted_not_failed(
    tmp_path: Path, up: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MOST_WAITERS", 4)
    store(tmp_path, GROK)
    with (
        resolver(tmp_path, up.endpoint) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(5)
        sock.connect(one.endpoint)
        up.held.clear()
        for ident in range(10):
            sock.send(ask("held2.example", id=ident))
        wait(lambda: one.counts().dropped == 6 and up.held)
        up.release()
        assert {rcode(sock.recv(512)) for _ in range(4)} == {0}
        assert one.ask("grok.example").rcode() == NXDOMAIN
        assert one.counts().failed == 0


def test_sigterm_finishes_what_is_under_way_and_ends(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    up.held.clear()
    with (
        resolver(tmp_path, up.endpoint) as one,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
    ):
        sock.settimeout(3)
        sock.connect(one.endpoint)
        sock.send(ask("held1.example"))
        wait(lambda: up.held)
        os.kill(one.pid, signal.SIGTERM)
        threading.Timer(0.15, up.release).start()
        assert rcode(sock.recv(512)) == 0
        assert one.ended() == 0


def test_a_killed_worker_is_restarted_on_the_same_port(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        os.kill(one.counts().pid, signal.SIGKILL)
        assert one.ask("grok.example").rcode() == NXDOMAIN  # It waits in the socket that the parent holds.
        assert one.counts().starts == 2


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    (first,) = bind((Endpoint(LOOPBACK, 0),), 1)
    port = first.udp[0].getsockname()[1]
    config = ResolverConfig(
        listen=(Endpoint(LOOPBACK, port),), workers=2, upstreams=(Endpoint("192.0.2.1", 53),)
    )
    with pytest.raises(PointError, match=rf"127\.0\.0\.1:{port} .*taken"):
        workers.serve_children(config, state=tmp_path, node="n")
    first.close()
    (again,) = bind(config.listen, 1)
    again.close()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(PointError, match=r"192\.0\.2\.77:0 .*does not have that address"):
        bind((Endpoint("192.0.2.77", 0),), 1)


def test_an_upstream_that_is_ourselves_is_refused(tmp_path: Path) -> None:
    here = Endpoint(LOOPBACK, 5399)
    with pytest.raises(PointError, match="ourselves"):
        workers.serve_children(
            ResolverConfig(listen=(here,), workers=1, upstreams=(here,)), state=tmp_path, node="n"
        )


def test_queries_that_come_back_to_us_end_in_servfail_and_do_not_multiply(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "DEADLINE", 1.0)
    store(tmp_path, GROK)
    with Relay() as relay, resolver(tmp_path, relay.endpoint) as one:
        relay.target = one.endpoint
        assert one.ask("round.example").rcode() == SERVFAIL
        assert one.counts().upstream_queries <= 8
        assert one.ask("grok.example").rcode() == NXDOMAIN


class Relay:
    """An upstream that forwards everything to `target`."""

    def __init__(self) -> None:
        self.target: Endpoint | None = None
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((LOOPBACK, 0))
        self.endpoint = Endpoint(LOOPBACK, self.sock.getsockname()[1])
        threading.Thread(target=self._relay, daemon=True).start()

    def _relay(self) -> None:
        while True:
            try:
                packet, _ = self.sock.recvfrom(4096)
                if self.target is not None:
                    self.sock.sendto(packet, self.target)
            except OSError:
                return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()
