"""What the prober remembers: the latest finding for each question, baselines and first confirmations.

Pure: mutable, but it knows neither clock nor files; times come with the values. Everything is bounded; what
is pushed out while not ok is counted as hidden, never forgotten in silence. The rules:

- A finding holds until the same question is judged again, or until nobody looked for a while; one
  that is not ok holds until it is judged again or its expectation is gone.
- The first confirmation of a block (lift) at a point is the first ok of a subject after the latest start
  (end) of its directive; a later start of another directive of the order begins anew.
- It stands for good once a whole round has gone by. If contradicting answers come sooner it is taken back: a
  forger on the path is faster than the point, and nobody waits for a second answer at the instant. While
  they are open nothing is confirmed.
- What an earlier run found not ok is shown until a round has judged it again, or as many have gone by as
  look at everything.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from blocker.orders.model import Form
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
    from blocker.prober.report import Baseline

FINE = frozenset({Kind.OK, Kind.MOOT})
CONTRADICTED = frozenset({Kind.INJECTED, Kind.CONFLICT})
_ATTRIBUTED = frozenset({"blocked-with-attribution", "attributed-wrong-form"})
_MOST_BASELINES = 20_000
_MOST_CONFIRMED = 100_000

_K = TypeVar("_K")
_V = TypeVar("_V")
_Key = tuple[Question, Variant]
_Place = tuple[str, str]  # an order and a point
_Way = tuple[str, str, str]  # and the variant
_Group = tuple[str, str, str, str, str]  # kind, rule, point, order, variant


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    expectation: Expectation
    finding: Finding
    since: float


class _Seen(NamedTuple):
    """One way to ask for a name: when and in which round it was last seen blocked, and if it is still."""

    at: float
    round: int
    is_blocked: bool


class _Proof(Enum):
    """What of an order a subject's finding tells."""

    BLOCK = auto()
    LIFT = auto()
    COVER = auto()


_NOTHING: dict[_Proof, dict[str, None]] = {
    _Proof.BLOCK: {"block": None, "started": None},
    _Proof.LIFT: {"lift": None, "ended": None},
    _Proof.COVER: {"covered": None},
}


def _proves(one: Expectation) -> _Proof | None:
    if one.why is Why.SUBJECT:
        return None if one.form is None else _Proof.BLOCK
    if one.why is Why.ENDED:
        return _Proof.LIFT if one.form is None else _Proof.COVER
    return None


class Book:
    """Begins with what an earlier run's Snapshot has, and with `baselines` and `owed` probes beside it.

    `instances` are the NSIDs that site.yaml names, by point: of others it is only counted that they answered.
    """

    def __init__(
        self,
        before: Snapshot | None = None,
        *,
        instances: Mapping[str, Collection[str]] | None = None,
        baselines: Iterable[Baseline] = (),
        owed: Iterable[Probe] = (),
    ) -> None:
        old = before or Snapshot(at=0.0)
        self._entries: OrderedDict[_Key, _Entry] = OrderedDict()
        self._hidden = 0
        self._points: dict[str, PointView] = dict(old.points)
        self._instances = dict(instances or {})
        self._profiles: dict[str, Learnt] = dict(old.profiles)
        self._confirmed: dict[_Place, Confirmed] = {
            (order, point): one for order, points in old.confirmed.items() for point, one in points.items()
        }
        self._attributed: OrderedDict[tuple[str, str], None] = OrderedDict.fromkeys(old.attributed)
        self._resolved: OrderedDict[Baseline, None] = OrderedDict.fromkeys(baselines)
        self._blocked: OrderedDict[tuple[str, str, Key], dict[tuple[int, Variant], _Seen]] = OrderedDict()
        # The confirmations that can be taken back: since the latest round ended, and since the one before.
        self._fresh = {
            (place, proof)
            for place, one in self._confirmed.items()
            for proof, at in ((_Proof.BLOCK, one.block), (_Proof.LIFT, one.lift))
            if at is not None and at > old.round_at
        }
        self._aging: set[tuple[_Place, _Proof]] = set()
        self._doubts: Counter[tuple[_Place, _Proof | None]] = Counter()  # questions answered in two ways
        self._freed: Counter[_Place] = Counter()  # questions about ended orders that must pass now
        self._held: dict[_Group, NotOk] = {
            (one.kind, one.rule, one.point, one.order, one.variant): one for one in old.not_ok
        }
        self._owed: dict[_Key, Probe] = {(expect.question(one.expectation), one.variant): one for one in owed}
        self._judged: set[_Way] = set()
        self._rounds = 0

    def saw(self, observation: Observation) -> None:
        """Count one query and what came for it; a name that resolved is a baseline for later."""
        old = self._points.get(observation.point, PointView())
        answered = observation.reply is not None
        instances, strangers = old.instances, old.strangers
        known = self._instances.get(observation.point, ())
        if observation.reply is not None and known and observation.variant.edns:  # else it can't be told
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
        """How the latest controls of the point fared, asked for plainly."""
        self._points[point] = replace(self._points.get(point, PointView()), controls_ok=are_fine)

    def turns(self, point: str, directives: int, waiting: int) -> None:
        """Of how many directives a round asks the point, and how many wait for a later one."""
        old = self._points.get(point, PointView())
        self._points[point] = replace(old, directives=directives, waiting=waiting)

    def canary(self, point: str, form: Form, reply: Reply, at: float) -> None:
        """An answer of the canary order: the point's profile is learnt from it, or held against it.

        Each form has its own: a redirect looks otherwise than a denial.
        """
        key = f"{point} {form}"
        self._profiles[key] = profile.learn(self._profiles.get(key), profile.of(reply), at)

    def learnt(self, point: str, form: Form | None = None) -> Learnt | None:
        """What the point's blocks of this form look like; of any form, where it was not seen."""
        own = self._profiles.get(f"{point} {form}")
        others = (self._profiles.get(f"{point} {other}") for other in Form)
        return own or next((one for one in others if one is not None), None)

    def note(self, expectation: Expectation, finding: Finding) -> None:
        """Keep the judgement of one expectation in place of the last one."""
        key = (expect.question(expectation), finding.variant)
        self._owed.pop(key, None)
        old = self._drop(key)
        since = old.since if old is not None and old.finding.kind is finding.kind else finding.at
        self._entries[key] = _Entry(expectation=expectation, finding=finding, since=since)
        self._count(expectation, finding, 1)
        if len(self._entries) > report.MOST_NOT_OK:
            pushed = self._drop(next(iter(self._entries)))
            self._hidden += pushed is not None and pushed.finding.kind not in FINE
        if self._held:
            self._judged.add((finding.order, finding.point, str(finding.variant)))
        if finding.rule in _ATTRIBUTED and finding.why is Why.SUBJECT:
            _remember(self._attributed, (finding.point, finding.ref), None)
        if finding.rule == "passes":
            _remember(self._resolved, (finding.point, finding.name, finding.qtype), None)
        if expectation.form is not None:
            self._keep_way(finding)
        if finding.kind is Kind.OK:
            self._confirm(expectation, finding)
        elif finding.kind in CONTRADICTED:
            self._take_back(expectation, finding)

    def _drop(self, key: _Key) -> _Entry | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self._count(entry.expectation, entry.finding, -1)
        return entry

    def _count(self, expectation: Expectation, finding: Finding, change: int) -> None:
        place, proves = (finding.order, finding.point), _proves(expectation)
        if finding.kind in CONTRADICTED:
            self._doubts[place, proves] += change
        if proves is _Proof.LIFT:
            self._freed[place] += change

    def _keep_way(self, finding: Finding) -> None:
        """Keep in which ways a name was last seen blocked."""
        name = (finding.point, finding.ref, finding.name)
        ways, way = self._blocked.get(name, {}), (finding.qtype, finding.variant)
        if finding.kind is Kind.OK:
            ways[way] = _Seen(finding.at, self._rounds, is_blocked=True)
        elif way in ways:
            ways[way] = ways[way]._replace(is_blocked=False)
        _remember(self._blocked, name, ways)

    def _confirm(self, expectation: Expectation, finding: Finding) -> None:
        place, proves = (finding.order, finding.point), _proves(expectation)
        old = self._confirmed.get(place, Confirmed())
        started, ended = expectation.started, expectation.ended
        new = old
        if proves is _Proof.BLOCK and _is_later(started, old.started):
            new = replace(old, block=finding.at, started=started)
        elif proves is _Proof.LIFT and _is_later(ended, old.ended):
            new = replace(old, lift=finding.at, ended=ended)
        elif proves is _Proof.COVER and _is_later(ended, old.covered):
            new = replace(old, covered=ended)
        if proves is None or new is old or self._doubts[place, proves] > 0:
            return
        if place in self._confirmed or len(self._confirmed) < _MOST_CONFIRMED:
            self._confirmed[place] = new
            self._fresh.add((place, proves))

    def _take_back(self, expectation: Expectation, finding: Finding) -> None:
        """Withdraw what was confirmed a short while ago, and is contradicted now."""
        place, proves = (finding.order, finding.point), _proves(expectation)
        old = self._confirmed.get(place)
        if old is not None and proves is not None and (place, proves) in self._fresh | self._aging:
            self._confirmed[place] = replace(old, **_NOTHING[proves])

    def was_attributed(self, point: str, ref: str) -> bool:
        """Whether the point was seen to attribute its blocks of the directive."""
        return (point, ref) in self._attributed

    def was_resolved(self, point: str, name: Key, qtype: int) -> bool:
        """Whether this very name was seen to resolve at the point."""
        return (point, name, qtype) in self._resolved

    def is_blocked_otherwise(self, one: Expectation, variant: Variant) -> bool:
        """Whether the name was seen blocked, as ordered, when the point was asked in another way.

        Only what was seen in a later round than the last in which a way that leaks was blocked itself tells
        that they differ: a block that goes in all ways was seen in each of them before.
        """
        ways, own = self._blocked.get((one.point, one.ref, one.name), {}), (one.qtype, variant)
        last = max(
            (seen.round for way, seen in ways.items() if way == own or not seen.is_blocked), default=-1
        )
        return any(
            seen.is_blocked and seen.at >= one.since and seen.round > last
            for way, seen in ways.items()
            if way != own
        )

    def baselines(self) -> tuple[Baseline, ...]:
        """What is to be kept for the next run beside the snapshot; these are names."""
        return tuple(self._resolved)

    def is_confirmed(self, order: str, point: str, transition: int) -> bool:
        """Whether the order's start or end at the transition, or a later one, was seen at the point."""
        one = self._confirmed.get((order, point), Confirmed())
        return any(edge is not None and edge >= transition for edge in (one.started, one.ended, one.covered))

    def not_ok(self) -> list[Probe]:
        """The probes whose latest finding isn't fine, an earlier run's first: they are made each round."""
        return [
            *self._owed.values(),
            *(
                Probe(entry.expectation, entry.finding.variant)
                for entry in self._entries.values()
                if entry.finding.kind not in FINE
            ),
        ]

    def forget(self, gone: Iterable[Expectation]) -> None:
        """Drop the findings of expectations that are no more."""
        questions = set(map(expect.question, gone))
        for key in [one for one in self._entries if one[0] in questions]:
            self._drop(key)
        self._owed = {key: one for key, one in self._owed.items() if key[0] not in questions}

    def turn(self, refs: Collection[str], before: float) -> None:
        """Drop what was fine about these directives: a transition passed, it must be seen anew."""
        for key, entry in list(self._entries.items()):
            if entry.finding.ref in refs and entry.finding.kind in FINE and entry.finding.at < before:
                self._drop(key)

    def expire(self, before: float, points: Collection[str]) -> None:
        """Drop what was fine and not looked at since `before`, and points that are no more."""
        for key, entry in list(self._entries.items()):
            is_old = entry.finding.kind in FINE and entry.finding.at < before
            if is_old or entry.finding.point not in points:
                self._drop(key)
        for known in [one for one in self._points if one not in points]:
            del self._points[known]
        for place in [one for one in self._confirmed if one[1] not in points]:
            del self._confirmed[place]
        self._held = {group: one for group, one in self._held.items() if one.point in points}
        self._owed = {key: one for key, one in self._owed.items() if one.expectation.point in points}

    def settle(self, rotation: int) -> None:
        """A whole round has ended, of which `rotation` look at everything: what it left as it was stands."""
        self._fresh, self._aging = set(), self._fresh
        self._rounds += 1
        owed = {
            (one.expectation.order, one.expectation.point, str(one.variant)) for one in self._owed.values()
        }
        self._held = {
            group: one
            for group, one in self._held.items()
            if (way := (one.order, one.point, one.variant)) in owed
            or (self._rounds < rotation and way not in self._judged)
        }

    def snapshot(self, at: float, *, generation: int, round_at: float, trouble: str) -> Snapshot:
        """All of it as one value."""
        by_point: Mapping[str, Counter[Kind]] = defaultdict(Counter)
        ok: Counter[str] = Counter()
        grouped: dict[_Group, NotOk] = {}
        for entry in self._entries.values():
            finding = entry.finding
            by_point[finding.point][finding.kind] += 1
            if finding.kind is Kind.OK:
                ok[finding.order] += 1
            elif finding.kind is not Kind.MOOT:
                group = (finding.kind, finding.rule, finding.point, finding.order, str(finding.variant))
                grouped[group] = _joined(grouped.get(group), entry)
        for known, held in self._held.items():
            grouped[known] = _held(grouped.get(known), held)
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
            confirmed=self._by_order(),
            attributed=tuple(self._attributed),
            hidden=self._hidden,
            trouble=trouble,
            profiles=dict(sorted(self._profiles.items())),
        )

    def _by_order(self) -> dict[str, dict[str, Confirmed]]:
        found: dict[str, dict[str, Confirmed]] = {}
        for (order, point), one in sorted(self._confirmed.items()):
            # One name that must pass by now is enough for the end to be seen by it.
            shown = replace(one, covered=None) if self._freed[order, point] > 0 else one
            if shown != Confirmed():
                found.setdefault(order, {})[point] = shown
        return found


def _held(now: NotOk | None, held: NotOk) -> NotOk:
    """As long as it isn't known which of them are the same: no fewer, and no younger, than they were."""
    if now is None:
        return held
    return replace(now, count=max(now.count, held.count), since=min(now.since, held.since))


def _is_later(edge: int | None, than: int | None) -> bool:
    return edge is not None and (than is None or edge > than)


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
