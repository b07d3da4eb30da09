"""Asking upstream: servers that lie, lag or are not there, and what we make of them."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import pytest

from blocker.errors import PointError
from blocker.resolver import answer, chain, upstream, wire
from blocker.resolver.counters import Count
from blocker.site import Endpoint
from tests.resolver.live import LOOPBACK, Upstream, wait

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

Result = tuple[chain.Received | None, int]


@pytest.fixture
def up() -> Iterator[Upstream]:
    server = Upstream()
    yield server
    server.close()


@pytest.fixture
def block() -> memoryview:
    return memoryview(bytearray(8 * len(Count))).cast("Q")


@pytest.fixture
def nobody() -> Endpoint:
    """An address where nothing listens."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LOOPBACK, 0))
        return Endpoint(LOOPBACK, sock.getsockname()[1])


def question(name: str, qtype: int = wire.A) -> bytes:
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return labels + b"\0" + qtype.to_bytes(2, "big") + b"\0\x01"


def asked(
    block: memoryview,
    names: list[str],
    *endpoints: Endpoint,
    most: int = 400,
    clients: Sequence[str] = ("192.0.2.1",),
) -> list[Result]:
    """What comes of asking all the names at once, in their order, by these clients in turn."""

    async def run() -> list[Result]:
        loop = asyncio.get_running_loop()
        ask = upstream.Upstreams(loop, endpoints, block, most=most)
        futures: list[asyncio.Future[Result]] = []
        for number, name in enumerate(names):
            future: asyncio.Future[Result] = loop.create_future()
            futures.append(future)

            def done(
                received: chain.Received | None, why: int, future: asyncio.Future[Result] = future
            ) -> None:
                future.set_result((received, why))

            if not ask.ask(name, question(name), done, client=clients[number % len(clients)]):
                future.set_result((None, -1))
        found = list(await asyncio.gather(*futures))
        assert len(ask) == 0
        return found

    return asyncio.run(run())


def one(block: memoryview, name: str, *endpoints: Endpoint) -> Result:
    return asked(block, [name], *endpoints)[0]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upstream, "PATIENCE", (0.1, 0.1, 0.1, 0.1))


def test_a_plain_question_is_answered(up: Upstream, block: memoryview) -> None:
    received, _ = one(block, "free.example", up.endpoint)
    assert received is not None
    assert received.octets.endswith(b"\xc0\0\x02\x09")
    assert block[Count.UPSTREAM_QUERIES] == 1


@pytest.mark.parametrize("name", ["wrongid", "wrongquestion", "wrongcase", "oversized", "stump"])
def test_an_answer_to_something_else_is_ignored_counted_and_the_true_one_taken(
    up: Upstream, block: memoryview, name: str
) -> None:
    received, _ = one(block, f"{name}.example", up.endpoint)
    assert received is not None
    assert block[Count.UPSTREAM_MISMATCHED] == 1
    assert block[Count.UPSTREAM_QUERIES] == 1


def test_a_flood_of_wrong_answers_ends_the_attempt(up: Upstream, block: memoryview) -> None:
    received, why = one(block, "onlywrong.example", up.endpoint)
    assert received is None
    assert why == answer.EDE_NETWORK
    assert block[Count.UPSTREAM_MISMATCHED] <= 4 * upstream.MOST_MISMATCHED


@pytest.mark.parametrize("name", ["garbage", "endless"])
def test_an_answer_that_makes_no_sense_is_no_answer(up: Upstream, block: memoryview, name: str) -> None:
    received, why = one(block, f"{name}.example", up.endpoint)
    assert received is None
    assert why == answer.EDE_NETWORK


def test_a_truncated_answer_is_had_over_tcp(up: Upstream, block: memoryview) -> None:
    received, _ = one(block, "tc.example", up.endpoint)
    assert received is not None
    assert up.asked["tc.example", "tcp"] == 1
    assert block[Count.UPSTREAM_TCP] == 1


def test_garbage_over_tcp_is_no_answer(up: Upstream, block: memoryview) -> None:
    assert one(block, "tcpgarbage.example", up.endpoint)[0] is None


def test_a_server_from_before_edns_is_asked_without(up: Upstream, block: memoryview) -> None:
    assert one(block, "old.example", up.endpoint)[0] is not None
    assert up.asked["old.example", "udp"] == 2


def test_silence_ends_at_the_deadline_after_several_attempts(up: Upstream, block: memoryview) -> None:
    received, why = one(block, "silent.example", up.endpoint)
    assert (received, why) == (None, answer.EDE_UNREACHABLE)
    assert up.asked["silent.example", "udp"] == len(upstream.PATIENCE)
    assert block[Count.UPSTREAM_TIMEOUTS] == len(upstream.PATIENCE)
    assert block[Count.UPSTREAM_QUESTIONS] == 1
    assert block[Count.UPSTREAM_MICROSECONDS] >= sum(upstream.PATIENCE) * 0.9e6, (
        "it counts what people waited"
    )


def test_where_nobody_is_the_next_server_answers_at_once(
    up: Upstream, block: memoryview, nobody: Endpoint
) -> None:
    assert one(block, "free.example", nobody, up.endpoint)[0] is not None
    assert block[Count.UPSTREAM_TIMEOUTS] == 0
    assert block[Count.UPSTREAM_FAILURES] == 1


def test_where_nobody_is_at_all_the_reason_is_the_network(block: memoryview, nobody: Endpoint) -> None:
    assert one(block, "free.example", nobody) == (None, answer.EDE_NETWORK)


@pytest.mark.parametrize("name", ["servfail", "refused", "silent", "garbage"])
def test_when_one_server_fails_the_other_is_asked(
    block: memoryview, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, bad = Upstream(), Upstream()
    try:
        monkeypatch.setattr(good, "says", lambda _, query: [good.plain(query)])
        received, _ = one(block, f"{name}.example", bad.endpoint, good.endpoint)
        assert received is not None
        assert received.rcode == 0
        assert bad.asked[f"{name}.example", "udp"] == 1
    finally:
        good.close()
        bad.close()


def test_a_servfail_of_every_server_is_what_the_client_hears(up: Upstream, block: memoryview) -> None:
    received, _ = one(block, "servfail.example", up.endpoint)
    assert received is not None
    assert received.rcode == wire.SERVFAIL
    assert up.asked["servfail.example", "udp"] == 1


def test_a_server_that_keeps_failing_is_asked_last(block: memoryview, nobody: Endpoint) -> None:
    good = Upstream()

    async def run() -> list[int]:
        loop = asyncio.get_running_loop()
        ask = upstream.Upstreams(loop, (nobody, good.endpoint), block)
        failures = []
        for number in range(8):
            future: asyncio.Future[None] = loop.create_future()
            ask.ask(
                number, question(f"n{number}.example"), lambda *_, f=future: f.set_result(None), client="a"
            )
            await future
            failures.append(block[Count.UPSTREAM_FAILURES])
        return failures

    assert asyncio.run(run()) == [1, 2, 3, 3, 3, 3, 3, 3]
    good.close()


def test_the_same_question_is_asked_once_for_all_who_wait(up: Upstream, block: memoryview) -> None:
    found = asked(block, ["free.example"] * 20, up.endpoint)
    assert all(received is found[0][0] for received, _ in found)
    assert up.asked["free.example", "udp"] == 1
    assert block[Count.MERGED] == 19


def test_a_thousand_clients_may_wait_for_one_answer(up: Upstream, block: memoryview) -> None:
    found = asked(block, ["free.example"] * 1000, up.endpoint)
    assert all(received is found[0][0] for received, _ in found)
    assert block[Count.UPSTREAM_QUERIES] == 1


def test_who_waits_for_one_answer_is_bounded(
    up: Upstream, block: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MOST_WAITERS", 20)
    found = asked(block, ["free.example"] * 23, up.endpoint)
    assert [why for _, why in found].count(-1) == 3


def test_who_waits_in_all_is_bounded(
    up: Upstream, block: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upstream, "MOST_WAITING", 40)
    names = [f"b{n % 4}.example" for n in range(60)]
    assert [why for _, why in asked(block, names, up.endpoint)].count(-1) == 50
    assert [why for _, why in asked(block, names, up.endpoint, clients="abcdef")].count(-1) == 20


def test_one_clients_random_names_leave_room_for_anothers(up: Upstream, block: memoryview) -> None:
    names = [f"b{n}.example" for n in range(30)]
    found = asked(block, names, up.endpoint, most=16, clients=["greedy"] * 29 + ["modest"])
    assert [why for _, why in found].count(-1) == 25
    assert found[-1][0] is not None
    found = asked(block, names, up.endpoint, most=16, clients=[f"c{n}" for n in range(30)])
    assert [why for _, why in found].count(-1) == 14


def test_every_query_has_a_port_and_an_id_of_its_own(up: Upstream, block: memoryview) -> None:
    for start in range(0, 64, 8):
        asked(block, [f"r{n}.example" for n in range(start, start + 8)], up.endpoint)
    ports, idents = ({source[part] for source in up.sources} for part in (0, 1))
    assert len(ports) >= 60
    assert len(idents) >= 60


def test_the_host_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "resolv.conf"
    path.write_text(
        "# nameserver 192.0.2.1\nsearch x\nnameserver 192.0.2.2\nnameserver 2001:db8::1 # home\nnameserver\n"
    )
    assert upstream.system(path) == (Endpoint("192.0.2.2", 53), Endpoint("2001:db8::1", 53))


@pytest.mark.parametrize("content", [None, "", "search x\n"])
def test_a_host_without_servers_is_told_what_to_write(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "resolv.conf").write_text(content)
    with pytest.raises(PointError, match="upstreams"):
        upstream.system(tmp_path / "resolv.conf")


def test_an_upstream_that_is_no_address_is_named(block: memoryview) -> None:
    with pytest.raises(PointError, match=r"dns\.example"):
        asked(block, [], Endpoint("dns.example", 53))


def test_a_query_of_our_own_is_known_by_its_port_and_id_while_it_is_under_way(
    up: Upstream, block: memoryview
) -> None:
    async def run() -> tuple[bool, bool, bool]:
        loop = asyncio.get_running_loop()
        ask = upstream.Upstreams(loop, (up.endpoint,), block)
        future: asyncio.Future[Result] = loop.create_future()
        ask.ask(1, question("silent.example"), lambda *result: future.set_result(result), client="a")
        await asyncio.to_thread(wait, lambda: up.sources)
        port, ident = up.sources[0]
        known = ask.is_ours(port, ident), ask.is_ours(port, ident ^ 1)
        ask.close()
        assert (await future)[0] is None
        return *known, ask.is_ours(port, ident)

    assert asyncio.run(run()) == (True, False, False)
