"""Many questions to many servers by one client, each at its time.

A Questioner says which name it asks which server, when, and takes the answers. When an answer came is what
the kernel noted on it, so a client that is late to read does not make a server look late.
"""

from __future__ import annotations

import heapq
import os
import select
import socket
import struct
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from tests.bench.load import percentile, query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

NXDOMAIN, NOERROR = 3, 0

_TIMESTAMPNS = 35  # SO_TIMESTAMPNS of socket(7), which the socket module doesn't name
_TIMESPEC = struct.Struct("@qq")


@dataclass(frozen=True, slots=True)
class Seen:
    """One answer: when it was asked for and when it came (epoch seconds), and its rcode."""

    sent: float
    received: float
    rcode: int


class Questioner(Protocol):
    """Asks one server, from `since` (epoch seconds) on."""

    server: str
    since: float

    def name(self) -> str:
        """What to ask now."""

    def following(self, now: float) -> float | None:
        """When to ask next; None ends it."""

    def answered(self, name: str, seen: Seen) -> None:
        """One answer."""


class Client:
    """One socket for each server, by name. `late` are the seconds by which each question left too late."""

    def __init__(self, servers: Mapping[str, int]) -> None:
        self._sockets: dict[str, socket.socket] = {}
        self._waiting: dict[str, dict[int, tuple[Questioner, str, float]]] = {}
        self._number = 0
        self.late: list[float] = []
        for name, port in servers.items():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.setsockopt(socket.SOL_SOCKET, _TIMESTAMPNS, 1)
            sock.connect(("127.0.0.1", port))
            sock.setblocking(False)
            self._sockets[name], self._waiting[name] = sock, {}

    def close(self) -> None:
        for sock in self._sockets.values():
            sock.close()

    def run(self, questioners: Sequence[Questioner], *, grace: float = 1.0) -> None:
        """Until all of them end, and `grace` seconds more for what is under way.

        Ahead of other processes where we may be: a client that isn't let ask finds out too late.
        """
        before = os.getpriority(os.PRIO_PROCESS, 0)
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, -10)
        try:
            self._run(questioners, grace)
        finally:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, 0, before)

    def _run(self, questioners: Sequence[Questioner], grace: float) -> None:
        queue = [(one.since, number) for number, one in enumerate(questioners)]
        heapq.heapify(queue)
        names = {sock: name for name, sock in self._sockets.items()}
        till = float("inf")
        while (now := time.time()) < till:
            while queue and queue[0][0] <= now:
                due, number = heapq.heappop(queue)
                self.late.append(now - due)
                self._ask(questioners[number], now)
                following = questioners[number].following(now)
                if following is not None:
                    heapq.heappush(queue, (following, number))
                now = time.time()
            if not queue and till == float("inf"):
                till = now + grace
            wait = min(0.1, max(0.0, queue[0][0] - now)) if queue else 0.1
            for sock in select.select(list(names), [], [], wait)[0]:
                self._receive(sock, self._waiting[names[sock]])

    def _ask(self, one: Questioner, now: float) -> None:
        number = self._number = (self._number + 1) & 0xFFFF
        name = one.name()
        self._waiting[one.server][number] = (one, name, now)
        try:
            self._sockets[one.server].send(query(name, number))
        except OSError:  # Nobody listens: a lost query.
            return

    @staticmethod
    def _receive(sock: socket.socket, waiting: dict[int, tuple[Questioner, str, float]]) -> None:
        while True:
            try:
                octets, more, _, _ = sock.recvmsg(4096, 64)
            except OSError:
                return
            received = time.time()
            for level, kind, data in more:
                if (level, kind) == (socket.SOL_SOCKET, _TIMESTAMPNS):
                    seconds, nanoseconds = _TIMESPEC.unpack(data)
                    received = seconds + nanoseconds / 1e9
            asked = waiting.pop(int.from_bytes(octets[:2], "big"), None)
            if asked is not None:
                one, name, sent = asked
                one.answered(name, Seen(sent, received, octets[3] & 15))


@dataclass(slots=True, kw_only=True)
class Watch:
    """A name whose answers become `rcode` at `instant`; asked from `since` until `till` (epoch seconds).

    Now and then before the instant, so that every cache has it; as often as can be from just before it until
    a little after the answer changed; then now and then, so that an answer that changes back is seen.
    """

    SPARSE = 0.1
    DENSE = 0.002
    BEFORE, AFTER = 0.02, 0.05

    server: str
    asks: str
    instant: float
    rcode: int
    since: float
    till: float
    seen: list[Seen] = field(default_factory=list)
    asked: int = 0
    changed: float = float("inf")

    def name(self) -> str:
        self.asked += 1
        return self.asks

    def following(self, now: float) -> float | None:
        start = self.instant - self.BEFORE
        if now < start:
            return min(now + self.SPARSE, start)
        following = now + (self.DENSE if now < self.changed + self.AFTER else self.SPARSE)
        return following if following < self.till else None

    def answered(self, name: str, seen: Seen) -> None:
        self.seen.append(seen)
        if seen.rcode == self.rcode:
            self.changed = min(self.changed, seen.received)


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


def judge(watch: Watch) -> Judged:
    """What the answers say."""
    other = NOERROR if watch.rcode == NXDOMAIN else NXDOMAIN
    new = [one for one in watch.seen if one.rcode == watch.rcode]
    old = [one for one in watch.seen if one.rcode == other]
    first = min((one.received for one in new), default=None)
    return Judged(
        first=None if first is None else first - watch.instant,
        stale=max((one.sent for one in old), default=watch.instant) - watch.instant,
        early=first is not None and first < watch.instant,
        relapsed=sum(first is not None and one.sent > first for one in old),
        wrong=len(watch.seen) - len(new) - len(old),
        lost=watch.asked - len(watch.seen),
    )


@dataclass(slots=True, kw_only=True)
class Steady:
    """A name asked every `every` seconds from `since` on, until `is_over` (told the time) says so."""

    server: str
    asks: str
    every: float
    since: float
    is_over: Callable[[float], bool]
    asked: list[float] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)

    def name(self) -> str:
        self.asked.append(time.time())
        return self.asks

    def following(self, now: float) -> float | None:
        return None if self.is_over(now) else now + self.every

    def answered(self, name: str, seen: Seen) -> None:
        self.seen.append(seen)

    def latency(self, share: float, *, since: float, till: float) -> float:
        """Seconds that `share` of the answers to what was asked meanwhile did not exceed."""
        found = [one.received - one.sent for one in self.seen if since <= one.sent < till]
        return percentile(found, share) if found else float("nan")

    def silence(self, *, since: float, till: float) -> float:
        """The longest that anybody who asked meanwhile waited until the server said anything to anybody."""
        came = iter(sorted(one.received for one in self.seen))
        longest, answer = 0.0, next(came, float("inf"))
        for asked in sorted(self.asked):
            while answer < asked:
                answer = next(came, float("inf"))
            if since <= asked < till:
                longest = max(longest, min(answer, till) - asked)
        return longest


@dataclass(slots=True, kw_only=True)
class Hunt:
    """Names asked in turn from `since` on, until each was blocked once or `till` has come (epoch seconds).

    `passed` is when the last question left that was answered as if nothing were ordered, 0.0 if none was.
    """

    server: str
    every: float
    since: float
    till: float
    pending: dict[str, None]
    blocked: dict[str, float] = field(default_factory=dict)
    passed: float = 0.0

    def name(self) -> str:
        first = next(iter(self.pending or self.blocked))
        if self.pending:
            self.pending[first] = self.pending.pop(first)
        return first

    def following(self, now: float) -> float | None:
        return now + self.every if self.pending and now < self.till else None

    def answered(self, name: str, seen: Seen) -> None:
        if seen.rcode == NXDOMAIN and name in self.pending:
            self.blocked[name] = seen.received
            del self.pending[name]
        elif seen.rcode == NOERROR:
            self.passed = max(self.passed, seen.sent)


def distribution(values: Iterable[float]) -> str:
    """Least, median, nine tenths and most, of seconds in milliseconds."""
    found = sorted(values)
    if not found:
        return f"{'-':>9}" * 4
    shown = (found[0], percentile(found, 0.5), percentile(found, 0.9), found[-1])
    return "".join(f"{value * 1000:>9.1f}" for value in shown)
