"""A server that can take it: every query is answered as blocked, with attribution, in batches.

Only names below `free.example` pass. It decides nothing else, so that the probers are what is measured.
"""

from __future__ import annotations

import select
import socket
import struct
import sys

from blocker.resolver.batches import batch_of

_HEAD = struct.pack("!5H", 0x8183, 1, 0, 0, 1)
_FREE = struct.pack("!5H", 0x8180, 1, 0, 0, 0)
_TAIL = b"\0" + struct.pack("!HHIHHHH", 41, 1232, 0, 6, 15, 2, 16)  # OPT with EDE 16 (RFC 8914)


def serve(port: int) -> None:
    """Until it is killed."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", port))
        sock.setblocking(False)
        batch = batch_of(sock)
        octets, packets, answers = batch.octets, batch.packets, batch.answers
        while True:
            sizes = batch.receive()
            if not sizes:
                select.select([sock], [], [])
                continue
            for slot, body in enumerate(batch.bodies(sizes)):
                question = body[10 : body.index(0, 10) + 5]
                is_free = b"\4free\7example" in question
                said = _FREE + question if is_free else _HEAD + question + _TAIL
                at, size = packets[slot] + 2, len(said)
                octets[at : at + size] = said
                answers[slot] = size + 2
            batch.send(len(sizes))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
