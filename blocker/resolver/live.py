"""The live policy as one worker has it: read when it is asked for, and never a reason to die.

- Nothing is opened before the first snapshot: a worker has its sockets whatever is the matter with the store.
- While the store can't be opened, every snapshot is a StoreError, so no query passes unfiltered. Opening is
  tried again twice a second: DNS is back within a second of the repair.
- Reading a large policy takes seconds, in which the loop stands still: the read itself beats meanwhile.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from blocker.policy.store import Snapshot

REOPEN = 0.5
"""Seconds between attempts to open a store that failed."""


class LivePolicy:
    """The store in `state`, for one worker; `beat` is the worker's heartbeat. To be made after the fork."""

    def __init__(self, state: Path, beat: Callable[[], None]) -> None:
        self._state = state
        self._beat = beat
        self._reader: Reader | None = None
        self._due = 0.0
        self._why = "the policy store is not open yet"

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """The policy of this instant. Raises StoreError, and what else a disk may raise."""
        return self._opened().snapshot()

    def _opened(self) -> Reader:
        if self._reader is None:
            if time.monotonic() < self._due:
                raise StoreError(self._why)
            try:
                self._reader = Reader(self._state, pulse=self._beat)
            except Exception as error:
                self._why = str(error)
                raise
            finally:
                self._due = time.monotonic() + REOPEN
        return self._reader

    @property
    def trouble(self) -> str:
        """Why a newer store is not in force, empty if it is."""
        return "" if self._reader is None else self._reader.trouble

    @property
    def is_overtaken(self) -> bool:
        """Whether the store holds something newer than the last snapshot."""
        return self._reader is not None and self._reader.is_overtaken

    def failed(self) -> None:
        """A snapshot failed: the next one opens the store afresh, unless that was done just now."""
        if self._reader is not None and time.monotonic() >= self._due:
            with contextlib.suppress(Exception):  # One process can't open a store twice: the old one first.
                self._reader.close()
            self._reader = None

    def close(self) -> None:
        """Let the store go."""
        if self._reader is not None:
            self._reader.close()
