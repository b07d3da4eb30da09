"""A worker's datagrams at its end: what has come is answered, and a flood does not keep it."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from blocker.resolver import sockets
from blocker.resolver.batches import BATCH
from blocker.resolver.counters import Count
from blocker.resolver.sockets import Datagrams

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.resolver.batches import Batch

CLIENTS, EACH = 10, 60  # What fits into the receive buffer that every system gives.


class Clock(asyncio.SelectorEventLoop):
    """A loop whose clock goes on by a tenth of a second with each look."""

    looks = 0

    def time(self) -> float:
        self.looks += 1
        return self.looks / 10


def drained(sweep: Callable[[Batch, Sequence[int]], Sequence[int]], here: socket.socket) -> None:
    """The end of a worker that has this socket."""
    loop = Clock()
    block = memoryview(bytearray(8 * len(Count))).cast("Q")
    Datagrams(loop, [here], sweep, lambda _: None, block).close()
    loop.close()


def echo(batch: Batch, sizes: Sequence[int]) -> Sequence[int]:
    for slot, size in enumerate(sizes):
        batch.answers[slot] = size
    return ()


def listening() -> socket.socket:
    here = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    here.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    here.bind(("127.0.0.1", 0))
    return here


def client_of(here: socket.socket) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.settimeout(5)
    client.connect(here.getsockname())
    return client


def test_whatever_waits_in_the_buffer_is_answered_before_the_end() -> None:
    here = listening()
    clients = [client_of(here) for _ in range(CLIENTS)]
    for number in range(EACH):
        for client in clients:
            client.send(bytes((number,)))
    drained(echo, here)
    for client in clients:
        assert [client.recv(9) for _ in range(EACH)] == [bytes((number,)) for number in range(EACH)]
        client.close()


def test_a_flood_does_not_keep_a_worker_from_its_end() -> None:
    here = listening()
    client = client_of(here)
    swept = []

    def flooded(batch: Batch, sizes: Sequence[int]) -> Sequence[int]:
        swept.append(len(sizes))
        for slot in range(len(sizes)):
            batch.answers[slot] = 0
            client.send(b"?")
        return ()

    for _ in range(BATCH):
        client.send(b"?")
    drained(flooded, here)
    assert 0 < len(swept) <= 10 * sockets.LAST * sockets._TURNS
    client.close()
