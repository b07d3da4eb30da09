"""The zone of a region as a file: for Knot Resolver, and for whoever loads zones from files.

A shell, and a target of the pusher. The new zone is written aside, synced and renamed: a reader finds the old
file or the new one, never half of one, and a full disk leaves the old one where it is. A file that says what
it must is left alone, so nobody reloads for nothing. Its serial only grows.

Should two writers meet, each writes aside under a name of its own and keeps a lock on it: what nobody has
locked was left by one that was killed.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from blocker.errors import StoreError
from blocker.names import Key
from blocker.policy import store
from blocker.rpz import zone
from blocker.rpz.delta import edits
from blocker.rpz.zone import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import TextIO

    from blocker.policy.store import Snapshot

FOLDER = "rpz"
"""Below the state directory."""

Look = tuple[int, int, int]
"""What changes when somebody writes to a file."""

_ASIDE = ".new"
_UNREADABLE = Entry(Key(b"\xff"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneChange:
    """A zone written aside, ready to be renamed. `size` are the owners that differ from the present file.

    `seen` is how that file looked, `lack` is as in fleet.push.Change.
    """

    size: int
    number: int
    seen: Look
    lack: str

    @property
    def is_empty(self) -> bool:
        return self.size == 0


class ZoneFile:
    """The target `file <zone>`: state/rpz/<zone>.zone. `zone` is canonical text."""

    def __init__(
        self,
        *,
        zone: str,
        region: str,
        state: Path,
        pulse: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"file {zone}"
        self.path = state / FOLDER / f"{zone}.zone"
        self._state = state
        self._zone, self._region, self._pulse, self._clock = zone, region, pulse, clock
        self._scratch: IO[str] | None = None
        self._number = 0
        self._seen: Look | None = None

    def prepare(self, policy: Snapshot, t: int) -> ZoneChange:
        """The zone as it must be at `t`, written aside. Raises StoreError."""
        self._number += 1
        folder(self._state)
        try:
            self._drop()
            self._sweep()
            change = self._write(policy, t)
            if change.is_empty:
                self._drop()
        except OSError as error:
            self._drop()
            raise self._failed(error) from error
        return change

    def _write(self, policy: Snapshot, t: int) -> ZoneChange:
        ttl = policy.enforcement.ttl
        comment = (
            f"generation {policy.generation.number} of {policy.generation.digest[:16]}, "
            f"as of {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t))}; written by blocker push"
        )
        with open_lines(self.path) as held:
            seen = _look(os.fstat(held.fileno()))
            new = self._scratch = self._aside()
            serial, is_ours = _head(held, self._zone, ttl)
            new.write(
                zone.header(
                    self._zone, serial=zone.successor(serial, self._clock()), ttl=ttl, comment=comment
                )
            )
            unsaid = zone.Unsaid()
            batches = zone.batches(policy, self._zone, self._region, t, unsaid=unsaid)
            size = 0 if is_ours else 1
            size += sum(1 for _ in edits(_readable(held), self._written(batches, new)))
            new.flush()
            if size:
                os.fsync(new.fileno())
        return ZoneChange(size=size, number=self._number, seen=seen, lack=unsaid.sentence(self._zone))

    def _aside(self) -> IO[str]:
        """A new file beside the zone's, locked as long as it is open."""
        new = tempfile.NamedTemporaryFile(  # noqa: SIM115 - closed when it is sent, or another is prepared
            "w", encoding="ascii", dir=self.path.parent, prefix=f"{self._zone}.", suffix=_ASIDE, delete=False
        )
        fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.fchmod(new.fileno(), 0o640)
        return new

    def _sweep(self) -> None:
        """Remove what writers wrote aside and were killed over."""
        for path in self.path.parent.glob(f"{self._zone}.*{_ASIDE}"):
            with suppress(OSError), path.open("rb") as file:  # It may be in use, gone, or another user's.
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()

    def _drop(self) -> None:
        """Let go of what was prepared last."""
        if self._scratch is not None:
            Path(self._scratch.name).unlink(missing_ok=True)
            with suppress(OSError):  # What a full disk did not take is of no use now.
                self._scratch.close()
            self._scratch = None

    def _written(self, batches: Iterable[list[Entry]], new: IO[str]) -> Iterator[Entry]:
        """Every entry, written on its way."""
        for batch in batches:
            self._pulse()
            new.writelines(map(zone.lines, batch))
            yield from batch

    def send(self, change: ZoneChange) -> int:
        """Rename what was prepared last. Raises StoreError."""
        if change.is_empty:
            self._seen = change.seen
            return 0
        if change.number != self._number:
            raise StoreError(f"{self.path}: another change was prepared since; it is prepared again")
        new = self._scratch
        if new is None:
            return 0  # It was sent already.
        try:
            self._seen = _look(os.fstat(new.fileno()))
            Path(new.name).replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._failed(error) from error
        self._scratch = None
        new.close()
        return change.size

    def is_whole(self) -> bool:
        """Whether nobody touched the file since: only what was sent counts, whatever prepare found."""
        try:
            return _look(self.path.stat()) == self._seen
        except OSError:
            return False

    def _failed(self, error: OSError) -> StoreError:
        return StoreError(
            f"{self.path}: {error.strerror or error}; the old zone stays. "
            "Mend the disk or its rights; it is tried again"
        )


def folder(state: Path) -> Path:
    """state/rpz, made where it is missing. Raises StoreError."""
    found = state / FOLDER
    try:
        store.make(state)
        if not found.is_dir():
            found.mkdir()
            found.chmod(0o2750)
    except OSError as error:
        raise StoreError(f"{found}: {error.strerror or error}") from error
    return found


def sync_folder(path: Path) -> None:
    """A rename lasts only once its folder is on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _look(status: os.stat_result) -> Look:
    return status.st_ino, status.st_size, status.st_mtime_ns


def open_lines(path: Path) -> TextIO:
    """The file as text, or nothing where there is none. Raises OSError."""
    try:
        return path.open(encoding="ascii", errors="replace")
    except FileNotFoundError:
        return open(os.devnull, encoding="ascii")  # noqa: PTH123 - no path of ours


def _head(held: TextIO, name: str, ttl: int) -> tuple[int, bool]:
    """The serial of the file, 0 if it has none, and whether its head is as it must be."""
    head = [held.readline(1000) for _ in range(5)]
    try:
        serial = int(head[3].split(" ")[4])
    except (IndexError, ValueError):
        return 0, False
    expected = zone.header(name, serial=serial, ttl=ttl, comment="")
    return serial & 0xFFFFFFFF, head[1:] == expected.splitlines(keepends=True)[1:]


def _readable(held: TextIO) -> Iterator[Entry]:
    """The entries of the file up to where it can't be read, which nothing equals."""
    try:
        yield from zone.parse(held)
    except ValueError:
        yield _UNREADABLE
