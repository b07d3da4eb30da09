"""Changes of the policy store: each is one write transaction holding only the difference.

A commit is refused when the live policy is not the one the plan was made from. Whatever goes wrong before
the transaction commits leaves the old generation whole. What the ledger is to be told of a change is in its
transaction, see `outbox`.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any

import lmdb

from blocker.errors import StalePlan, StoreError
from blocker.policy import records, store
from blocker.policy.chain import Event, salted
from blocker.policy.directives import SUBJECT_ROLES, Role, by_role
from blocker.policy.records import Trust
from blocker.policy.rollback import with_act

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from blocker.names import Key
    from blocker.orders.keys import Keys
    from blocker.orders.model import NameList, NamesFile
    from blocker.orders.timetable import Scheduled
    from blocker.policy.decide import Pair
    from blocker.policy.records import Generation, Owed, Withheld
    from blocker.site import Enforcement

SAMPLE = 2000  # names kept beside a directive, for the prober and for who purges caches of them
NOT_KEPT = "not-kept"
ROOM = 1 << 24
"""Octets of events that may wait for the ledger; of acts after that only the sums are kept."""
_BATCH = 50_000
_FEW = 8  # names to come for each that stands: then all are written in order, which is faster and fills pages


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What the store is to hold after a commit; `read` gives the content of names_files.

    `zones` are those that somebody looked at the names for: they have room for them. `owed` are the orders
    that it brings before their approvals are there; `trust` is by what the others come in. `former` gives the
    names of an applied directive that goes, as far as they are known; what it leaves out is looked for.
    `withheld` is what the operator does not enforce, for a store that is made anew; one that is there knows.
    """

    generation: Generation
    orders: Mapping[str, str]
    directives: Iterable[Scheduled]
    enforcement: Enforcement
    read: Callable[[NamesFile], NameList]
    zones: tuple[str, ...] = ()
    owed: Mapping[str, Owed] = field(default_factory=dict)
    trust: Trust = field(default_factory=Trust)
    former: Callable[[Scheduled], Iterable[Key]] = lambda _: ()
    withheld: Mapping[str, tuple[Withheld, ...]] = field(default_factory=dict)


def commit(
    state: Path,
    target: Target,
    *,
    base: str,
    events: Sequence[Event] = (),
    progress: Callable[[str, int, int], None] | None = None,
) -> None:
    """Make the store hold `target`, if its live digest still is `base` (empty: there is none yet).

    `events` are what the ledger is to be told of it, here and in the other changes.
    `progress(what, done, total)` is called now and then. Raises StalePlan and StoreError.
    """
    with _transaction(state) as (txn, databases):
        octets = txn.get(b"generation", db=databases["meta"])
        live = records.unpack_generation(octets) if octets else None
        digest, number = (live.digest, live.number) if live else ("", 0)
        if digest != base or number >= target.generation.number:
            raise StalePlan(
                f"the live policy changed since the plan was made: it is generation {number} "
                f"({digest[:12] or 'empty'}), the plan is for generation {target.generation.number} from "
                f"{base[:12] or 'empty'}; run `blocker plan` again"
            )
        _refuse_older(store.trust(txn, databases["meta"]), target.trust)
        tell = progress or (lambda _what, _done, _total: None)
        _Commit(txn, databases, tell).run(target)
        _post(txn, databases["meta"], events)
        tell("committing", 0, 1)


def withhold(state: Path, one: Withheld, *refs: str, events: Sequence[Event] = ()) -> None:
    """Stop enforcing directives or whole orders, at once and in one. An act of the same kind on one of them,
    by hand or by a rollback to the same generation, it replaces. Raises StoreError.
    """
    with _withholding(state, one.at, events) as held:
        for ref in refs:
            held[ref] = with_act(held.get(ref, ()), one)


def release(
    state: Path, acts: Mapping[str, Collection[Withheld]], *, at: float, events: Sequence[Event] = ()
) -> None:
    """End these acts by ref, at once: what no other act withholds is enforced again; `at` is now, in epoch
    seconds. Raises StoreError.
    """
    with _withholding(state, at, events) as held:
        for ref, ended in acts.items():
            left = tuple(act for act in held.pop(ref, ()) if act not in ended)
            held.update({ref: left} if left else {})


@contextmanager
def _withholding(
    state: Path, at: float, events: Sequence[Event]
) -> Iterator[dict[str, tuple[Withheld, ...]]]:
    """What is withheld, to be changed."""
    with _transaction(state) as (txn, databases):
        meta = databases["meta"]
        if txn.get(b"format", db=meta) is None:
            raise StoreError(f"{state / store.FILE}: no policy has been applied yet; run `blocker apply`")
        held = records.unpack_withheld(txn.get(b"withheld", db=meta, default=b"{}"))
        yield held
        txn.put(b"withheld", records.pack_withheld(held), db=meta)
        txn.put(b"withheld_at", records.pack_instant(at), db=meta)
        _post(txn, meta, events)


def settle(state: Path, given: Collection[str], trust: Trust, *, events: Sequence[Event] = ()) -> None:
    """Note that these orders' approvals are owed no more, and by what orders come in, if nobody noted that
    yet. Raises StalePlan if they come in by other rules, and StoreError.

    Of the `events` those about orders that owe nothing any more are not told, nor that rules are the first if
    they are not.
    """
    with _transaction(state) as (txn, databases):
        meta = databases["meta"]
        before = store.trust(txn, meta)
        _refuse_older(before, trust)
        if before.rules not in ("", trust.rules):
            raise StalePlan(
                "the rules of approval changed since these were judged by them; run `blocker plan` again"
            )
        owed = records.unpack_owed(txn.get(b"owed", db=meta, default=b"{}"))
        left = {id_: one for id_, one in owed.items() if id_ not in given}
        txn.put(b"owed", records.pack_owed(left), db=meta)
        _put_trust(txn, meta, trust)
        _post(
            txn, meta, [one for one in events if (one.subject in owed if one.subject else not before.rules)]
        )


def _put_trust(txn: Any, meta: Any, trust: Trust) -> None:
    txn.put(b"trust", records.pack_trust(trust), db=meta)
    txn.put(b"rules", trust.said.encode(), db=meta)


def _refuse_older(before: Trust, trust: Trust) -> None:
    """Who was revoked must not come back: a signers.yaml that was known once is the oldest to judge by."""
    if trust.issued < before.issued:
        raise StalePlan(
            "a newer signers.yaml was seen since the plan was made, and its signatures were judged by an "
            "older one; run `blocker plan` again"
        )


def tidy(state: Path, told: Iterable[bytes]) -> None:
    """Take out what the ledger was told of, by its keys. Raises StoreError."""
    with _transaction(state) as (txn, databases):
        meta = databases["meta"]
        gone = sum(txn.delete(key, db=meta) for key in told)
        if gone:
            # Enforcers need not read the policy anew for this.
            txn.put(b"tidied", records.pack_tidied(txn.id() - 1, txn.id()), db=meta)


def _post(txn: Any, meta: Any, events: Sequence[Event]) -> None:
    """Leave the events for the ledger."""
    if not events:
        return
    key = store.OUTBOX + b"%020d" % txn.id()
    if sum(len(octets) for _, octets in store.outbox(txn, meta)) >= ROOM:
        key = store.OUTBOX + b"~"  # after all the others
        octets = txn.get(key, db=meta)
        events = [_sum([*(records.unpack_events(octets) if octets else ()), *events])]
    told = [salted(one, secrets.token_hex(8)) for one in events]
    txn.put(key, records.pack_events(told), db=meta)


def _sum(events: Sequence[Event]) -> Event:
    """One event for many, of which one may be such a sum itself."""
    counts: Counter[str] = Counter()
    for one in events:
        counts.update(one.detail["events"] if one.event == NOT_KEPT else [one.event])
    since = events[0].detail.get("since", events[0].at)
    return Event(at=events[-1].at, event=NOT_KEPT, detail={"since": since, "events": dict(counts)})


@contextmanager
def _transaction(state: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    path = state / store.FILE
    environment = store.environment(state, write=True)
    try:
        environment.reader_check()
        with environment.begin(write=True) as txn:
            databases = {db: environment.open_db(db.encode(), txn=txn) for db in store.DATABASES}
            form = txn.get(b"format", db=databases["meta"])
            if isinstance(form, bytes) and int(form) != records.FORMAT:
                raise StoreError(
                    f"{path}: the store has format {int(form)}, this version writes {records.FORMAT}; "
                    "use the version that wrote it, or move it away and run `blocker apply`"
                )
            yield txn, databases
    except lmdb.Error as error:
        raise StoreError(f"{path}: {error}; the last generation is untouched") from error
    finally:
        environment.close()


class _Commit:
    """The difference between what the store holds and what it is to hold, written name by name."""

    def __init__(
        self, txn: Any, databases: dict[str, Any], progress: Callable[[str, int, int], None]
    ) -> None:
        self._txn = txn
        self._db = databases
        self._progress = progress
        self._pairs: dict[int, tuple[Pair, ...]] = {}
        self._counts: dict[int, int] = {}
        for key, value in txn.cursor(db=databases["sets"]):
            set_id = records.unpack_number(key)
            self._counts[set_id], self._pairs[set_id] = records.unpack_set(value)
        self._ids = {pairs: set_id for set_id, pairs in self._pairs.items()}
        self._last_id = max(self._pairs, default=0)
        self._touched: set[int] = set()

    def run(self, target: Target) -> None:
        live = {
            records.unpack_number(key): (records.unpack_directive(value), value)
            for key, value in self._txn.cursor(db=self._db["directives"])
        }
        orders = records.unpack_orders(self._txn.get(b"orders", db=self._db["meta"], default=b"{}"))
        wanted = {one.ref: one for one in target.directives}
        kept: dict[str, int] = {}
        gone: dict[int, Scheduled] = {}
        for number, (one, _) in live.items():
            same = orders.get(one.order) == target.orders.get(one.order)
            if one.ref in wanted and same:
                kept[one.ref] = number
            else:
                gone[number] = one
        if gone:
            self._remove(gone, target.former)
        following = 1 + max(live, default=0)
        added: dict[int, Scheduled] = {}
        for ref, one in wanted.items():
            number = kept.get(ref, following)
            record = records.pack_directive(one)
            if ref not in kept:
                added[number] = one
                following += 1
            if number not in live or live[number][1] != record:
                self._txn.put(records.pack_number(number), record, db=self._db["directives"])
        if added:
            self._add(added, target.read)
        self._write_sets()
        meta = self._db["meta"]
        if self._txn.get(b"generation", db=meta) is None:
            # What generations before its first one enforced, a store that is made anew does not know.
            self._txn.put(b"first", records.pack_number(target.generation.number), db=meta)
            self._txn.put(b"withheld", records.pack_withheld(target.withheld), db=meta)
        self._txn.put(b"format", b"%d" % records.FORMAT, db=meta)
        self._txn.put(b"orders", records.pack_orders(target.orders), db=meta)
        known = records.unpack_arrivals(self._txn.get(b"arrivals", db=meta, default=b"{}"))
        arrivals = {
            id_: known.get(id_, 0) if id_ in orders else target.generation.number for id_ in target.orders
        }
        self._txn.put(b"arrivals", records.pack_arrivals(arrivals), db=meta)
        owed = records.unpack_owed(self._txn.get(b"owed", db=meta, default=b"{}")) | dict(target.owed)
        owed = {id_: one for id_, one in owed.items() if id_ in target.orders}
        self._txn.put(b"owed", records.pack_owed(owed), db=meta)
        _put_trust(self._txn, meta, target.trust)
        self._keep_site(records.pack_enforcement(target.enforcement), target.generation.number)
        self._txn.put(b"zones", records.pack_zones(target.zones), db=meta)
        self._txn.put(b"generation", records.pack_generation(target.generation), db=meta)

    def _keep_site(self, site: bytes, generation: int) -> None:
        """What the site is, and what it was until now: a rollback must know what a generation enforced."""
        meta = self._db["meta"]
        before, octets = self._txn.get(b"site", db=meta), self._txn.get(b"generation", db=meta)
        with self._txn.cursor(db=meta) as cursor:
            is_kept = cursor.set_range(records.site_key(0)) and cursor.key().startswith(records.SITE)
        if octets and not is_kept:  # A store that an older version wrote: it knows the last generation's.
            self._txn.put(records.site_key(records.unpack_generation(octets).number), before, db=meta)
        if site != before:
            self._txn.put(records.site_key(generation), site, db=meta)
        self._txn.put(b"site", site, db=meta)

    def _remove(self, gone: Mapping[int, Scheduled], former: Callable[[Scheduled], Iterable[Key]]) -> None:
        """Take the directives out of every name: of those they are known to have had and, if the counts say
        that there are more, of all there are.
        """
        for number in gone:
            self._txn.delete(records.pack_number(number), db=self._db["directives"])
            self._txn.delete(records.pack_number(number), db=self._db["samples"])
        leaving = {
            records.pack_number(set_id): (set_id, tuple(pair for pair in pairs if pair[0] not in gone))
            for set_id, pairs in self._pairs.items()
            if any(number in gone for number, _ in pairs)
        }
        with self._txn.cursor(db=self._db["names"]) as cursor:
            for one in gone.values():
                for done, key in enumerate(former(one)):
                    if done % _BATCH == 0:
                        self._progress(f"removing {one.ref}", done, done + _BATCH)
                    if cursor.set_key(key) and cursor.value() in leaving:
                        self._reduce(cursor, leaving)
            if not any(self._counts[set_id] for set_id, _ in leaving.values()):
                return
            total = self._txn.stat(db=self._db["names"])["entries"]
            there, done = cursor.first(), 0
            while there:
                done += 1
                if done % _BATCH == 0:
                    self._progress("removing names", done, total)
                is_left = cursor.value() not in leaving or self._reduce(cursor, leaving)
                there = cursor.next() if is_left else bool(cursor.key())

    def _reduce(self, cursor: Any, leaving: Mapping[bytes, tuple[int, tuple[Pair, ...]]]) -> bool:
        """Take what leaves out of the name at the cursor. Without anything left the name goes, the cursor is
        at the next one, and the answer is no.
        """
        set_id, rest = leaving[cursor.value()]
        self._count(set_id, -1)
        if not rest:
            cursor.delete()
            return False
        smaller = self._id_of(rest)
        self._count(smaller, 1)
        cursor.put(cursor.key(), records.pack_number(smaller))
        return True

    def _add(self, added: Mapping[int, Scheduled], read: Callable[[NamesFile], NameList]) -> None:
        for number, one in added.items():
            roles = by_role(one, read)
            for role in sorted(roles, key=lambda role: -len(roles[role])):
                self._give(number, role, roles[role], one.ref)
            self._keep_sample(number, roles, is_cut=one.is_cut)

    def _keep_sample(self, number: int, roles: Mapping[Role, Keys], *, is_cut: bool) -> None:
        sample: list[tuple[Key, Role]] = []
        for role in (Role.EXCEPT, Role.EXCEPT_BELOW):
            most = SAMPLE if is_cut else SAMPLE // 2
            sample += [(key, role) for key in islice(roles.get(role, ()), most)]
        for role in sorted(SUBJECT_ROLES & roles.keys()):
            keys = roles[role]
            step = max(1, len(keys) // SAMPLE)
            sample += [(keys.at(at), role) for at in islice(range(0, len(keys), step), SAMPLE + 1)]
        self._txn.put(
            records.pack_number(number), records.pack_sample(dict.fromkeys(sample)), db=self._db["samples"]
        )

    def _give(self, number: int, role: Role, keys: Keys, ref: str) -> None:
        """Give every key one more pair.

        Where there are few names beside those that come, all are written anew in order: that is faster, and
        the pages are full.
        """
        txn, db = self._txn, self._db["names"]
        pair = (number, role)
        moves: dict[bytes | None, bytes] = {}
        others = None
        if txn.stat(db=db)["entries"] * _FEW <= len(keys):
            others = _Others(dict(txn.cursor(db=db)))
            txn.drop(db, delete=False)
        find = txn.get if others is None else others.take
        following = iter(keys)
        for at in range(0, len(keys), _BATCH):
            self._progress(f"writing {ref}", at, len(keys))
            batch = []
            tally: dict[bytes | None, int] = defaultdict(int)
            for key in islice(following, _BATCH):
                old = find(key, db=db)
                new = moves.get(old)
                if new is None:
                    pairs = () if old is None else self._pairs[records.unpack_number(old)]
                    new = records.pack_number(self._id_of(tuple(sorted({*pairs, pair}))))
                    moves[old] = new
                tally[old] += 1
                batch.append((key, new))
            if others is not None:
                batch = sorted([*batch, *others.until(batch[-1][0])])
            self._put(batch, append=others is not None)
            for old, count in tally.items():
                if old is not None:
                    self._count(records.unpack_number(old), -count)
                self._count(records.unpack_number(moves[old]), count)
        if others is not None:
            self._put(list(others.until(None)), append=True)
        self._progress(f"writing {ref}", len(keys), len(keys))

    def _put(self, batch: list[tuple[Key, bytes]], *, append: bool) -> None:
        with self._txn.cursor(db=self._db["names"]) as cursor:
            _, written = cursor.putmulti(batch, append=append)
        if written != len(batch):  # LMDB leaves out what is not in order, and says nothing.
            raise StoreError(
                f"{len(batch) - written} names were not written; the last generation is untouched"
            )

    def _id_of(self, pairs: tuple[Pair, ...]) -> int:
        set_id = self._ids.get(pairs)
        if set_id is None:
            self._last_id += 1
            set_id = self._ids[pairs] = self._last_id
            self._pairs[set_id] = pairs
            self._counts[set_id] = 0
        return set_id

    def _count(self, set_id: int, by: int) -> None:
        self._counts[set_id] += by
        self._touched.add(set_id)

    def _write_sets(self) -> None:
        for set_id in self._touched:
            key = records.pack_number(set_id)
            if self._counts[set_id]:
                packed = records.pack_set(self._counts[set_id], self._pairs[set_id])
                self._txn.put(key, packed, db=self._db["sets"])
            else:
                self._txn.delete(key, db=self._db["sets"])


class _Others:
    """The few names that stand while many are written in order around them."""

    def __init__(self, found: dict[Key, bytes]) -> None:
        self._left = found
        self._order = sorted(found, reverse=True)

    def take(self, key: Key, **_db: Any) -> bytes | None:
        """What a name was, if it stood; it is written otherwise."""
        return self._left.pop(key, None)

    def until(self, last: Key | None) -> Iterator[tuple[Key, bytes]]:
        """Those up to this name, in order, that weren't taken or told of before; None: all that are left."""
        while self._order and (last is None or self._order[-1] <= last):
            key = self._order.pop()
            if key in self._left:
                yield key, self._left[key]
