"""An open-loop UDP client: so many questions a second, whatever the answers do, and each one's latency."""

from __future__ import annotations

import select
import socket
import struct
import time
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_OPT = b"\0" + struct.pack(">HHIH", 41, 1232, 0, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One question: when it was sent (epoch seconds), how long the answer took, and its rcode.

    A lost one has no latency.
    """

    sent: float
    latency: float | None
    rcode: int | None


def query(name: str, number: int) -> bytes:
    """An A question with EDNS."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 1) + labels + b"\0\0\1\0\1" + _OPT


def run(port: int, names: Sequence[str], *, start: float, seconds: float, rate: int) -> list[Answered]:
    """Ask for the names in turn from `start` on (epoch seconds)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as channel:
        channel.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        channel.connect(("127.0.0.1", port))
        channel.setblocking(False)
        sent: dict[int, tuple[float, float]] = {}
        found: list[Answered] = []
        turn = cycle(names)
        total, done = int(seconds * rate), 0
        skew = time.time() - time.perf_counter()
        first = start - skew
        while done < total or (sent and time.perf_counter() < first + seconds + 2):
            now = time.perf_counter()
            due = first + done / rate
            if done < total and now >= due:
                number = done & 0xFFFF
                if number in sent:
                    found.append(Answered(sent=sent.pop(number)[1], latency=None, rcode=None))
                channel.send(query(next(turn), number))
                sent[number] = (now, now + skew)
                done += 1
                continue
            wait = max(0.0, due - now) if done < total else 0.01
            if select.select([channel], [], [], wait)[0]:
                octets = channel.recv(4096)
                now = time.perf_counter()
                asked = sent.pop(int.from_bytes(octets[:2]), None)
                if asked is not None:
                    found.append(Answered(sent=asked[1], latency=now - asked[0], rcode=octets[3] & 15))
        found += [Answered(sent=at, latency=None, rcode=None) for _, at in sent.values()]
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of them don't exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
