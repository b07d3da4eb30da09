"""The octets of a names_file to a NameList with the line of every name.

One name a line, `#` comments, blank lines, `*.name` for all below a name. Lists have millions of lines, so
a plain ASCII name takes a short path with one match and two look-ups, and everything else goes through
`subjects.parse`. Nothing is ever held twice: lines are cut one at a time from the octets. Pure.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.errors import Problem
from blocker.fields import Rejected, more
from blocker.orders import subjects, suffixes
from blocker.orders.model import Match, NameList
from blocker.yamltext import MAX_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_LINE = 1024
_HEAD = 4096  # octets in which something that is no list shows itself

# A name of two labels or more in ASCII whose last label isn't a number; its lengths are right but for the
# sum. Case is folded before.
_PLAIN = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)+(?!(?:[0-9]+|0x[0-9a-f]*)\Z)[a-z0-9_-]{1,63}\Z")


class Listing(NamedTuple):
    """The names, and the line (from 1) of each: those of `names.keys` first, then of `names.below`."""

    names: NameList
    lines: array[int]


def parse(
    octets: bytes, path: str, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Listing, list[Problem]]:
    """The names in the octets, each once, and what is wrong: the first hundred Problems and a count.

    `progress` is told octets done and to do now and then.
    """
    if (what := _not_a_list(octets[:_HEAD])) is not None:
        empty = Listing(NameList(keys=()), array("I"))
        return empty, [Problem(id="names-file-not-a-list", path=path, line=1, column=1, message=what)]
    exact, wild, free = suffixes.rules()
    found = _Found(path)
    at, number, size = 3 if octets.startswith(b"\xef\xbb\xbf") else 0, 0, len(octets)
    while at < size:
        number += 1
        end = octets.find(b"\n", at)
        if end < 0:
            end = size
        cut = octets[at : min(end, at + MAX_LINE + 1)].lower()
        line = cut.strip()
        at = end + 1
        if progress is not None and number & 0x3FFFF == 0:
            progress(at, size)
        if _PLAIN.match(line) and len(line) <= 253 and len(cut) <= MAX_LINE:
            labels = line.split(b".")
            labels.reverse()
            key = names.Key(b"".join([b"%c%b" % (len(label), label) for label in labels]))
            if key not in exact and (key[: -1 - len(labels[-1])] not in wild or key in free):
                found.add(key, number)
                continue
        found.add_other(cut, number)
    return found.listing(), found.problems()


def _not_a_list(head: bytes) -> str | None:
    """Why the file can't be a list, from its first octets: one sentence in place of one for each line."""
    way = "put the list itself there, one name a line, and its SHA-256 into the order."
    if b"\0" in head:
        return f"the file has octets 0, as archives, pictures and UTF-16 have; {way}"
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start.startswith((b"<", b"{", b"[", b"%PDF-", b"PK\x03\x04", b"\x1f\x8b", b"-----BEGIN")):
        shown = ascii(start[:20].decode("latin-1"))
        return (
            f"the file begins with {shown}, as web pages, registers and documents do, and lists don't; {way}"
        )
    return None


class _Found:
    """What a list has told so far."""

    def __init__(self, path: str) -> None:
        self._path = path
        # One dict is list and set at once: the order of the names, each once, with its line.
        self._keys: dict[names.Key, int] = {}
        self._below: dict[names.Key, int] = {}
        self._problems: list[Problem] = []
        self._hidden = 0

    def add(self, key: names.Key, line: int) -> None:
        self._keys.setdefault(key, line)

    def add_other(self, line: bytes, number: int) -> None:
        """Take a line that isn't a plain name: a comment, `*.name`, another script, or something wrong."""
        try:
            text = _text(line)
            if text:
                subject = subjects.parse(text)
                where = self._below if subject.match is Match.BELOW else self._keys
                where.setdefault(subject.key, number)
        except Rejected as rejected:
            self._complain(number, rejected.id, str(rejected))

    def listing(self) -> Listing:
        if not self._keys and not self._below and not self._problems:
            self._complain(
                0, "names-file-empty", "the file lists no name; add the names, or remove names_file."
            )
        lines = array("I", self._keys.values())
        lines.extend(self._below.values())
        keys, self._keys = tuple(self._keys), {}  # The dict goes before the next list is made.
        return Listing(NameList(keys=keys, below=tuple(self._below)), lines)

    def _complain(self, line: int, id_: str, message: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            self._hidden += 1
            return
        self._problems.append(
            Problem(id=id_, path=self._path, line=line, column=min(line, 1), message=message)
        )

    def problems(self) -> list[Problem]:
        return [*self._problems, more(self._path, self._hidden)] if self._hidden else self._problems


def _text(line: bytes) -> str:
    """The line less its comment; empty if nothing is left. A line over the bound comes cut, just over it."""
    if line.lstrip().startswith(b"#"):
        return ""
    if len(line) > MAX_LINE:
        raise Rejected("line-too-long", f"the line has more than {MAX_LINE} octets; a line holds one name.")
    try:
        return line.partition(b"#")[0].strip().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("not-utf-8", f"{line[:60]!r} is not UTF-8; save the file as UTF-8.") from error
