"""Queries under way at one point: the sockets they left by, with ids of their own, and what they belong to.

Shell. An entry is a question, what it belongs to, and the flight it left in. An id is free again once its
query is answered or given up; every id of a socket has its turn before any has another.
"""

from __future__ import annotations

import secrets
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import repeat
from random import SystemRandom
from typing import TYPE_CHECKING

from blocker import names
from blocker.sweep.datagrams import BATCH, Channel
from blocker.sweep.peek import HEAD, TAIL, Mark

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocker.names import Key
    from blocker.prober.expect import Expectation
    from blocker.prober.observe import Observation
    from blocker.sweep.pages import Page
    from blocker.sweep.peek import Known


class Opened:
    """A page under way. `left` are names without a result yet, `asked` those whose query left."""

    __slots__ = ("after", "asked", "before", "doubts", "left", "marks", "page", "tallies")

    def __init__(self, page: Page, before: Control | None) -> None:
        self.page = page
        self.before: Control | None = before
        self.after: Control | None = None
        self.left = len(page.names)
        self.asked = 0
        self.tallies: list[Tally] = []
        self.marks: Counter[Mark | None] = Counter()
        self.doubts: list[tuple[Mark | None, bytes, Tally]] = []


class Tally:
    """The names of one page that must be answered alike, and how many were plainly as ordered."""

    __slots__ = ("known", "marks", "ok", "page", "wanted")

    def __init__(self, wanted: Expectation, known: Known, page: Opened) -> None:
        self.wanted, self.known, self.page = wanted, known, page
        self.marks = known.marks
        self.ok = 0


class Control:
    """A canary under way: what came of it, once `is_done`."""

    __slots__ = ("is_done", "marks", "name", "seen")

    def __init__(self, name: Key) -> None:
        self.name = name
        self.marks: dict[tuple[bytes, bytes], Mark] = {}  # No answer to a canary is known beforehand.
        self.is_done = False
        self.seen: Observation | None = None


Entry = tuple[bytes, "Tally | Control", "Flight"]


class Flight:
    """Queries that left in one batch, for the `tries`th time, at `sent` (epoch seconds)."""

    __slots__ = ("deadline", "idents", "left", "page", "sent", "tries")

    def __init__(self, page: Opened | None, idents: Sequence[bytes], tries: int, deadline: float) -> None:
        self.page, self.idents, self.tries, self.deadline = page, idents, tries, deadline
        self.left = len(idents)
        self.sent = time.time()


@dataclass(slots=True)
class Batch:
    """Queries to be sent, all of one page, or one canary (no page)."""

    page: Opened | None
    questions: Sequence[bytes]
    owners: Sequence[Tally | Control]
    tries: int = 1


@cache
def ring() -> list[bytes]:
    """Every id there is, in an order that nobody can foresee; twice, so that a slice never ends early."""
    found = [number.to_bytes(2, "big") for number in range(65536)]
    SystemRandom().shuffle(found)
    return found + found[:BATCH]


class Port:
    """One socket of a point: its own ids, and what it has under way."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.pending: dict[bytes, Entry] = {}
        self.flights: deque[Flight] = deque()
        self._at = secrets.randbelow(65536)

    def send(self, batch: Batch, timeout: float) -> int:
        """Send what of the batch the system takes now; how many that is."""
        idents = ring()[self._at : self._at + len(batch.questions)]
        self._at = (self._at + len(idents)) % 65536
        if not self.pending.keys().isdisjoint(idents):
            idents = [one for one in idents if one not in self.pending]
        messages = list(map(b"".join, zip(idents, repeat(HEAD), batch.questions, repeat(TAIL), strict=False)))
        count = self.channel.send(messages) if messages else 0
        if count:
            idents = idents[:count]
            flight = Flight(batch.page, idents, batch.tries, time.monotonic() + timeout)
            self.flights.append(flight)
            entries = zip(batch.questions, batch.owners, repeat(flight), strict=False)
            self.pending.update(zip(idents, entries, strict=False))
        return count


@dataclass(slots=True)
class Drawn:
    """At most `most` of all that were `seen`, each as likely as any other."""

    most: int
    seen: int = 0
    kept: list[Expectation] = field(default_factory=list)

    def take(self, wanted: Expectation, asked: bytes) -> None:
        """Keep this name's question, or not."""
        self.seen += 1
        at = len(self.kept) if len(self.kept) < self.most else secrets.randbelow(self.seen)
        if at < self.most:
            self.kept[at : at + 1] = [replace(wanted, name=names.from_wire(asked[:-4]))]
