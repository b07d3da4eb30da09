"""The world around the engines: an authority on loopback in which every name exists."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from tests.conformance import authority

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def _serve(listening: socket.socket, aliases: Mapping[bytes, bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the benchmark's, which stops us.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with suppress(OSError):  # It stands for other machines: what they do costs ours no time.
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    while True:
        packet, client = listening.recvfrom(4096)
        said = authority.answer(packet, aliases)
        if said is not None:
            listening.sendto(said, client)


@contextmanager
def upstream(aliases: Mapping[str, str] | None = None) -> Iterator[int]:
    """The port on which it answers. `aliases` are owner → target."""
    wired = {authority.wire(owner): authority.wire(target) for owner, target in (aliases or {}).items()}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        listening.bind(("127.0.0.1", 0))
        process = multiprocessing.get_context("fork").Process(target=_serve, args=(listening, wired))
        process.start()
        try:
            yield int(listening.getsockname()[1])
        finally:
            process.terminate()
            process.join()
