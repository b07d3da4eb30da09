"""Octets of YAML to a tree of Nodes, every one with its line and column.

Order files are untrusted. So this reads YAML as events, never composes (100,000 nested levels crash the C
loader), and stops at the first bound it meets: 1 MiB, depth 20, 50,000 nodes, one document. What could make
a text mean something other than what a person sees is a Problem: aliases and anchors, tags, directives,
duplicate keys. Scalars stay text, for the schema knows their types and YAML does not: `NO` is Norway here.

Pure: octets in, values out. It knows nothing of orders or sites.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import yaml

from blocker.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_OCTETS = 1 << 20
MAX_DEPTH = 20
MAX_NODES = 50_000
MAX_PROBLEMS = 100

_BOM = b"\xef\xbb\xbf"
# Control characters, and what ends a line for YAML but not in every editor: a comment could hide keys.
_LINE_ENDS = "\r\x85\u2028\u2029"
# What makes a screen show another order of letters than the machine reads (UAX 9; CVE-2021-42574).
_REORDERING = "\u202a-\u202e\u2066-\u2069"
_CONTROLS = "\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff"
_BINARY = re.compile(f"[{_CONTROLS}{_LINE_ENDS}{_REORDERING}]")
_CONFLICT = re.compile("^(?:<{7}|={7}|>{7})(?: |$)", re.MULTILINE)
_DIRECTIVE = re.compile("^%", re.MULTILINE)
_LOADER: type = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml is missing on some platforms.
_TOO_DEEP = f"lists and mappings are nested deeper than {MAX_DEPTH} levels; flatten them."


class Mark(NamedTuple):
    """A place in a file, from line 1, column 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scalar:
    """One text. `is_plain` says that it was written without quotes."""

    text: str
    is_plain: bool
    mark: Mark

    @property
    def is_empty(self) -> bool:
        """Whether nothing is there: no text at all, or YAML's own word for nothing, unquoted."""
        return not self.text or (self.is_plain and self.text in ("~", "null", "Null", "NULL"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Keys and values as written; no key twice."""

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark

    def get(self, key: str) -> Node | None:
        """The value of a key."""
        return next((value for name, value in self.entries if name.text == key), None)


Node = Scalar | Sequence | Mapping


def place(root: Node | None, *steps: str | int) -> Mark:
    """Where the node is to which the steps (keys, list positions) lead, or the deepest one on the way."""
    at = root
    for step in steps:
        below: Node | None = None
        if isinstance(at, Mapping) and isinstance(step, str):
            below = at.get(step)
        elif isinstance(at, Sequence) and isinstance(step, int) and step < len(at.items):
            below = at.items[step]
        if below is None:
            break
        at = below
    return at.mark if at is not None else Mark(0, 0)


def normal(octets: bytes) -> bytes:
    """The octets without a byte order mark and with CR LF as LF: what digests and marks count from."""
    return octets.removeprefix(_BOM).replace(b"\r\n", b"\n")


def read(octets: bytes, path: str) -> tuple[Node | None, list[Problem]]:
    """The tree of the one document in a file; None where there are Problems that leave no tree.

    Duplicate keys, tags, anchors and keys that aren't text leave a tree, so that all Problems of a file can
    be told at once; callers must not use the tree for anything but more Problems then.
    """

    def refused(id_: str, mark: Mark, message: str) -> tuple[None, list[Problem]]:
        return None, [Problem(id=id_, path=path, line=mark.line, column=mark.column, message=message)]

    if len(octets) > MAX_OCTETS:
        return refused("file-too-large", Mark(0, 0), too_large())
    octets = normal(octets)
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        return refused(
            "not-utf-8",
            _mark_at(octets[: error.start].decode("utf-8")),
            f"the octet 0x{octets[error.start]:02x} is not UTF-8; save the file as UTF-8 text.",
        )
    if (odd := _BINARY.search(text)) is not None:
        return refused("binary-file", _mark_at(text[: odd.start()]), _odd(odd.group()))
    if (directive := _DIRECTIVE.search(text)) is not None:
        return refused(
            "yaml-directive",
            _mark_at(text[: directive.start()]),
            "YAML directives (%…) are not allowed; remove the line, or quote the text.",
        )
    tree = _Tree(path)
    try:
        tree.read(yaml.parse(text, Loader=_LOADER))
    except _Stop:
        return None, tree.problems
    except yaml.YAMLError as error:
        mark, message = _syntax(error, text)
        # Newer versions of libyaml count levels themselves, before they give the first event.
        is_deep = "nesting depth" in message
        tree.complain("yaml-too-deep" if is_deep else "yaml-syntax", mark, _TOO_DEEP if is_deep else message)
        return None, tree.problems
    if tree.root is None:
        tree.complain("file-empty", Mark(0, 0), "the file has no content; write it, or remove the file.")
    return tree.root, tree.problems


def too_large() -> str:
    """The message for a file over the bound, for callers who refuse it before they read it."""
    return "the file is larger than 1 MiB; put long lists of names into a names_file."


class _Stop(Exception):  # It is control flow inside this module, not an error of its callers.
    pass


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not come yet."""

    mark: Mark
    is_mapping: bool
    items: list[Node] = field(default_factory=list)
    entries: list[tuple[Scalar, Node]] = field(default_factory=list)
    seen: dict[str, Mark] = field(default_factory=dict)
    key: Node | None = None


class _Tree:
    """The tree while it grows. Nested by a list, not by calls: depth costs nothing."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[_Open] = []
        self._nodes = 0
        self.root: Node | None = None
        self.problems: list[Problem] = []

    def complain(self, id_: str, mark: Mark, message: str) -> None:
        self.problems.append(
            Problem(id=id_, path=self._path, line=mark.line, column=mark.column, message=message)
        )

    def read(self, events: Iterator[yaml.Event]) -> None:
        for event in events:
            at = event.start_mark
            mark = Mark(at.line + 1, at.column + 1) if at is not None else Mark(0, 0)
            match event:
                case yaml.DocumentStartEvent() if self.root is not None:
                    self._stop("yaml-documents", mark, "a second document starts; keep one in a file.")
                case yaml.AliasEvent():
                    self._stop("yaml-alias", mark, f"'*{event.anchor}' is an alias; write the text out.")
                case yaml.ScalarEvent():
                    self._count(event, mark)
                    plain = event.style is None or event.style == ""
                    if (odd := _BINARY.search(event.value)) is not None:  # It was written as an escape.
                        self.complain("binary-file", mark, _odd(odd.group()))
                    self._put(Scalar(text=event.value, is_plain=plain, mark=mark))
                case yaml.SequenceStartEvent() | yaml.MappingStartEvent():
                    self._count(event, mark)
                    if len(self._open) == MAX_DEPTH:
                        self._stop("yaml-too-deep", mark, _TOO_DEEP)
                    self._open.append(_Open(mark, isinstance(event, yaml.MappingStartEvent)))
                case yaml.SequenceEndEvent() | yaml.MappingEndEvent():
                    self._put(self._closed())
                case _:
                    pass

    def _stop(self, id_: str, mark: Mark, message: str) -> None:
        self.complain(id_, mark, message)
        raise _Stop

    def _count(self, event: yaml.NodeEvent, mark: Mark) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            self._stop(
                "yaml-too-many-nodes",
                mark,
                f"the file has more than {MAX_NODES:,} values; put long lists of names into a names_file.",
            )
        if event.anchor is not None:
            self._stop("yaml-alias", mark, f"'&{event.anchor}' is an anchor; remove it.")
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._stop("yaml-tag", mark, f"{tag[:60]!r} is a tag; remove it, types are known without.")

    def _closed(self) -> Node:
        done = self._open.pop()
        if done.is_mapping:
            return Mapping(entries=tuple(done.entries), mark=done.mark)
        return Sequence(items=tuple(done.items), mark=done.mark)

    def _put(self, node: Node) -> None:
        if not self._open:
            self.root = node
            return
        above = self._open[-1]
        if not above.is_mapping:
            above.items.append(node)
        elif above.key is None:
            above.key = node
            self._check_key(above, node)
        else:
            if isinstance(above.key, Scalar) and above.seen.get(above.key.text) == above.key.mark:
                above.entries.append((above.key, node))
            above.key = None

    def _check_key(self, above: _Open, key: Node) -> None:
        if len(self.problems) == MAX_PROBLEMS - 1:  # One is kept for what ends the reading.
            self._stop("more-problems", key.mark, "there may be more problems; mend the ones above first.")
        if not isinstance(key, Scalar):
            self.complain("key-not-text", key.mark, "a key is a list or mapping; keys are text.")
        elif key.text in above.seen:
            first = above.seen[key.text]
            self.complain(
                "duplicate-key",
                key.mark,
                f"{key.text[:60]!r} is here a second time, first on line {first.line}; keep one of them.",
            )
        else:
            above.seen[key.text] = key.mark


def _odd(char: str) -> str:
    why = "has no place in a text file; remove it, or write the file anew in a text editor."
    if char in _LINE_ENDS:
        why = "ends a line for YAML and not for everyone who reads; end lines with LF or CR LF alone."
    elif re.match(f"[{_REORDERING}]", char):
        why = "makes a screen show the text in another order than it has; remove it."
    return f"the character U+{ord(char):04X} {why}"


def _mark_at(before: str) -> Mark:
    return Mark(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _syntax(error: yaml.YAMLError, text: str) -> tuple[Mark, str]:
    problem = getattr(error, "problem", None) or "it can't be read"
    context = getattr(error, "context", None)
    if (conflict := _CONFLICT.search(text)) is not None:
        at_conflict = _mark_at(text[: conflict.start()])
        return at_conflict, "a merge left its conflict marks here; keep one of the two sides."
    at = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if "end of stream" in problem:  # Not where the text ends is the mistake, but where it was opened.
        at = getattr(error, "context_mark", None) or at
    mark = Mark(at.line + 1, at.column + 1) if at is not None else Mark(0, 0)
    message = f"not YAML: {problem}{f' {context}' if context else ''}"
    lines = text.split("\n")
    if 0 < mark.line <= len(lines) and "::" in lines[mark.line - 1]:
        return mark, f'{message}; quote text with \'::\' in it, such as "2001:db8::1" or "[::1]:53".'
    return mark, f"{message}; mend the text there, or quote it."
