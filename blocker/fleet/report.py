"""What the pusher did, as values: one Pushed for each target, one Purged for each point.

Pure. Each process writes its own as JSON below `state/push/`, again and again as long as it lives, so that a
report which grows old tells of one that doesn't; metrics and people read them. A file that isn't
one of ours reads as None, for a broken report must not stop its readers. No name is ever in it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

FORMAT = 1
FOLDER = "push"

WRITE_EVERY = 15.0
"""Seconds after which a report is written again though nothing changed."""

STALE = 90.0
"""Seconds after which nothing is concluded from a report: more than a target may take for one step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pushed:
    """One target. Times are epoch seconds, 0 never; `at` is when this was written.

    `instant` is the one whose policy the target was last made to hold, `sent_at` when that was done and
    `lateness` how many seconds after the instant, the apply or the moment when the target was right last,
    whichever came latest. `size` counts the records of that change, `generation` is the policy's. `trouble`
    is what keeps it from holding the policy of now; empty if nothing does.
    """

    target: str
    generation: int = 0
    instant: float = 0.0
    sent_at: float = 0.0
    lateness: float = 0.0
    size: int = 0
    changes: int = 0
    failures: int = 0
    trouble: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Purged:
    """One point's cache. `pending` are names still to be purged, `skipped` those that were too many."""

    point: str
    names: int = 0
    pending: int = 0
    skipped: int = 0
    failures: int = 0
    purged_at: float = 0.0
    trouble: str = ""
    at: float = 0.0


Report = Pushed | Purged


def to_json(reports: tuple[Report, ...]) -> str:
    """The reports of one process as JSON text."""
    records = [{"kind": type(one).__name__, **asdict(one)} for one in reports]
    return json.dumps({"format": FORMAT, "reports": records}, sort_keys=True)


def from_json(text: str | bytes) -> tuple[Report, ...] | None:
    """The reports, or None if the text isn't of this format."""
    kinds: dict[str, type[Report]] = {"Pushed": Pushed, "Purged": Purged}
    try:
        record: dict[str, Any] = json.loads(text)
        if record["format"] != FORMAT:
            return None
        return tuple(kinds[one.pop("kind")](**one) for one in record["reports"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
