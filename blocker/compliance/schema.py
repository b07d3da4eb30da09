"""The JSON Schema of the compliance report, as it is published. Pure."""

from __future__ import annotations

from typing import Any

from blocker.compliance.document import CHANGES, FORMAT
from blocker.compliance.operator_acts import ACTS
from blocker.prober.judge import Kind

_TEXT: dict[str, Any] = {"type": "string"}
_TIME: dict[str, Any] = {"type": "string", "format": "date-time"}
_TIME_OR_NOT: dict[str, Any] = {"type": ["string", "null"], "format": "date-time"}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_HASH: dict[str, Any] = {"type": "string", "pattern": "^([0-9a-f]{64})?$"}


def _texts() -> dict[str, Any]:
    return {"type": "array", "items": _TEXT}


def _list(**properties: Any) -> dict[str, Any]:
    return {"type": "array", "items": _object(**properties)}


def _object(**properties: Any) -> dict[str, Any]:
    """Of these members, all of them required, and no others. A final underscore is not of the name."""
    named = {name.rstrip("_"): schema for name, schema in properties.items()}
    return {
        "type": "object",
        "properties": named,
        "required": sorted(named),
        "additionalProperties": False,
    }


_ORDER: dict[str, Any] = {
    "id": _TEXT,
    "authority": _object(name=_TEXT, jurisdiction=_TEXT, contact=_TEXT),
    "legal_basis": _texts(),
    "reference": _TEXT,
    "kind": {"enum": ["block", "suspend", "reinstate", "lift", "amend"]},
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "A compliance report on one order, observed by probe",
    **_object(
        format={"const": FORMAT},
        statement=_TEXT,
        as_of=_TIME,
        operator=_object(name=_TEXT, contact=_TEXT, node=_TEXT),
        order=_object(
            **_ORDER,
            publication={"enum": ["public", "sealed-until-effective", "sealed"]},
            issued=_TIME,
            received=_TIME_OR_NOT,
            deadline_seconds={"type": ["integer", "null"]},
            due=_TIME_OR_NOT,
            digest=_HASH,
            document={"oneOf": [{"type": "null"}, _object(file=_TEXT, sha256=_HASH)]},
        ),
        acts=_list(**_ORDER, of=_TEXT, from_=_TIME, until=_TIME_OR_NOT),
        directives=_list(
            ref=_TEXT,
            action=_TEXT,
            regions=_texts(),
            windows=_list(from_=_TIME, until=_TIME_OR_NOT),
            lapsed=_list(due=_TIME, from_=_TIME, until=_TIME_OR_NOT),
            review_by=_TIME_OR_NOT,
            names_count=_COUNT,
            names={"oneOf": [{"type": "null"}, _texts()]},
        ),
        applied=_list(at=_TIME, generation=_COUNT, policy=_TEXT),
        operator_acts=_list(
            at=_TIME,
            act={"enum": [*ACTS]},
            ref=_TEXT,
            reason=_TEXT,
        ),
        summary=_texts(),
        confirmations=_list(
            ref=_TEXT,
            point=_TEXT,
            change={"enum": list(CHANGES)},
            required_from=_TIME,
            counted_from=_TIME,
            first_observed=_TIME_OR_NOT,
            lateness_seconds={"type": ["number", "null"], "minimum": 0},
            before_deadline={"type": ["boolean", "null"]},
            rule=_TEXT,
            evidence=_HASH,
            names=_COUNT,
            names_observed=_COUNT,
            variants=_texts(),
        ),
        exceptions=_list(
            kind={"enum": sorted({str(kind) for kind in Kind} - {"ok", "moot"})},
            rule=_TEXT,
            meaning=_TEXT,
            is_fault={"type": "boolean"},
            point=_TEXT,
            variant=_TEXT,
            ref=_TEXT,
            from_=_TIME,
            last_seen=_TIME,
            until=_TIME_OR_NOT,
            questions=_COUNT,
            records=_COUNT,
            detail=_TEXT,
        ),
        coverage=_object(
            points=_list(point=_TEXT, instances=_texts(), instances_missing=_texts()),
            names=_list(
                ref=_TEXT,
                point=_TEXT,
                names=_COUNT,
                observed=_COUNT,
                as_ordered=_COUNT,
                not_as_ordered=_COUNT,
            ),
            variants=_list(
                point=_TEXT,
                variant=_TEXT,
                records=_COUNT,
                as_ordered=_COUNT,
                not_as_ordered=_COUNT,
                cannot_be_told=_COUNT,
                moot=_COUNT,
                first=_TIME,
                last=_TIME,
            ),
        ),
        evidence=_object(
            records=_COUNT,
            digest=_HASH,
            rules={"type": "array", "items": _COUNT},
            rules_now=_COUNT,
            policies=_texts(),
            segments=_list(stream={"enum": ["open", "sealed"]}, segment=_COUNT, records=_COUNT, head=_HASH),
            flaws=_texts(),
        ),
        ledger=_object(entries=_COUNT, head=_HASH),
    ),
}
