"""The order format as JSON Schema, for editors: completion, explanations, and most mistakes underlined.

Draft 7, which every editor's language server knows. What a kind may not have is refused key by key, so that
the mistake is underlined where it stands. `check` says more than a schema can and is the judge; a test
holds the keys here to those of `tables`. Dates and times are text in YAML's own reading of some editors and
dates in others, so both pass here.
"""

from __future__ import annotations

from typing import Any

from blocker.orders.meanings import MEANINGS
from blocker.orders.model import MOST_ADDRESSES, Form, Kind, Match, Publication
from blocker.orders.tables import CHANGES, COMMON, OWN

HEADER = "# yaml-language-server: $schema="
"""What names the schema at the head of an order file; a path relative to it, or a URL, follows."""

_TEXT = {"type": ["string", "number"], "minLength": 1}  # A case number is a number to YAML, and text to us.
_TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-](0\d|1[0-4]):[0-5]\d))?$",
    "examples": ["2026-01-10", "2026-01-10T12:00:00+07:00"],
}
_NAME = {"type": "string", "minLength": 1, "maxLength": 254, "not": {"pattern": "/|@|:|\\s"}}
_NAMES = {"type": "array", "items": _NAME, "minItems": 1, "examples": [["blocked.example"]]}
_SHA256 = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_ORDER_ID = "[a-z0-9_-][a-z0-9._-]{0,99}/[a-z0-9_-][a-z0-9._-]{0,99}"


def order_schema() -> dict[str, Any]:
    """The schema of an order file."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "An order: one legal instrument that names must not resolve, or that changes such a one",
        "type": "object",
        "required": [key for key, field in COMMON.items() if field.required],
        "properties": {key: {"description": MEANINGS[key], **value} for key, value in _keys().items()},
        "additionalProperties": False,
        "allOf": [_kind(kind) for kind in Kind],
    }


def _keys() -> dict[str, dict[str, Any]]:
    """Every key that an order of some kind has."""
    directives = {"type": "array", "items": _directive({}), "minItems": 1}
    continues = {"type": "string", "pattern": f"^{_ORDER_ID}/[a-z0-9-]{{1,64}}$"}
    added = {**directives, "items": _directive({"continues": continues})}
    return {
        "order": {"type": "string", "pattern": f"^{_ORDER_ID}$", "examples": ["court/2026-01-10-case"]},
        "kind": {"enum": [str(kind) for kind in Kind]},
        "authority": _authority(),
        "legal_basis": {"type": "array", "items": _TEXT, "minItems": 1},
        "reference": _TEXT,
        "issued": _TIME,
        "received": _TIME,
        "deadline": {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$", "examples": ["30m", "24h", "2d"]},
        "publication": {"enum": [str(one) for one in Publication]},
        "document": _file(),
        "directives": directives,
        "of": {"type": "string", "pattern": f"^{_ORDER_ID}(/[a-z0-9-]{{1,64}})?$"},
        "from": _TIME,
        "until": _TIME,
        "add": added,
        "remove": _NAMES,
        "remove_file": _file(),
        "review_by": _TIME,
    }


def _kind(kind: Kind) -> dict[str, Any]:
    """What an order of this kind must have, and has not."""
    foreign = {key for own in OWN.values() for key in own} - OWN[kind].keys()
    then: dict[str, Any] = {
        "required": [key for key, field in OWN[kind].items() if field.required],
        "properties": dict.fromkeys(sorted(foreign), False),
    }
    if kind is Kind.AMEND:
        then["anyOf"] = [{"required": [key]} for key in CHANGES]
    return {"if": {"properties": {"kind": {"const": str(kind)}}, "required": ["kind"]}, "then": then}


def _authority() -> dict[str, Any]:
    return _object(
        {
            "name": _TEXT,
            "jurisdiction": {"type": "string", "pattern": "^[A-Z]{2}(-[A-Z0-9]{1,3})?$"},
            "contact": {
                "type": "string",
                "pattern": "^(mailto:|https://|tel:)",
                "examples": ["mailto:registry@court.example"],
            },
        },
        required=("name", "jurisdiction", "contact"),
        part="authority.",
    )


def _directive(more: dict[str, Any]) -> dict[str, Any]:
    """`more` are keys that not every directive may have."""
    plain = [str(form) for form in Form if form is not Form.REDIRECT]
    address = {"type": "string", "pattern": "^[0-9a-fA-F.:]+$", "examples": ["192.0.2.1", "2001:db8::1"]}
    addresses = {"type": "array", "items": address, "minItems": 1, "maxItems": 2 * MOST_ADDRESSES}
    redirect = {
        "type": "object",
        "properties": {"redirect": addresses},
        "required": ["redirect"],
        "additionalProperties": False,
    }
    schema = _object(
        {
            "id": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"},
            "names": _NAMES,
            "names_file": _file(),
            "match": {"enum": [str(Match.EXACT), str(Match.SUBTREE)], "default": str(Match.SUBTREE)},
            "except": _NAMES,
            "regions": {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "action": {"anyOf": [{"enum": plain}, redirect], "default": str(Form.NXDOMAIN)},
            "from": _TIME,
            "until": _TIME,
            "review_by": _TIME,
            **more,
        },
        required=("id", "regions", "from"),
        part="directive.",
    )
    either = (("names", "names_file"), ("until", "review_by"))
    return {**schema, "allOf": [{"anyOf": [{"required": [key]} for key in keys]} for keys in either]}


def _file() -> dict[str, Any]:
    return _object({"file": {"type": "string"}, "sha256": _SHA256}, required=("file", "sha256"))


def _object(
    properties: dict[str, dict[str, Any]], *, required: tuple[str, ...], part: str = ""
) -> dict[str, Any]:
    """`part` is what the keys of this mapping begin with in MEANINGS."""
    return {
        "type": "object",
        "properties": {
            key: {"description": MEANINGS.get(part + key) or MEANINGS[key], **value}
            for key, value in properties.items()
        },
        "required": list(required),
        "additionalProperties": False,
    }
