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

# A name of two labels or more in ASCII whose last label isn't a number; its lengths are right but for the
# sum. Case is folded before.
_PLAIN = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)+(?![0-9]+\Z)[a-z0-9_-]{1,63}\Z")


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
    exact, wild, free = suffixes.rules()
    keys: list[names.Key] = []
    lines = array("I")
    below: list[names.Key] = []
    below_lines = array("I")
    seen: set[names.Key] = set()
    complaints = _Complaints(path)
    at, number, size = 3 if octets.startswith(b"\xef\xbb\xbf") else 0, 0, len(octets)
    while at < size:
        number += 1
        end = octets.find(b"\n", at)
        if end < 0:
            end = size
        if end - at > MAX_LINE:
            complaints.add(
                number, "line-too-long", f"the line has more than {MAX_LINE} octets; a line holds one name."
            )
            at = end + 1
            continue
        line = octets[at:end].strip().lower()
        at = end + 1
        if progress is not None and number & 0x3FFFF == 0:
            progress(at, size)
        if _PLAIN.match(line) and len(line) <= 253:
            labels = line.split(b".")
            labels.reverse()
            key = names.Key(b"".join([b"%c%b" % (len(label), label) for label in labels]))
            parent = key[: -1 - len(labels[-1])]
            if key not in exact and (parent not in wild or key in free):
                if key not in seen:
                    seen.add(key)
                    keys.append(key)
                    lines.append(number)
                continue
        elif not line or line.startswith(b"#"):
            continue
        try:
            subject = subjects.parse(_text(line))
        except Rejected as rejected:
            complaints.add(number, rejected.id, str(rejected))
            continue
        except _Blank:
            continue
        if subject.match is Match.BELOW:
            below.append(subject.key)
            below_lines.append(number)
        elif subject.key not in seen:
            seen.add(subject.key)
            keys.append(subject.key)
            lines.append(number)
    del seen
    below, below_lines = _once(below, below_lines)
    if not keys and not below and not complaints.found:
        complaints.add(0, "names-file-empty", "the file lists no name; add the names, or remove names_file.")
    listing = Listing(NameList(keys=tuple(keys), below=tuple(below)), lines + below_lines)
    return listing, complaints.all()


class _Blank(Exception):
    """Nothing but a comment is on the line."""


def _text(line: bytes) -> str:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("not-utf-8", f"{error.object[:60]!r} is not UTF-8; save the file as UTF-8.") from error
    text = text.partition("#")[0].strip()
    if not text:
        raise _Blank
    return text


def _once(keys: list[names.Key], lines: array[int]) -> tuple[list[names.Key], array[int]]:
    first = {key: line for key, line in zip(reversed(keys), reversed(lines), strict=True)}
    kept = list(dict.fromkeys(keys))
    return kept, array("I", [first[key] for key in kept])


class _Complaints:
    def __init__(self, path: str) -> None:
        self._path = path
        self.found: list[Problem] = []
        self._hidden = 0

    def add(self, line: int, id_: str, message: str) -> None:
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(
                Problem(id=id_, path=self._path, line=line, column=min(line, 1), message=message)
            )
        else:
            self._hidden += 1

    def all(self) -> list[Problem]:
        return [*self.found, more(self._path, self._hidden)] if self._hidden else self.found
