"""The orders folder, read: the shell around parse, check, relations and names_file.

Nothing in the folder is trusted. Files are opened without waiting for what a pipe may say, read no further
than their bound, and never followed out of the folder. Every complaint is a Problem; a Problem quarantines
its order and every order whose `of` leads to it, and the rest is as good as it was.

A names_file of an order that was applied before, with the same digest, is only hashed: its names are in the
store already. `Loaded.read` parses it when someone asks.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from blocker import yamltext
from blocker.bounded import Refused, Words, printable
from blocker.bounded import octets as octets_of
from blocker.errors import OrdersInvalid, Problem
from blocker.fields import more
from blocker.orders import check, names_file, parse, relations, removals
from blocker.orders.digests import Digests

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from blocker.orders.model import NameList, NamesFile, Order
    from blocker.orders.parse import Filed

MAX_FILES = 100_000
MAX_DEPTH = 8
MAX_LIST_OCTETS = 512 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What the orders folder says.

    `orders` are those that may be applied, by id: neither with a Problem nor about one that has. `problems`
    are all complaints, warnings too. `quarantined` are the ids of all other orders that are there. `filed`
    are the orders whose files are right by themselves, whatever they are about, by id; `broken` the ids of
    all others. `sources` has the octets of every order in `filed`, `list_files` where the octets of each
    names_file are, by SHA-256, `lists` those that were parsed.
    """

    orders: tuple[Order, ...] = ()
    problems: tuple[Problem, ...] = ()
    quarantined: frozenset[str] = frozenset()
    filed: Mapping[str, Filed] = field(default_factory=dict, repr=False)
    broken: frozenset[str] = frozenset()
    sources: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    list_files: Mapping[str, Path] = field(default_factory=dict, repr=False)
    lists: Mapping[str, NameList] = field(default_factory=dict, repr=False)

    def read(self, names: NamesFile) -> NameList:
        """The names of a names_file of one of the orders, parsed now if they weren't before.

        Raises OrdersInvalid if its file changed since, KeyError if no order in `orders` has it.
        """
        known = self.lists.get(names.sha256)
        if known is not None:
            return known
        octets = self.octets(names)
        listing, problems = names_file.parse(octets, printable(self.list_files[names.sha256]))
        if problems:
            raise OrdersInvalid(problems)
        return listing.names

    def octets(self, names: NamesFile) -> bytes:
        """The octets of a names_file of one of the orders, as it fixed them. Raises as `read` does."""
        path = self.list_files[names.sha256]
        try:
            octets = octets_of(path, MAX_LIST_OCTETS, _LIST)
            _match_list(octets, hashlib.sha256(octets).hexdigest(), names.sha256)
        except Refused as refused:
            problem = Problem(id=refused.id, path=printable(path), message=str(refused))
            raise OrdersInvalid([problem]) from refused
        return octets


def source(folder: Path, order: str, beside: str = "") -> bytes:
    """The octets of the file of an order, or of one `beside` it; nothing if they can't be read. Whoever asks
    knows by the digest what it is.
    """
    path = (folder / f"{order}.yaml").parent / beside if beside else folder / f"{order}.yaml"
    try:
        return octets_of(Path(os.path.realpath(path)), MAX_LIST_OCTETS, _LIST)
    except Refused:
        return b""


def size(path: Path) -> int:
    """How many octets a file has; -1 if it is gone."""
    try:
        return path.stat().st_size
    except OSError:
        return -1


def load(
    folder: Path,
    facts: check.Facts,
    *,
    known: Collection[tuple[str, str]] = (),
    digests: Digests | None = None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Loaded:
    """Everything below the orders folder, checked.

    `known` are the (id, digest) of applied orders, `digests` what is remembered of files. `progress` is told
    what is read, how much of it is done and how much there is. Raises OrdersInvalid if the folder itself
    can't be read.
    """
    tell = progress or (lambda _what, _done, _all: None)
    return _Folder(folder, facts, frozenset(known), digests or Digests(), tell).load()


_ORDER = Words(
    unreadable="file-unreadable",
    irregular="file-not-regular",
    large="file-too-large",
    too_large=yamltext.too_large(),
)
_LIST = Words(
    unreadable="names-file-unreadable",
    irregular="names-file-unreadable",
    large="names-file-too-large",
    too_large="the file is larger than 512 MiB; split the list over several directives.",
)


class _Folder:
    def __init__(
        self,
        folder: Path,
        facts: check.Facts,
        known: frozenset[tuple[str, str]],
        digests: Digests,
        progress: Callable[[str, int, int], None],
    ) -> None:
        self._folder = folder
        self._real = Path(os.path.realpath(folder))
        self._facts = facts
        self._known = known
        self._digests = digests
        self._progress = progress
        self._problems: list[Problem] = []
        self._seen: set[str] = set()
        self._filed: list[Filed] = []
        self._sources: dict[str, bytes] = {}
        self._list_files: dict[str, Path] = {}
        self._listings: dict[str, tuple[names_file.Listing, list[Problem]]] = {}

    def load(self) -> Loaded:
        files = self._order_files()
        for done, path in enumerate(files):
            self._progress("orders", done, len(files))
            self._read_order(path)
        self._progress("orders", len(files), len(files))
        self._check_ids()
        for filed in self._filed:
            self._read_lists(filed)
            self._verify_document(filed)
        wrong = self._with_problems()
        right = [one for one in self._filed if one.id not in wrong]
        broken = frozenset(self._seen - {one.id for one in right})
        self._problems += relations.judge(right, quarantined=broken)
        quarantined = _spread(self._with_problems(), (one.order for one in self._filed))
        good = sorted((one for one in right if one.id not in quarantined), key=lambda one: one.id)
        lists = {sha256: listing.names for sha256, (listing, _) in self._listings.items()}
        self._problems += removals.check(good, lists)
        used = {list_.sha256 for one in right for _, list_ in lists_of(one.order)}
        return Loaded(
            orders=tuple(one.order for one in good),
            problems=tuple(sorted(self._problems, key=_by_place)),
            quarantined=quarantined,
            filed=MappingProxyType({one.id: one for one in right}),
            broken=broken,
            sources=MappingProxyType({one.id: self._sources[one.id] for one in right}),
            list_files=MappingProxyType({key: at for key, at in self._list_files.items() if key in used}),
            lists=MappingProxyType({key: names for key, names in lists.items() if key in used}),
        )

    def _with_problems(self) -> frozenset[str]:
        return frozenset(one.order for one in self._problems if one.order and one.severity == "error")

    def _complain(self, path: Path, id_: str, message: str, *, order: str = "") -> None:
        self._problems.append(Problem(id=id_, path=printable(path), message=message, order=order))

    def _order_files(self) -> list[Path]:
        try:
            found = list(self._walk(self._folder, 0))
        except OSError as error:
            problem = Problem(
                id="orders-missing",
                path=printable(self._folder),
                message=f"the orders folder can't be read: {error.strerror or error}; "
                "create it, or mend 'orders' in site.yaml.",
            )
            raise OrdersInvalid([problem]) from error
        return found

    def _walk(self, folder: Path, depth: int) -> Iterator[Path]:
        with os.scandir(folder) as entries:
            inside = sorted(entries, key=lambda entry: entry.name)
        for entry in inside:
            path = folder / entry.name
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk_below(path, depth + 1)
            elif entry.is_symlink() and self._is_refused_link(path):
                continue
            elif entry.name.endswith(".yaml"):
                self._seen.add(self._id_of(path))
                if len(self._seen) > MAX_FILES:
                    self._complain(
                        self._folder,
                        "too-many-files",
                        f"there are more than {MAX_FILES:,} order files; move orders that have ended out.",
                    )
                    return
                yield path
            elif entry.name.lower().endswith((".yaml", ".yml")):
                self._complain(path, "file-suffix", "orders are files that end in .yaml; rename the file.")

    def _walk_below(self, path: Path, depth: int) -> Iterator[Path]:
        if depth > MAX_DEPTH:
            self._complain(path, "file-unreadable", f"the folder is more than {MAX_DEPTH} levels deep.")
            return
        try:
            yield from self._walk(path, depth)
        except OSError as error:
            self._complain(path, "file-unreadable", f"the folder can't be read: {error.strerror or error}.")

    def _is_refused_link(self, path: Path) -> bool:
        """A link out of the folder, or to a folder, where it looks like an order or may hide some."""
        target = Path(os.path.realpath(path))
        is_folder = target.is_dir()
        if not is_folder and (path.suffix != ".yaml" or target.is_relative_to(self._real)):
            return False
        self._complain(
            path,
            "symlink-outside",
            "the link leads to a folder; put the orders themselves here."
            if is_folder
            else "the link leads out of the orders folder; put the file itself here.",
            order="" if is_folder else self._id_of(path),
        )
        if not is_folder:
            self._seen.add(self._id_of(path))
        return True

    def _id_of(self, path: Path) -> str:
        """What its place makes an order's id."""
        return printable(path.relative_to(self._folder)).removesuffix(".yaml")

    def _read_order(self, path: Path) -> None:
        id_ = self._id_of(path)
        try:
            octets = octets_of(Path(os.path.realpath(path)), yamltext.MAX_OCTETS, _ORDER)
        except Refused as refused:
            self._complain(path, refused.id, str(refused), order=id_)
            return
        draft, problems = parse.draft(octets, path=printable(path), id_=id_)
        if draft is not None:
            problems += check.check(draft, self._facts)
        if isinstance(draft, parse.Filed):
            self._filed.append(draft)
            self._sources[id_] = octets
        self._problems += [replace(problem, order=id_) for problem in problems]

    def _check_ids(self) -> None:
        """Two files with one id: the one that is not in its place is wrong."""
        at = {one.id: one for one in self._filed if one.order.id == one.id}
        claimed: dict[str, Filed] = {}
        for one in self._filed:
            if one.order.id == one.id:
                continue
            other = at.get(one.order.id) or claimed.get(one.order.id)
            claimed.setdefault(one.order.id, one)
            if other is not None:
                message = f"'{one.order.id}' is the id of {other.path} too; give this order its own."
                self._problems.append(check.problem(one, one.place("order"), "duplicate-order-id", message))

    def _read_lists(self, filed: Filed) -> None:
        is_known = (filed.order.id, filed.order.digest) in self._known
        for steps, written in lists_of(filed.order):
            mark = filed.place(*steps)
            try:
                path = self._inside(filed, written.file)
                if is_known:
                    self._verify_list(path, written, filed.id)
                elif written.sha256 not in self._listings:
                    octets, sha256 = self._digests.read(path, MAX_LIST_OCTETS, _LIST)
                    _match_list(octets, sha256, written.sha256, filed.id)
                    self._listings[written.sha256] = names_file.parse(
                        octets,
                        _beside(filed, written),
                        progress=partial(self._progress, written.file),
                    )
                    del octets
            except Refused as refused:
                way = (
                    f" The list as it was applied is in the state folder: archive/{written.sha256}."
                    if is_known and refused.id == _LIST.unreadable
                    else ""
                )
                self._problems.append(
                    check.problem(filed, mark, refused.id, f"'{written.file}': {refused}{way}")
                )
                continue
            self._list_files.setdefault(written.sha256, path)
            if not is_known:
                self._check_list(filed, steps, written)

    def _verify_list(self, path: Path, written: NamesFile, order: str) -> None:
        """Raises Refused unless the file is the one that the order fixed; it is read only to say why not."""
        found = self._digests.of(path, MAX_LIST_OCTETS, _LIST)
        if found != written.sha256:
            _match_list(octets_of(path, MAX_LIST_OCTETS, _LIST), found, written.sha256, order)

    def _check_list(self, filed: Filed, steps: tuple[str | int, ...], written: NamesFile) -> None:
        listing, problems = self._listings[written.sha256]
        shown = _beside(filed, written)
        self._problems += [replace(problem, path=shown, order=filed.id) for problem in problems]
        if steps[0] == "remove_file":
            return
        found: list[Problem] = []
        hidden = 0
        directive = filed.order.directives[int(steps[1])]
        for position, id_, message in check.check_list(listing.names, directive, self._facts):
            if len(found) == yamltext.MAX_PROBLEMS:
                hidden += 1
                continue
            line = listing.lines[position]
            found.append(Problem(id=id_, path=shown, line=line, column=1, message=message, order=filed.id))
        if hidden:
            found.append(replace(more(shown, hidden), order=filed.id))
        self._problems += found

    def _inside(self, filed: Filed, name: str) -> Path:
        """The real path of a file named by an order. Raises Refused unless it is in the orders folder."""
        if "\0" in name or Path(name).is_absolute():
            raise Refused(
                "names-file-outside", "the path is not relative to the order; name a file beside it."
            )
        real = Path(os.path.realpath((self._folder / filed.id).parent / name))
        if not real.is_relative_to(self._real):
            raise Refused(
                "names-file-outside", "the file is not inside the orders folder; put it beside the order."
            )
        return real

    def _verify_document(self, filed: Filed) -> None:
        document = filed.order.document
        if document is None:
            return
        try:
            path = self._inside(filed, document.file)
            _match_document(self._digests.of(path, MAX_LIST_OCTETS, _LIST), document.sha256)
        except Refused as refused:
            self._problems.append(
                check.problem(
                    filed,
                    filed.place("document", "file"),
                    "document-unverified",
                    f"'{document.file}': {refused}",
                    severity="warning",
                )
            )


def _beside(filed: Filed, written: NamesFile) -> str:
    """The path of a names_file as people read it: that of its order, with its own name."""
    return printable(Path(filed.path).parent / written.file)


def _by_place(problem: Problem) -> tuple[str, bool, int, int, str]:
    return (problem.path, problem.id == "more-problems", problem.line, problem.column, problem.id)


def lists_of(order: Order) -> Iterator[tuple[tuple[str | int, ...], NamesFile]]:
    """Every names_file of an order with the keys that lead to it in the file."""
    key = "directives" if not order.of else "add"
    for position, directive in enumerate(order.directives):
        if directive.names_file is not None:
            yield (key, position, "names_file", "file"), directive.names_file
    if order.remove_file is not None:
        yield ("remove_file", "file"), order.remove_file


def _spread(ids: Iterable[str], orders: Iterable[Order]) -> frozenset[str]:
    """The ids, and those of all orders that are about one of them."""
    about: dict[str, list[str]] = {}
    for order in orders:
        for other in relations.about(order):
            about.setdefault(other, []).append(order.id)
    reached: set[str] = set()
    todo = set(ids)
    while todo:
        reached |= todo
        todo = {below for id_ in todo for below in about.get(id_, ())} - reached
    return frozenset(reached)


def _match_list(octets: bytes, found: str, written: str, order: str = "") -> None:
    """Raises Refused unless the octets, whose digest is `found`, are those that the order fixed."""
    if found == written:
        return
    if b"\r\n" in octets and hashlib.sha256(octets.replace(b"\r\n", b"\n")).hexdigest() == written:
        raise Refused(
            "names-file-changed",
            "its line ends were changed from LF to CR LF, by git or an editor, and its digest with them; "
            "restore the file, and write `* -text` into a .gitattributes beside it.",
        )
    new = f"`blocker new --kind amend --of {order}`" if order else "an amend"
    raise Refused(
        "names-file-changed",
        f"its SHA-256 is {found}, the order says {written}; restore the list (if it was applied, it is in "
        f"the state folder as archive/{written}), and write what is to change as an order of its own: {new}.",
    )


def _match_document(found: str, written: str) -> None:
    if found != written:
        raise Refused(
            "document-unverified",
            f"its SHA-256 is {found}, the order says {written}; restore the copy that the order came with.",
        )
