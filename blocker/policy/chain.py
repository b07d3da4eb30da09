"""Chains: what was written before can't be changed, removed or reordered unseen.

Pure. Each link's hash is SHA-256 of the hash before it and of the link's octets, so a head speaks for all
that came before it. Who rewrites everything and knows no head makes another whole chain: heads are worth as
much as the places where they were written down (reports, the ledger, paper).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

START = "0" * 64
"""The hash before the first link."""


def link(before: str, octets: bytes) -> str:
    """The hash (hex) of a link after the hash `before` (hex)."""
    return hashlib.sha256(bytes.fromhex(before) + octets).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last link of a chain of `count` links."""

    count: int = 0
    hash: str = START


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
        """The detail as a value; nothing if it can't be read."""
        try:
            found = json.loads(self.detail)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def head(self) -> Head:
        return Head(count=self.seq, hash=self.hash)


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


def flaws(entries: Iterable[Entry], head: Head | None = None) -> list[str]:
    """What is wrong with a ledger read from its beginning: a sentence each; none if it is whole.

    `head` is one that somebody wrote down earlier: the ledger must have had it.
    """
    found, before = [], Head()
    has_head = head is None or head == before
    for one in entries:
        if one.seq != before.count + 1:
            found.append(f"entry {before.count + 1} is missing: entry {one.seq} comes after {before.count}")
        elif one.prev != before.hash:
            found.append(f"entry {one.seq} does not follow the one before it")
        try:
            made = link(one.prev, _octets(one.seq, one.at, one.event, one.subject, one.detail))
        except (ValueError, TypeError):
            made = ""
        if made != one.hash:
            found.append(f"entry {one.seq} was changed")
        before = one.head
        has_head = has_head or before == head
    if head is not None and not has_head:
        found.append(
            f"entry {head.count} is not the one that was written down: the ledger was cut off or rewritten"
        )
    return found


def _octets(seq: int, at: float, event: str, subject: str, detail: str) -> bytes:
    return json.dumps([seq, at, event, subject, detail], separators=(",", ":")).encode()
