"""The keeper: writes evidence beside the rounds, and tells the ledger.

Shell. A thread of its own writes, so that a slow disk delays no probe: `Keeper.keep` chooses, queues and
returns. When all segments together exceed their space the oldest are removed whole; heads of segments go to
the ledger, so that what is missing is explained, and what was changed is found. What can't be written is
counted, why is said, and it is forgotten that it was to be kept; nothing here raises into the prober.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blocker import supervisor
from blocker.errors import StoreError
from blocker.journal import kind, say
from blocker.orders.timetable import ENDINGS
from blocker.policy import ledger, store
from blocker.policy.chain import Event
from blocker.prober import evidence
from blocker.prober.keeping import FIRST, TAKEN_BACK, Choice, Diary, Known, change_of
from blocker.prober.report import EvidenceView
from blocker.prober.segments import FOLDER, STREAMS, End, Stream, anchor_of, proof_of, segments

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blocker.prober.evidence import Record
    from blocker.prober.expect import Expectation
    from blocker.prober.judge import Evidence, Finding
    from blocker.prober.observe import Observation

_QUEUED = 8192  # records waiting for the disk
_PENDING = 10_000  # events waiting for the ledger
_ANCHOR_EVERY = 600.0  # seconds
_QUIET_EVERY = 10.0
_RETRY_EVERY = 5.0


class Keeper:
    """Keeps evidence of what is judged. `space` is what all of it may take (octets).

    `patience`: seconds without being seen after which a finding is over; give more than the rounds are apart.
    `settled`: when the latest whole round of an earlier run ended; what was told since can be taken back.
    """

    def __init__(
        self, state: Path, space: int, *, patience: float = 600.0, settled: float = float("inf")
    ) -> None:
        self._state, self._patience = state, patience
        self._choice = Choice(space)
        self._diary = Diary(_told(state, settled))
        self._quiet_at = 0.0
        self._queue: queue.Queue[_Item | None] = queue.Queue(_QUEUED)
        self._lost = 0
        self._unwritten: deque[_Item] = deque()
        self._overdue: list[Event] = []  # what was taken back, and the ledger must learn before anything else
        self._writer = _Writer(state, space)
        self._thread = threading.Thread(target=self._write, name="evidence", daemon=True)
        self._thread.start()

    def keep(
        self,
        samples: Sequence[Observation],
        expectation: Expectation,
        known: Evidence,
        finding: Finding,
        *,
        policy: str,
        generation: int,
        is_sealed: bool,
    ) -> None:
        """Keep one judged probe if it is worth it (`keeping`). It neither raises nor waits.

        `policy` is the digest of the generation it was judged under; `is_sealed`: an order that nobody
        outside may learn of has a part in it.
        """
        now = time.monotonic()
        try:
            self._forget()
            events = tuple(self._diary.note(expectation, finding, now))
            if self._choice.wants(expectation, finding, evidence.instances_of(samples)) or events:
                made = evidence.record(
                    samples, expectation, known, finding, policy=policy, generation=generation
                )
                self._put(_Item(record=made, is_sealed=is_sealed, events=events))
        except Exception:  # noqa: BLE001  # whatever it is, the round must go on
            self._lost += 1
        if now - self._quiet_at >= _QUIET_EVERY:
            self._quiet_at = now
            closed = self._diary.quiet(finding.at, now, self._patience)
            if closed or self._overdue:
                self._put(_Item(record=None, is_sealed=False, events=tuple(closed)))

    def tell(self, events: Sequence[Event]) -> bool:
        """Have the ledger told of what no probe shows; whether that will be tried."""
        try:
            self._queue.put_nowait(_Item(record=None, is_sealed=False, events=tuple(events)))
        except queue.Full:
            return False
        return True

    def settle(self) -> None:
        """A whole round has ended."""
        self._diary.settle()

    def view(self) -> EvidenceView:
        """What was written so far."""
        seen = self._writer.view
        return replace(seen, failures=seen.failures + self._lost) if self._lost else seen

    def close(self) -> None:
        """Write what waits and end."""
        self._queue.put(None)
        self._thread.join()

    def _put(self, item: _Item) -> None:
        try:
            if self._overdue:
                self._queue.put_nowait(_Item(record=None, is_sealed=False, events=tuple(self._overdue)))
                self._overdue.clear()
            self._queue.put_nowait(item)
        except queue.Full:
            self._lost += 1
            self._overdue += [one for one in item.events if one.event == TAKEN_BACK]
            self._unwritten.append(item)

    def _forget(self) -> None:
        """Have what could not be written wanted again."""
        while self._unwritten:
            item = self._unwritten.popleft()
            self._diary.lost(item.events)
            if item.record is not None:
                self._choice.lost(item.record.expectation, item.record.finding)

    def _write(self) -> None:
        is_over = False
        while not is_over:
            batch: list[_Item] = []
            with suppress(queue.Empty):
                item = self._queue.get(timeout=_RETRY_EVERY)
                while True:
                    if item is None:
                        is_over = True
                        break
                    batch.append(item)
                    item = self._queue.get_nowait()
            try:
                self._unwritten += self._writer.write(batch, is_last=is_over)
            except Exception as error:  # noqa: BLE001  # whatever it is, the next batch must be written
                self._writer.fail(len(batch), f"evidence was lost: {kind(error)}")
                self._unwritten += batch


@dataclass(frozen=True, slots=True, kw_only=True)
class _Item:
    """What waits for the disk: a record, and what the ledger is told of it."""

    record: Record | None
    is_sealed: bool
    events: tuple[Event, ...]


class _Writer:
    """Writes batches; the only user of the files. `view` is replaced whole, so other threads may read it."""

    def __init__(self, state: Path, space: int) -> None:
        self._state, self._space = state, space
        self._streams: dict[str, Stream] = {}
        self._held = ExitStack()
        self._pending: list[Event] = []
        self._anchored_at = time.monotonic()
        self._open_at = float("-inf")
        self._doomed: list[Path] = []
        self._closed = 0  # octets of the segments that are closed
        self._said = ""
        self.view = EvidenceView()

    def write(self, batch: Sequence[_Item], *, is_last: bool = False) -> list[_Item]:
        """Write and sync the records, then tell the ledger; whatever fails is counted.

        The answer is what has a record that was not written, or that the disk may not have.
        """
        unwritten: list[_Item] = []
        if batch and self._streams:
            self.view = replace(self.view, trouble="")
        if self._open():
            proofs = [self._one(item) for item in batch]
            doubtful = self._sync(is_last=is_last)
            for item, proof in zip(batch, proofs, strict=True):
                is_kept = proof is not None and _stream_of(item) not in doubtful
                self._tell(item, proof if proof is not None and is_kept else {})
                if not is_kept:
                    unwritten.append(item)
        else:
            unwritten = [item for item in batch if item.record is not None]
            self.fail(len(unwritten), self.view.trouble)
            for item in batch:
                self._tell(item, {})
        if self._pending and (trouble := ledger.note(self._state, *self._pending)):
            self.fail(max(1, len(self._pending) - _PENDING), trouble)
            del self._pending[:-_PENDING]
        else:
            self._pending.clear()
        # The ledger knew of it first: what is missing is explained, whatever happens now.
        for path in self._doomed:
            with suppress(OSError):
                path.unlink()
        self._doomed.clear()
        if is_last:
            for stream in self._streams.values():
                stream.close()
            self._held.close()
        return unwritten

    def fail(self, count: int, trouble: str) -> None:
        """So many records were lost, or writes failed, and why; that is said once."""
        self.view = replace(self.view, failures=self.view.failures + count, trouble=trouble)
        if trouble and trouble != self._said:
            say("evidence", trouble)
        self._said = trouble or self._said

    def _open(self) -> bool:
        """Whether the streams are open; what was left incomplete is mended first."""
        if self._streams and all(stream.is_there for stream in self._streams.values()):
            return True
        for stream in self._streams.values():  # Somebody removed what we write: begin anew.
            stream.close()
        self._streams = {}
        self._held.close()
        if (now := time.monotonic()) < self._open_at:
            return False
        self._open_at = now + _RETRY_EVERY
        try:
            folder = self._state / FOLDER
            store.make(self._state)
            folder.mkdir(exist_ok=True, mode=0o750)
            self._held.enter_context(supervisor.lock(folder / "lock"))
            ends = _ends(self._state)
            limit = max(1 << 16, min(1 << 26, self._space // 16))
            streams = {name: Stream(folder, name, limit, ends.get(name)) for name in STREAMS}
        except (StoreError, OSError) as error:
            self._held.close()
            self.fail(0, _reason(error, self._state / FOLDER))
            return False
        self._streams = streams
        self._pending += [event for stream in streams.values() for event in stream.mended]
        self.view = replace(self.view, trouble="")
        self._trim()
        return True

    def _one(self, item: _Item) -> dict[str, object] | None:
        """Write one record; what the ledger is told of where it is, None if it was not written."""
        if item.record is None:
            return {}
        stream = self._streams[_stream_of(item)]
        try:
            line = evidence.pack(item.record, stream.head)
            if stream.size + len(line) >= stream.limit and stream.is_begun:
                final = stream.anchor(is_final=True)
                stream.rotate()
                self._pending.append(final)
                self._trim()
                line = evidence.pack(item.record, stream.head)
            head = stream.append(line)
        except (OSError, ValueError) as error:
            self.fail(1, _reason(error, stream.path))
            return None
        self.view = replace(self.view, written_at=item.record.finding.at)
        return proof_of(stream, head)

    def _tell(self, item: _Item, proof: dict[str, object]) -> None:
        """Have the ledger told; what it knows already is told again with its proof alone."""
        self._pending += [
            replace(event, detail={**event.detail, **proof})
            for event in item.events
            if proof or FIRST not in event.detail
        ]

    def _sync(self, *, is_last: bool) -> set[str]:
        """Have the disk take what was written; the streams of which it may not have all.

        What a disk failed to take once it is not asked for again (fsync(2)), and the ledger does not answer
        for it before the stream goes on.
        """
        doubtful: set[str] = set()
        is_time = time.monotonic() - self._anchored_at >= _ANCHOR_EVERY
        for stream in self._streams.values():
            try:
                stream.sync()
            except OSError as error:
                self.fail(1, _reason(error, stream.path))
                doubtful.add(stream.name)
                continue
            if (is_time or is_last) and stream.is_ahead:
                self._pending.append(stream.anchor())
        if is_time:
            self._anchored_at = time.monotonic()
        self.view = replace(
            self.view,
            records=sum(stream.count for stream in self._streams.values()),
            octets=self._closed + sum(stream.size for stream in self._streams.values()),
        )
        return doubtful

    def _trim(self) -> None:
        """Have the oldest segments removed until the rest has room for one more."""
        folder = self._state / FOLDER
        current = {stream.path for stream in self._streams.values()}
        paths = {path for name in STREAMS for path in segments(folder / name)} - set(self._doomed)
        sizes = {path: path.stat() for path in paths}
        total = sum(stat.st_size for stat in sizes.values())
        limit = max(stream.limit for stream in self._streams.values())
        for path in sorted(sizes.keys() - current, key=lambda path: (sizes[path].st_mtime_ns, path)):
            if total + 2 * limit <= self._space:
                break
            self._doomed.append(path)
            total -= sizes[path].st_size
            detail = {"stream": path.parent.name, "segment": int(path.stem), "octets": sizes[path].st_size}
            self._pending.append(Event(at=time.time(), event="evidence-dropped", detail=detail))
        self._closed = total - sum(sizes[path].st_size for path in current)


def _stream_of(item: _Item) -> str:
    """The stream that its record belongs to; none without one."""
    return "" if item.record is None else "sealed" if item.is_sealed else "open"


def _reason(error: Exception, path: Path) -> str:
    return f"{path}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)


def _told(state: Path, settled: float) -> list[Known]:
    """The confirmations that the ledger has, and that were not taken back.

    None if it can't be read: it can't be written either then.
    """
    found: dict[tuple[str, str, str], Known] = {}
    with suppress(StoreError):
        for one in ledger.entries(state, only=("in-force", *ENDINGS, TAKEN_BACK)):
            facts = one.facts
            since, point = facts.get("since"), str(facts.get("point"))
            if one.event == TAKEN_BACK:
                found.pop((str(facts.get("change")), point, one.subject), None)
            elif isinstance(since, int):
                change = change_of(one.event)
                found[change, point, one.subject] = Known(
                    event=change,
                    point=point,
                    ref=one.subject,
                    transition=since,
                    unproven=None if facts.get("evidence") else one.at,
                    is_fresh=one.at > settled,
                )
    return list(found.values())


def _ends(state: Path) -> dict[str, End]:
    found = {}
    with suppress(StoreError):
        for one in ledger.entries(state, only=("evidence",)):
            if (anchor := anchor_of(one.facts)) is not None:
                found[anchor[0]] = anchor[1]
    return found
