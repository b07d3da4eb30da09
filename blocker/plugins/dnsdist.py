"""The policy beside dnsdist: one LMDB file that it looks names up in, made right at each instant.

`state/dnsdist.lmdb` holds, for dnsdist:

    own       name → class        exactly this name, asked first
    names     name → class        by longest suffix
    active-R  class → answer      one for each region R; see dnsdist_classes.answer

and for us: `rows` (the rows of every name in the policy's order, so that both can be walked side by side),
`classes` (class → identity and a member) and `held`. Names are in wire form, lower-case, with the root
octet; classes are four octets. dnsdist_classes says why this is exact.

- must: change by transactions only. dnsdist never notices a new file under the old name.
- must: be right by itself. All of it follows from the policy and the instant, and what it holds is written
  in the same transaction: a killed pusher goes on from whatever it left, and what another hand wrote is
  written anew.
- A new generation costs a walk over all names and writes the difference. An instant writes one row for each
  class and region whose answer changes, however many names there are.
- Answers of classes that a generation leaves without names stay until the next one: a query under way may
  have looked its class up before.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import asdict
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb

from blocker import names
from blocker.errors import StoreError
from blocker.names import Key
from blocker.plugins.dnsdist_change import NUMBER, Change, Held, Spool, delta, difference
from blocker.plugins.dnsdist_classes import GONE, IDENTITY, Classes, answers
from blocker.policy import store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from blocker.plugins.dnsdist_change import Rows
    from blocker.policy.store import Snapshot
    from blocker.site import Enforcement

FILE = "dnsdist.lmdb"
FORMAT = 1
ACTIVE = "active-"

_TABLES = ("own", "names")
_ALWAYS = (*_TABLES, "rows", "classes", "held")
_MAP_SIZE = 64 << 30
_MAX_READERS = 512
_MOST_DATABASES = 4096
_BATCH = 100_000
_MAIN = b"held"

_REBUILD = "stop dnsdist, remove the file and start both again: all of it follows from the policy"

Members = dict[int, tuple[bytes, Key]]


class Dnsdist:
    """The target of `blocker push` for dnsdist; see fleet.push.Target.

    `pulse` is called now and then during long work.
    """

    name = "dnsdist"

    def __init__(self, state: Path, *, pulse: Callable[[], None] | None = None) -> None:
        self._state = state
        self._path = state / FILE
        self._pulse = pulse or (lambda: None)
        self._env: Any = None
        self._inode = 0

    def prepare(self, policy: Snapshot, t: int) -> Change:
        """What makes the file hold what `decide` says at `t`. Raises StoreError."""
        of = policy.generation
        wanted = f"{of.number} {of.digest} {of.applied_at!r}"
        with self._transaction(write=False) as (txn, databases):
            held = _held(txn, databases, last=txn.id())
            is_fresh, is_new = not held.token, held.policy != wanted
            before = {} if is_fresh else _members(txn, databases)
            now, following = before, held.following
            spool = Spool(self._state)
            rows: Rows = {}
            if is_new:
                known = {identity: number for number, (identity, _) in before.items()}
                classes = Classes(policy, policy.orders, known=known, following=following)
                there = () if is_fresh else txn.cursor(db=databases["rows"])
                for change in difference(there, classes.rows(policy.walk()), self._pulse):
                    spool.add(*change)
                now, following = classes.members, classes.following
                rows = delta(_packed(before), _packed(now))
            return Change(
                held=Held(policy=wanted, at=t, token=os.urandom(8).hex(), following=following),
                base=held.token,
                is_fresh=is_fresh,
                is_new=is_new,
                names=spool,
                classes=rows,
                answers=self._answers(
                    policy,
                    t,
                    now,
                    {} if is_fresh else _active(txn, databases),
                    set(before) if is_new else None,
                ),
            )

    def _answers(
        self,
        policy: Snapshot,
        t: int,
        members: Members,
        held: dict[str, dict[bytes, bytes]],
        leaving: set[int] | None,
    ) -> dict[str, Rows]:
        """The answers that change, by region.

        `leaving` are the classes of the generation before, if the names change: those of them that have no
        names any more keep their answers. Otherwise all that aren't ours do.
        """
        site = policy.enforcement
        regions = regions_of(site)
        found: dict[str, Rows] = {}
        for region in sorted(regions | held.keys()):
            self._pulse()
            said = answers(policy, members, region, t, site.info_url) if region in regions else {}
            there = held.get(region, {})
            changed = delta(there, {NUMBER.pack(number): value for number, value in said.items()})
            kept = {
                key
                for key in there
                if (number := NUMBER.unpack(key)[0]) not in members and (leaving is None or number in leaving)
            }
            rows = {key: value for key, value in changed.items() if value is not None or key not in kept}
            if rows or region not in held:
                found[region] = rows
        return found

    def send(self, change: Change) -> int:
        """Make it so, in one transaction; how many names and answers changed. Raises StoreError."""
        if change.is_empty:
            return 0
        with self._transaction(write=True) as (txn, databases):
            held = _held(txn, databases, last=txn.id() - 1)
            if held.token == change.held.token:
                return 0
            if not change.is_fresh and held.token != change.base:
                raise StoreError(
                    f"{self._path}: it was changed since the change was prepared; "
                    "only one `blocker push` may serve a state directory"
                )
            if change.is_fresh:
                for database in databases.values():
                    txn.drop(database, delete=False)
            self._write_names(txn, databases, change.names)
            _write(txn, databases["classes"], change.classes)
            for region, rows in change.answers.items():
                _write(txn, self._env.open_db((ACTIVE + region).encode(), txn=txn), rows)
            _say(txn, databases, change.held)
        return change.size

    def _write_names(self, txn: Any, databases: Mapping[str, Any], changed: Spool) -> None:
        """In batches, each sorted by what dnsdist sorts by: so neighbours are written together."""
        there = iter(changed)
        exact, suffixes, mirror = (databases[name] for name in (*_TABLES, "rows"))
        while batch := list(islice(there, _BATCH)):
            self._pulse()
            itself: dict[bytes, bytes] = {}
            below: dict[bytes, bytes] = {}
            for key, was, now in batch:
                wire = names.to_wire(key)
                if was[:4] != now[:4]:
                    itself[wire] = now[:4]
                if was[4:] != now[4:]:
                    below[wire] = now[4:]
            self._pulse()
            _write(txn, exact, itself, gone=GONE[:4])
            _write(txn, suffixes, below, gone=GONE[4:])
            _write(txn, mirror, {key: now for key, _, now in batch}, gone=GONE)

    def is_whole(self) -> bool:
        """Whether the file is there, and only we have written to it. Raises StoreError."""
        with self._transaction(write=False) as (txn, databases):
            return bool(_held(txn, databases, last=txn.id()).token)

    def make(self, enforcement: Enforcement) -> None:
        """The file with every database that dnsdist opens when it starts, those that are missing empty.

        Raises StoreError.
        """
        with self._transaction(write=True) as (txn, databases):
            held = _held(txn, databases, last=txn.id() - 1)
            missing = {ACTIVE + region for region in regions_of(enforcement)} - databases.keys()
            for name in sorted(missing):
                self._env.open_db(name.encode(), txn=txn)
            if missing and held.token:
                _say(txn, databases, held)

    def close(self) -> None:
        """Let go of the file."""
        if self._env is not None:
            self._env.close()
            self._env = None

    @contextmanager
    def _transaction(self, *, write: bool) -> Iterator[tuple[Any, dict[str, Any]]]:
        """A transaction and every database there is; what fails in it leaves nothing, nor the file open."""
        try:
            env = self._opened()
            env.reader_check()
            with env.begin(write=write) as txn:
                there = [bytes(key) for key in txn.cursor().iternext(values=False)]
                yield txn, {name.decode(): env.open_db(name, txn=txn, create=False) for name in there}
        except (lmdb.Error, OSError) as error:
            self.close()
            raise StoreError(self._sentence(error)) from error
        except BaseException:
            self.close()
            raise

    def _opened(self) -> Any:
        if self._env is not None and self._path.exists() and self._path.stat().st_ino == self._inode:
            return self._env
        self.close()  # Should it have been taken away: a dnsdist that starts now finds the new one.
        store.make(self._state)
        env = self._env = lmdb.open(
            str(self._path),
            subdir=False,
            map_size=_MAP_SIZE,
            max_dbs=_MOST_DATABASES,
            max_readers=_MAX_READERS,
            mode=0o640,
        )
        if store.is_truncated(self._path, env):
            raise StoreError(f"{self._path}: it is truncated; {_REBUILD}")
        # dnsdist takes a slot in the lock file, for which its group needs to write there.
        for path, mode in ((self._path, 0o640), (self._path.with_name(FILE + "-lock"), 0o660)):
            if path.stat().st_mode & 0o777 != mode:
                path.chmod(mode)
        with env.begin(write=True) as txn:
            for name in _ALWAYS:
                env.open_db(name.encode(), txn=txn)
        self._inode = self._path.stat().st_ino
        return env

    def _sentence(self, error: Exception) -> str:
        if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
            return f"{self._path}: this is not what dnsdist reads ({error}); {_REBUILD}"
        if isinstance(error, (PermissionError, lmdb.LockError)) or "Permission denied" in str(error):
            return f"{self._path}: no permission; whoever runs `blocker push` needs to own it ({error})"
        return f"{self._path}: {error}"


def regions_of(enforcement: Enforcement) -> set[str]:
    """Every region a client can be in."""
    return {*enforcement.regions, *filter(None, [enforcement.default_region])}


def _held(txn: Any, databases: Mapping[str, Any], *, last: int) -> Held:
    """What the file holds; without a token where it is new, of another format, or another hand wrote to it.

    `last` is the last transaction that was committed: each of ours writes its own number down.
    """
    try:
        said = json.loads(txn.get(_MAIN, db=databases["held"], default=b"{}"))
        form, by = said.pop("format", None), said.pop("transaction", None)
        held = Held(**said)
    except (ValueError, TypeError, AttributeError):
        return Held()
    return held if form == FORMAT and by == last else Held(following=held.following)


def _say(txn: Any, databases: Mapping[str, Any], held: Held) -> None:
    said = {"format": FORMAT, "transaction": txn.id(), **asdict(held)}
    txn.put(_MAIN, json.dumps(said).encode(), db=databases["held"])


def _members(txn: Any, databases: Mapping[str, Any]) -> Members:
    return {
        NUMBER.unpack(key)[0]: (value[:IDENTITY], Key(value[IDENTITY:]))
        for key, value in txn.cursor(db=databases["classes"])
    }


def _packed(members: Members) -> dict[bytes, bytes]:
    return {NUMBER.pack(number): identity + key for number, (identity, key) in members.items()}


def _active(txn: Any, databases: Mapping[str, Any]) -> dict[str, dict[bytes, bytes]]:
    """The answers there are, by region."""
    return {
        name.removeprefix(ACTIVE): dict(txn.cursor(db=database))
        for name, database in databases.items()
        if name.startswith(ACTIVE)
    }


def _write(txn: Any, database: Any, rows: Mapping[bytes, bytes | None], *, gone: bytes | None = None) -> None:
    """Put the rows; those whose value is `gone` are deleted."""
    with txn.cursor(db=database) as cursor:
        cursor.putmulti(sorted(row for row in rows.items() if row[1] != gone))
    for key, value in rows.items():
        if value == gone:
            txn.delete(key, db=database)
