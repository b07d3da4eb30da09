"""The order format as JSON Schema (draft 2020-12), for editors: completion, and most mistakes underlined.

`check` says more than a schema can and is the judge; a test holds the keys here to those of `tables`.
Dates and times are text in YAML's own reading of some editors and dates in others, so both pass here.
"""

from __future__ import annotations

from typing import Any

from blocker.orders.model import MOST_ADDRESSES, Form, Kind, Match, Publication

_TEXT = {"type": "string", "minLength": 1}
_TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2})?(Z|[+-](0\d|1[0-4]):[0-5]\d))?$",
    "description": "a date (00:00 UTC), or a time with its zone: 2026-01-10T12:00:00+07:00",
}
_NAME = {"type": "string", "minLength": 1, "maxLength": 254, "not": {"pattern": "/|@|:|\\s"}}
_NAMES = {"type": "array", "items": _NAME, "minItems": 1}
_SHA256 = {"type": "string", "pattern": "^[0-9a-fA-F]{64}$"}
_ORDER_ID = "[a-z0-9_-][a-z0-9._-]{0,99}/[a-z0-9_-][a-z0-9._-]{0,99}"


def order_schema() -> dict[str, Any]:
    """The schema of an order file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "An order: one legal instrument that a name must not resolve",
        "type": "object",
        "required": ["order", "kind", "authority", "legal_basis", "issued", "publication"],
        "properties": _common(),
        "oneOf": [_kind(kind) for kind in Kind],
        "unevaluatedProperties": False,
    }


def _common() -> dict[str, Any]:
    return {
        "order": {
            "type": "string",
            "pattern": f"^{_ORDER_ID}$",
            "description": "authority/slug, as the path",
        },
        "kind": {"enum": [str(kind) for kind in Kind]},
        "authority": _object(
            {
                "name": _TEXT,
                "jurisdiction": {"type": "string", "pattern": "^[A-Z]{2}(-[A-Z0-9]{1,3})?$"},
                "contact": {"type": "string", "pattern": "^(mailto:|https://|tel:)"},
            },
            required=("name", "jurisdiction", "contact"),
        ),
        "legal_basis": {"type": "array", "items": _TEXT, "minItems": 1},
        "reference": _TEXT,
        "issued": _TIME,
        "received": _TIME,
        "deadline": {"type": "string", "pattern": "^[0-9]{1,6}[smhd]$"},
        "publication": {"enum": [str(one) for one in Publication]},
        "document": _file(),
    }


def _kind(kind: Kind) -> dict[str, Any]:
    about = {
        "of": {"type": "string", "pattern": f"^{_ORDER_ID}(/[a-z0-9-]{{1,64}})?$"},
        "from": _TIME,
    }
    directives = {"type": "array", "items": _directive(), "minItems": 1}
    own: dict[Kind, dict[str, Any]] = {
        Kind.BLOCK: {"directives": directives},
        Kind.SUSPEND: {**about, "until": _TIME},
        Kind.REINSTATE: about,
        Kind.LIFT: about,
        Kind.AMEND: {
            **about,
            "add": directives,
            "remove": _NAMES,
            "remove_file": _file(),
            "until": _TIME,
            "review_by": _TIME,
        },
    }
    schema: dict[str, Any] = {
        "properties": {"kind": {"const": str(kind)}, **own[kind]},
        "required": ["directives"] if kind is Kind.BLOCK else ["of", "from"],
    }
    if kind is Kind.AMEND:
        schema["anyOf"] = [{"required": [key]} for key in own[kind] if key not in about]
    return schema


def _directive() -> dict[str, Any]:
    plain = [str(form) for form in Form if form is not Form.REDIRECT]
    addresses = {"type": "array", "items": _TEXT, "minItems": 1, "maxItems": 2 * MOST_ADDRESSES}
    schema = _object(
        {
            "id": {"type": "string", "pattern": "^[a-z0-9-]{1,64}$"},
            "names": _NAMES,
            "names_file": _file(),
            "match": {"enum": [str(Match.EXACT), str(Match.SUBTREE)]},
            "except": _NAMES,
            "regions": {"type": "array", "items": _TEXT, "minItems": 1},
            "action": {"anyOf": [{"enum": plain}, _object({"redirect": addresses}, required=("redirect",))]},
            "from": _TIME,
            "until": _TIME,
            "review_by": _TIME,
        },
        required=("id", "regions", "from"),
    )
    either = [
        [{"required": [key]} for key in keys] for keys in (("names", "names_file"), ("until", "review_by"))
    ]
    return {**schema, "allOf": [{"anyOf": choices} for choices in either]}


def _file() -> dict[str, Any]:
    return _object({"file": _TEXT, "sha256": _SHA256}, required=("file", "sha256"))


def _object(properties: dict[str, Any], *, required: tuple[str, ...]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
