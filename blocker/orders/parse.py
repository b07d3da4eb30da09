"""The Node tree of an order file to an Order, or all that is wrong with it.

The format itself stands in `tables`. What concerns the
file alone is decided here; what needs other orders or the site is left to `check` and `relations`. There is
no Order while there is a Problem. Pure: the digest and the path are given.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from blocker import yamltext
from blocker.fields import (
    Complaints,
    Field,
    read_mapping,
)
from blocker.orders import subjects
from blocker.orders.model import (
    PLAIN,
    Authority,
    Directive,
    Document,
    Kind,
    Match,
    NamesFile,
    Order,
    Publication,
)
from blocker.orders.tables import CHANGES, COMMON, OWN, check_window, is_absent

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocker.errors import Problem
    from blocker.yamltext import Mark, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed:
    """An order with the file it came from: `path` as shown to people, `id` as its place demands."""

    order: Order
    path: str
    id: str
    root: Node

    def place(self, *steps: str | int) -> Mark:
        """Line and column of the value that these keys and list positions lead to."""
        return yamltext.place(self.root, *steps)

    @property
    def directives_key(self) -> str:
        """The key of the file under which the directives stand."""
        return "add" if self.order.kind is Kind.AMEND else "directives"


def digest(octets: bytes) -> str:
    """What an order's file is known by: SHA-256 (hex) of its octets less a BOM and the CR of CR LF."""
    return sha256(yamltext.normal(octets)).hexdigest()


def read(octets: bytes, *, path: str, id_: str) -> tuple[Filed | None, list[Problem]]:
    """The order in these octets. `id_` is what its place below the orders folder makes its id."""
    root, problems = yamltext.read(octets, path)
    if root is None:
        return None, problems
    complaints = Complaints(path, problems)
    order = parse(root, complaints, digest(octets))
    if order is None:
        return None, complaints.all()
    return Filed(order=order, path=path, id=id_, root=root), []


def parse(root: Node, complaints: Complaints, digest: str) -> Order | None:
    """The Order of a tree; None if there are complaints, old or new."""
    kind = _kind(root)
    fields = _fields_of(kind)
    root = _without_foreign(root, fields, kind, complaints)
    values = read_mapping(root, complaints, fields, _what(kind))
    if "deadline" in values and "received" not in values and is_absent(root, "received"):
        complaints.add(
            "deadline-without-received",
            yamltext.place(root, "deadline"),
            "a deadline counts from receipt; add 'received', or remove 'deadline'.",
        )
    if kind is Kind.AMEND and all(is_absent(root, key) for key in CHANGES):
        complaints.add("amend-empty", root, f"the amend changes nothing; write one of {', '.join(CHANGES)}.")
    if kind in (Kind.SUSPEND, Kind.AMEND):
        check_window(values, root, complaints, "until")
    for key in ("directives", "add"):
        _check_directives(root, key, values, complaints)
    if complaints or kind is None:
        return None
    return _order(kind, values, digest)


def _order(kind: Kind, values: dict[str, Any], digest: str) -> Order:
    written = values.get("directives") or values.get("add") or ()
    deadline = values.get("deadline")
    return Order(
        id=values["order"],
        kind=kind,
        authority=Authority(**values["authority"]),
        legal_basis=values["legal_basis"],
        reference=values.get("reference", ""),
        issued=values["issued"],
        received=values.get("received"),
        deadline=None if deadline is None else timedelta(seconds=deadline),
        publication=Publication(values["publication"]),
        document=Document(**values["document"]) if "document" in values else None,
        directives=tuple(_directive(one) for one in written),
        of=values.get("of", ""),
        start=values.get("from"),
        until=values.get("until"),
        review_by=values.get("review_by"),
        remove=values.get("remove", ()),
        remove_file=_names_file(values.get("remove_file")),
        digest=digest,
    )


def _directive(values: dict[str, Any]) -> Directive:
    match = Match(values.get("match", Match.SUBTREE))
    return Directive(
        id=values["id"],
        subjects=tuple(subjects.parse(name, match) for name in values.get("names", ())),
        names_file=_names_file(values.get("names_file")),
        match=match,
        excepts=values.get("except", ()),
        regions=values["regions"],
        action=values.get("action", PLAIN),
        start=values["from"],
        until=values.get("until"),
        review_by=values.get("review_by"),
    )


def _names_file(values: dict[str, str] | None) -> NamesFile | None:
    return None if values is None else NamesFile(file=values["file"], sha256=values["sha256"])


def _kind(root: Node) -> Kind | None:
    written = root.get("kind") if isinstance(root, yamltext.Mapping) else None
    if isinstance(written, yamltext.Scalar) and written.text in list(Kind):
        return Kind(written.text)
    return None


def _what(kind: Kind | None) -> str:
    if kind is None:
        return "an order"
    return f"{'an' if kind is Kind.AMEND else 'a'} {kind} order"


def _fields_of(kind: Kind | None) -> dict[str, Field]:
    """The keys of the kind; without a kind those of all kinds, none of them required."""
    if kind is not None:
        return COMMON | OWN[kind]
    optional = {key: Field(read=field.read) for own in OWN.values() for key, field in own.items()}
    return optional | COMMON


def _without_foreign(root: Node, fields: dict[str, Field], kind: Kind | None, complaints: Complaints) -> Node:
    """The tree less the keys that belong to other kinds, each of them complained of."""
    if not isinstance(root, yamltext.Mapping):
        return root
    kept = []
    for key, value in root.entries:
        kinds = [other for other, own in OWN.items() if key.text in own]
        if key.text in fields or not kinds:
            kept.append((key, value))
        else:
            complaints.add(
                "key-not-for-kind",
                key,
                f"{_what(kind)} has no '{key.text}', which belongs to {' or '.join(kinds)}; "
                "remove it, or mend 'kind'.",
            )
    return yamltext.Mapping(entries=tuple(kept), mark=root.mark)


def _check_directives(root: Node, key: str, values: Mapping[str, Any], complaints: Complaints) -> None:
    ids = Counter(one["id"] for one in values.get(key, ()) if "id" in one)
    for position, one in enumerate(values.get(key, ())):
        if ids[one.get("id")] > 1:
            complaints.add(
                "duplicate-directive-id",
                yamltext.place(root, key, position, "id"),
                f"{one['id']!r} is the id of {ids[one['id']]} directives; lifts need one id for each.",
            )
