"""Many names of many servers asked again and again by one client, closely around their instants.

A Stream is one name at one server and one instant. It is asked SPARSE before the instant, so that every
cache has it; DENSE from just before the instant until a little after the answer changed; then SPARSE again
to the end of its window, so that an answer that changes back is seen. Nothing is concluded here but in
`judge`, which is pure.
"""

from __future__ import annotations

import heapq
import select
import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.bench.load import query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SPARSE, DENSE = 0.1, 0.002
BEFORE, AFTER = 0.02, 0.05
NXDOMAIN, NOERROR = 3, 0


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: when it was asked for and when it came (epoch seconds), and its rcode."""

    sent: float
    received: float
    rcode: int


@dataclass(slots=True, kw_only=True)
class Stream:
    """A name whose answers become `rcode` at `instant`; asked from `since` to `till` (epoch seconds)."""

    server: str
    name: str
    instant: float
    rcode: int
    since: float
    till: float
    seen: list[Seen] = field(default_factory=list)
    asked: int = 0
    changed: float = float("inf")

    def following(self, now: float) -> float:
        """When to ask next; after `till` no more."""
        start = self.instant - BEFORE
        if now < start:
            return min(now + SPARSE, start)
        return now + (DENSE if now < self.changed + AFTER else SPARSE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What came of one instant, in seconds after it.

    `first` is when the first answer came that was as it must be from the instant on, None if none did;
    `early` whether that was before the instant. `stale` is when the last query left that got the old answer
    after all. `wrong` counts answers that were neither, `lost` queries without any, `relapsed` old answers
    after a new one.
    """

    first: float | None
    stale: float
    early: bool
    relapsed: int
    wrong: int
    lost: int


def judge(stream: Stream) -> Judged:
    """What the answers of one stream say."""
    other = NOERROR if stream.rcode == NXDOMAIN else NXDOMAIN
    new = [one for one in stream.seen if one.rcode == stream.rcode]
    old = [one for one in stream.seen if one.rcode == other]
    first = min((one.received for one in new), default=None)
    return Judged(
        first=None if first is None else first - stream.instant,
        stale=max((one.sent for one in old), default=stream.instant) - stream.instant,
        early=first is not None and first < stream.instant,
        relapsed=sum(first is not None and one.sent > first for one in old),
        wrong=len(stream.seen) - len(new) - len(old),
        lost=stream.asked - len(stream.seen),
    )


class Client:
    """One socket for each server, by name."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._waiting: dict[str, dict[int, tuple[Stream, float]]] = {}
        self._numbers: dict[str, int] = {}
        self.late: list[float] = []
        for name, port in servers.items():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            self._sockets[name], self._waiting[name], self._numbers[name] = sock, {}, 0

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()

    def run(self, streams: Sequence[Stream]) -> None:
        """Ask every stream in its window. `late` gets the seconds by which each question left too late."""
        queue = [(stream.since, number) for number, stream in enumerate(streams)]
        heapq.heapify(queue)
        last = max((stream.till for stream in streams), default=0.0)
        names = {sock: name for name, sock in self._sockets.items()}
        while queue or time.time() < last + 0.5:
            now = time.time()
            while queue and queue[0][0] <= now:
                due, number = heapq.heappop(queue)
                stream = streams[number]
                self._ask(stream, now)
                self.late.append(now - due)
                following = stream.following(now)
                if following <= stream.till:
                    heapq.heappush(queue, (following, number))
                now = time.time()
            wait = min(0.1, max(0.0, queue[0][0] - now)) if queue else 0.1
            for sock in select.select(list(names), [], [], wait)[0]:
                self._receive(names[sock])

    def _ask(self, stream: Stream, now: float) -> None:
        number = self._numbers[stream.server] = (self._numbers[stream.server] + 1) & 0xFFFF
        self._waiting[stream.server][number] = (stream, now)
        stream.asked += 1
        try:
            self._sockets[stream.server].send(query(stream.name, number))
        except OSError:  # Nobody listens: a lost query.
            return

    def _receive(self, server: str) -> None:
        sock, waiting = self._sockets[server], self._waiting[server]
        while True:
            try:
                octets = sock.recv(4096)
            except OSError:
                return
            received = time.time()
            asked = waiting.pop(int.from_bytes(octets[:2], "big"), None)
            if asked is None:
                continue
            stream, sent = asked
            seen = Seen(sent, received, octets[3] & 15)
            stream.seen.append(seen)
            if seen.rcode == stream.rcode:
                stream.changed = min(stream.changed, received)


def distribution(values: Iterable[float]) -> str:
    """Least, median, nine tenths and most, of seconds in milliseconds."""
    found = sorted(values)
    if not found:
        return f"{'-':>9}{'-':>9}{'-':>9}{'-':>9}"
    at = [found[0], *(found[min(len(found) - 1, int(len(found) * share))] for share in (0.5, 0.9)), found[-1]]
    return "".join(f"{value * 1000:>9.1f}" for value in at)
