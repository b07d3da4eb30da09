"""What the law said, as values: one Order is one legal instrument.

Everything is frozen and valid by construction: `parse` and `check` turn bad files into Problems before an
Order exists, and what they would let through by mistake raises ValueError here. Times are aware datetimes
in whole seconds, windows half-open. Names are keys (see blocker.names). Nothing here knows of files, the
clock or the policy.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterable
    from ipaddress import IPv4Address, IPv6Address

MOST_ADDRESSES = 16
"""Of a redirect, in each family: more would not fit into a message of every server, whatever the name."""


class Kind(StrEnum):
    """The five kinds of order."""

    BLOCK = "block"
    SUSPEND = "suspend"
    REINSTATE = "reinstate"
    LIFT = "lift"
    AMEND = "amend"


class Publication(StrEnum):
    """Who may know of the order, from the widest to the strictest."""

    PUBLIC = "public"
    SEALED_UNTIL_EFFECTIVE = "sealed-until-effective"
    SEALED = "sealed"


class Match(StrEnum):
    """How far a subject reaches: the name, the name and all below it, or only what is below it."""

    EXACT = "exact"
    SUBTREE = "subtree"
    BELOW = "below"


class Form(StrEnum):
    """How a blocked name is answered; from the strictest to the mildest."""

    REFUSED = "refused"
    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    REDIRECT = "redirect"


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """The form of the answer; `addresses` for redirect alone."""

    form: Form = Form.NXDOMAIN
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()

    def __post_init__(self) -> None:
        if (self.form is Form.REDIRECT) != bool(self.addresses):
            raise ValueError("redirect, and only redirect, has addresses")

    def __str__(self) -> str:
        if self.addresses:
            return f"{self.form} to {', '.join(map(str, self.addresses))}"
        return str(self.form)


PLAIN = Action()


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A name with its match; in an except the match is subtree or below."""

    key: names.Key
    match: Match = Match.SUBTREE

    def __str__(self) -> str:
        return ("*." if self.match is Match.BELOW else "") + names.to_text(self.key)


@dataclass(frozen=True, slots=True, kw_only=True)
class NamesFile:
    """A list of names beside the order, fixed by the SHA-256 (hex) of its octets."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, init=False)
class NameList:
    """The content of a names_file: keys matched as the directive says, and those written `*.name`."""

    keys: Keys
    below: Keys

    def __init__(self, *, keys: Iterable[names.Key], below: Iterable[names.Key] = ()) -> None:
        object.__setattr__(self, "keys", Keys.of(keys))
        object.__setattr__(self, "below", Keys.of(below))

    def __len__(self) -> int:
        return len(self.keys) + len(self.below)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authority:
    """The body that issued an order; `contact` is where it can be contested."""

    name: str
    jurisdiction: str
    contact: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A copy of the instrument: a file relative to the order and its SHA-256 (hex)."""

    file: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One instruction in an order: the smallest thing that can be lifted.

    `match` is that of every name in `names_file`; the subjects carry their own. `continues` is the ref of a
    directive that an amend's directive goes on with: what is done about that one holds for it, too.
    """

    id: str
    subjects: tuple[Subject, ...]
    names_file: NamesFile | None = None
    match: Match = Match.SUBTREE
    excepts: tuple[Subject, ...] = ()
    regions: tuple[str, ...]
    action: Action = PLAIN
    start: datetime
    until: datetime | None = None
    review_by: datetime | None = None
    continues: str = ""

    def __post_init__(self) -> None:
        if not self.subjects and self.names_file is None:
            raise ValueError("a directive names something")
        if not self.regions:
            raise ValueError("a directive has a region")
        if self.until is None and self.review_by is None:
            raise ValueError("an open directive has a review date")
        if self.until is not None and self.until <= self.start:
            raise ValueError("a window is not empty")
        if any(subject.match is Match.EXACT for subject in self.excepts):
            raise ValueError("an except takes the name and all below it, or all below it")


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One legal instrument.

    `directives` are a block's directives or an amend's `add`. `of`, `start` (the file's `from`) and, by
    kind, `until`, `review_by`, `remove` and `remove_file` belong to the other kinds. `digest` is the
    SHA-256 (hex) of the file's octets after removal of a BOM and of CR before LF.
    """

    id: str
    kind: Kind
    authority: Authority
    legal_basis: tuple[str, ...]
    reference: str = ""
    issued: datetime
    received: datetime | None = None
    deadline: timedelta | None = None
    publication: Publication
    document: Document | None = None
    directives: tuple[Directive, ...] = ()
    of: str = ""
    start: datetime | None = None
    until: datetime | None = None
    review_by: datetime | None = None
    remove: tuple[Subject, ...] = ()
    remove_file: NamesFile | None = None
    digest: str

    def __post_init__(self) -> None:
        if not self.legal_basis:
            raise ValueError("an order has a legal basis")
        if self.deadline is not None and self.received is None:
            raise ValueError("a deadline counts from receipt")
        if self.kind is Kind.BLOCK:
            if not self.directives or self.of or self.start is not None:
                raise ValueError("a block has directives of its own and is of nothing")
        elif not self.of or self.start is None:
            raise ValueError(f"a {self.kind} says of what and from when")
        if self.directives and self.kind not in (Kind.BLOCK, Kind.AMEND):
            raise ValueError(f"a {self.kind} has no directives")
        if self.until is not None and self.kind not in (Kind.SUSPEND, Kind.AMEND):
            raise ValueError(f"a {self.kind} has no until")


def instant(moment: datetime | date) -> int:
    """Seconds since the epoch; a date is its 00:00 UTC. Raises ValueError for a naive time."""
    if not isinstance(moment, datetime):
        moment = datetime(moment.year, moment.month, moment.day, tzinfo=UTC)
    if moment.tzinfo is None:
        raise ValueError("a time has a zone")
    return int(moment.timestamp())
