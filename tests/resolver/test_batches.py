"""Datagrams in batches: what comes in goes out to whom it belongs, by both ways of getting it there."""

from __future__ import annotations

import ctypes
import errno
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest

from blocker import mmsg
from blocker.resolver import batches
from blocker.resolver.batches import BATCH, MOST_QUERY, Batch, Many, Singles, batch_of
from tests.resolver.live import has_ipv6

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WAYS = [Singles, *([Many] if mmsg.RECEIVE is not None else [])]
HOSTS = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]


@pytest.fixture(params=HOSTS)
def here(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind((request.param, 0))
        yield sock


def client_of(here: socket.socket) -> socket.socket:
    sock = socket.socket(here.family, socket.SOCK_DGRAM)
    sock.settimeout(5)
    sock.connect(here.getsockname())
    return sock


@pytest.mark.parametrize("way", WAYS)
def test_every_answer_goes_to_who_asked(here: socket.socket, way: Callable[[socket.socket], Batch]) -> None:
    batch = way(here)
    clients = [client_of(here) for _ in range(BATCH + 9)]
    for round_ in range(2):
        for number, client in enumerate(clients):
            client.send(b"%d from %d" % (round_, number))
        received = []
        while sizes := batch.receive():
            received.append(len(sizes))
            for slot, size in enumerate(sizes):
                at = batch.packets[slot]
                host, port = batch.address(slot)[:2]
                assert socket.inet_pton(here.family, host) == batch.clients(sizes)[slot]
                assert batch.bodies(sizes)[slot] == batch.octets[at + 2 : at + size]
                assert (host, port) in {client.getsockname()[:2] for client in clients}
                batch.octets[at : at + size + 1] = batch.octets[at : at + size] + b"!"
                batch.answers[slot] = size + 1
            assert batch.send(len(sizes)) == 0
        assert received == [BATCH, 9]
        for number, client in enumerate(clients):
            assert client.recv(100) == b"%d from %d!" % (round_, number)
    for client in clients:
        client.close()


@pytest.mark.parametrize("way", WAYS)
def test_a_slot_without_an_answer_gets_none(
    here: socket.socket, way: Callable[[socket.socket], Batch]
) -> None:
    batch = way(here)
    clients = [client_of(here) for _ in range(7)]
    for number, client in enumerate(clients):
        client.send(bytes((number,)))
    assert batch.receive() == [1] * 7
    for slot in range(7):
        batch.answers[slot] = int(slot not in (0, 3, 4, 6))
    assert batch.send(7) == 0
    for number, client in enumerate(clients):
        if number in (1, 2, 5):
            assert client.recv(100) == bytes((number,))
        else:
            client.setblocking(False)
            with pytest.raises(BlockingIOError):
                client.recv(100)
        client.close()


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_that_the_system_does_not_take_is_counted_and_costs_nobody_else_his(
    here: socket.socket, way: Callable[[socket.socket], Batch]
) -> None:
    batch = way(here)
    clients = [client_of(here) for _ in range(3)]
    for client in clients:
        client.send(b"?")
    assert batch.receive() == [1, 1, 1]
    _be_from_port_0(batch, 1)
    for slot in range(3):
        batch.answers[slot] = 1
    assert batch.send(3) == 1
    assert (clients[0].recv(9), clients[2].recv(9)) == (b"?", b"?")
    for client in clients:
        client.close()


def _be_from_port_0(batch: Batch, slot: int) -> None:
    if isinstance(batch, Singles):
        batch._clients[slot] = (batch._clients[slot][0], 0)
    else:
        at = batches._PACKETS[slot] - batches._BEFORE
        batch.octets[at + 2 : at + 4] = b"\0\0"


@pytest.mark.parametrize("way", WAYS)
def test_more_octets_than_we_read_are_cut(here: socket.socket, way: Callable[[socket.socket], Batch]) -> None:
    batch = way(here)
    with client_of(here) as client:
        client.send(b"x" * (MOST_QUERY + 500))
        client.send(b"y")
        assert batch.receive() == [MOST_QUERY, 1]
        assert batch.octets[batch.packets[1]] == ord("y")
    assert batch.receive() == []


@pytest.mark.parametrize("way", WAYS)
def test_an_answer_may_be_longer_than_its_question(
    here: socket.socket, way: Callable[[socket.socket], Batch]
) -> None:
    batch = way(here)
    with client_of(here) as client:
        for size in (1, 1232, 1):
            client.send(b"?")
            assert batch.receive() == [1]
            batch.octets[batch.packets[0] : batch.packets[0] + size] = b"x" * size
            batch.answers[0] = size
            assert batch.send(1) == 0
            assert client.recv(4096) == b"x" * size


@pytest.mark.skipif(Many not in WAYS, reason="this system has no recvmmsg that we know")
@pytest.mark.skipif(len(HOSTS) == 1, reason="this host has no IPv6: sysctl net.ipv6.conf.lo.disable_ipv6=0")
def test_a_link_local_client_is_answered_on_its_link() -> None:
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as here:
        here.bind(("::1", 0))
        batch = Many(here)
        with client_of(here) as client:
            client.send(b"?")
            assert batch.receive() == [1]
        at = batches._PACKETS[0] - batches._BEFORE
        batch.octets[at + 24 : at + 28] = (7).to_bytes(4, sys.byteorder)
        assert batch.address(0) == ("::1", client_port(batch, at), 0, 7)


def client_port(batch: Batch, at: int) -> int:
    return int.from_bytes(batch.octets[at + 2 : at + 4], "big")


@pytest.mark.skipif(Many not in WAYS, reason="this system has no recvmmsg that we know")
def test_an_interrupted_send_is_taken_up_again(here: socket.socket) -> None:
    batch = Many(here)
    honest = batch._send
    interrupted: list[bool] = []

    def send(*arguments: Any) -> int:
        if not interrupted:
            interrupted.append(True)
            ctypes.set_errno(errno.EINTR)
            return -1
        return honest(*arguments)

    batch._send = send
    with client_of(here) as client:
        client.send(b"?")
        assert batch.receive() == [1]
        batch.answers[0] = 1
        assert batch.send(1) == 0
        assert client.recv(9) == b"?"


def test_a_system_without_those_calls_has_a_batch_as_well(
    here: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(batch_of(here), WAYS[-1])
    monkeypatch.setattr(mmsg, "RECEIVE", None)
    assert isinstance(batch_of(here), Singles)


def test_what_is_no_function_of_a_library_we_know_is_not_called(monkeypatch: pytest.MonkeyPatch) -> None:
    assert mmsg._found("no_such_function") is None
    monkeypatch.setattr("sys.platform", "other")
    assert mmsg._found("recvmmsg") is None
