"""The Node tree of an order file to an Order, or all that is wrong with it.

The tables below are the format: which keys each kind of order has and how each is read. What concerns the
file alone is decided here; what needs other orders or the site is left to `check` and `relations`. There is
no Order while there is a Problem. Pure: the digest and the path are given.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from blocker import yamltext
from blocker.fields import (
    MISSING,
    Complaints,
    Field,
    Rejected,
    contact,
    duration,
    mapping,
    moment,
    one_of,
    read_mapping,
    region,
    several,
    shown,
    text,
)
from blocker.fields import sha256 as digest_text
from blocker.orders import subjects
from blocker.orders.model import (
    PLAIN,
    Action,
    Authority,
    Directive,
    Document,
    Form,
    Kind,
    Match,
    NamesFile,
    Order,
    Publication,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blocker.errors import Problem
    from blocker.yamltext import Mark, Node

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]{0,99}"
_ORDER_ID = re.compile(rf"{_SEGMENT}/{_SEGMENT}\Z")
_DIRECTIVE_ID = re.compile(r"[a-z0-9-]{1,64}\Z")
_OF = re.compile(rf"{_SEGMENT}/{_SEGMENT}(?:/[a-z0-9-]{{1,64}})?\Z")


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
    if "deadline" in values and "received" not in values and _is_absent(root, "received"):
        complaints.add(
            "deadline-without-received",
            yamltext.place(root, "deadline"),
            "a deadline counts from receipt; add 'received', or remove 'deadline'.",
        )
    if kind is Kind.AMEND and all(_is_absent(root, key) for key in _CHANGES):
        complaints.add("amend-empty", root, f"the amend changes nothing; write one of {', '.join(_CHANGES)}.")
    if kind in (Kind.SUSPEND, Kind.AMEND):
        _check_window(values, root, complaints, "until")
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
        return _COMMON | _OWN[kind]
    optional = {key: Field(read=field.read) for own in _OWN.values() for key, field in own.items()}
    return optional | _COMMON


def _without_foreign(root: Node, fields: dict[str, Field], kind: Kind | None, complaints: Complaints) -> Node:
    """The tree less the keys that belong to other kinds, each of them complained of."""
    if not isinstance(root, yamltext.Mapping):
        return root
    kept = []
    for key, value in root.entries:
        kinds = [other for other, own in _OWN.items() if key.text in own]
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


def _is_absent(root: Node, key: str) -> bool:
    return not isinstance(root, yamltext.Mapping) or root.get(key) is None


def _check_window(values: Mapping[str, Any], node: Node, complaints: Complaints, key: str) -> None:
    start: datetime | None = values.get("from")
    until: datetime | None = values.get(key)
    if start is not None and until is not None and until <= start:
        complaints.add(
            "empty-window",
            yamltext.place(node, key),
            f"'{key}' ({until.isoformat()}) is not after 'from' ({start.isoformat()}); "
            "the window is [from, until).",
        )


def _check_directives(root: Node, key: str, values: Mapping[str, Any], complaints: Complaints) -> None:
    ids = Counter(one["id"] for one in values.get(key, ()) if "id" in one)
    for position, one in enumerate(values.get(key, ())):
        if ids[one.get("id")] > 1:
            complaints.add(
                "duplicate-directive-id",
                yamltext.place(root, key, position, "id"),
                f"{one['id']!r} is the id of {ids[one['id']]} directives; lifts need one id for each.",
            )


def _directive_values(node: Node, complaints: Complaints) -> dict[str, Any]:
    values = read_mapping(node, complaints, _DIRECTIVE, "a directive")
    if not isinstance(node, yamltext.Mapping):
        return values
    if _is_absent(node, "names") and _is_absent(node, "names_file"):
        complaints.add(
            "missing-names", node, "the directive names nothing; list its names in 'names' or a 'names_file'."
        )
    if _is_absent(node, "until") and _is_absent(node, "review_by"):
        complaints.add(
            "missing-end",
            node,
            "the directive has neither 'until' nor 'review_by'; write when it ends, or when it is reviewed.",
        )
    _check_window(values, node, complaints, "until")
    return values


def _order_id(value: str) -> str:
    if not _ORDER_ID.match(value):
        raise Rejected(
            "order-id-invalid",
            f"{shown(value)} is not an order id; write authority/slug in a-z, 0-9, '.', '_' and '-'.",
        )
    return value


def _directive_id(value: str) -> str:
    if not _DIRECTIVE_ID.match(value):
        raise Rejected(
            "directive-id-invalid", f"{shown(value)} is not a directive id; write a-z, 0-9 and '-' only."
        )
    return value


def _of(value: str) -> str:
    if not _OF.match(value):
        raise Rejected(
            "of-invalid",
            f"{shown(value)} names no order; write authority/slug, or authority/slug/directive-id.",
        )
    return value


def _jurisdiction(value: str) -> str:
    if not re.match(r"[A-Z]{2}(?:-[A-Z0-9]{1,3})?\Z", value):
        raise Rejected(
            "jurisdiction-invalid",
            f"{shown(value)} is not a jurisdiction; write an ISO 3166 code such as ID or DE-BY.",
        )
    return value


def _subject_text(value: str) -> str:
    subjects.parse(value)
    return value


def _address(value: str) -> Any:
    try:
        found = ip_address(value)
    except ValueError as error:
        raise Rejected(
            "redirect-address-invalid", f"{shown(value)} is not an IP address; redirect takes addresses only."
        ) from error
    if getattr(found, "scope_id", None) or found.is_unspecified or found.is_multicast:
        raise Rejected(
            "redirect-address-invalid", f"{shown(value)} is no host's address; redirect to a server's."
        )
    return found


_PLAIN_FORMS = tuple(form.value for form in Form if form is not Form.REDIRECT)


def _action(node: Node, complaints: Complaints) -> Any:
    if isinstance(node, yamltext.Mapping):
        values = read_mapping(node, complaints, _REDIRECT, "an action")
        addresses = values.get("redirect")
        return Action(form=Form.REDIRECT, addresses=addresses) if addresses else MISSING
    if isinstance(node, yamltext.Scalar) and node.text == Form.REDIRECT.value:
        complaints.add(
            "redirect-without-address", node, "redirect needs addresses; write {redirect: [192.0.2.1]}."
        )
        return MISSING
    form = text(one_of(_PLAIN_FORMS, "action-unknown"))(node, complaints)
    return form if form is MISSING else Action(form=Form(form))


_REDIRECT = {"redirect": Field(read=several(text(_address)), required="write {redirect: [192.0.2.1]}.")}

_LIST_FILE = mapping(
    {
        "file": Field(read=text(), required="name the file, relative to the order."),
        "sha256": Field(read=text(digest_text), required="add what sha256sum prints for the file."),
    },
    "a names_file",
)

_DIRECTIVE = {
    "id": Field(read=text(_directive_id), required="give it one, so that it can be lifted by itself."),
    "names": Field(read=several(text(_subject_text))),
    "names_file": Field(read=_LIST_FILE),
    "match": Field(read=text(one_of((Match.EXACT, Match.SUBTREE), "match-unknown"))),
    "except": Field(read=several(text(subjects.parse_except))),
    "regions": Field(
        read=several(text(region)), required="write where the order applies.", missing="missing-regions"
    ),
    "action": Field(read=_action),
    "from": Field(read=text(moment), required="write from when it is in force."),
    "until": Field(read=text(moment)),
    "review_by": Field(read=text(moment)),
}

_COMMON = {
    "order": Field(read=text(_order_id), required="write its path below the orders folder, without .yaml."),
    "kind": Field(
        read=text(one_of((kind.value for kind in Kind), "kind-unknown")),
        required=f"write one of {', '.join(Kind)}.",
        missing="missing-kind",
    ),
    "authority": Field(
        read=mapping(
            {
                "name": Field(read=text(), required="write who issued the order."),
                "jurisdiction": Field(read=text(_jurisdiction), required="write the country's code."),
                "contact": Field(
                    read=text(contact),
                    required="write where the order can be contested.",
                    missing="missing-contact",
                ),
            },
            "an authority",
        ),
        required="write who issued it.",
        missing="missing-authority",
    ),
    "legal_basis": Field(
        read=several(text()), required="write the law it rests on.", missing="missing-legal-basis"
    ),
    "reference": Field(read=text()),
    "issued": Field(read=text(moment), required="write the date of the instrument."),
    "received": Field(read=text(moment)),
    "deadline": Field(read=text(duration)),
    "publication": Field(
        read=text(one_of((one.value for one in Publication), "publication-unknown")),
        required=f"write one of {', '.join(Publication)}.",
        missing="missing-publication",
    ),
    "document": Field(
        read=mapping(
            {
                "file": Field(read=text(), required="name the file, relative to the order."),
                "sha256": Field(read=text(digest_text), required="add what sha256sum prints for the file."),
            },
            "a document",
        )
    ),
}

_DIRECTIVES = Field(
    read=several(_directive_values), required="write what is blocked.", missing="missing-directives"
)
_OF_WHAT = {
    "of": Field(read=text(_of), required="name the order or directive it is about.", missing="missing-of"),
    "from": Field(read=text(moment), required="write from when it is in force."),
}
_UNTIL = {"until": Field(read=text(moment))}
_CHANGES = ("add", "remove", "remove_file", "until", "review_by")

_OWN: dict[Kind, dict[str, Field]] = {
    Kind.BLOCK: {"directives": _DIRECTIVES},
    Kind.SUSPEND: _OF_WHAT | _UNTIL,
    Kind.REINSTATE: _OF_WHAT,
    Kind.LIFT: _OF_WHAT,
    Kind.AMEND: {
        **_OF_WHAT,
        "add": Field(read=several(_directive_values)),
        "remove": Field(read=several(text(subjects.parse_except))),
        "remove_file": Field(read=_LIST_FILE),
        **_UNTIL,
        "review_by": Field(read=text(moment)),
    },
}
