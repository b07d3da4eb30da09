"""The questions that a run leaves open: what was not fine must be asked first by the next one.

Pure. The report tells others what is not as ordered, without names; these are the names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blocker.prober.evidence import expectation_of, expectation_record, variant_of, variant_record
from blocker.prober.matrix import Probe

if TYPE_CHECKING:
    from collections.abc import Iterable

FILE = "owed.json"
MOST = 2_000


def to_json(probes: Iterable[Probe]) -> str:
    """The questions as JSON text; it holds names."""
    return json.dumps(
        [
            {"expectation": expectation_record(one.expectation), "variant": variant_record(one.variant)}
            for one in probes
        ]
    )


def from_json(text: str | bytes) -> tuple[Probe, ...]:
    """The questions; none if the text isn't ours: they are asked again when it is their turn."""
    try:
        return tuple(
            Probe(expectation_of(one["expectation"]), variant_of(one["variant"]))
            for one in json.loads(text)[:MOST]
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()
