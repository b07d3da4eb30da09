"""The policy store: one LMDB file that a single writer changes and every enforcer reads.

Databases: `meta` (format, generation, applied orders and what brought them, site values, zones, withheld and
when that changed, what acts left for the ledger), `directives` (number → directive or cut), `samples` (number
→ some of its names, for the prober), `names` (key → set id), `sets` (set id → count of names and (directive,
role) pairs). A change is one write transaction holding only the difference: readers never wait, and a crash
leaves the old generation whole. `writer` makes the changes, `reader` gives the snapshots.

The map size is fixed from creation, for a map that grows breaks every reader that has it open. Open a
Reader after fork, never before. The directory is 2750, data 0640, the lock file 0660: readers need to
write their slot in it.
"""

from __future__ import annotations

import grp
import os
import random
from contextlib import suppress
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb

from blocker.errors import NothingApplied, StoreError
from blocker.names import Key
from blocker.policy import records
from blocker.policy.directives import SUBJECT_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from pathlib import Path

    from blocker.orders.timetable import Scheduled
    from blocker.policy.decide import Pair
    from blocker.policy.records import Generation, Owed, Trust, Withheld
    from blocker.policy.spared import Span
    from blocker.site import Enforcement

FILE = "policy.lmdb"
MAP_SIZE = 64 << 30
DATABASES = ("meta", "directives", "samples", "names", "sets")

OUTBOX = b"outbox/"
"""Before the keys of what acts left for the ledger, which are in their order."""

_MAX_READERS = 512
_PULSE_EVERY = 1000  # directives read between two calls of `pulse`
_WALK = 4096  # names looked at for one random sample


def environment(state: Path, *, write: bool) -> lmdb.Environment:
    """The opened store; for writing it is created where it is missing. Raises StoreError."""
    path = state / FILE
    try:
        if write:
            make(state)
        elif not path.exists() or path.stat().st_size == 0:
            raise NothingApplied(f"{path}: there is no policy store yet; `blocker apply` makes it")
        opened = lmdb.open(
            str(path),
            subdir=False,
            map_size=MAP_SIZE,
            max_dbs=len(DATABASES),
            max_readers=_MAX_READERS,
            readonly=not write,
            create=write,
            mode=0o640,
        )
    except (lmdb.Error, OSError) as error:
        raise StoreError(sentence(path, error)) from error
    # LMDB refuses a store that this process still has open: what is refused here must not stay so.
    try:
        check_whole(path, opened)
        if write:
            _permit(path, 0o640)
            _permit(path.with_name(FILE + "-lock"), 0o660)
    except OSError as error:
        opened.close()
        raise StoreError(sentence(path, error)) from error
    except StoreError:
        opened.close()
        raise
    return opened


def _permit(path: Path, mode: int) -> None:
    """Give the file its mode whatever the umask was; only its owner can, and need not where it is so."""
    if path.stat().st_mode & 0o777 != mode:
        path.chmod(mode)


def make(state: Path) -> None:
    """The state directory, if it is not there; its group is `blocker` where we may give it that group.

    Raises OSError.
    """
    if state.exists():
        return
    state.mkdir(parents=True, mode=0o750)
    with suppress(KeyError, PermissionError):
        os.chown(state, -1, grp.getgrnam("blocker").gr_gid)
    state.chmod(0o2750)


def check_whole(path: Path, opened: lmdb.Environment) -> None:
    """Raises StoreError for a file shorter than its last page, which would end its reader by SIGBUS."""
    if is_truncated(path, opened):
        raise StoreError(
            f"{path}: the store is truncated, {path.stat().st_size} octets are left; "
            "move it away and run `blocker apply` to rebuild it from the orders"
        )


def is_truncated(path: Path, opened: lmdb.Environment) -> bool:
    """Whether an LMDB file is shorter than what was committed to it. Raises OSError."""
    needed = (opened.info()["last_pgno"] + 1) * opened.stat()["psize"]
    return bool(opened.info()["last_txnid"]) and path.stat().st_size < needed


def outbox(txn: Any, meta: Any) -> Iterator[tuple[bytes, bytes]]:
    """What acts left for the ledger, in their order: keys, and the events as they are packed."""
    with txn.cursor(db=meta) as cursor:
        there = cursor.set_range(OUTBOX)
        while there and cursor.key().startswith(OUTBOX):
            yield cursor.item()
            there = cursor.next()


def trust(txn: Any, meta: Any) -> Trust:
    """By what orders came in."""
    said = txn.get(b"rules", db=meta, default=b"")
    return records.unpack_trust(txn.get(b"trust", db=meta, default=b"{}"), said)


def sentence(path: Path, error: Exception) -> str:
    """What an error of LMDB or of the system means to the operator."""
    if isinstance(error, (lmdb.InvalidError, lmdb.CorruptedError, lmdb.VersionMismatchError)):
        return (
            f"{path}: this is not a policy store ({error}); "
            "move it away and run `blocker apply` to rebuild it from the orders"
        )
    if isinstance(error, (PermissionError, lmdb.LockError)) or "Permission denied" in str(error):
        return f"{path}: no permission; the user needs to be in the group of {path.parent} ({error})"
    return f"{path}: {error}"


class Snapshot:
    """The policy as one read transaction sees it; satisfies decide.Policy.

    Good inside the `with` of Reader.snapshot() only. `orders` are the applied ones: id → digest; `zones` are
    those that the names were looked at for; `arrivals` are the numbers of the generations that brought the
    orders, 0 for those that came before anybody counted; `first` is the number of the first generation that
    this store had; `owed` are the orders whose approvals are owed, `trust` is by what orders came in;
    `changed_at` is when the last apply was, or the last withholding or release after it. Of `before`, the
    snapshot of an earlier transaction, what did not change is taken over: an apply costs its readers the
    difference, too.
    """

    __slots__ = (
        "_meta",
        "_names",
        "_records",
        "_samples",
        "_sets",
        "_sets_db",
        "_txn",
        "arrivals",
        "changed_at",
        "directives",
        "enforcement",
        "find",
        "first",
        "generation",
        "orders",
        "owed",
        "stamp",
        "trust",
        "withheld",
        "zones",
    )

    # Any: without buffers=True every value is bytes, which lmdb's types don't say.
    def __init__(
        self,
        txn: Any,
        databases: dict[str, Any],
        stamp: int,
        path: Path,
        *,
        pulse: Callable[[], None],
        before: Snapshot | None = None,
    ) -> None:
        meta = self._meta = databases["meta"]
        form = txn.get(b"format", db=meta)
        if form is None:
            raise NothingApplied(f"{path}: no policy has been applied yet; run `blocker apply`")
        if int(form) != records.FORMAT:
            raise StoreError(
                f"{path}: the store has format {int(form)}, this version reads {records.FORMAT}; "
                "use the version that wrote it, or move it away and run `blocker apply`"
            )
        self.stamp = stamp
        self.generation: Generation = records.unpack_generation(txn.get(b"generation", db=meta))
        self.orders: dict[str, str] = records.unpack_orders(txn.get(b"orders", db=meta))
        arrivals = records.unpack_arrivals(txn.get(b"arrivals", db=meta, default=b"{}"))
        self.arrivals = {id_: arrivals.get(id_, 0) for id_ in self.orders}
        # Added within FORMAT 1: before, every store began with generation 1.
        self.first = records.unpack_number(txn.get(b"first", db=meta, default=records.pack_number(1)))
        self.enforcement: Enforcement = records.unpack_enforcement(txn.get(b"site", db=meta))
        self.withheld: Mapping[str, tuple[Withheld, ...]] = records.unpack_withheld(
            txn.get(b"withheld", db=meta, default=b"{}")
        )
        self.owed: Mapping[str, Owed] = records.unpack_owed(txn.get(b"owed", db=meta, default=b"{}"))
        self.trust = trust(txn, meta)
        # A store that was never written to by a version which keeps this has none.
        withheld_at = records.unpack_instant(txn.get(b"withheld_at", db=meta, default=b"0"))
        self.changed_at = max(self.generation.applied_at, withheld_at)
        self.zones: tuple[str, ...] = records.unpack_zones(txn.get(b"zones", db=meta, default=b"[]"))
        self._records: dict[bytes, tuple[bytes, Scheduled]] = {}
        known = {} if before is None else before._records  # noqa: SLF001 - of its own kind
        for count, (key, value) in enumerate(txn.cursor(db=databases["directives"])):
            if count % _PULSE_EVERY == 0:
                pulse()
            kept = known.get(key)
            if kept is None or kept[0] != value:
                kept = (value, records.unpack_directive(value))
            self._records[key] = kept
        self.directives: dict[int, Scheduled] = {
            records.unpack_number(key): one for key, (_, one) in self._records.items()
        }
        self._sets: dict[int, tuple[Pair, ...]] = {}
        self._names, self._sets_db, self._samples = (databases[db] for db in ("names", "sets", "samples"))
        self.within(txn)

    def within(self, txn: Any) -> Snapshot:
        """The same policy in a later transaction that sees no change; it was begun on the names."""
        self._txn = txn
        # A hot path: without a database named in the call, a look-up takes half the time.
        self.find: Callable[[Key], bytes | None] = txn.get
        return self

    def site_at(self, generation: int) -> Enforcement | None:
        """What enforcers were told of the site by this generation; None if nobody kept it then."""
        with self._txn.cursor(db=self._meta) as cursor:
            there = cursor.set_range(records.site_key(generation + 1))
            there = cursor.prev() if there else cursor.last()
            if not there or not cursor.key().startswith(records.SITE):
                return None
            return records.unpack_enforcement(cursor.value())

    def set_of(self, key: Key) -> int | None:
        """The id of the set of pairs at this very name; `find` gives it packed."""
        octets = self.find(key)
        return None if octets is None else records.unpack_number(octets)

    def pairs(self, set_id: int) -> tuple[Pair, ...]:
        """What the names of this set are, and to which directives."""
        found = self._sets.get(set_id)
        if found is None:
            octets = self._txn.get(records.pack_number(set_id), db=self._sets_db)
            found = self._sets[set_id] = records.unpack_set(octets)[1]
        return found

    def walk(self) -> Iterator[tuple[Key, int]]:
        """Every name, in order, each with the id of its set."""
        for key, value in self._txn.cursor(db=self._names):
            yield Key(key), records.unpack_number(value)

    def page(self, after: Key, limit: int) -> list[tuple[Key, bytes]]:
        """At most `limit` names after the key, in order, each with the id of its set as `find` gives it."""
        cursor = self._txn.cursor(db=self._names)
        # Nothing stands between a key and the key with a zero: no label is empty.
        return list(islice(cursor, limit)) if cursor.set_range(after + b"\0") else []

    def size(self) -> int:
        """How many names there are, of all directives and whatever they are to them."""
        return int(self._txn.stat(self._names)["entries"])

    def below(self, key: Key, limit: int) -> Iterator[tuple[Key, int]]:
        """At most `limit` names strictly below the key, in order, each with the id of its set."""
        cursor = self._txn.cursor(db=self._names)
        there = cursor.set_range(key + b"\x01")
        while there and limit > 0 and cursor.key().startswith(key):
            yield Key(cursor.key()), records.unpack_number(cursor.value())
            limit -= 1
            there = cursor.next()

    def sets(self) -> Iterator[tuple[bytes, tuple[Pair, ...]]]:
        """Every set: its id as `find` gives it, and what its names are, and to which directives."""
        for key, value in self._txn.cursor(db=self._sets_db):
            yield key, records.unpack_set(value)[1]

    def weighed(self, spans: Iterable[Span], weights: Mapping[bytes, int]) -> Iterator[int]:
        """What the names in each span weigh together, by their sets' ids as `find` gives them. Spans that
        don't overlap cost no more than going through all names once.
        """
        weight = weights.get
        with self._txn.cursor(db=self._names) as cursor:
            for first, after in spans:
                found = 0
                if cursor.set_range(first):
                    for key, value in cursor.iternext():
                        if key >= after:
                            break
                        found += weight(value, 0)
                yield found

    def of_sets(self, wanted: Collection[bytes]) -> Iterator[Key]:
        """The names that have one of these sets, by their ids as `find` gives them, in order. It goes through
        all names.
        """
        chosen = frozenset(wanted)
        return (Key(key) for key, value in self._txn.cursor(db=self._names) if value in chosen)

    def counts(self) -> dict[int, int]:
        """How many names each directive has as subjects (a cut: as excepts), by its number."""
        found = dict.fromkeys(self.directives, 0)
        for _, value in self._txn.cursor(db=self._sets_db):
            count, pairs = records.unpack_set(value)
            counted = {
                number
                for number, role in pairs
                if role is not Role.ABOVE and (role in SUBJECT_ROLES or self.directives[number].is_cut)
            }
            for number in counted:
                found[number] += count
        return found

    def sample(self, number: int, limit: int, seed: int) -> list[tuple[Key, Role]]:
        """At most `limit` names of one directive with their roles; which ones depends on `seed`.

        A short list comes whole. A long one gives some excepts and then names met on walks from random
        places of the store.
        """
        kept = records.unpack_sample(
            self._txn.get(records.pack_number(number), db=self._samples, default=b"")
        )
        if len(kept) <= limit:
            return kept
        chance = random.Random(seed)  # noqa: S311 - no secret: it spreads probes
        excepts = [entry for entry in kept if entry[1] not in SUBJECT_ROLES]
        # Half the room at most: who probes excepts alone never sees a block. A cut has nothing else.
        is_cut = len(excepts) == len(kept)
        found = set(chance.sample(excepts, min(limit if is_cut else limit // 2, len(excepts))))
        cursor = self._txn.cursor(db=self._names)
        steps = 0
        while len(found) < limit and steps < _WALK:
            top = kept[chance.randrange(len(kept))][0]
            label = bytes(chance.choices(b"abcdefghijklmnopqrstuvwxyz0123456789", k=chance.randint(3, 20)))
            there = cursor.set_range(top[: 1 + top[0]] + bytes((len(label),)) + label)
            for _ in range(16):
                steps += 1
                if not there:
                    break
                key = Key(cursor.key())
                hits = [
                    (key, role)
                    for owner, role in self.pairs(records.unpack_number(cursor.value()))
                    if owner == number and role is not Role.ABOVE and (is_cut or role in SUBJECT_ROLES)
                ]
                if hits:
                    found.update(hits)
                    break
                there = cursor.next()
        spare = chance.sample(kept, len(kept))
        for entry in sorted(spare, key=lambda entry: entry[1] not in SUBJECT_ROLES):
            if len(found) >= limit:
                break
            found.add(entry)
        return sorted(found)[:limit]
