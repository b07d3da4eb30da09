"""A response policy zone as a file (`rpz`, and what a transfer of one is kept as).

The owners are the list: `name` alone, `*.name` for what is below it, both for the name with all below it.
What the zone does with them is its own affair: the order's envelope says what is done here. Its triggers
that are no names (addresses, name servers) are counted and not followed.

Zones have millions of records and most are one line each, `owner CNAME target`. dnspython's reader makes
objects of all (16,000 records a second measured), so lines are cut here, and only what a policy zone may hold
is understood: $INCLUDE and $GENERATE are refused, for they reach beyond the document. Pure.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from blocker.feeds import textlines
from blocker.feeds.extract import BELOW, ONLY, Damaged, Edition

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.feeds.extract import Extract, Rows

MAX_RECORD = 8192
MAX_WORDS = 500
MAX_NAME = 1024  # in text, where an octet may take four characters

# A quoted text, a comment, or anything else between blanks; a record goes over lines within parentheses.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|;.*|[()]|[^\s;()"]+')
_TTL = re.compile(r"(?:[0-9]+[smhdw]?)+", re.IGNORECASE)
_SIMPLE = re.compile(r"(\S+)\s+(?:[0-9]+\s+)?(?:IN\s+)?CNAME\s+([^\s;()\"]+)\s*\Z", re.IGNORECASE)
_TYPES = frozenset({"A", "AAAA", "CNAME", "MX", "NS", "SOA", "TXT", "HTTPS", "SVCB", "SRV", "PTR", "DNAME"})
_TRIGGERS = ("rpz-ip", "rpz-client-ip", "rpz-nsip", "rpz-nsdname")
_PASSES = frozenset({"rpz-passthru.", "rpz-tcp-only."})
_BLOCKS = frozenset({"A", "AAAA", "CNAME"})


def read(octets: bytes, rows: Rows) -> Extract:
    """The zone. Raises Damaged."""
    zone = _Zone(rows)
    for line, tokens in _records(octets):
        zone.take(line, tokens)
    return zone.extract()


def _records(octets: bytes) -> Iterator[tuple[int, list[str]]]:
    """The records as words, each with its line; the first word is empty where the owner is left out."""
    words: list[str] = []
    begun, depth, number = 0, 0, 0
    for number, line in textlines.cut(octets, "ascii", MAX_RECORD):
        if not depth:
            if (simple := _SIMPLE.match(line)) is not None:
                yield number, [simple[1], "CNAME", simple[2]]
                continue
            words, begun = ([""] if line[:1] in (" ", "\t") else []), number
        found = [word for word in _TOKEN.findall(line) if not word.startswith(";")]
        words += [word for word in found if word not in ("(", ")")]
        depth += found.count("(") - found.count(")")
        if not 0 <= depth <= 1 or len(words) > MAX_WORDS:
            raise Damaged("feed-format", "the parentheses are not balanced; fetch the zone anew.", number)
        if not depth and any(words):
            yield begun, words
    if depth:
        raise Damaged("feed-cut-off", "the zone ends within parentheses; fetch it anew.", number)


class _Zone:
    """A zone while it is read. Names are relative to its apex, without a final dot."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows
        self._alone: dict[bytes, None] = {}
        self._below: dict[bytes, None] = {}
        self._passes: dict[bytes, int] = {}
        self._origin = ""
        self._apex: str | None = None
        self._owner = ""
        self._edition: Edition | None = None
        self._last = b""

    def take(self, line: int, words: list[str]) -> None:
        """One record, or a directive."""
        if words[0].startswith("$"):
            self._directive(line, words)
            return
        owner = words[0] or self._owner
        kind, data = _typed(words[1:])
        if not owner or not kind:
            raise Damaged("feed-format", f"{' '.join(words)[:60]!r} is no record; fetch the zone anew.", line)
        self._owner = owner
        absolute = self._absolute(owner, line)
        if self._apex is None:
            self._begin(absolute, kind, data, line)
        elif kind == "SOA":
            # A transfer ends with the record it began with (RFC 5936 §2.2).
            if absolute != self._apex or self._edition is None or data[2:3] != [str(self._edition.order[0])]:
                raise Damaged("feed-format", "a second SOA record is another one; fetch the zone anew.", line)
        elif absolute != self._apex:
            self._rule(self._relative(absolute, line), kind, data, line)

    def _directive(self, line: int, words: list[str]) -> None:
        if words[0].upper() == "$ORIGIN" and len(words) == 2:
            self._origin = self._absolute(words[1], line)
        elif words[0].upper() != "$TTL":
            raise Damaged(
                "feed-format", f"{words[0][:20]!r} is not allowed in a list; write its records out.", line
            )

    def _absolute(self, name: str, line: int) -> str:
        """With a final dot, unless nothing said what it is relative to; lower case."""
        lower = name.lower()
        if lower == "@":
            return self._origin
        found = lower if lower.endswith(".") or not self._origin else f"{lower}.{self._origin.lstrip('.')}"
        if len(found) > MAX_NAME:
            raise Damaged("feed-format", "a name is longer than 255 octets; fetch the zone anew.", line)
        return found

    def _begin(self, owner: str, kind: str, data: list[str], line: int) -> None:
        if kind != "SOA" or len(data) != 7 or not re.fullmatch(r"[0-9]{1,10}", data[2]):
            raise Damaged("feed-header", "the zone does not begin with its SOA record; fetch it anew.", line)
        serial = int(data[2]) % (1 << 32)
        self._apex = owner
        self._edition = Edition((serial,), f"serial {serial}", is_serial=True, is_numbered=True)

    def _relative(self, absolute: str, line: int) -> str:
        apex = self._apex or ""
        if not absolute.endswith("."):
            return absolute  # The zone's own name is not in the file: `@ SOA`, and names as they are.
        if apex and not absolute.endswith(f".{apex}"):
            raise Damaged(
                "feed-format", f"{absolute[:60]!r} is not in the zone {apex!r}; fetch it anew.", line
            )
        return absolute[: -len(apex) - 1] if apex else absolute[:-1]

    def _rule(self, owner: str, kind: str, data: list[str], line: int) -> None:
        if owner.endswith(_TRIGGERS):
            self._rows.rows += 1
            self._rows.skip(line, "address" if owner.endswith("ip") else "trigger", owner)
            return
        name = self._rows.written(owner, line)
        if not name:
            return
        if kind == "CNAME" and self._exempts(owner, self._absolute(data[0], line)):
            self._passes[name] = line
        elif kind in _BLOCKS:
            listed = self._below if name.startswith(BELOW) else self._alone
            if name not in listed:
                self._last = name
            listed[name] = None
        else:
            self._rows.skip(line, "trigger", f"{owner} {kind}")

    def _exempts(self, owner: str, target: str) -> bool:
        """Whether an alias lets its name through: by a target of its own for that or, as zones did before
        there was one and servers still understand, by the name itself.
        """
        return target in _PASSES or target.removesuffix(".") in (
            owner,
            f"{owner}.{self._apex}".removesuffix("."),
        )

    def extract(self) -> Extract:
        if self._edition is None:
            raise Damaged("feed-empty", "the zone has no record; fetch it anew.")
        for name in self._alone:
            whole = name.removeprefix(ONLY)
            self._rows.put(whole if BELOW + whole in self._below else name)
        for name in self._below:
            if ONLY + name.removeprefix(BELOW) not in self._alone:
                self._rows.put(name)
        self._refuse_exceptions()
        if self._last:
            whole = self._last.removeprefix(BELOW).removeprefix(ONLY)
            self._rows.last = whole if whole in self._rows.names else self._last
        return self._rows.extract(edition=self._edition)

    def _refuse_exceptions(self) -> None:
        listed = self._rows.names
        for name, line in self._passes.items():
            at = name.removeprefix(BELOW).removeprefix(ONLY)
            while (at := at.partition(b".")[2]) != b"":
                if at in listed or BELOW + at in listed:
                    raise Damaged(
                        "feed-exception",
                        f"the zone exempts '{name.removeprefix(ONLY).decode()}' below '{at.decode()}', "
                        "which an "
                        "order made of a list can't say; write the order by hand, with an 'except'.",
                        line,
                    )


def _typed(words: list[str]) -> tuple[str, list[str]]:
    """The type and the data behind TTL and class, in any order (RFC 1035 §5.1); no type, if there is none."""
    for position, word in enumerate(words[:3]):
        if word.upper() in _TYPES:
            data = words[position + 1 :]
            return (word.upper(), data) if data else ("", [])
        if word.upper() != "IN" and not _TTL.fullmatch(word):
            break
    return "", []
