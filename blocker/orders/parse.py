"""The octets of an order file to an Order, or all that is wrong with it.

The format itself stands in `tables`. What concerns the file alone is decided here; what needs other orders
or the site is left to `check` and `relations`. There is no Order while there is a Problem here, but there
is a Draft, so that the checks can say at once what else is wrong. Pure.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from blocker import yamltext
from blocker.fields import Complaints, Field, read_mapping
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
from blocker.orders.tables import CHANGES, COMMON, OWN, Written, check_window, is_absent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from blocker.errors import Problem
    from blocker.yamltext import Mark, Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What could be read of an order's file: `path` as shown to people, `id` as its place demands.

    `order_id` is the id that the file says, empty if it says none. `directives` are those with nothing wrong
    in them, each with its position under `directives_key`.
    """

    path: str
    id: str
    root: Node
    order_id: str
    directives_key: str
    directives: tuple[tuple[int, Directive], ...]

    def place(self, *steps: str | int) -> Mark:
        """Line and column of the value that these keys and list positions lead to."""
        return yamltext.place(self.root, *steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class Filed(Draft):
    """An order with the file it came from."""

    order: Order


def digest(octets: bytes) -> str:
    """What an order's file is known by: SHA-256 (hex) of its octets less a BOM and the CR of CR LF."""
    return sha256(yamltext.normal(octets)).hexdigest()


def read(octets: bytes, *, path: str, id_: str) -> tuple[Filed | None, list[Problem]]:
    """The order in these octets. `id_` is what its place below the orders folder makes its id."""
    found, problems = draft(octets, path=path, id_=id_)
    return (found if isinstance(found, Filed) else None), problems


def draft(octets: bytes, *, path: str, id_: str) -> tuple[Draft | None, list[Problem]]:
    """What can be read of these octets: a Filed if nothing is wrong, None if they are no tree at all."""
    root, problems = yamltext.read(octets, path)
    if root is None:
        return None, problems
    complaints = Complaints(path, problems)
    kind = _kind(root)
    values = _values(root, kind, complaints)
    key = "add" if kind is Kind.AMEND else "directives"
    written: Sequence[Written] = values.get(key, ())
    directives = tuple((at, _directive(one.values)) for at, one in enumerate(written) if one.is_right)
    parts: dict[str, Any] = {
        "path": path,
        "id": id_,
        "root": root,
        "order_id": values.get("order", ""),
        "directives_key": key,
        "directives": directives,
    }
    if complaints or kind is None:
        return Draft(**parts), complaints.all()
    order = _order(kind, values, [one for _, one in directives], digest(octets))
    return Filed(order=order, **parts), []


def _values(root: Node, kind: Kind | None, complaints: Complaints) -> dict[str, Any]:
    """What the file says, by key, as far as it could be read."""
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
        _check_ids(root, key, values, complaints)
    if kind is Kind.AMEND:
        _check_added(root, values, complaints)
    return values


def _order(kind: Kind, values: Mapping[str, Any], directives: Sequence[Directive], digest: str) -> Order:
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
        directives=tuple(directives),
        of=values.get("of", ""),
        start=values.get("from"),
        until=values.get("until"),
        review_by=values.get("review_by"),
        remove=values.get("remove", ()),
        remove_file=_names_file(values.get("remove_file")),
        digest=digest,
    )


def _directive(values: Mapping[str, Any]) -> Directive:
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
        continues=values.get("continues", ""),
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


def _check_ids(root: Node, key: str, values: Mapping[str, Any], complaints: Complaints) -> None:
    written: Sequence[Written] = values.get(key, ())
    ids = Counter(one.values["id"] for one in written if "id" in one.values)
    for position, one in enumerate(written):
        id_ = one.values.get("id")
        if ids[id_] > 1:
            complaints.add(
                "duplicate-directive-id",
                yamltext.place(root, key, position, "id"),
                f"{id_!r} is the id of {ids[id_]} directives; lifts need one id for each.",
            )


def _check_added(root: Node, values: Mapping[str, Any], complaints: Complaints) -> None:
    """An added directive holds from the later of its own `from` and the amend's."""
    since: datetime | None = values.get("from")
    written: Sequence[Written] = values.get("add", ())
    for position, one in enumerate(written):
        until: datetime | None = one.values.get("until")
        # What goes on with another directive is renewed with that one, whatever its own words are.
        is_own = "continues" not in one.values
        if one.is_right and is_own and since is not None and until is not None and until <= since:
            complaints.add(
                "empty-window",
                yamltext.place(root, "add", position, "until"),
                f"'until' ({until.isoformat()}) is not after the amend's own 'from' ({since.isoformat()}), "
                "before which nothing is added.",
            )
