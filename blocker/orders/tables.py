"""The format of order files as tables: the keys of each kind of order and how each value is read.

COMMON are the keys of every order, OWN those of a kind, CHANGES those of which an amend has at least one;
AUTHORITY, DIRECTIVE and ADDED (a directive of an amend) are the keys of those parts.
Pure.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, NamedTuple

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
    MOST_ADDRESSES,
    Action,
    Form,
    Kind,
    Match,
    Publication,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from blocker.yamltext import Node

_SEGMENT = r"[a-z0-9_-][a-z0-9._-]{0,99}"
_ORDER_ID = re.compile(rf"{_SEGMENT}/{_SEGMENT}\Z")
_DIRECTIVE_ID = re.compile(r"[a-z0-9-]{1,64}\Z")
_BROADCAST = ip_address("255.255.255.255")
_OF = re.compile(rf"{_SEGMENT}/{_SEGMENT}(?:/[a-z0-9-]{{1,64}})?\Z")


class Written(NamedTuple):
    """A directive as it was read: its values by key, and whether nothing in it was complained of."""

    values: dict[str, Any]
    is_right: bool


def is_absent(root: Node, key: str) -> bool:
    """Whether the file says nothing of the key, right or wrong."""
    return not isinstance(root, yamltext.Mapping) or root.get(key) is None


def check_window(values: Mapping[str, Any], node: Node, complaints: Complaints, key: str) -> None:
    """A window is not empty; `key` is the one that ends it."""
    start: datetime | None = values.get("from")
    until: datetime | None = values.get(key)
    if start is not None and until is not None and until <= start:
        complaints.add(
            "empty-window",
            yamltext.place(node, key),
            f"'{key}' ({until.isoformat()}) is not after 'from' ({start.isoformat()}); "
            "the window is [from, until).",
        )


def _directive(node: Node, complaints: Complaints) -> Written:
    return _written(node, complaints, DIRECTIVE)


def _added(node: Node, complaints: Complaints) -> Written:
    return _written(node, complaints, ADDED)


def _written(node: Node, complaints: Complaints, fields: dict[str, Field]) -> Written:
    before = len(complaints)
    values = read_mapping(node, complaints, fields, "a directive")
    if isinstance(node, yamltext.Mapping):
        _check_directive(values, node, complaints)
    return Written(values, is_right=len(complaints) == before)


def _check_directive(values: Mapping[str, Any], node: Node, complaints: Complaints) -> None:
    if is_absent(node, "names") and is_absent(node, "names_file"):
        complaints.add(
            "missing-names", node, "the directive names nothing; list its names in 'names' or a 'names_file'."
        )
    if is_absent(node, "until") and is_absent(node, "review_by"):
        complaints.add(
            "missing-end",
            node,
            "the directive has neither 'until' nor 'review_by'; write when it ends, or when it is reviewed.",
        )
    check_window(values, node, complaints, "until")


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


def _ref(value: str) -> str:
    if value.count("/") != 2 or not _OF.match(value):
        raise Rejected(
            "continues-invalid", f"{shown(value)} is no directive; write authority/slug/directive-id."
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
    meant = getattr(found, "ipv4_mapped", None) or found
    is_odd = getattr(found, "scope_id", None) or meant.is_unspecified or meant.is_multicast
    if is_odd or meant == _BROADCAST:
        raise Rejected(
            "redirect-address-invalid", f"{shown(value)} is no host's address; redirect to a server's."
        )
    if meant.is_loopback or meant.is_link_local:
        raise Rejected(
            "redirect-address-invalid",
            f"{shown(value)} leads customers to their own machine or link; redirect to a server's address.",
        )
    return found


def _addresses(node: Node, complaints: Complaints) -> Any:
    found = several(text(_address))(node, complaints)
    if found is MISSING:
        return MISSING
    for version in (4, 6):
        count = sum(address.version == version for address in found)
        if count > MOST_ADDRESSES:
            complaints.add(
                "redirect-too-many-addresses",
                node,
                f"redirect has {count} addresses of IPv{version}; write {MOST_ADDRESSES} at most, so that "
                "every answer has room for them.",
            )
            return MISSING
    return found


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
    form = text(one_of(Form, "action-unknown"))(node, complaints)
    return form if form is MISSING else Action(form=Form(form))


_REDIRECT = {"redirect": Field(read=_addresses, required="write {redirect: [192.0.2.1]}.")}

_LIST_FILE = mapping(
    {
        "file": Field(read=text(), required="name the file, relative to the order."),
        "sha256": Field(read=text(digest_text), required="add what sha256sum prints for the file."),
    },
    "a names_file",
)

DIRECTIVE = {
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

ADDED = {**DIRECTIVE, "continues": Field(read=text(_ref))}

AUTHORITY = {
    "name": Field(read=text(), required="write who issued the order."),
    "jurisdiction": Field(read=text(_jurisdiction), required="write the country's code."),
    "contact": Field(
        read=text(contact),
        required="write where the order can be contested.",
        missing="missing-contact",
    ),
}

COMMON = {
    "order": Field(read=text(_order_id), required="write its path below the orders folder, without .yaml."),
    "kind": Field(
        read=text(one_of((kind.value for kind in Kind), "kind-unknown")),
        required=f"write one of {', '.join(Kind)}.",
        missing="missing-kind",
    ),
    "authority": Field(
        read=mapping(
            AUTHORITY,
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

_DIRECTIVES = Field(read=several(_directive), required="write what is blocked.", missing="missing-directives")
_OF_WHAT = {
    "of": Field(read=text(_of), required="name the order or directive it is about.", missing="missing-of"),
    "from": Field(read=text(moment), required="write from when it is in force."),
}
_UNTIL = {"until": Field(read=text(moment))}
CHANGES = ("add", "remove", "remove_file", "until", "review_by")

OWN: dict[Kind, dict[str, Field]] = {
    Kind.BLOCK: {"directives": _DIRECTIVES},
    Kind.SUSPEND: _OF_WHAT | _UNTIL,
    Kind.REINSTATE: _OF_WHAT,
    Kind.LIFT: _OF_WHAT,
    Kind.AMEND: {
        **_OF_WHAT,
        "add": Field(read=several(_added)),
        "remove": Field(read=several(text(subjects.parse_except))),
        "remove_file": Field(read=_LIST_FILE),
        **_UNTIL,
        "review_by": Field(read=text(moment)),
    },
}
