"""What the orders folder has that isn't applied, as far as nobody outside may know of it: new orders that are
held, left out for a problem, or wait for an apply. Shell.

What can be read goes by what it says of itself; of what can't be, its id counts as sealed, and so does every
name that its text has. Ids that the ledger alone remembers do, too. Nothing in a file keeps this from being
done.
"""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from blocker import bounded, yamltext
from blocker.errors import StoreError
from blocker.orders import names_file, parse
from blocker.orders.files import MAX_LIST_OCTETS, lists_of
from blocker.policy import disclosure, ledger
from blocker.policy.disclosure import Waiting

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from blocker.names import Key
    from blocker.orders.model import NameList, Order
    from blocker.site import Site
    from blocker.yamltext import Node

_WORDS = bounded.Words(
    unreadable="file-unreadable", irregular="file-not-regular", large="file-too-large", too_large="too large"
)
_SUFFIXES = (".yaml", ".yml")
_NAMING = ("directives", "add", "remove", "remove_file")  # the keys of an order that hold names


def waiting(
    site: Site, applied: Mapping[str, Order], public: Collection[str], unread: Collection[str] = ()
) -> Waiting:
    """What of the folder nobody may know of who may know of `public`. `applied` are the orders that ever
    were, by id; `unread` the ids of those that can't be read back, which count as sealed. Raises StoreError
    if the folder can't be listed, or the ledger can't be read.
    """
    filed: dict[str, Order] = {}
    ids, references = set(unread), set[str]()
    keys: set[Key] = set()
    lists: list[tuple[Path, str]] = []
    for path in _files(site.orders):
        id_ = bounded.printable(path.relative_to(site.orders)).rpartition(".")[0]
        octets = _octets(path, site.orders, yamltext.MAX_OCTETS)
        if id_ in applied and parse.digest(octets) == applied[id_].digest:
            continue
        draft, _ = parse.draft(octets, path=id_, id_=id_)
        if isinstance(draft, parse.Filed):
            filed[id_] = draft.order
            continue
        ids.add(id_)
        texts, named = _said(path, draft, octets)
        keys.update(key for text in texts for key in disclosure.names_in(text))
        lists += [(path, one) for one in named]
        if draft is not None:
            ids.add(draft.order_id)
            references.add(_reference(draft.root))
    hidden = disclosure.sealed_among(filed, public, {*applied, *unread})
    for id_, order in hidden.items():
        ids.update((id_, order.id))
        references.add(order.reference)
        keys.update(disclosure.names_of(order))
        lists += [(site.orders / f"{id_}.yaml", one.file) for _, one in lists_of(order)]
    known = {*applied, *(id_ for id_ in filed if id_ not in hidden)}
    ids.update(id_ for id_ in _remembered(site.state) if id_ not in known)
    read = cache(lambda: [_list(site.orders, path, file) for path, file in lists])
    return Waiting(
        ids=frozenset(ids),
        references=frozenset(references),
        has=lambda key: key in keys or any(key in one.keys or key in one.below for one in read()),
    )


def _files(folder: Path) -> Iterator[Path]:
    """All that is, or looks like, an order's file; none if there is no folder."""

    def stop(error: OSError) -> None:
        if not isinstance(error, FileNotFoundError):
            what = f"{error.filename}: the folder can't be read, so which orders wait there is not known"
            raise StoreError(f"{what}: {error.strerror}") from error

    for at, below, names in os.walk(folder, onerror=stop):
        below[:] = [name for name in below if not name.startswith(".")]
        for name in sorted(names):
            if name.lower().endswith(_SUFFIXES) and not name.startswith("."):
                yield Path(at, name)


def _octets(path: Path, folder: Path, bound: int) -> bytes:
    """Of a file inside the folder; nothing of any other, or if they can't be read."""
    try:
        real = Path(os.path.realpath(path))
        return bounded.octets(real, bound, _WORDS) if real.is_relative_to(folder.resolve()) else b""
    except (bounded.Refused, ValueError):
        return b""


def _list(folder: Path, order: Path, file: str) -> NameList:
    listing, _ = names_file.parse(_octets(order.parent / file, folder, MAX_LIST_OCTETS), file)
    return listing.names


def _said(path: Path, draft: parse.Draft | None, octets: bytes) -> tuple[list[str], list[str]]:
    """The texts of a file that is wrong in which names stand, and the lists that it names; if it is no order
    at all, all of it, and each list beside it that is named anywhere.
    """
    if draft is None or not isinstance(draft.root, yamltext.Mapping):
        text = octets.decode("utf-8", "replace")
        beside = (one.name for one in path.parent.iterdir() if one.suffix not in _SUFFIXES)
        return [text], [name for name in beside if name in text]
    texts = [
        said for key, value in draft.root.entries if key.text in _NAMING for said in _texts(key.text, value)
    ]
    return [text for _, text in texts], [text for key, text in texts if key == "file"]


def _texts(key: str, node: Node) -> Iterator[tuple[str, str]]:
    """Every text in the tree with the key that it stands under."""
    if isinstance(node, yamltext.Scalar):
        yield key, node.text
    elif isinstance(node, yamltext.Sequence):
        for one in node.items:
            yield from _texts(key, one)
    else:
        for below, value in node.entries:
            yield from _texts(below.text, value)


def _reference(root: Node) -> str:
    found = root.get("reference") if isinstance(root, yamltext.Mapping) else None
    return found.text if isinstance(found, yamltext.Scalar) else ""


def _remembered(state: Path) -> Iterator[str]:
    """The ids of orders that an apply held or left out."""
    for one in ledger.entries(state, only=("held", "checked")):
        if one.event == "held":
            yield one.subject
        told = one.facts.get("quarantined")
        yield from map(str, told if isinstance(told, list) else ())
