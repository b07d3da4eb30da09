"""What a primary holds, as far as we know: the entries of its zone as they were last confirmed.

A shell around one LMDB file, state/rpz/<zone>.held, of one process. It says nothing by itself: only while the
primary answers with the serial kept beside the entries are they what it holds. A change costs its own
size; a file that can't be read is made anew.
"""

from __future__ import annotations

import struct
from contextlib import contextmanager
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

import lmdb

from blocker.errors import StoreError
from blocker.names import Key
from blocker.rpz.zone import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from blocker.rpz.delta import Edit

_MAP_SIZE = 16 << 30
_META = struct.Struct("!II")
_AT_ONCE = 10_000  # entries in one transaction while all are written anew


class Held:
    """The file. Raises StoreError where the disk does not keep its word."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._open()
            self.state()
        except (lmdb.Error, struct.error):
            self.close()
            with self._telling():
                self._remove()
                self._open()

    def _open(self) -> None:
        self._env: Any = None
        self._env = lmdb.open(str(self._path), subdir=False, map_size=_MAP_SIZE, max_dbs=2, mode=0o640)
        self._entries, self._meta = (self._env.open_db(name) for name in (b"entries", b"meta"))

    def _remove(self) -> None:
        for path in (self._path, self._path.with_name(self._path.name + "-lock")):
            path.unlink(missing_ok=True)

    def state(self) -> tuple[int, int] | None:
        """The serial and the TTL that the entries were confirmed with; None if they never were."""
        with self._telling(), self._env.begin() as txn:
            found = txn.get(b"state", db=self._meta)
            return None if found is None else _META.unpack(found)

    def entries(self) -> Iterator[Entry]:
        """All entries in order; in one transaction, so be quick."""
        with self._env.begin() as txn:
            for owner, rule in txn.cursor(db=self._entries):
                yield Entry(Key(owner), rule.decode("ascii"))

    def rule(self, owner: Key) -> str | None:
        """The rule of one owner."""
        with self._telling(), self._env.begin() as txn:
            found = txn.get(owner, db=self._entries)
            return None if found is None else found.decode("ascii")

    def change(self, edits: Iterable[Edit], *, serial: int, ttl: int) -> None:
        """What was confirmed: these edits, and that the zone has this serial now."""
        with self._telling(), self._env.begin(write=True) as txn:
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
        with self._telling():
            with self._env.begin(write=True) as txn:
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
        with self._env.begin(write=True) as txn:
            for owner, rule in batch:
                there = txn.get(owner, db=self._entries)
                rules = (
                    [rule] if there is None else sorted([*there.decode("ascii").split(" "), rule], key=_order)
                )
                txn.put(owner, " ".join(rules).encode("ascii"), db=self._entries)

    def forget(self) -> None:
        """Nothing is known any more."""
        with self._telling(), self._env.begin(write=True) as txn:
            txn.delete(b"state", db=self._meta)

    @contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (lmdb.Error, OSError) as error:
            raise StoreError(
                f"{self._path}: {error}; mend the disk or its rights, it is tried again"
            ) from error

    def close(self) -> None:
        """Let go of the file."""
        if self._env is not None:
            self._env.close()


def _order(address: str) -> tuple[bool, int, str]:
    """That of the rules that zones are rendered with: IPv4 before IPv6, each by its value."""
    try:
        found = ip_address(address)
    except ValueError:
        return True, 1 << 128, address
    return found.version == 6, int(found), ""
