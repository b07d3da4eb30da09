"""What a list said: its names, what else stood in it, and which edition it is.

Values only. A listed name is kept as octets: `name` (matched as the feed's policy says), `*.name` (all below)
or `=name` (the name alone, where a format tells the two apart). What is no name is counted and shown with its
line and never widened to one: a URL's host is nobody's guess.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import idna

from blocker import names
from blocker.fields import Rejected
from blocker.orders import subjects
from blocker.orders.model import Match

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MOST_SHOWN = 1000
"""Rows of each sort that are shown; all are counted."""

ONLY = b"="
"""Before a name that is listed alone, without what is below it."""

BELOW = b"*."

_URL = frozenset({"url-not-a-name", "path-not-a-name", "port-not-a-name"})
_ADDRESS = frozenset({"ip-not-a-name", "network-not-a-name"})
_REFUSED = frozenset({"bare-tld", "public-suffix"})
# No name, however oddly written, has these; an error in words, markup or another format has.
_BROKEN = re.compile(r"""[\s<>"'{}();,|=\ufffd]|^\*?\Z""")
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class Damaged(Exception):
    """The document is not what its format promises: the id of the check, its sentence and the line."""

    def __init__(self, id_: str, message: str, line: int = 0) -> None:
        super().__init__(message)
        self.id = id_
        self.line = line


class Edition(NamedTuple):
    """Which state of the list this is: comparable within one format, and as people read it.

    `is_serial` says that `order` is one SOA serial, which goes round (RFC 1982). `at` is its newest date in
    epoch seconds, None if it has none. `is_numbered` says that its authority numbers the states of the list,
    so that a number has one content; the newest date of an entry stays when another entry goes.
    """

    order: tuple[int, ...]
    text: str
    is_serial: bool = False
    at: float | None = None
    is_numbered: bool = False

    def is_before(self, other: Edition) -> bool:
        """Whether this is an older state of the list than the other."""
        if self.is_serial:
            return (self.order[0] - other.order[0]) % (1 << 32) >= 1 << 31
        return self.order < other.order


class Row(NamedTuple):
    """One row that is not listed: where it stands, what it is, its text.

    `url`, `address`; `refused`: reaches too far; `unreadable`: would be a name; `broken`: has signs that a
    damaged document or one of another format has; `contradicting`: an entry that ends before it begins;
    `ahead`: an entry whose time is yet to come; `trigger`: of a zone.
    """

    line: int
    kind: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Extract:
    """The content of one document. `names` have the date of their entry, "" where the document gives none.

    `ended` are names that it says are no longer listed, `unsaid` those of which it contradicts itself, which
    stay as they are. `later` are the entries of which something is yet to come. `skipped` are rows that are
    not listed, the first of each kind; `counts` says how many there are of each. `last` is the name that
    stands last. `rows` counts all rows.
    """

    names: Mapping[bytes, str] = field(repr=False)
    ended: frozenset[bytes] = frozenset()
    unsaid: frozenset[bytes] = frozenset()
    later: tuple[Row, ...] = ()
    skipped: tuple[Row, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    edition: Edition | None = None
    last: bytes = b""
    rows: int = 0


class Rows:
    """The rows of a document while it is read; `match` is what a name without a sign of its own means, `at`
    the time (epoch seconds) for which it is read.
    """

    def __init__(self, match: Match, at: float) -> None:
        self._at = at
        self._ended: set[bytes] = set()
        self._unsaid: set[bytes] = set()
        self._later: list[Row] = []
        self._sign = ONLY if match is Match.EXACT else b""
        self.names: dict[bytes, str] = {}
        self.counts: dict[str, int] = {}
        self.rows = 0
        self.last = b""
        self._skipped: list[Row] = []

    def written(self, text: str, line: int) -> bytes:
        """The listed form of one written name; empty, and noted, if it is none."""
        self.rows += 1
        try:
            if _PLAIN.issuperset(text):  # What subjects.parse refuses beyond these two has other characters.
                name = names.canonical(text)
                subjects.refuse_reach(name, text)
                return self._sign + name.encode()
            subject = subjects.parse(text)
        except names.NameInvalid:
            self.skip(line, _kind("", text), text)
        except Rejected as rejected:
            self.skip(line, _kind(rejected.id, text), text)
        else:
            if not text.isascii() and not _is_verbatim(text, names.to_text(subject.key)):
                self.skip(line, "unreadable", text)
                return b""
            sign = BELOW if subject.match is Match.BELOW else self._sign
            return sign + names.to_text(subject.key).encode()
        return b""

    def add(self, text: str, line: int, date: str = "") -> None:
        """Take one written name as listed. Its earliest date stands if it is there twice."""
        name = self.written(text, line)
        if name:
            self.put(name, date)

    def entry(self, text: str, line: int, since: datetime, until: datetime | None) -> None:
        """Take one entry with its dates. What it says of a time to come, it doesn't say yet."""
        name = self.written(text, line)
        if not name:
            return
        if until is not None and until.timestamp() < since.timestamp():
            # Of an hour that comes twice, the second may be meant.
            until = until.replace(fold=1)
            if until.timestamp() < since.timestamp():
                self.skip(line, "contradicting", text)
                self._unsaid.add(name)
                return
        if since.timestamp() > self._at:
            self.skip(line, "ahead", text)
            self._later.append(Row(line, "ahead", text[:200]))
        elif until is None or until.timestamp() > self._at:
            self.put(name, since.isoformat())
            if until is not None:
                self._later.append(Row(line, "ahead", text[:200]))
        else:
            self._ended.add(name)

    def put(self, name: bytes, date: str = "") -> None:
        """Take a name in its listed form."""
        if name not in self.names:  # What stood before would be there in a list that is cut off, too.
            self.last = name
        known = self.names.setdefault(name, date)
        if date and date < known:
            self.names[name] = date

    def skip(self, line: int, kind: str, text: str) -> None:
        """Note a row that is no name."""
        self.counts[kind] = self.counts.get(kind, 0) + 1
        if self.counts[kind] <= MOST_SHOWN:
            self._skipped.append(Row(line, kind, text[:200]))

    def extract(self, *, edition: Edition | None = None) -> Extract:
        """All that was read."""
        return Extract(
            names=_without_covered(self.names),
            ended=frozenset(self._ended - self.names.keys()),
            unsaid=frozenset(self._unsaid - self.names.keys()),
            later=tuple(self._later),
            skipped=tuple(self._skipped),
            counts=self.counts,
            edition=edition,
            last=self.last,
            rows=self.rows,
        )


def _kind(id_: str, text: str) -> str:
    if text.startswith("<"):
        return "broken"
    if id_ in _URL or "#" in text:  # Within a row it begins a URL's fragment.
        return "url"
    if id_ in _ADDRESS:
        return "address"
    if id_ in _REFUSED:
        return "refused"
    return "broken" if _BROKEN.search(text) else "unreadable"


def _is_verbatim(text: str, name: str) -> bool:
    """Whether the name has the letters that are written, but for their case: characters that only look like
    others, or like nothing, make another name of them, which is nobody's guess.
    """
    written = unicodedata.normalize("NFC", text.lower()).removesuffix(".").removeprefix("*.").split(".")
    return written == [
        label if one.isascii() else idna.ulabel(label)
        for one, label in zip(written, name.split("."), strict=False)
    ]


def _without_covered(listed: dict[bytes, str]) -> dict[bytes, str]:
    """A name with all below it says what `*.name` and the name alone say too."""
    for name in [one for one in listed if one.startswith((BELOW, ONLY))]:
        if name.removeprefix(BELOW).removeprefix(ONLY) in listed:
            del listed[name]
    return listed
