"""Chains: what was written before can't be changed, removed or reordered unseen.

Pure. Each link's hash is SHA-256 of the hash before it and of the link's octets, so a head speaks for all
that came before it. Who rewrites everything and knows no head makes another whole chain: heads are worth as
much as the places where they were written down (reports, the ledger, paper).
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

SALT = "salt"
"""In the detail of every row: eight random octets, so that nobody who sees the hash alone finds the row by
guessing. An event that has it before it is a row is known by it.
"""

START = "0" * 64
"""The hash before the first link."""


def link(before: str, octets: bytes) -> str:
    """The hash (hex) of a link after the hash `before` (hex)."""
    return hashlib.sha256(bytes.fromhex(before) + octets).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last link of a chain of `count` links; as text `COUNT:HASH`."""

    count: int = 0
    hash: str = START

    def __str__(self) -> str:
        return f"{self.count}:{self.hash}"

    @classmethod
    def read(cls, text: str) -> Head:
        """From its text. Raises ValueError with a sentence."""
        found = re.fullmatch(r"([0-9]{1,18}):([0-9a-f]{64})", text.strip())
        if found is None:
            raise ValueError(
                f"{text!r} is no head of a ledger; write it as `ledger verify` does: how many events, a "
                "colon, and the 64 hexadecimal digits of the last one's hash"
            )
        return cls(count=int(found[1]), hash=found[2])


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened, as the ledger tells it. `at` is in epoch seconds.

    `subject` is the id of an order or the ref of a directive, empty for what concerns the whole site.
    `detail` holds what JSON holds, and no domain names.
    """

    at: float
    event: str
    subject: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row of the ledger: an event with its place. `detail` is the JSON text as it is kept and hashed."""

    seq: int
    at: float
    event: str
    subject: str
    detail: str
    prev: str
    hash: str

    @property
    def facts(self) -> dict[str, Any]:
        """The detail as a value, less its salt; nothing if it can't be read."""
        try:
            found = json.loads(self.detail)
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        return {key: value for key, value in found.items() if key != SALT}

    @property
    def head(self) -> Head:
        return Head(count=self.seq, hash=self.hash)

    def concerns(self, order: str) -> bool:
        """Whether it is about the order, a directive of it, an apply that brought it, took it away or left it
        out, or a rollback of it.
        """
        if self.subject == order or self.subject.startswith(f"{order}/"):
            return True
        return any(ref == order or ref.startswith(f"{order}/") for ref in self.refs)

    @property
    def refs(self) -> list[str]:
        """The ids and refs that its detail lists."""
        found = (self.facts.get(member) for member in ("orders", "gone", "quarantined", "refs", "left"))
        return [str(ref) for several in found if isinstance(several, dict | list) for ref in several]


@dataclass(frozen=True, slots=True, kw_only=True)
class Veiled:
    """One row of an export that is not told: its place and hash, which the row after it builds upon."""

    seq: int
    hash: str

    @property
    def head(self) -> Head:
        return Head(count=self.seq, hash=self.hash)


def salted(event: Event, salt: str) -> Event:
    """The event with this salt, or with the one that it has."""
    return replace(event, detail={SALT: salt, **event.detail})


def entry(event: Event, before: Head) -> Entry:
    """The row of an event that comes after `before`."""
    detail = json.dumps(dict(event.detail), sort_keys=True, separators=(",", ":"))
    seq = before.count + 1
    octets = _octets(seq, event.at, event.event, event.subject, detail)
    return Entry(
        seq=seq,
        at=event.at,
        event=event.event,
        subject=event.subject,
        detail=detail,
        prev=before.hash,
        hash=link(before.hash, octets),
    )


def flaws(entries: Iterable[Entry | Veiled], head: Head | None = None) -> list[str]:
    """What is wrong with a ledger read from its beginning: a sentence each; none if it is whole.

    `head` is one that somebody wrote down earlier: the ledger must have had it.
    """
    found, before = [], Head()
    has_head = head is None or head == before
    for one in entries:
        if isinstance(one, Entry) and _made(one) != one.hash:
            found.append(f"entry {one.seq} was changed")
        has_head = has_head or one.head == head
        if one.seq < 1:
            found.append(f"there is an entry {one.seq}: entries are numbered from 1 on")
            continue
        if one.seq <= before.count:
            found.append(f"entry {one.seq} is out of order: it comes after entry {before.count}")
            continue
        if one.seq > before.count + 1:
            found.append(_missing(before.count + 1, one.seq - 1))
        elif isinstance(one, Entry) and one.prev != before.hash:
            found.append(f"entry {one.seq} does not follow the one before it")
        before = one.head
    if head is not None and not has_head:
        found.append(
            f"entry {head.count} is not the one that was written down: the ledger was cut off or rewritten"
        )
    return found


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _made(one: Entry) -> str:
    """The hash that the row must have; empty if it can't have one."""
    try:
        return link(one.prev, _octets(one.seq, one.at, one.event, one.subject, one.detail))
    except (ValueError, TypeError):
        return ""


def veiled_line(one: Entry) -> str:
    """A row of an export that is not told."""
    return json.dumps({"seq": one.seq, "hash": one.hash}, separators=(",", ":")) + "\n"


def line(one: Entry) -> str:
    """A row of an export (JSON Lines)."""
    return json.dumps({key: getattr(one, key) for key in Entry.__slots__}, separators=(",", ":")) + "\n"


def last_line(head: Head) -> str:
    """The last row of an export: where it ends."""
    return json.dumps({"head": str(head)}, separators=(",", ":")) + "\n"


class Export:
    """An export that is read: its entries, and then in `flaws` what kept it from being read to its end."""

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = lines
        self.flaws: list[str] = []

    def entries(self) -> Iterator[Entry | Veiled]:
        last, ended = Head(), False
        for number, octets in enumerate(self._lines, 1):
            try:
                read = _read_line(octets)
            except (ValueError, TypeError, RecursionError):
                self.flaws.append(f"line {number} is no event of a ledger")
                return
            if ended:
                self.flaws.append(f"line {number} comes after the head")
                return
            if isinstance(read, Head):
                ended = True
                if read != last:
                    self.flaws.append(f"the head is not that of the last event: {read}")
            else:
                last = read.head
                yield read
        if not ended:
            self.flaws.append("it ends without a head: it was cut off")


def _read_line(octets: bytes) -> Entry | Veiled | Head:
    read = json.loads(octets)
    if not isinstance(read, dict):
        raise TypeError("no object")
    if read.keys() == {"head"}:
        return Head.read(str(read["head"]))
    if read.keys() == {"seq", "hash"}:
        head = Head.read(f"{read['seq']}:{read['hash']}")
        return Veiled(seq=head.count, hash=head.hash)
    kinds = {"seq": int, "at": float, **dict.fromkeys(("event", "subject", "detail", "prev", "hash"), str)}
    if read.keys() != kinds.keys() or any(type(read[key]) is not kind for key, kind in kinds.items()):
        raise TypeError("other fields")
    return Entry(**read)


def _octets(seq: int, at: float, event: str, subject: str, detail: str) -> bytes:
    return json.dumps([seq, at, event, subject, detail], separators=(",", ":")).encode()
