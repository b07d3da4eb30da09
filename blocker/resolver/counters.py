"""The resolver's counters: one shared file, one block for each worker, no locks.

The parent creates the file before it forks, each worker adds to its own block, and the metrics process
reads them all whenever it is asked. A block has one writer and every field is one aligned 64-bit word, so
a reader sees the old number or the new one. The file is replaced, never resized, when the resolver
starts: a reader that still maps the old one is not disturbed, and counters begin at 0 as Prometheus
expects of a restarted process. A worker that is restarted goes on counting in its block.

Layout, in native 64-bit words: magic, number of workers, number of fields, 0; then the blocks.
"""

from __future__ import annotations

import mmap
import os
import struct
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import TYPE_CHECKING

from blocker.errors import StoreError

if TYPE_CHECKING:
    from pathlib import Path

FILE = "counters"

_MAGIC = int.from_bytes(b"blkcnt02", "big")
_HEADER_WORDS = 4
_WORD = 8
_MOST_WORKERS = 1024


class Count(IntEnum):
    """What a worker tells of itself; the names are the fields of WorkerCounts.

    The first four are levels (the last value holds), all others only grow.
    """

    PID = 0
    GENERATION = 1  # Of the policy that the worker decides by; 0 until it has read one.
    CACHE_ENTRIES = 2
    CACHE_OCTETS = 3
    STARTS = 4  # Times the worker was started; more than 1 means that it was restarted.
    QUERIES = 5  # Datagrams and TCP messages received; each is counted as one of the outcomes below, too.
    BLOCKED = 6
    FORWARDED = 7  # Answered with what an upstream said for this very query, or for its duplicate.
    CACHE_HITS = 8
    REFUSED = 9  # Client not allowed, zone transfer, class other than IN.
    MALFORMED = 10  # Answered FORMERR, NOTIMP or BADVERS.
    DROPPED = 11  # Not answered: a response, too short for a header, or more than we hold in flight.
    OWN = 12  # Answered by ourselves: CHAOS id.server, ANY.
    FAILED = 13  # Answered SERVFAIL because no upstream gave a usable answer.
    ERRORS = 14  # Answered SERVFAIL because of a bug or an unreadable store.
    TRUNCATED = 15  # Of the answers above, those sent with TC.
    UNSENT = 16  # Answers that the socket did not take.
    STORE_ERRORS = 17  # Failed reads of the policy store.
    UPSTREAM_QUERIES = 18
    UPSTREAM_TIMEOUTS = 19
    UPSTREAM_MISMATCHED = 20  # Wrong id, wrong question, wrong source, or not a DNS message.
    UPSTREAM_FAILURES = 21  # Refused connections, SERVFAIL and REFUSED of an upstream.
    UPSTREAM_TCP = 22
    MERGED = 23  # Queries that waited for the answer to an identical one.
    TCP_CONNECTIONS = 24
    TCP_REJECTED = 25  # Connections closed at once because of a limit.
    UPSTREAM_QUESTIONS = 26  # Ended, with an answer or without; one may take several queries.
    UPSTREAM_MICROSECONDS = 27  # That those took, in all.


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerCounts:
    """The counters of one worker; the meaning of each is at its name in Count."""

    worker: int
    pid: int
    generation: int
    cache_entries: int
    cache_octets: int
    starts: int
    queries: int
    blocked: int
    forwarded: int
    cache_hits: int
    refused: int
    malformed: int
    dropped: int
    own: int
    failed: int
    errors: int
    truncated: int
    unsent: int
    store_errors: int
    upstream_queries: int
    upstream_timeouts: int
    upstream_mismatched: int
    upstream_failures: int
    upstream_tcp: int
    merged: int
    tcp_connections: int
    tcp_rejected: int
    upstream_questions: int
    upstream_microseconds: int


COUNTER_NAMES = tuple(field.name for field in fields(WorkerCounts))[1:]
"""Names of the fields in the order of Count."""


class Counters:
    """The shared file, mapped for writing; made by the parent and inherited over fork."""

    def __init__(self, path: Path, workers: int) -> None:
        """Create the file afresh. Raises StoreError."""
        if not 0 < workers <= _MOST_WORKERS:
            raise ValueError(f"{workers} workers: 1 to {_MOST_WORKERS} can be counted")
        size = (_HEADER_WORDS + workers * len(Count)) * _WORD
        scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            handle = os.open(scratch, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)
            try:
                header = struct.pack(f"={_HEADER_WORDS}Q", _MAGIC, workers, len(Count), 0)
                # Written, not left sparse: a full disk must fail here, not as SIGBUS in a worker.
                os.write(handle, header.ljust(size, b"\0"))
                self._map = mmap.mmap(handle, size)
            finally:
                os.close(handle)
            scratch.replace(path)
        except OSError as error:
            raise StoreError(f"{path}: the counters file can't be created: {error.strerror}") from error
        self.workers = workers

    def block(self, worker: int) -> memoryview:
        """The worker's words, to be indexed by Count: `block[Count.QUERIES] += 1`."""
        if not 0 <= worker < self.workers:
            raise IndexError(f"worker {worker} of {self.workers}")
        start = (_HEADER_WORDS + worker * len(Count)) * _WORD
        return memoryview(self._map)[start : start + len(Count) * _WORD].cast("Q")


def read(path: Path) -> tuple[WorkerCounts, ...]:
    """The counters of every worker, by number. Raises StoreError if there are none to be read."""
    try:
        octets = path.read_bytes()
    except OSError as error:
        raise StoreError(
            f"{path}: the counters can't be read: {error.strerror}; the resolver writes them while it runs"
        ) from error
    words = struct.unpack(f"={len(octets) // _WORD}Q", octets[: len(octets) // _WORD * _WORD])
    if len(words) < _HEADER_WORDS or words[0] != _MAGIC or words[2] != len(Count):
        raise StoreError(f"{path}: not a counters file of this version; restart the resolver to renew it")
    if words[1] > _MOST_WORKERS or len(words) != _HEADER_WORDS + words[1] * len(Count):
        raise StoreError(f"{path}: the counters file is cut off; restart the resolver to renew it")
    found = []
    for worker in range(words[1]):
        start = _HEADER_WORDS + worker * len(Count)
        block = words[start : start + len(Count)]
        found.append(WorkerCounts(worker=worker, **dict(zip(COUNTER_NAMES, block, strict=True))))
    return tuple(found)
