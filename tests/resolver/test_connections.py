"""Real workers over TCP: pipelines, half-closes, and who gets a place."""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING

import pytest

from blocker.resolver import connections
from tests.resolver.live import (
    GROK,
    NXDOMAIN,
    REFUSED,
    Resolver,
    Upstream,
    answers,
    over,
    rcode,
    resolver,
    store,
    wait,
)
from tests.resolver.world import ask

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, up: Upstream) -> Iterator[Resolver]:
    state = tmp_path_factory.mktemp("state")
    store(state, GROK)
    with resolver(state, up.endpoint) as one:
        yield one


def test_pipelined_queries_of_one_connection_are_answered_each_in_its_own_time(running: Resolver) -> None:
    packets = [ask("silent9.example"), *(ask(f"p{n}.grok.example") for n in range(200))]
    with running.connect() as sock:
        over(sock, *packets)
        fast = answers(sock, 200)
    assert {octets[:2] for octets in fast} == {packet[:2] for packet in packets[1:]}
    assert {rcode(octets) for octets in fast} == {NXDOMAIN}


def test_a_tcp_message_may_come_octet_by_octet(running: Resolver) -> None:
    packet = ask("grok.example")
    with running.connect() as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in len(packet).to_bytes(2, "big") + packet:
            sock.send(bytes((octet,)))
        assert rcode(answers(sock, 1)[0]) == NXDOMAIN


def test_a_client_that_half_closes_still_gets_its_answers(running: Resolver) -> None:
    with running.connect() as sock:
        over(sock, ask("halfclosed.example"))
        sock.shutdown(socket.SHUT_WR)
        assert rcode(answers(sock, 1)[0]) == 0
        assert sock.recv(1) == b""


@pytest.mark.parametrize("name", ["w{}.grok.example", "w{}.example", "half.example"])
def test_all_that_was_pipelined_before_a_half_close_is_answered(running: Resolver, name: str) -> None:
    packets = [ask(name.format(n), id=n) for n in range(1000)]
    with running.connect() as sock:
        over(sock, *packets)
        sock.shutdown(socket.SHUT_WR)
        said = answers(sock, 1000)
        assert sock.recv(1) == b""
    assert {int.from_bytes(octets[:2], "big") for octets in said} == set(range(1000))
    assert {rcode(octets) for octets in said} == {NXDOMAIN if "grok" in name else 0}


def test_a_query_that_a_half_close_cuts_short_ends_the_connection_after_the_others(running: Resolver) -> None:
    with running.connect() as sock:
        over(sock, ask("grok.example"))
        sock.sendall(b"\0\x20half")
        sock.shutdown(socket.SHUT_WR)
        assert rcode(answers(sock, 1)[0]) == NXDOMAIN
        assert sock.recv(1) == b""


@pytest.mark.parametrize("octets", [b"\0\0", b"\0\x0b" + b"x" * 11, b"\xff\xff" + b"x" * 100])
def test_a_tcp_message_of_impossible_length_ends_the_connection(running: Resolver, octets: bytes) -> None:
    with running.connect() as sock:
        sock.sendall(octets)
        assert sock.recv(1) == b""


def test_one_client_gets_so_many_connections_and_no_more(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one:
        held = [one.connect() for _ in range(connections.MOST_PER_CLIENT)]
        wait(lambda: one.counts().tcp_connections == connections.MOST_PER_CLIENT)
        with one.connect() as extra:
            assert extra.recv(1) == b""
        over(held[0], ask("grok.example"))
        assert rcode(answers(held[0], 1)[0]) == NXDOMAIN
        held.pop().close()
        wait(lambda: one.counts().tcp_rejected >= 1)
        for sock in held:
            sock.close()
        wait(lambda: one.ask_tcp("grok.example").rcode() == NXDOMAIN)


def test_who_does_not_read_is_cut_and_others_are_served(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one, one.connect() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.3)
        chunk = ask("grok.example")
        chunk = (len(chunk).to_bytes(2, "big") + chunk) * 200
        with pytest.raises((TimeoutError, ConnectionError)):
            sock.sendall(chunk * 3000)
        assert one.ask("grok.example").rcode() == NXDOMAIN


def test_an_idle_connection_is_closed_and_an_octet_now_and_then_does_not_keep_it(
    tmp_path: Path, up: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "IDLE", 0.5)
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint) as one, one.connect() as sock:
        sock.settimeout(0.2)
        for octet in b"\0\x20\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b":
            try:
                sock.send(bytes((octet,)))
                if sock.recv(1) == b"":
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        pytest.fail("the connection is still open")


def test_strangers_share_a_few_places_and_leave_those_of_the_allowed_alone(
    tmp_path: Path, up: Upstream
) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint, allow=(ip_network("127.0.0.1/32"),)) as one:
        held = [one.connect(source=f"127.0.1.{n}") for n in range(connections.MOST_STRANGERS)]
        wait(lambda: one.counts().tcp_connections == connections.MOST_STRANGERS)
        with one.connect(source="127.0.2.1") as extra:
            assert extra.recv(1) == b""
        assert one.counts().tcp_rejected == 1
        assert one.ask_tcp("grok.example").rcode() == NXDOMAIN
        held.pop().close()
        wait(lambda: _is_open(one.connect(source="127.0.2.1")))
        for sock in held:
            sock.close()


def _is_open(sock: socket.socket) -> bool:
    with sock:
        over(sock, ask("grok.example"))
        try:
            return sock.recv(2) != b""
        except ConnectionError:
            return False


def test_a_stranger_is_refused_once_and_sent_away(tmp_path: Path, up: Upstream) -> None:
    store(tmp_path, GROK)
    with resolver(tmp_path, up.endpoint, allow=()) as one, one.connect(source="127.0.0.9") as sock:
        over(sock, *[ask("grok.example")] * 5)
        assert rcode(answers(sock, 1)[0]) == REFUSED
        assert sock.recv(1) == b""
        assert (one.counts().queries, one.counts().refused) == (1, 1)
