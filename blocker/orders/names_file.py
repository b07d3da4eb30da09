"""The octets of a names_file to a NameList with the line of every name.

One name a line, blank lines, `*.name` for all below a name, and comments: a `#` at the beginning or after a
blank begins one; within a row it would make another name of it, and is refused with the row. Lists have
millions of lines, so the key of a plain ASCII name is put together from that of what follows its first label,
which thousands of names share, and everything else goes through `subjects.parse`. Until they are sorted, keys
are kept with their line behind them; then both are packed. Pure.
"""

from __future__ import annotations

import re
from array import array
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.errors import Problem
from blocker.fields import Rejected, more
from blocker.orders import subjects, suffixes
from blocker.orders.keys import RUN, Keys
from blocker.orders.model import Match, NameList
from blocker.yamltext import MAX_PROBLEMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

MAX_LINE = 1024
_HEAD = 4096  # octets in which something that is no list shows itself

_PIECE = 1 << 18  # octets cut into lines at once
_MOST_TAILS = 1 << 16
_TOLD = RUN << 8  # names put in order between two words about it

# What may follow the first label of a name: labels of right lengths, the last of which isn't a number. Case
# is folded before.
_TAIL = re.compile(rb"(?:[a-z0-9_-]{1,63}\.)*(?!(?:[0-9]+|0x[0-9a-f]*)\Z)[a-z0-9_-]{1,63}\Z")
_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
_LENGTHS = tuple(bytes((length,)) for length in range(64))
_COMMENT = re.compile(rb"\s#")
_AFTER_KEY = b"\0"  # Sorts before whatever a longer key goes on with.


class Listing(NamedTuple):
    """The names, and the line (from 1) where each first stands: of `names.keys`, then of `names.below`."""

    names: NameList
    lines: array[int]


def parse(
    octets: bytes, path: str, *, progress: Callable[[int, int], None] | None = None
) -> tuple[Listing, list[Problem]]:
    """The names in the octets, each once, and what is wrong: the first hundred Problems and a count.

    `progress` is told now and then how much is done and how much there is: reading is one half of it, putting
    in order the other.
    """
    if (what := _not_a_list(octets[:_HEAD])) is not None:
        empty = Listing(NameList(keys=()), array("I"))
        return empty, [Problem(id="names-file-not-a-list", path=path, line=1, column=1, message=what)]
    size, tell = len(octets), progress or (lambda _done, _all: None)
    found = _Found(path)
    _read(octets, found, lambda done: tell(done, 2 * size))
    listing = found.listing(lambda done, names: tell(size + size * done // names, 2 * size))
    return listing, found.problems()


def _read(octets: bytes, found: _Found, tell: Callable[[int], None]) -> None:
    """What the lines say; `tell` hears how many octets were read."""
    suffix = suffixes.rules().exact
    tails: dict[bytes, bytes] = {}
    number = 0
    for done, lines in _pieces(octets):
        if done:
            tell(done)
        for line in lines:
            number += 1
            name = line.strip()
            head, _, tail = name.partition(b".")
            above = tails.get(tail)
            if above is None and (above := _key_of_tail(tail)):
                if len(tails) >= _MOST_TAILS:
                    tails.clear()
                tails[tail] = above
            if above and 0 < len(head) < 64 and len(name) <= 253 and not head.translate(None, _PLAIN):
                key = above + _LENGTHS[len(head)] + head
                if key not in suffix and len(line) <= MAX_LINE:
                    found.keys.append(key + _AFTER_KEY + number.to_bytes(4))
                    continue
            found.add_other(line, number)


def _pieces(octets: bytes) -> Iterator[tuple[int, list[bytes]]]:
    """Some lines in lower case at a time, and the octets before them. What is too long for a line comes cut,
    just over the bound.
    """
    at, size = 3 if octets.startswith(b"\xef\xbb\xbf") else 0, len(octets)
    done = 0
    while at < size:
        end = octets.rfind(b"\n", at, at + _PIECE) if at + _PIECE < size else size
        if end >= 0:
            yield done, octets[at:end].lower().split(b"\n")
        else:
            end = octets.find(b"\n", at + _PIECE)
            end = end if end >= 0 else size
            yield done, [octets[at : at + MAX_LINE + 1].lower()]
        at = done = end + 1


def _key_of_tail(tail: bytes) -> bytes:
    """The key of what follows a first label; empty where the name needs a closer look."""
    if len(tail) > 251 or not _TAIL.match(tail):
        return b""
    key = names.to_key(tail.decode("ascii"))
    return b"" if key in suffixes.rules().wild else key


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
    """What a list has told so far: keys, each with a zero and its line behind it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.keys: list[bytes] = []
        self._below: list[bytes] = []
        self._problems: list[Problem] = []
        self._hidden = 0

    def add_other(self, line: bytes, number: int) -> None:
        """Take a line that isn't a plain name: a comment, `*.name`, another script, or something wrong."""
        try:
            text = _text(line[: MAX_LINE + 1])
            if text:
                subject = subjects.parse(text)
                where = self._below if subject.match is Match.BELOW else self.keys
                where.append(subject.key + _AFTER_KEY + number.to_bytes(4))
        except Rejected as rejected:
            self._complain(number, rejected.id, str(rejected))

    def listing(self, progress: Callable[[int, int], None]) -> Listing:
        """The names in order. What was collected goes as they come."""
        if not self.keys and not self._below and not self._problems:
            self._complain(
                0, "names-file-empty", "the file lists no name; add the names, or remove names_file."
            )
        lines, total = array("I"), len(self.keys) + len(self._below)

        def tell(done: int) -> None:
            progress(done, total)

        keys, below = (Keys(_runs(found, lines, tell)) for found in (self.keys, self._below))
        return Listing(NameList(keys=keys, below=below), lines)

    def _complain(self, line: int, id_: str, message: str) -> None:
        if len(self._problems) >= MAX_PROBLEMS:
            self._hidden += 1
            return
        self._problems.append(
            Problem(id=id_, path=self._path, line=line, column=min(line, 1), message=message)
        )

    def problems(self) -> list[Problem]:
        return [*self._problems, more(self._path, self._hidden)] if self._hidden else self._problems


def _runs(
    found: list[bytes], lines: array[int], progress: Callable[[int], None]
) -> Iterator[list[names.Key]]:
    """The keys in order, each once; their first lines are appended to `lines`, `found` is emptied."""
    found.sort(reverse=True)
    run: list[names.Key] = []
    last = b""
    while found:
        part = found[-RUN:]
        del found[-RUN:]
        for one in reversed(part):
            key = one[:-5]
            if key == last:
                continue
            last = key
            run.append(names.Key(key))
            lines.append(int.from_bytes(one[-4:]))
            if len(run) == RUN:
                yield run
                run = []
                if len(lines) % _TOLD < RUN:
                    progress(len(lines))
    if run:
        yield run


def _text(line: bytes) -> str:
    """The line less its comment; empty if nothing is left. A line over the bound comes cut, just over it."""
    if line.lstrip().startswith(b"#"):
        return ""
    if len(line) > MAX_LINE:
        raise Rejected("line-too-long", f"the line has more than {MAX_LINE} octets; a line holds one name.")
    try:
        return _COMMENT.split(line, maxsplit=1)[0].strip().decode("utf-8")
    except UnicodeDecodeError as error:
        raise Rejected("not-utf-8", f"{line[:60]!r} is not UTF-8; save the file as UTF-8.") from error
