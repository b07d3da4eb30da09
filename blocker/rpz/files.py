"""The zone of a region as a file: for Knot Resolver, and for whoever loads zones from files.

A shell, and a target of the pusher. The new zone is written aside, synced and renamed: a reader finds the old
file or the new one, never half of one, and a full disk leaves the old one where it is. A file that says what
it must is left alone, so nobody reloads for nothing. Its serial only grows.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.errors import StoreError
from blocker.names import Key
from blocker.policy import store
from blocker.rpz import zone
from blocker.rpz.delta import edits
from blocker.rpz.zone import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path
    from typing import TextIO

    from blocker.policy.store import Snapshot

FOLDER = "rpz"
"""Below the state directory."""

_UNREADABLE = Entry(Key(b"\xff"), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class ZoneChange:
    """A zone written aside, ready to be renamed. `size` are the owners that differ from the present file."""

    size: int
    number: int = 0

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
        self.path = folder(state) / f"{zone}.zone"
        self._scratch = self.path.with_suffix(".new")
        self._zone, self._region, self._pulse, self._clock = zone, region, pulse, clock
        self._number = 0
        self._seen: tuple[int, int, int] | None = None

    def prepare(self, policy: Snapshot, t: int) -> ZoneChange:
        """The zone as it must be at `t`, written aside. Raises StoreError."""
        self._number += 1
        try:
            size = self._write(policy, t)
        except OSError as error:
            self._scratch.unlink(missing_ok=True)
            raise self._failed(error) from error
        return ZoneChange(size=size, number=self._number)

    def _write(self, policy: Snapshot, t: int) -> int:
        ttl = policy.enforcement.ttl
        comment = (
            f"generation {policy.generation.number} of {policy.generation.digest[:16]}, "
            f"as of {time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(t))}; written by blocker push"
        )
        self._seen = self._look()
        with open_lines(self.path) as held, self._scratch.open("w", encoding="ascii") as new:
            os.fchmod(new.fileno(), 0o640)
            serial, is_ours = _head(held, self._zone, ttl)
            new.write(
                zone.header(
                    self._zone, serial=zone.successor(serial, self._clock()), ttl=ttl, comment=comment
                )
            )
            batches = zone.batches(policy, self._zone, self._region, t)
            size = 0 if is_ours else 1
            size += sum(1 for _ in edits(_readable(held), self._written(batches, new)))
            new.flush()
            if size:
                os.fsync(new.fileno())
        if not size:
            self._scratch.unlink()
        return size

    def _written(self, batches: Iterable[list[Entry]], new: TextIO) -> Iterator[Entry]:
        """Every entry, written on its way."""
        for batch in batches:
            self._pulse()
            new.writelines(map(zone.lines, batch))
            yield from batch

    def send(self, change: ZoneChange) -> int:
        """Rename what was prepared last. Raises StoreError."""
        if change.is_empty:
            return 0
        if change.number != self._number:
            raise StoreError(f"{self.path}: another change was prepared since; it is prepared again")
        try:
            self._scratch.replace(self.path)
            sync_folder(self.path.parent)
        except OSError as error:
            raise self._failed(error) from error
        self._seen = self._look()
        return change.size

    def is_whole(self) -> bool:
        """Whether nobody touched the file since."""
        return self._look() == self._seen

    def _look(self) -> tuple[int, int, int] | None:
        try:
            status = self.path.stat()
        except OSError:
            return None
        return status.st_ino, status.st_size, status.st_mtime_ns

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
