"""The order that a document makes, as files: the same document and time make the same octets.

The first document makes a block, later ones amends that hold the difference alone. Each order comes with the
document it was made of, and with its names in files of their own. What the document has no date for is said
to have none. Pure: time is an argument, and writing is the caller's.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import TYPE_CHECKING

from blocker.feeds.difference import cut
from blocker.feeds.extract import ONLY
from blocker.orders.model import Form, Match

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from blocker.feeds.contract import Feed
    from blocker.feeds.difference import Difference
    from blocker.feeds.extract import Extract
    from blocker.feeds.family import Continued
    from blocker.orders.model import Action

PLAIN_OCTETS = 1 << 20
"""A longer document is kept compressed: a national list is fetched every hour."""

COMING = "-new"
"""What the id of the order that adds ends with, if another one of the same import removes."""

MADE_BY = b"# Made by `blocker import "
"""What the file of an order that an import made begins with."""

SUFFIXES = {"pl-hazard": "xml", "cert-pl": "json", "it-cncpo": "csv", "rpz": "zone", "axfr": "zone"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A document as it came: its octets, where from, and when (epoch seconds)."""

    octets: bytes = field(repr=False)
    place: str
    at: int

    @property
    def digest(self) -> str:
        return sha256(self.octets).hexdigest()


def block_id(feed: Feed, at: int) -> str:
    """The id of the block that the first import makes."""
    return f"{feed.folder}/{_when(at):%Y-%m-%d}-{feed.name}"


def amend_id(feed: Feed, at: int) -> str:
    """The id of the amend that a later import makes."""
    return f"{feed.folder}/{_when(at):%Y-%m-%d}-{feed.name}-{_when(at):%H%M%S}"


def block(feed: Feed, source: Source, extract: Extract, remarks: Collection[str] = ()) -> dict[str, bytes]:
    """The files of the first order by their names, the order's own last."""
    id_ = block_id(feed, source.at)
    made = _Files(feed, source, extract, id_)
    directives = made.directives(extract.names, "listed", "  ")
    return made.whole("block", remarks, ["directives:", *directives])


def amends(
    feed: Feed,
    source: Source,
    extract: Extract,
    change: Difference,
    of: str,
    remarks: Collection[str] = (),
    *,
    again: Sequence[Continued] = (),
) -> dict[str, dict[str, bytes]]:
    """The orders that hold the difference, by their ids, each as files by their names, its own last.

    What goes and what comes are two orders: a name that is freed must not wait for somebody to accept one
    that is held. The first of them by its id is the one that removes, for it cuts nothing that comes after
    it. `again` are the names that its removals would take along, ordered anew by the same order: nothing
    about them changes, so each continues the directive that had it.
    """
    found, id_ = {}, amend_id(feed, source.at)
    head = [f"of: {of}", f"from: {moment(source.at)}"]
    document = ""

    def dated(listed: Iterable[bytes]) -> dict[bytes, str]:
        return {name: extract.names.get(name, "") for name in listed}

    if change.removed:
        made = _Files(feed, source, extract, id_)
        directives = made.directives(dated(change.beneath), "added", "  ", change.excepted)
        for number, one in enumerate(again, start=1):
            word = "again" if len(again) == 1 else f"again-{number}"
            directives += made.directives(dated(one.names), word, "  ", change.excepted, one)
        listed = made.list("removed", {cut(name): "" for name in change.removed}, is_dated=False)
        added = ["add:", *directives] if directives else []
        found[id_] = made.whole("amend", remarks, [*head, *added, f"remove_file: {listed}"])
        document, id_ = next(iter(found[id_])), f"{id_}{COMING}"
    if coming := change.added - change.beneath:
        made = _Files(feed, source, extract, id_, document)
        directives = made.directives(dated(coming), "added", "  ", change.excepted)
        found[id_] = made.whole("amend", remarks, [*head, "add:", *directives])
    return found


def moment(at: int) -> str:
    """The instant as orders write it."""
    return f"{_when(at):%Y-%m-%dT%H:%M:%SZ}"


def _when(at: int) -> datetime:
    return datetime.fromtimestamp(at, UTC)


def _duration(seconds: int) -> str:
    """The length of time in its largest unit: orders may have no long numbers in it."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def _quoted(text: str) -> str:
    """The text as YAML's double-quoted scalar."""
    return '"' + _printable(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _printable(text: str) -> str:
    """Odd characters escaped, so that no line is another than it seems."""
    return "".join(
        char
        if char.isprintable()
        else f"\\u{ord(char):04x}"
        if ord(char) < 1 << 16
        else f"\\U{ord(char):08x}"
        for char in text
    )


def _written(action: Action) -> str:
    """The action as orders write it."""
    if action.form is Form.REDIRECT:
        return f"{{redirect: [{', '.join(_quoted(str(one)) for one in action.addresses)}]}}"
    return str(action.form)


class _Files:
    """The files of one order while they are made."""

    def __init__(self, feed: Feed, source: Source, extract: Extract, id_: str, document: str = "") -> None:
        """`document` is the file of the document, if another order brings it."""
        self._feed, self._source, self._extract, self._id = feed, source, extract, id_
        self._slug = id_.rpartition("/")[2]
        self._document = document
        self._made: dict[str, bytes] = {}

    def directives(
        self,
        listed: Mapping[bytes, str],
        word: str,
        indent: str,
        excepted: Collection[bytes] = (),
        continued: Continued | None = None,
    ) -> list[str]:
        """The directives for the names, by how far they reach: two where a format tells that apart.
        `excepted` lie below some of them; they are as in `continued`, if given, else as the feed has it.
        """
        feed = self._feed
        regions, action, start = feed.regions, feed.action, moment(self._source.at)
        end = [self._end()]
        if continued is not None:
            old = continued.directive
            regions, action, start = old.regions, old.action, old.start.isoformat()
            ends = (("until", old.until), ("review_by", old.review_by))
            end = [f"{key}: {at.isoformat()}" for key, at in ends if at is not None]
        alone = {name.removeprefix(ONLY): date for name, date in listed.items() if name.startswith(ONLY)}
        others = {name: date for name, date in listed.items() if not name.startswith(ONLY)}
        lines: list[str] = []
        for id_, match, names in ((word, Match.SUBTREE, others), (f"{word}-alone", Match.EXACT, alone)):
            if names:
                keys = [
                    f"id: {id_}",
                    f"names_file: {self.list(id_, names)}",
                    f"match: {match}",
                    *(
                        [f"except: [{', '.join(_quoted(one.decode()) for one in sorted(excepted))}]"]
                        if excepted and match is not Match.EXACT
                        else []
                    ),
                    f"regions: [{', '.join(map(_quoted, regions))}]",
                    f"action: {_written(action)}",
                    f"from: {start}",
                    *end,
                    *([f"continues: {continued.ref}"] if continued is not None else []),
                ]
                lines += [f"{indent}- {keys[0]}", *(f"{indent}  {key}" for key in keys[1:])]
        return lines

    def _end(self) -> str:
        if self._feed.until is not None:
            return f"until: {self._feed.until.isoformat()}"
        return f"review_by: {moment(self._source.at + self._feed.review_after)}"

    def list(self, word: str, names: Mapping[bytes, str], *, is_dated: bool = True) -> str:
        """Write a names_file; what an order says of it."""
        lines = [f"# {self._id}: {len(names):,} names, {word}".encode()]
        by_date: dict[str, list[bytes]] = {}
        for name, date in names.items():
            by_date.setdefault(date, []).append(name)
        for date in sorted(by_date):
            if is_dated:
                said = f"entered {date}" if date else "date unknown: the document has none"
                lines.append(f"# {said}".encode())
            lines += sorted(by_date[date])
        octets = b"\n".join([*lines, b""])
        file = f"{self._slug}.{word}.txt"
        self._made[file] = octets
        return f"{{file: {file}, sha256: {_digest(octets)}}}"

    def whole(self, kind: str, remarks: Iterable[str], said: Iterable[str]) -> dict[str, bytes]:
        """All files: the document, the lists, the order."""
        feed, source, edition = self._feed, self._source, self._extract.edition
        own = f"{self._slug}.source.{SUFFIXES.get(feed.format, 'txt')}"
        octets = source.octets
        if len(octets) > PLAIN_OCTETS:
            own, octets = f"{own}.gz", gzip.compress(octets, compresslevel=6, mtime=0)
        document = self._document or own
        brought = {} if self._document else {document: octets}
        known = edition.text if edition is not None else "date unknown"
        authority = ", ".join(
            f"{key}: {_quoted(value)}"
            for key, value in (
                ("name", feed.authority.name),
                ("jurisdiction", feed.authority.jurisdiction),
                ("contact", feed.authority.contact),
            )
        )
        head = [
            f"Made by `blocker import {feed.name}` ({feed.format}) from {source.place}.",
            f"Retrieved at {moment(source.at)}: {len(source.octets):,} octets, SHA-256 {source.digest}.",
            "The document has no date of its own: 'issued' is the time of retrieval."
            if edition is None
            else f"The document is of {known}; 'issued' is the time of retrieval.",
            *remarks,
        ]
        lines = [
            *(f"# {_printable(line)}" for line in head),
            f"order: {self._id}",
            f"kind: {kind}",
            f"authority: {{{authority}}}",
            f"legal_basis: [{', '.join(map(_quoted, feed.legal_basis))}]",
            f"reference: {_quoted(f'{feed.reference or feed.name}, {known}')}",
            f"issued: {moment(source.at)}",
            f"received: {moment(source.at)}",
            *([f"deadline: {_duration(feed.deadline)}"] if feed.deadline else []),
            f"publication: {feed.publication}",
            f"document: {{file: {document}, sha256: {_digest(octets)}}}",
            *said,
        ]
        return {**brought, **self._made, f"{self._slug}.yaml": "\n".join([*lines, ""]).encode()}


def _digest(octets: bytes) -> str:
    return _quoted(sha256(octets).hexdigest())
