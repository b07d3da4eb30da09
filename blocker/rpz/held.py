"""What a primary holds, as far as we know: the entries of its zone as they were last confirmed.

A shell around one LMDB file, state/rpz/<zone>.held, of one process. It says nothing by itself: only while the
primary answers with the serial kept beside the entries are they what it holds. A change costs its own size.
The file is opened when it is first asked for something, and one that can't be read, then or later, is made
anew: then nothing is known, and all is read from the primary.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import struct
import time
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import lmdb

from blocker.errors import StoreError
from blocker.names import Key
from blocker.policy import store
from blocker.rpz.zone import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from blocker.rpz.delta import Edit

_MAP_SIZE = 16 << 30
_META = struct.Struct("!II")
_AT_ONCE = 10_000  # entries in one transaction while all are written anew
_TICK = 0.01  # seconds between two looks at whether the file has been read through

_GARBLED = (
    lmdb.BadTxnError,
    lmdb.CorruptedError,
    lmdb.InvalidError,
    lmdb.PageNotFoundError,
    lmdb.PanicError,
    lmdb.VersionMismatchError,
    UnicodeDecodeError,
    struct.error,
)


class Held:
    """The file. Raises StoreError where the disk does not keep its word.

    `pulse` is called now and then while a file from before is read through.
    """

    def __init__(self, path: Path, *, pulse: Callable[[], None]) -> None:
        self._path, self._pulse = path, pulse
        self._env: Any = None
        self._is_garbled = False

    def state(self) -> tuple[int, int] | None:
        """The serial and the TTL that the entries were confirmed with; None if they never were."""
        with self._transaction() as txn:
            found = txn.get(b"state", db=self._meta)
            return None if found is None else _META.unpack(found)

    def entries(self) -> Iterator[Entry]:
        """All entries in order; in one transaction, so be quick."""
        with self._transaction() as txn:
            for owner, rule in txn.cursor(db=self._entries):
                yield Entry(Key(owner), rule.decode("ascii"))

    def rule(self, owner: Key) -> str | None:
        """The rule of one owner."""
        with self._transaction() as txn:
            found = txn.get(owner, db=self._entries)
            return None if found is None else found.decode("ascii")

    def change(self, edits: Iterable[Edit], *, serial: int, ttl: int) -> None:
        """What was confirmed: these edits, and that the zone has this serial now."""
        with self._transaction(write=True) as txn:
            for edit in edits:
                if not edit.owner:
                    continue  # The apex, of which nothing is kept.
                if edit.now is None:
                    txn.delete(edit.owner, db=self._entries)
                else:
                    txn.put(edit.owner, edit.now.encode("ascii"), db=self._entries)
            txn.put(b"state", _META.pack(serial, ttl), db=self._meta)

    def replace(self, entries: Iterable[tuple[bytes, str]], *, serial: int, ttl: int) -> None:
        """Forget everything; these are the rules of owners now, in any order.

        What comes for the same owner is put together.
        """
        with self._transaction(write=True) as txn:
            txn.drop(self._entries, delete=False)
            txn.delete(b"state", db=self._meta)
        batch: list[tuple[bytes, str]] = []
        for entry in entries:
            batch.append(entry)
            if len(batch) >= _AT_ONCE:
                self._add(batch)
                batch = []
        self._add(batch)
        self.change((), serial=serial, ttl=ttl)

    def _add(self, batch: list[tuple[bytes, str]]) -> None:
        with self._transaction(write=True) as txn:
            for owner, rule in batch:
                there = txn.get(owner, db=self._entries)
                rules = (
                    [rule] if there is None else sorted([*there.decode("ascii").split(" "), rule], key=_order)
                )
                txn.put(owner, " ".join(rules).encode("ascii"), db=self._entries)

    @contextmanager
    def _transaction(self, *, write: bool = False) -> Iterator[Any]:
        try:
            with self._opened().begin(write=write) as txn:
                yield txn
        except _GARBLED as error:
            self._is_garbled = True
            raise StoreError(
                f"{self._path}: it can't be read ({error}); it is made anew from what the primary holds"
            ) from error
        except (lmdb.Error, OSError) as error:
            raise StoreError(
                f"{self._path}: {error}; mend the disk or its rights, it is tried again"
            ) from error

    def _opened(self) -> Any:
        if self._env is not None and not self._is_garbled:
            return self._env
        self.close()
        if self._is_garbled or not self._is_sound():
            for path in (self._path, self._path.with_name(self._path.name + "-lock")):
                path.unlink(missing_ok=True)
            self._is_garbled = False
        self._open()
        return self._env

    def _open(self) -> None:
        self._env = lmdb.open(str(self._path), subdir=False, map_size=_MAP_SIZE, max_dbs=2, mode=0o640)
        if store.is_truncated(self._path, self._env):
            raise lmdb.InvalidError("it is truncated")
        self._entries, self._meta = (self._env.open_db(name) for name in (b"entries", b"meta"))

    def _is_sound(self) -> bool:
        """Whether all of the file can be read, found out by a process that may die of it.

        Some garbage is no error to LMDB: it ends who reads it, who would be started again to the same end.
        """
        if not self._path.exists():
            return True
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                faulthandler.disable()  # Its death says enough.
                self._open()
                self.state()
                last = b""
                for owner, _ in self.entries():
                    if owner <= last:  # Garbage may lead in a circle, and its reader round and round.
                        break
                    last = owner
                else:
                    code = 0
                self.close()
            finally:
                os._exit(code)
        found = 0
        try:
            while True:
                found, status = os.waitpid(pid, os.WNOHANG)
                if found:
                    return status == 0
                self._pulse()
                time.sleep(_TICK)
        finally:
            if not found:  # The pulse says that there is more urgent work than this.
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def close(self) -> None:
        """Let go of the file."""
        if self._env is not None:
            self._env.close()
            self._env = None


def _order(address: str) -> tuple[bool, int, str]:
    """That of the rules that zones are rendered with: IPv4 before IPv6, each by its value."""
    try:
        found = ip_address(address)
    except ValueError:
        return True, 1 << 128, address
    return found.version == 6, int(found), ""
