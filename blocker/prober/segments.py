"""Segments: how evidence lies on the disk, `state/evidence/<stream>/00000001.jsonl` and so on.

Shell. A segment is chained lines, the first of which says what came before it. It is only appended to; a line
that could not be written whole is taken back, and one that a crash left incomplete is cut off when the stream
is opened.
"""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy.chain import Event, Head, link
from blocker.prober import evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

FOLDER = "evidence"
STREAMS: dict[str, tuple[int, int]] = {"open": (0o750, 0o640), "sealed": (0o700, 0o600)}
"""The streams, with the modes of their folders and files. What has to do with a sealed order is in
`sealed`.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """Where a stream ends: in which segment, and its head; the count is of records from the beginning."""

    segment: int
    head: Head


def anchor_of(facts: dict[str, object]) -> tuple[str, End] | None:
    stream, segment, records, head = (facts.get(name) for name in ("stream", "segment", "records", "head"))
    if isinstance(segment, int) and isinstance(records, int) and isinstance(head, str):
        return str(stream), End(segment=segment, head=Head(count=records, hash=head))
    return None


def named_of(facts: dict[str, object]) -> tuple[str, int, str] | None:
    """The record that an event of the ledger names: its stream, segment and hash."""
    stream, segment, record = (facts.get(name) for name in ("stream", "segment", "evidence"))
    return (
        (stream, segment, record)
        if isinstance(stream, str) and isinstance(segment, int) and isinstance(record, str)
        else None
    )


def proof_of(stream: Stream, record: str) -> dict[str, object]:
    """How an event of the ledger names the record, by its hash, that was just written."""
    return {"evidence": record, "stream": stream.name, "segment": stream.segment}


class Stream:
    """The segment of one stream that is written. Opening it mends what a crash left; raises OSError and
    StoreError.

    `ends` are where the ledger saw its segments end, the latest last. Each segment says how the one before it
    ended: of those that the ledger was not told of, `mended` tells.
    """

    def __init__(self, folder: Path, name: str, limit: int, ends: Sequence[End]) -> None:
        self.name, self.limit = name, limit
        self._folder = folder / name
        self._mode = STREAMS[name][1]
        self.mended: list[Event] = []
        self._folder.mkdir(exist_ok=True, mode=STREAMS[name][0])
        self._folder.chmod(STREAMS[name][0])
        found = segments(self._folder)
        before = ends[-1] if ends else End(segment=0, head=Head())
        while found:
            last = _whole_part(found[-1])
            if last.end is not None:
                self.mended += (_told(name, one, is_final=True) for one in _endings(found) if one not in ends)
                self._take_up(found[-1], last)
                return
            # Not even its first line is whole: nothing is lost with it.
            found.pop().unlink()
        self._begin(before)

    def _take_up(self, path: Path, last: _Part) -> None:
        assert last.end is not None  # noqa: S101  # for the type checker; the caller looked
        self.path, self.segment = path, last.end.segment
        self.head, self.count, self.size = last.end.head.hash, last.end.head.count, last.octets
        self._fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self._anchored = -1
        if last.torn:
            os.ftruncate(self._fd, last.octets)
            digest = hashlib.sha256(last.torn).hexdigest()
            detail = {
                "stream": self.name,
                "segment": self.segment,
                "octets": len(last.torn),
                "sha256": digest,
            }
            self.mended.append(Event(at=time.time(), event="evidence-cut", detail=detail))
        os.lseek(self._fd, last.octets, os.SEEK_SET)

    def _begin(self, before: End) -> None:
        segment = before.segment + 1
        path = self._folder / f"{segment:08d}.jsonl"
        opening = evidence.Opening(
            segment=segment, before=before.head.count, at=time.time(), prev=before.head.hash
        )
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, self._mode)
        try:
            os.fchmod(handle, self._mode)
            line = evidence.pack_opening(opening)
            _write(handle, line + b"\n", 0)
        except OSError:
            os.close(handle)
            path.unlink()
            raise
        self.path, self.segment, self._fd = path, segment, handle
        self.count, self.size = before.head.count, len(line) + 1
        self.head = link(before.head.hash, line)
        self._anchored = self.count

    @property
    def is_there(self) -> bool:
        """Whether the file has a name still."""
        return os.fstat(self._fd).st_nlink > 0

    @property
    def is_begun(self) -> bool:
        """Whether there is more in it than its first line."""
        return self.size > 512

    @property
    def is_ahead(self) -> bool:
        """Whether there are records that the ledger doesn't answer for."""
        return self.count != self._anchored

    def append(self, line: bytes) -> str:
        """Write one line; its hash. Raises OSError, and then nothing of it is left."""
        if len(line) > self.limit:
            raise ValueError(f"a record of {len(line)} octets is longer than a segment")
        _write(self._fd, line + b"\n", self.size)
        self.size += len(line) + 1
        self.head = link(self.head, line)
        self.count += 1
        return self.head

    def sync(self) -> None:
        os.fdatasync(self._fd)

    def anchor(self, *, is_final: bool = False) -> Event:
        """What the ledger is told of where the stream is."""
        self._anchored = self.count
        end = End(segment=self.segment, head=Head(count=self.count, hash=self.head))
        return _told(self.name, end, is_final=is_final)

    def rotate(self) -> None:
        """Go on in another segment. Raises OSError; then this one goes on."""
        self.sync()
        old = self._fd
        self._begin(End(segment=self.segment, head=Head(count=self.count, hash=self.head)))
        os.close(old)

    def close(self) -> None:
        os.close(self._fd)


def _told(stream: str, end: End, *, is_final: bool) -> Event:
    detail = {
        "stream": stream,
        "segment": end.segment,
        "records": end.head.count,
        "head": end.head.hash,
        "final": is_final,
    }
    return Event(at=time.time(), event="evidence", detail=detail)


def _endings(paths: Iterable[Path]) -> Iterator[End]:
    """Where the segments before these ended, as their first lines say; what can't be read says nothing."""
    for path in paths:
        with path.open("rb") as file, suppress(evidence.Unreadable):
            opening = evidence.unpack_opening(file.readline().removesuffix(b"\n"))
            if opening.segment > 1:
                yield End(segment=opening.segment - 1, head=Head(count=opening.before, hash=opening.prev))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """The whole lines of a segment: how many octets, where they end, None if not even the first is one, and
    what comes after them.
    """

    octets: int
    end: End | None
    torn: bytes


def _whole_part(path: Path) -> _Part:
    octets = path.read_bytes()
    size = octets.rfind(b"\n") + 1
    lines = octets[:size].split(b"\n")[:-1]
    end = None
    if lines:
        try:
            opening = evidence.unpack_opening(lines[0])
        except evidence.Unreadable as error:  # Another version's, or damaged: nobody's to remove.
            why = f"evidence can't be gone on with: {error}; move the file away"
            raise StoreError(f"{path}: {why}") from error
        head = opening.prev
        for line in lines:
            head = link(head, line)
        end = End(segment=opening.segment, head=Head(count=opening.before + len(lines) - 1, hash=head))
    return _Part(octets=size, end=end, torn=octets[size:])


def _write(handle: int, octets: bytes, at: int) -> None:
    """All of them at an offset; if that fails, the file ends there again."""
    done = 0
    try:
        while done < len(octets):
            done += os.pwrite(handle, octets[done:], at + done)
    except OSError:
        with suppress(OSError):
            os.ftruncate(handle, at)
        raise


def segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.jsonl") if path.stem.isdecimal())
