"""Many messages at once through one socket: what is sent arrives, what comes is read, what fails is told."""

from __future__ import annotations

import ctypes
import errno
import socket
from typing import TYPE_CHECKING, Any

import pytest

from blocker import mmsg
from blocker.site import Endpoint
from blocker.sweep import datagrams
from blocker.sweep.datagrams import BATCH, Channel, Many, channel_of, connected, dropped
from tests.resolver.live import has_ipv6

if TYPE_CHECKING:
    from collections.abc import Iterator

WAYS = [Channel, *([Many] if mmsg.RECEIVE is not None else [])]
HOSTS = ["127.0.0.1", *(["::1"] if has_ipv6() else [])]


@pytest.fixture(params=HOSTS)
def peer(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in request.param else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((request.param, 0))
        sock.settimeout(5)
        yield sock


@pytest.fixture(params=WAYS)
def channel(request: pytest.FixtureRequest, peer: socket.socket) -> Iterator[Channel]:
    host, port = peer.getsockname()[:2]
    with connected(Endpoint(host, port), "") as sock:
        yield request.param(sock)


def test_what_is_sent_arrives_in_order_and_whole(channel: Channel, peer: socket.socket) -> None:
    messages = [bytes([number]) * (number + 12) for number in range(BATCH)]
    assert channel.send(messages) == BATCH
    assert [peer.recv(4096) for _ in messages] == messages
    assert channel.send([b"one more"]) == 1
    assert peer.recv(4096) == b"one more"


def test_what_comes_is_read_with_its_first_two_octets_apart(channel: Channel, peer: socket.socket) -> None:
    said = [b"\1\2" + b"x" * number for number in range(BATCH)] + [b"\3"]
    for one in said:
        peer.sendto(one, channel.sock.getsockname())
    idents, bodies = channel.receive()
    assert [*map(bytes.__add__, idents, bodies)] == said[:BATCH]
    idents, bodies = channel.receive()
    assert (len(idents), list(bodies)) == (1, [b""])
    assert not channel.receive()[0]
    assert not channel.trouble


def test_strangers_are_not_heard(channel: Channel, peer: socket.socket) -> None:
    with socket.socket(peer.family, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"\1\2no", channel.sock.getsockname())
        peer.sendto(b"\1\2yes", channel.sock.getsockname())
        assert list(channel.receive()[1]) == [b"yes"]


def test_that_nobody_listens_is_counted_and_ends_nothing(channel: Channel, peer: socket.socket) -> None:
    peer.close()
    for _ in range(3):
        assert channel.send([b"anybody"]) == 1
        channel.receive()
    assert channel.refused == 3
    assert not channel.trouble


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.ENOBUFS, errno.EPERM])
@pytest.mark.parametrize("kind", WAYS)
def test_what_the_system_does_not_take_is_told(
    kind: type[Channel], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing:
        def fileno(self) -> int:
            return -1

        def send(self, _: bytes) -> int:
            raise OSError(number, "")

        recv = send

    def fail(*_: Any) -> int:
        ctypes.set_errno(number)
        return -1

    monkeypatch.setattr(mmsg, "SEND", fail)
    monkeypatch.setattr(mmsg, "RECEIVE", fail)
    failing = kind(Failing())  # type: ignore[arg-type]  # all that is called
    assert failing.send([b"a", b"b"]) == 0
    assert not failing.receive()[0]
    assert failing.trouble == ("Operation not permitted" if number == errno.EPERM else "")


def test_a_socket_leaves_from_the_address_it_is_given(peer: socket.socket) -> None:
    host, port = peer.getsockname()[:2]
    with connected(Endpoint(host, port), host) as sock:
        assert sock.getsockname()[0] == host
    with pytest.raises(OSError, match="assign"):
        connected(Endpoint(host, port), "2001:db8::1" if ":" in host else "192.0.2.1")
    with connected(Endpoint(host, port), "192.0.2.1" if ":" in host else "2001:db8::1") as sock:
        assert sock.getsockname()[0] == host, "an address of the other family can't be asked from"


def test_what_found_no_room_is_counted(peer: socket.socket) -> None:
    host, port = peer.getsockname()[:2]
    with connected(Endpoint(host, port), "") as sock:
        assert dropped(sock) == 0
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 0)
        for _ in range(100):
            peer.sendto(b"x" * 1000, sock.getsockname())
        channel, kept = channel_of(sock), 0
        while got := len(channel.receive()[0]):
            kept += got
        assert 0 < kept < 100
        assert dropped(sock) == 100 - kept


def test_a_system_that_does_not_tell_of_losses_has_none(
    peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "_SO_MEMINFO", 9999)
    assert dropped(peer) == 0


def test_a_system_without_those_calls_has_a_channel_as_well(
    peer: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert type(channel_of(peer)) is WAYS[-1]
    monkeypatch.setattr(mmsg, "RECEIVE", None)
    assert type(channel_of(peer)) is Channel
