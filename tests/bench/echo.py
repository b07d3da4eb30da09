"""The ceiling of Python here: every datagram goes back as an answer, through the resolver's own batches."""

from __future__ import annotations

import select
import socket
import sys

from blocker.resolver.batches import batch_of


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
            for slot, size in enumerate(sizes):
                octets[packets[slot] + 2] = 0x81
                answers[slot] = size
            batch.send(len(sizes))


if __name__ == "__main__":
    serve(int(sys.argv[1]))
