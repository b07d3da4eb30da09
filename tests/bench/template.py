"""Two servers that decide nothing, so that others are measured: `python -m tests.bench.template SORT PORT`.

`echo` is the ceiling of Python here: every datagram goes back as an answer, through the resolver's own
batches. `template` can take any prober: every query is answered as blocked, with attribution; only names
below `free.example` pass.
"""

from __future__ import annotations

import select
import socket
import struct
import sys
from typing import TYPE_CHECKING

from blocker.resolver.batches import batch_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocker.resolver.batches import Batch

_HEAD = struct.pack("!5H", 0x8183, 1, 0, 0, 1)
_FREE = struct.pack("!5H", 0x8180, 1, 0, 0, 0)
_TAIL = b"\0" + struct.pack("!HHIHHHH", 41, 1232, 0, 6, 15, 2, 16)  # OPT with EDE 16 (RFC 8914)


def _echo(batch: Batch, sizes: list[int]) -> None:
    octets, packets, answers = batch.octets, batch.packets, batch.answers
    for slot, size in enumerate(sizes):
        octets[packets[slot] + 2] = 0x81
        answers[slot] = size


def _template(batch: Batch, sizes: list[int]) -> None:
    octets, packets, answers = batch.octets, batch.packets, batch.answers
    for slot, body in enumerate(batch.bodies(sizes)):
        question = body[10 : body.index(0, 10) + 5]
        is_free = b"\4free\7example" in question
        said = _FREE + question if is_free else _HEAD + question + _TAIL
        at, size = packets[slot] + 2, len(said)
        octets[at : at + size] = said
        answers[slot] = size + 2


SORTS: dict[str, Callable[[Batch, list[int]], None]] = {"echo": _echo, "template": _template}


def serve(sort: str, port: int) -> None:
    """Until it is killed."""
    answer = SORTS[sort]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        batch = batch_of(sock)
        while True:
            sizes = batch.receive()
            if not sizes:
                select.select([sock], [], [])
                continue
            answer(batch, sizes)
            batch.send(len(sizes))


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]))
