"""What the prober remembers: the latest finding for each question, baselines and first confirmations.

Pure: mutable, but it knows neither clock nor files; times come with the values. Everything is bounded; what
is pushed out while not ok is counted as hidden, never forgotten in silence. The rules:

- A finding holds until the same question is judged again, or until nobody looked for a while; one
  that is not ok holds until it is judged again or its expectation is gone.
- The first confirmation of a block (lift) is the first ok of a subject after the latest start (end) of its
  directive; a later start of another directive of the order begins anew.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from blocker.prober import expect, profile, report
from blocker.prober.expect import Expectation, Question, Why
from blocker.prober.judge import Finding, Kind
from blocker.prober.matrix import Probe
from blocker.prober.observe import Variant
from blocker.prober.report import Confirmed, NotOk, PointView, Snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from blocker.names import Key
    from blocker.prober.observe import Observation, Reply
    from blocker.prober.profile import Learnt

FINE = frozenset({Kind.OK, Kind.MOOT})
_ATTRIBUTED = frozenset({"blocked-with-attribution", "attributed-wrong-form"})
_MOST_BASELINES = 20_000
_MOST_ORDERS = 50_000

_K = TypeVar("_K")
_V = TypeVar("_V")
_Key = tuple[Question, Variant]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    expectation: Expectation
    finding: Finding
    since: float


class Book:
    """Begins with what an earlier run's Snapshot has of confirmations, attributions and profiles.

    `instances` are the NSIDs that site.yaml names, by point: of others it is only counted that they answered.
    """

    def __init__(
        self, before: Snapshot | None = None, *, instances: Mapping[str, Collection[str]] | None = None
    ) -> None:
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._hidden = 0
        self._points: dict[str, PointView] = {}
        self._instances = dict(instances or {})
        self._profiles: dict[str, Learnt] = dict(before.profiles) if before else {}
        self._confirmed: dict[str, Confirmed] = dict(before.confirmed) if before else {}
        self._attributed: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._resolved: OrderedDict[tuple[str, Key, int], None] = OrderedDict()
        self._blocked: OrderedDict[tuple[str, str, Key], dict[tuple[int, Variant], float]] = OrderedDict()
        for pair in before.attributed if before else ():
            self._attributed[pair] = None

    def saw(self, observation: Observation) -> None:
        """Count one query and what came for it; a name that resolved is a baseline for later."""
        old = self._points.get(observation.point, PointView())
        answered = observation.reply is not None
        instances, strangers = old.instances, old.strangers
        known = self._instances.get(observation.point, ())
        if observation.reply is not None and known:
            nsid = observation.reply.nsid.decode("utf-8", "replace")
            if nsid in known:
                instances = {**instances, nsid: observation.received or 0.0}
            else:
                strangers += 1
        self._points[observation.point] = replace(
            old,
            sent=old.sent + 1,
            lost=old.lost + (not answered),
            mismatched=old.mismatched + observation.mismatched,
            malformed=old.malformed + observation.malformed,
            differing=old.differing + observation.differing,
            answered_at=observation.received or old.answered_at,
            instances=instances,
            strangers=strangers,
        )

    def controls(self, point: str, *, are_fine: bool) -> None:
        """How the latest controls of the point fared."""
        self._points[point] = replace(self._points.get(point, PointView()), controls_ok=are_fine)

    def canary(self, point: str, reply: Reply, at: float) -> None:
        """An answer of the canary order: the point's profile is learnt from it, or held against it."""
        self._profiles[point] = profile.learn(self._profiles.get(point), profile.of(reply), at)

    def learnt(self, point: str) -> Learnt | None:
        """What the point's blocks look like."""
        return self._profiles.get(point)

    def note(self, expectation: Expectation, finding: Finding) -> None:
        """Keep the judgement of one expectation in place of the last one."""
        key = (expect.question(expectation), finding.variant)
        old = self._entries.pop(key, None)
        since = old.since if old is not None and old.finding.kind is finding.kind else finding.at
        self._entries[key] = _Entry(expectation=expectation, finding=finding, since=since)
        if len(self._entries) > report.MOST_NOT_OK:
            _, pushed = self._entries.popitem(last=False)
            self._hidden += pushed.finding.kind not in FINE
        if finding.rule in _ATTRIBUTED and finding.why is Why.SUBJECT:
            _remember(self._attributed, (finding.point, finding.ref), None)
        if finding.rule == "passes":
            _remember(self._resolved, (finding.point, finding.name, finding.qtype), None)
        if expectation.form is not None:
            self._keep_way(finding)
        if finding.kind is Kind.OK:
            self._confirm(expectation, finding)

    def _keep_way(self, finding: Finding) -> None:
        """Keep in which ways a name was last seen blocked."""
        name = (finding.point, finding.ref, finding.name)
        ways = self._blocked.get(name, {})
        ways.pop((finding.qtype, finding.variant), None)
        if finding.kind is Kind.OK:
            ways[finding.qtype, finding.variant] = finding.at
        _remember(self._blocked, name, ways)

    def _confirm(self, expectation: Expectation, finding: Finding) -> None:
        old = self._confirmed.get(finding.order, Confirmed())
        new = old
        started, ended = expectation.started, expectation.ended
        if expectation.why is Why.SUBJECT and expectation.form is not None and started is not None:
            if old.block is None or old.block < started:
                new = replace(old, block=finding.at)
        elif (
            expectation.why is Why.ENDED
            and expectation.form is None
            and ended is not None
            and (old.lift is None or old.lift < ended)
        ):
            new = replace(old, lift=finding.at)
        if new is not old and (finding.order in self._confirmed or len(self._confirmed) < _MOST_ORDERS):
            self._confirmed[finding.order] = new

    def was_attributed(self, point: str, ref: str) -> bool:
        """Whether the point was seen to attribute its blocks of the directive."""
        return (point, ref) in self._attributed

    def was_resolved(self, point: str, name: Key, qtype: int) -> bool:
        """Whether this very name was seen to resolve at the point."""
        return (point, name, qtype) in self._resolved

    def is_blocked_otherwise(self, one: Expectation, variant: Variant) -> bool:
        """Whether the name was seen blocked, as ordered, when the point was asked in another way."""
        ways = self._blocked.get((one.point, one.ref, one.name), {})
        return any(way != (one.qtype, variant) and at >= one.since for way, at in ways.items())

    def is_confirmed(self, order: str, transition: int) -> bool:
        """Whether the order's start or end was seen to hold after the transition."""
        one = self._confirmed.get(order, Confirmed())
        return any(at is not None and at >= transition for at in (one.block, one.lift))

    def not_ok(self) -> list[Probe]:
        """The probes whose latest finding isn't fine; they are made again each round."""
        return [
            Probe(entry.expectation, entry.finding.variant)
            for entry in self._entries.values()
            if entry.finding.kind not in FINE
        ]

    def forget(self, gone: Iterable[Expectation]) -> None:
        """Drop the findings of expectations that are no more."""
        questions = set(map(expect.question, gone))
        for key in [one for one in self._entries if one[0] in questions]:
            del self._entries[key]

    def turn(self, refs: Collection[str], before: float) -> None:
        """Drop what was fine about these directives: a transition passed, it must be seen anew."""
        for key, entry in list(self._entries.items()):
            if entry.finding.ref in refs and entry.finding.kind in FINE and entry.finding.at < before:
                del self._entries[key]

    def expire(self, before: float, points: Collection[str]) -> None:
        """Drop what was fine and not looked at since `before`, and points that are no more."""
        for key, entry in list(self._entries.items()):
            is_old = entry.finding.kind in FINE and entry.finding.at < before
            if is_old or entry.finding.point not in points:
                del self._entries[key]

    def snapshot(self, at: float, *, generation: int, round_at: float, trouble: str) -> Snapshot:
        """All of it as one value."""
        by_point: Mapping[str, Counter[Kind]] = defaultdict(Counter)
        ok: Counter[str] = Counter()
        grouped: dict[tuple[str, str, str, str, str], NotOk] = {}
        for entry in self._entries.values():
            finding = entry.finding
            by_point[finding.point][finding.kind] += 1
            if finding.kind is Kind.OK:
                ok[finding.order] += 1
            elif finding.kind is not Kind.MOOT:
                group = (finding.kind, finding.rule, finding.point, finding.order, str(finding.variant))
                grouped[group] = _joined(grouped.get(group), entry)
        return Snapshot(
            at=at,
            generation=generation,
            round_at=round_at,
            points={
                name: replace(
                    self._points.get(name, PointView()),
                    ok=by_point[name][Kind.OK],
                    moot=by_point[name][Kind.MOOT],
                )
                for name in sorted({*self._points, *by_point})
            },
            not_ok=tuple(grouped.values()),
            ok=dict(sorted(ok.items())),
            confirmed=dict(sorted(self._confirmed.items())),
            attributed=tuple(self._attributed),
            hidden=self._hidden,
            trouble=trouble,
            profiles=dict(sorted(self._profiles.items())),
        )


def _joined(old: NotOk | None, entry: _Entry) -> NotOk:
    finding = entry.finding
    return NotOk(
        kind=finding.kind,
        rule=finding.rule,
        point=finding.point,
        order=finding.order,
        variant=str(finding.variant),
        detail=finding.detail,
        count=1 + (old.count if old else 0),
        since=min(entry.since, old.since) if old else entry.since,
        last=max(finding.at, old.last) if old else finding.at,
    )


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST_BASELINES:
        memory.popitem(last=False)
