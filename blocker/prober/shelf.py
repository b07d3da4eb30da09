"""The shelf: all evidence there is, read from its beginning and held against its chain and the ledger.

Shell. A segment that was dropped for want of space is explained by the ledger, which has its head; whatever
else is missing or changed, as far as the ledger knows, is a flaw, told as a sentence. It knows the heads of
segments, and the records that show what it tells.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.orders.timetable import ENDINGS
from blocker.policy import ledger
from blocker.policy.chain import Head, link
from blocker.prober import evidence
from blocker.prober.segments import FOLDER, STREAMS, End, anchor_of, named_of, segments

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator
    from pathlib import Path

    from blocker.policy.chain import Entry
    from blocker.prober.evidence import Record

_NAMING = ("in-force", *ENDINGS, "taken-back", "finding-opened")
"""The events that name the record which shows them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment as it was read; `first` is when it was begun."""

    stream: str
    number: int
    records: int
    octets: int
    head: str
    first: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """A record with its own hash."""

    record: Record
    hash: str


class Shelf:
    """All evidence there is, read from the beginning and checked against its chain and the ledger.

    `segments` and `flaws` (sentences) are whole when `records` was read to its end.
    """

    def __init__(self, state: Path) -> None:
        self._folder = state / FOLDER
        self._anchors: dict[tuple[str, int], dict[int, str]] = {}
        self._named: dict[tuple[str, int], dict[str, Entry]] = {}
        self._dropped: set[tuple[object, object]] = set()
        for one in ledger.entries(state, only=("evidence", "evidence-dropped", *_NAMING)):
            if one.event == "evidence-dropped":
                self._dropped.add((one.facts.get("stream"), one.facts.get("segment")))
            elif one.event in _NAMING:
                if (named := named_of(one.facts)) is not None:
                    name, segment, record = named
                    self._named.setdefault((name, segment), {})[record] = one
            elif (anchor := anchor_of(one.facts)) is not None:
                stream, end = anchor
                self._anchors.setdefault((stream, end.segment), {})[end.head.count] = end.head.hash
        self._before = End(segment=0, head=Head())
        self.segments: list[Segment] = []
        self.flaws: list[str] = []

    def records(self, orders: Collection[str] | None = None) -> Iterator[Kept]:
        """The records, of these orders alone if given. Raises StoreError if a file can't be read."""
        for stream in STREAMS:
            self._before = End(segment=0, head=Head())
            for path in self._paths(stream):
                try:
                    with path.open("rb") as file:
                        yield from self._segment(stream, path, file, orders)
                except OSError as error:
                    why = f"evidence can't be read: {error.strerror}; run this as the user of the prober"
                    raise StoreError(f"{path}: {why}") from error
            known = self._anchors.keys() | self._named.keys()
            last = max((number for name, number in known if name == stream), default=0)
            self._missing(stream, last + 1)

    def _paths(self, stream: str) -> list[Path]:
        folder = self._folder / stream
        if folder.exists() and not os.access(folder, os.R_OK | os.X_OK):
            raise StoreError(f"{folder}: evidence can't be read; run this as the user of the prober")
        return segments(folder)

    def _segment(
        self, stream: str, path: Path, file: Iterable[bytes], orders: Collection[str] | None
    ) -> Iterator[Kept]:
        place = f"{stream}/{path.stem}"
        # What has no end is being written.
        lines = (line[:-1] for line in file if line.endswith(b"\n"))
        first = next(lines, b"")
        try:
            opening = evidence.unpack_opening(first)
        except evidence.Unreadable:
            self.flaws.append(f"{place}: its first line can't be read")
            return
        self._missing(stream, opening.segment)
        anchors = dict(self._anchors.get((stream, opening.segment), {}))
        named = dict(self._named.get((stream, opening.segment), {}))
        if opening.prev != self._head_before(stream, opening):
            self.flaws.append(f"{place}: what came before it is missing, or another")
        head, count, octets = link(opening.prev, first), opening.before, len(first) + 1
        for number, line in enumerate(lines, start=2):
            octets += len(line) + 1
            if evidence.prev_of(line) != head:
                self.flaws.append(f"{place}: line {number} does not follow the one before it")
            head, count = link(head, line), count + 1
            named.pop(head, None)
            if anchors.pop(count, head) != head:
                self.flaws.append(f"{place}: up to line {number} it is not what the ledger answers for")
            if orders is None or evidence.is_about(line, orders):
                try:
                    yield Kept(record=evidence.unpack(line), hash=head)
                except evidence.Unreadable as error:
                    self.flaws.append(f"{place}: line {number}: {error}")
        if any(late > count for late in anchors):
            self.flaws.append(f"{place}: it was cut off")
        for one in named.values():
            # Of which order is nobody's business who asks about another one.
            self.flaws.append(f"{place}: the record that entry {one.seq} of the ledger names is gone")
        self._before = End(segment=opening.segment, head=Head(count=count, hash=head))
        self.segments.append(
            Segment(
                stream=stream,
                number=opening.segment,
                records=count - opening.before,
                octets=octets,
                head=head,
                first=opening.at,
            )
        )

    def _missing(self, stream: str, until: int) -> None:
        """Tell which segments are not there before this one, and were not dropped."""
        for number in range(self._before.segment + 1, min(until, self._before.segment + 1000)):
            if (stream, number) not in self._dropped:
                self.flaws.append(
                    f"{stream}/{number:08d}: it is missing, and the ledger doesn't say that it was dropped"
                )

    def _head_before(self, stream: str, opening: evidence.Opening) -> str:
        """The head of the segment before, as the ledger has it if that segment was dropped."""
        if self._before.segment == opening.segment - 1:
            return self._before.head.hash
        return self._anchors.get((stream, opening.segment - 1), {}).get(opening.before, "")
