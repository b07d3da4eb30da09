"""The zone of a region at a hidden primary, kept right by updates (RFC 2136); secondaries follow it.

A shell, and a target of the pusher. What the primary holds is known by the serial it answers with: while it
is the one we confirmed last, `held` has its entries; else all are read from it (AXFR), so a primary that was
restored, replaced or edited by hand heals. The way to the wanted zone is prepared as messages, spooled to
the disk, each from one serial to the next: sending is all that is left for the instant. A message fits or is
refused whole, and none says what neither zone says (see delta), so an end midway does no harm.
"""

from __future__ import annotations

import struct
import tempfile
import time
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING

from blocker.errors import PointError, StoreError
from blocker.names import ROOT, Key
from blocker.rpz import delta, keyfile, update, zone
from blocker.rpz.delta import Edit
from blocker.rpz.exchange import Session, new_id
from blocker.rpz.files import FOLDER, folder
from blocker.rpz.held import Held
from blocker.rpz.transfer import FOREIGN
from blocker.rpz.zone import STAR, Entry, Unsaid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from blocker.policy.store import Snapshot
    from blocker.rpz.delta import Step
    from blocker.site import Endpoint

_UNKNOWN = 0xFFFFFFFF
"""The TTL of entries that were read from the primary and have several, or stand beside what isn't ours."""

_PULSE_EVERY = 1000  # records of a transfer
_MOST_KEY = 10_000  # octets of a key file
_HEAD = struct.Struct("!III")  # serial after the message, octets of the message, octets of its edits
_EDIT = struct.Struct("!BH")


@dataclass(frozen=True, slots=True, kw_only=True)
class PrimaryChange:
    """Messages on the disk that take the zone from `serial` to `last`. `size` are the owners they change.

    `lack` is as in fleet.push.Change.
    """

    size: int
    serial: int
    last: int
    ttl: int
    spool: IO[bytes] | None
    lack: str

    @property
    def is_empty(self) -> bool:
        return self.size == 0


class Primary:
    """The target `rpz <zone>`. `key` is a BIND key file; `zone` canonical text."""

    def __init__(
        self,
        *,
        zone: str,
        region: str,
        endpoint: Endpoint,
        key: Path,
        state: Path,
        pulse: Callable[[], None],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = f"rpz {zone}"
        self._zone, self._region, self._endpoint, self._key = zone, region, endpoint, key
        self._state, self._pulse, self._clock = state, pulse, clock
        self._held = Held(state / FOLDER / f"{zone}.held", pulse=pulse)
        self._spool: IO[bytes] | None = None
        self._sent: int | None = None
        self._unsaid = Unsaid()

    def prepare(self, policy: Snapshot, t: int) -> PrimaryChange:
        """The messages that make the primary say what holds at `t`. Raises PointError, StoreError."""
        self._drop()
        folder(self._state)
        with self._session() as session:
            soa, serial, _ = session.soa()
        state = self._held.state()
        if state is None or state[0] != serial:
            with self._session() as session:
                state = self._read_all(session)
            # A new connection: while we read, the primary was done long ago and found the old one idle.
            with self._session() as session:
                soa, serial, _ = session.soa()
            if serial != state[0]:
                raise PointError(f"{self._zone} at {self._endpoint}: it changes while it is read")
        return self._spooled(self._steps(policy, t, state[1]), soa, serial, policy.enforcement.ttl)

    def send(self, change: PrimaryChange) -> int:
        """Send the messages. Raises PointError, StoreError; what was sent until then stays."""
        if change.spool is None or change.is_empty:
            self._sent = change.serial
            return 0
        state = self._held.state()
        if state is not None and state[0] == change.last:
            return 0
        if change.spool is not self._spool or state is None or state[0] != change.serial:
            raise PointError(f"{self._zone} at {self._endpoint}: it changed since; it is prepared again")
        done, sent = change.serial, 0
        change.spool.seek(0)
        try:
            with self._session() as session:
                for serial, message, _ in _read(change.spool):
                    session.update(message)
                    done, sent = serial, sent + 1
                    self._pulse()
                _, serial, _ = session.soa()
                if serial != change.last:
                    why = (
                        f"its serial is {serial}, not {change.last}: it is changed by others; it is read anew"
                    )
                    raise PointError(f"{self._zone} at {self._endpoint}: {why}")
        finally:
            try:
                self._confirm(change, sent, done)
            finally:
                self._drop()
        self._sent = change.last
        return change.size

    def is_whole(self) -> bool:
        """Whether the primary still has the serial that was sent last. Raises PointError."""
        with self._session() as session:
            _, serial, _ = session.soa()
        return serial == self._sent

    def close(self) -> None:
        """Let go of the files."""
        self._held.close()
        self._drop()

    def _drop(self) -> None:
        """Let go of what was prepared last."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def _session(self) -> Session:
        self._pulse()  # What is asked next may take as long as it may.
        try:
            with self._key.open(encoding="ascii") as file:
                key = keyfile.parse(file.read(_MOST_KEY))
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise PointError(
                f"{self._zone} at {self._endpoint}: the key {self._key} can't be used: {why}; "
                "make it with `tsig-keygen blocker`"
            ) from error
        return Session(self._endpoint, self._zone, key)

    def _confirm(self, change: PrimaryChange, sent: int, serial: int) -> None:
        """Note what the primary acknowledged."""
        state = self._held.state()
        if change.spool is None or not sent or state is None:
            return
        change.spool.seek(0)
        edits = (edit for _, _, blob in islice(_read(change.spool), sent) for edit in _unpacked(blob))
        # Until all was said with the new TTL, some of it may have the old one.
        self._held.change(edits, serial=serial, ttl=change.ttl if serial == change.last else state[1])

    def _read_all(self, session: Session) -> tuple[int, int]:
        """Read the whole zone from the primary; its serial and TTL."""
        _, serial, ttl = session.soa()
        is_odd = False

        def entries() -> Iterator[tuple[bytes, str]]:
            nonlocal is_odd
            for count, (owner, _, rule, own_ttl, _, _) in enumerate(session.transfer(serial)):
                if count % _PULSE_EVERY == 0:
                    self._pulse()
                # LMDB has no empty key; at the apex and its wildcard nothing is ours.
                is_ours = owner not in (ROOT, STAR) and rule != FOREIGN
                is_odd |= not is_ours or own_ttl != ttl
                yield owner or STAR, rule if is_ours else FOREIGN

        self._held.replace(entries(), serial=serial, ttl=_UNKNOWN)
        if is_odd:
            return serial, _UNKNOWN
        self._held.change((), serial=serial, ttl=ttl)
        return serial, ttl

    def _steps(self, policy: Snapshot, t: int, held_ttl: int) -> Iterator[Step]:
        """From what is held to what is wanted, and once more all of it where the TTL is another."""
        if held_ttl == _UNKNOWN:
            for entry in self._held.entries():
                if FOREIGN in entry.rule:
                    also = (Edit(ROOT, entry.rule, None),) if entry.owner == STAR else ()
                    yield (Edit(entry.owner, entry.rule, None), *also)
        held: Iterable[Entry] = self._held.entries()
        if held_ttl == _UNKNOWN:
            held = (entry for entry in held if FOREIGN not in entry.rule)
        yield from delta.steps(
            held, self._wanted(policy, t), rule_of=self._rule_of, cost=update.cost, most=update.MOST
        )
        if held_ttl != policy.enforcement.ttl:
            for wanted in _batched(self._wanted(policy, t)):
                yield tuple(Edit(owner, rule, rule) for owner, rule in wanted)

    def _rule_of(self, owner: Key) -> str | None:
        rule = self._held.rule(owner)
        return None if rule is None or FOREIGN in rule else rule

    def _wanted(self, policy: Snapshot, t: int) -> Iterator[Entry]:
        self._unsaid = Unsaid()
        for batch in zone.batches(policy, self._zone, self._region, t, unsaid=self._unsaid):
            self._pulse()
            yield from batch

    def _spooled(self, steps: Iterable[Step], soa: bytes, serial: int, ttl: int) -> PrimaryChange:
        """The messages of these steps, on the disk: there can be many."""
        size, first = 0, serial
        try:
            for step in steps:
                self._pulse()
                if not step:
                    continue
                if self._spool is None:
                    self._spool = tempfile.TemporaryFile(dir=self._state / FOLDER)  # noqa: SIM115 - closed when it is sent
                serial = zone.successor(serial, self._clock())
                after = update.soa(zone.soa(serial, ttl))
                message = update.message(
                    zone=self._zone, before=soa, after=after, edits=step, ttl=ttl, number=new_id()
                )
                blob = _packed(step)
                self._spool.write(_HEAD.pack(serial, len(message), len(blob)) + message + blob)
                soa = after
                size += len(step)
            if self._spool is not None:
                self._spool.flush()
        except OSError as error:
            self._drop()  # Others need the room, should the disk be full.
            why = f"{error.strerror or error}; {self._zone} stays as it is until the disk is mended"
            raise StoreError(f"{self._state / FOLDER}: {why}") from error
        lack = self._unsaid.sentence(self._zone)
        return PrimaryChange(size=size, serial=first, last=serial, ttl=ttl, spool=self._spool, lack=lack)


def _batched(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """As many as fit into one message whatever they are."""
    batch: list[Entry] = []
    spent = 0
    for entry in entries:
        price = update.cost(Edit(entry.owner, entry.rule, entry.rule))
        if batch and spent + price > update.MOST:
            yield batch
            batch, spent = [], 0
        batch.append(entry)
        spent += price
    if batch:
        yield batch


def _read(spool: IO[bytes]) -> Iterator[tuple[int, bytes, bytes]]:
    """Every message of the spool: the serial after it, itself, its packed edits."""
    while head := spool.read(_HEAD.size):
        serial, octets, edits = _HEAD.unpack(head)
        yield serial, spool.read(octets), spool.read(edits)


def _packed(step: Step) -> bytes:
    """What the edits leave: owners and rules."""
    parts = []
    for owner, _, now in step:
        rule = (now or "").encode("ascii")
        parts.append(_EDIT.pack(len(owner), len(rule)) + owner + rule)
    return b"".join(parts)


def _unpacked(blob: bytes) -> Iterator[Edit]:
    at = 0
    while at < len(blob):
        octets, rule = _EDIT.unpack_from(blob, at)
        at += _EDIT.size
        owner, text = blob[at : at + octets], blob[at + octets : at + octets + rule]
        at += octets + rule
        yield Edit(Key(owner), None, text.decode("ascii") or None)
