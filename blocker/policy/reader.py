"""The policy store as enforcers read it: one Reader in a process, one snapshot for each batch of work.

It notices a new generation by LMDB's own transaction number and a replaced file by its inode. What can't be
read is never enforced in part; a new file that can't be read leaves the old one in force.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any

import lmdb

from blocker.errors import NothingApplied, StoreError
from blocker.policy import records, store
from blocker.policy.store import Snapshot

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_REPLACED_EVERY = 0.1  # seconds between looks at whether the file was replaced
_OPENINGS = count(1)
"""Of all Readers of this process: a store made anew counts its transactions from 1 again, and what was
concluded from the old one must not pass for what the new one says."""


class Reader:
    """The store as enforcers read it: open once per process, one snapshot per batch of work.

    A replaced file is noticed within 0.1 s; while the new one can't be read the old one goes on serving,
    and `trouble` says why. `pulse` is called now and then while a large policy is read, which takes seconds:
    whose heart beats by it is not taken for dead.
    """

    def __init__(self, state: Path, *, pulse: Callable[[], None] | None = None) -> None:
        self._path = state / store.FILE
        self._state = state
        self._pulse = pulse or _quiet
        self._snapshot: Snapshot | None = None
        self._txn_id = -1
        self._opening = 0
        self._looked = 0.0
        self.trouble = ""
        self._open()

    def _open(self) -> None:
        opened = store.environment(self._state, write=False)
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116 - on the hot path of every poll
            opening = next(_OPENINGS)
            databases, snapshot, txn_id = self._read(opened, opening)
        except OSError as error:
            opened.close()
            raise StoreError(store.sentence(self._path, error)) from error
        except StoreError:
            opened.close()
            raise
        self._opening = opening
        self._env, self._databases, self._inode = opened, databases, inode
        self._snapshot, self._txn_id = snapshot, txn_id

    def _read(self, opened: lmdb.Environment, opening: int) -> tuple[dict[str, Any], Snapshot, int]:
        """The databases, the policy now and its transaction. Raises StoreError."""
        try:
            databases = {db: opened.open_db(db.encode(), create=False) for db in store.DATABASES}
            with opened.begin(db=databases["names"]) as txn:
                stamp = self._stamp(txn.id(), opening)
                return databases, Snapshot(txn, databases, stamp, self._path, pulse=self._pulse), txn.id()
        except lmdb.NotFoundError as error:
            raise NothingApplied(
                f"{self._path}: no policy has been applied yet; run `blocker apply`"
            ) from error
        except lmdb.Error as error:
            raise StoreError(store.sentence(self._path, error)) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreError(
                f"{self._path}: a record can't be read ({error!r}); "
                "move it away and run `blocker apply` to rebuild it from the orders"
            ) from error

    def _try_out(self) -> None:
        """Read a new file once, beside the open one. Raises StoreError.

        LMDB's locks belong to the process and the lock file: two open stores must not share one, so the old
        store is closed before the new one opens, and then there is no way back. /dev/fd/N has no lock file.
        """
        try:
            with self._path.open("rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise NothingApplied(
                        f"{self._path}: there is no policy store yet; `blocker apply` makes it"
                    )
                trial = lmdb.open(
                    f"/dev/fd/{file.fileno()}",
                    subdir=False,
                    map_size=store.MAP_SIZE,
                    max_dbs=len(store.DATABASES),
                    readonly=True,
                    create=False,
                    lock=False,
                )
        except (lmdb.Error, OSError) as error:
            raise StoreError(store.sentence(self._path, error)) from error
        try:
            store.check_whole(self._path, trial)
            self._read(trial, 0)  # What is read here decides nothing.
        except OSError as error:
            raise StoreError(store.sentence(self._path, error)) from error
        finally:
            trial.close()

    @staticmethod
    def _stamp(txn_id: int, opening: int) -> int:
        return (opening << 48) | txn_id

    @contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """The policy of this instant.

        Raises StoreError if what was committed can't be read by this version: the directives known before
        would be paired with names they never had, and no answer is better than a wrong block.
        """
        now = time.monotonic()
        if now - self._looked >= _REPLACED_EVERY:
            self._looked = now
            self._look()
        with self._env.begin(db=self._databases["names"]) as txn:
            snapshot = self._snapshot
            if snapshot is not None and self._is_tidied(txn):
                self._txn_id = txn.id()
            if snapshot is None or txn.id() != self._txn_id:
                try:
                    stamp = self._stamp(txn.id(), self._opening)
                    snapshot = Snapshot(
                        txn, self._databases, stamp, self._path, pulse=self._pulse, before=snapshot
                    )
                except (StoreError, ValueError, KeyError, TypeError, AttributeError) as error:
                    self.trouble = str(error)
                    raise StoreError(f"{self._path}: the policy can't be read: {error}") from error
                self.trouble = ""
                self._snapshot, self._txn_id = snapshot, txn.id()
            yield snapshot.within(txn)

    def _is_tidied(self, txn: lmdb.Transaction) -> bool:
        """Whether since the last snapshot nothing but what waited for the ledger went."""
        if txn.id() == self._txn_id:
            return False
        octets = txn.get(b"tidied", db=self._databases["meta"])
        return octets == records.pack_tidied(self._txn_id, txn.id())

    @property
    def is_overtaken(self) -> bool:
        """Whether something was committed since the last snapshot; to be asked inside of it, too."""
        return bool(self._env.info()["last_txnid"] != self._txn_id)

    def _look(self) -> None:
        try:
            inode = os.stat(self._path).st_ino  # noqa: PTH116 - on the hot path of every poll
        except OSError as error:
            self.trouble = f"{self._path}: {error.strerror}; the last policy read goes on being enforced"
            return
        if inode == self._inode:
            return
        try:
            self._try_out()
        except StoreError as error:
            self.trouble = str(error)
            return
        looked, self._looked = self._looked, float("-inf")  # Should it fail, the next snapshot tries again.
        self._env.close()
        self._inode = 0
        self._open()
        self._looked = looked
        self.trouble = ""

    def close(self) -> None:
        self._env.close()


def _quiet() -> None:
    """Nobody wants to know."""
