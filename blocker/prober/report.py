"""What the prober has seen, as one value: the Snapshot that the metrics and people read.

Pure. It holds counts, order ids and refs, never a domain name. It travels as JSON; a file that isn't one of
ours reads as None, for a broken report must not stop its readers. Baselines, which are names, travel apart,
in a file for the prober alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any

from blocker.names import Key
from blocker.prober.profile import Learnt, Profile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

FORMAT = 3
FILE = "prober.json"
BASELINES = "baselines.json"
MOST_NOT_OK = 20_000

Baseline = tuple[str, Key, int]
"""A point, a name and a type that were seen to resolve there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NotOk:
    """The open findings of one kind and rule for an order at a point; `since` and `last` in epoch seconds."""

    kind: str
    rule: str
    point: str
    order: str
    variant: str
    detail: str
    count: int
    since: float
    last: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PointView:
    """One point: queries sent and lost, and what else arrived, since there is a report.

    `answered_at` is when it last answered (epoch seconds, 0 never); `ok` counts expectations now met.
    `controls_ok`: the latest controls, asked for plainly, passed. `instances` are those of its instances
    (NSID) that answered, and when each last did; `strangers` counts answers of instances that site.yaml
    doesn't name. `directives` are those of which there is something to ask, `waiting` those that the latest
    round had no room for.
    """

    sent: int = 0
    lost: int = 0
    mismatched: int = 0
    malformed: int = 0
    differing: int = 0
    ok: int = 0
    moot: int = 0
    answered_at: float = 0.0
    controls_ok: bool = True
    instances: Mapping[str, float] = field(default_factory=dict)
    strangers: int = 0
    directives: int = 0
    waiting: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Confirmed:
    """When an order's latest start and end were first seen to hold at a point: `block` and `lift`.

    `started` and `ended` are the instants that they confirm. `covered` is the latest end after which all that
    was looked at is blocked still, as other orders demand: nothing else can be seen of it. Epoch seconds.
    """

    block: float | None = None
    started: int | None = None
    lift: float | None = None
    ended: int | None = None
    covered: int | None = None


_CONFIRMED = tuple(one.name for one in fields(Confirmed))


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceView:
    """What was written down: records in all, octets kept now, when the last record was written (epoch
    seconds, 0 never), records that could not be written, and why the last of those could not.
    """

    records: int = 0
    octets: int = 0
    written_at: float = 0.0
    failures: int = 0
    trouble: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """The prober's state. `round_at` is when the last round of everything ended (epoch seconds, 0 never).

    `ok` counts the met expectations by order, `confirmed` is by order and point, `shard` the part of the
    directives that is looked at, of so many. `attributed` holds (point, ref) pairs whose block was seen
    with attribution: without that, a name that exists nowhere can't be seen to be lifted. `profiles` are what
    the points' blocks look like. `hidden` counts
    findings beyond what is kept. `trouble` says why the policy can't be read, if so.
    """

    at: float
    generation: int = 0
    round_at: float = 0.0
    points: Mapping[str, PointView] = field(default_factory=dict)
    not_ok: tuple[NotOk, ...] = ()
    ok: Mapping[str, int] = field(default_factory=dict)
    confirmed: Mapping[str, Mapping[str, Confirmed]] = field(default_factory=dict)
    attributed: tuple[tuple[str, str], ...] = ()
    hidden: int = 0
    trouble: str = ""
    evidence: EvidenceView = field(default_factory=EvidenceView)
    profiles: Mapping[str, Learnt] = field(default_factory=dict)
    shard: tuple[int, int] = (0, 1)

    def first(self, order: str) -> Confirmed:
        """When the order's latest start and end were first seen to hold at any point."""
        every = self.confirmed.get(order, {}).values()
        started = max((one.started for one in every if one.started is not None), default=None)
        ended = max((one.ended for one in every if one.ended is not None), default=None)
        blocks = [one.block for one in every if one.block is not None and one.started == started]
        lifts = [one.lift for one in every if one.lift is not None and one.ended == ended]
        return Confirmed(
            block=min(blocks, default=None), started=started, lift=min(lifts, default=None), ended=ended
        )


def to_json(snapshot: Snapshot) -> str:
    """The snapshot as JSON text, of one shape for one value."""
    # There may be tens of thousands of these, which asdict takes five times as long for.
    confirmed = {
        order: {
            point: {name: at for name in _CONFIRMED if (at := getattr(one, name)) is not None}
            for point, one in points.items()
        }
        for order, points in snapshot.confirmed.items()
    }
    record = {"format": FORMAT, **asdict(replace(snapshot, confirmed={})), "confirmed": confirmed}
    return json.dumps(record, sort_keys=True)


def from_json(text: str | bytes) -> Snapshot | None:
    """The snapshot, or None if the text isn't one of this format."""
    try:
        record: dict[str, Any] = json.loads(text)
        if record.pop("format") != FORMAT:
            return None
        return Snapshot(
            **{
                **record,
                "points": {name: PointView(**one) for name, one in record["points"].items()},
                "profiles": {name: _learnt(one) for name, one in record["profiles"].items()},
                "evidence": EvidenceView(**record["evidence"]),
                "not_ok": tuple(NotOk(**one) for one in record["not_ok"]),
                "confirmed": {
                    order: {point: Confirmed(**one) for point, one in points.items()}
                    for order, points in record["confirmed"].items()
                },
                "shard": _pair(record["shard"]),
                "attributed": tuple((point, ref) for point, ref in record["attributed"]),
            }
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def baselines_to_json(baselines: Iterable[Baseline]) -> str:
    """The baselines as JSON text; it holds names."""
    return json.dumps([[point, name.hex(), qtype] for point, name, qtype in baselines])


def baselines_from_json(text: str | bytes) -> tuple[Baseline, ...]:
    """The baselines; none if the text isn't ours: they are seen again, sooner or later."""
    try:
        return tuple(
            (str(point), Key(bytes.fromhex(name)), int(qtype)) for point, name, qtype in json.loads(text)
        )
    except (ValueError, TypeError, RecursionError):
        return ()


def _pair(values: list[int]) -> tuple[int, int]:
    shard, shards = values
    return shard, shards


def _learnt(record: dict[str, Any]) -> Learnt:
    form = record["profile"]
    return Learnt(**{**record, "profile": Profile(**{**form, "codes": tuple(form["codes"])})})
