"""The live policy as one worker has it: read when it is asked for, and never a reason to die.

- Nothing is opened before the first snapshot: a worker has its sockets whatever is the matter with the store.
- While the store can't be opened, every snapshot is a StoreError, so no query passes unfiltered. Opening is
  tried again twice a second: DNS is back within a second of the repair.
- Reading a large policy takes seconds, in which the loop stands still. A thread beats meanwhile, so that
  nobody is killed for a read that goes on; but not for ever, for a disk may hang.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from blocker.policy.store import Snapshot

REOPEN = 0.5
"""Seconds between attempts to open a store that failed."""

LONGEST_READ = 60.0
"""Seconds that one read may take before the heartbeat is left to end."""

PULSE = 0.25
"""Seconds between the beats of a read."""


class LivePolicy:
    """The store in `state`, for one worker; `beat` is the worker's heartbeat.

    `opener` makes the Reader. Must be made after the fork, for it has a thread.
    """

    def __init__(
        self, state: Path, beat: Callable[[], None], *, opener: Callable[[Path], Reader] = Reader
    ) -> None:
        self._state = state
        self._beat = beat
        self._opener = opener
        self._reader: Reader | None = None
        self._due = 0.0
        self._why = "the policy store is not open yet"
        self._since = 0.0  # When the read under way began; 0: there is none.
        self._closed = threading.Event()
        threading.Thread(target=self._pulse, name="pulse", daemon=True).start()

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The policy of this instant. Raises StoreError, and what else a disk may raise."""
        self._since = time.monotonic()
        try:
            with self._opened(self._since).snapshot() as policy:
                self._since = 0.0
                yield policy
        finally:
            self._since = 0.0

    def _opened(self, now: float) -> Reader:
        if self._reader is None:
            if now < self._due:
                raise StoreError(self._why)
            try:
                self._reader = self._opener(self._state)
            except Exception as error:
                self._why = str(error)
                raise
            finally:
                self._due = time.monotonic() + REOPEN
        return self._reader

    def failed(self) -> None:
        """A snapshot failed: the next one opens the store afresh, unless that was done just now."""
        if self._reader is not None and time.monotonic() >= self._due:
            with contextlib.suppress(Exception):  # One process can't open a store twice: the old one first.
                self._reader.close()
            self._reader = None

    def _pulse(self) -> None:
        while not self._closed.wait(PULSE):
            since = self._since
            if since and time.monotonic() - since < LONGEST_READ:
                self._beat()

    def close(self) -> None:
        """No more beats, and the store is let go."""
        self._closed.set()
        if self._reader is not None:
            self._reader.close()
