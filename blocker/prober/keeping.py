"""What is worth writing down: of many judged probes those that prove something, and what the ledger is told.

Pure: mutable, but times come with the findings, and those that measure silence from the caller. Evidence is
bounded, so it must not drown in repetition:

- What is not fine is kept when a question is first judged so, when kind or rule change, while it lasts after
  ten minutes, then after twice that and so on, daily at the last; and the first fine finding that ends it.
- The first finding at a point, in each variant, that confirms a directive's start or end is kept, and the
  first of each of its names, of long lists of as many as a round asks about.
- Of the rest, one an hour for each point, order, variant and reason to ask, and one for each instance of a
  point. If that is more than fills half of the space in a month, it is that much more seldom.

The ledger is told of a confirmation at once, and that it no longer counts if contradicting answers come
before a whole round has gone by: by the rules of the `book`, directive by directive.

What was wanted and could not be written is owed: the next like it is wanted again. Nothing here grows without
bound; what is forgotten is at worst kept once more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from blocker.orders.timetable import ENDINGS, LIFTED
from blocker.policy.chain import Event
from blocker.prober.book import CONTRADICTED, FINE
from blocker.prober.expect import Why
from blocker.prober.judge import BAD, Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from blocker.names import Key
    from blocker.prober.expect import Expectation
    from blocker.prober.judge import Finding

HOUR, DAY = 3600.0, 86400.0
REPEAT = 600.0  # seconds
QUIET = 600.0  # seconds without being seen after which something is over
TYPICAL = 2500  # octets of a record
NAMES = 20  # of one directive at one point that are each confirmed; a round asks about as many

_MOST = 100_000
_MOST_DOUBTS = 1000  # questions about one directive at one point
_MOST_INSTANCES = 64  # of one point; an NSID is whatever a server says

_Question = tuple[str, str, "Key", int, str]
_Place = tuple[str, str, str]
_Edge = tuple[str, str, str, int]
_OWED = (None, "", 0.0, 0.0)

FIRST = "first"
"""The detail of an event that is told again, with the record that was missing: when it was first observed."""

TAKEN_BACK = "taken-back"
"""The event by which what the ledger was told of an edge before no longer counts."""

_K = TypeVar("_K")
_V = TypeVar("_V")


def change_of(event: str) -> str:
    """The change that an event of the ledger tells of: to a probe, a suspension is an end like a lift."""
    return LIFTED if event in ENDINGS else event


def confirms(expectation: Expectation, finding: Finding) -> tuple[str, int] | None:
    """Whether the finding shows that a directive holds, or has ended, since which transition."""
    return _looks_for(expectation) if finding.kind is Kind.OK else None


def _looks_for(expectation: Expectation) -> tuple[str, int] | None:
    """What is confirmed if it is as expected."""
    if expectation.why is Why.SUBJECT and expectation.form is not None and expectation.started is not None:
        return "in-force", expectation.started
    if expectation.why is Why.ENDED and expectation.form is None and expectation.ended is not None:
        return LIFTED, expectation.ended
    return None


class Choice:
    """Says which findings are kept; `space` is what evidence may take, in octets."""

    def __init__(self, space: int) -> None:
        self._space = space
        self._troubles: OrderedDict[_Question, tuple[Kind | None, str, float, float]] = OrderedDict()
        self._ends: OrderedDict[_Question, float] = OrderedDict()
        self._confirmed: OrderedDict[tuple[str, str, str, str], int] = OrderedDict()
        self._names: OrderedDict[tuple[str, str, str], tuple[int, set[Key]]] = OrderedDict()
        self._samples: OrderedDict[tuple[str, str, str, Why], float] = OrderedDict()
        self._instances: OrderedDict[str, dict[str, float]] = OrderedDict()

    @property
    def period(self) -> float:
        """Seconds between two samples of what is fine."""
        return max(HOUR, len(self._samples) * TYPICAL / (self._space / 2 / (30 * DAY)))

    def wants(self, expectation: Expectation, finding: Finding, instances: Collection[str]) -> bool:
        """Whether this one is kept; `instances` are those that answered."""
        if self._is_news(finding):
            return True
        if finding.kind not in FINE:
            return False
        # All are asked, for the record serves all.
        return any(
            [
                self._is_confirmation(expectation, finding),
                self._is_due(finding),
                self._is_new_instance(finding, instances),
            ]
        )

    def lost(self, expectation: Expectation, finding: Finding) -> None:
        """What was wanted could not be written."""
        question = _question(finding)
        if finding.kind not in FINE or self._ends.pop(question, None) == finding.at:
            _remember(self._troubles, question, _OWED)
        self._samples.pop(_sort(finding), None)
        self._instances.pop(finding.point, None)
        if (confirmed := confirms(expectation, finding)) is not None:
            change, transition = confirmed
            self._confirmed.pop((finding.point, finding.ref, str(finding.variant), change), None)
            since, names = self._names.get((finding.point, finding.ref, change), (0, set()))
            if since == transition:
                names.discard(finding.name)

    def _is_news(self, finding: Finding) -> bool:
        """Whether trouble began, changed, lasts or ended."""
        question = _question(finding)
        old = self._troubles.pop(question, None)
        if finding.kind in FINE:
            if old is not None:
                _remember(self._ends, question, finding.at)
            return old is not None
        wait = REPEAT
        if old is not None and old[:2] == (finding.kind, finding.rule):
            _, _, at, wait = old
            if abs(finding.at - at) < wait:  # Or the clock was stepped.
                _remember(self._troubles, question, old)
                return False
            wait = min(2 * wait, DAY)
        _remember(self._troubles, question, (finding.kind, finding.rule, finding.at, wait))
        return True

    def _is_confirmation(self, expectation: Expectation, finding: Finding) -> bool:
        """Whether a start or end is seen for the first time in this variant, or of this name."""
        confirmed = confirms(expectation, finding)
        if confirmed is None:
            return False
        change, transition = confirmed
        place = (finding.point, finding.ref, str(finding.variant), change)
        is_first = self._confirmed.get(place) != transition
        _remember(self._confirmed, place, transition)
        since, names = self._names.get((finding.point, finding.ref, change), (transition, set()))
        if since != transition:
            names = set()
        if finding.name not in names and len(names) < NAMES:
            names.add(finding.name)
            is_first = True
        _remember(self._names, (finding.point, finding.ref, change), (transition, names))
        return is_first

    def _is_due(self, finding: Finding) -> bool:
        sort = _sort(finding)
        last = self._samples.get(sort)
        if last is not None and abs(finding.at - last) < self.period:
            return False
        _remember(self._samples, sort, finding.at)
        return True

    def _is_new_instance(self, finding: Finding, instances: Iterable[str]) -> bool:
        seen = self._instances.get(finding.point, {})
        is_new = False
        for one in instances:
            last = seen.get(one)
            if (last is None and len(seen) < _MOST_INSTANCES) or (
                last is not None and abs(finding.at - last) >= self.period
            ):
                seen[one] = finding.at
                is_new = True
        _remember(self._instances, finding.point, seen)
        return is_new


def _question(finding: Finding) -> _Question:
    return finding.point, finding.ref, finding.name, finding.qtype, str(finding.variant)


def _sort(finding: Finding) -> tuple[str, str, str, Why]:
    return finding.point, finding.order, str(finding.variant), finding.why


class Known(NamedTuple):
    """A confirmation that the ledger has already.

    `unproven` is when it was if no record of it was written, else None; `is_fresh`: it can be taken back.
    """

    event: str
    point: str
    ref: str
    transition: int
    unproven: float | None = None
    is_fresh: bool = False


class Diary:
    """What the ledger is told: first confirmations, and what is not as ordered, from when to when.

    An event whose record could not be written is told again with the next record that shows it; its `first`
    says when that was first observed.
    """

    def __init__(self, known: Iterable[Known] = ()) -> None:
        self._told: OrderedDict[_Place, int] = OrderedDict()
        self._open: OrderedDict[_Place, tuple[float, float]] = OrderedDict()
        self._unproven: OrderedDict[_Place, float] = OrderedDict()
        # What was told and can be taken back: since the latest round ended, and since the one before.
        self._fresh: OrderedDict[_Edge, None] = OrderedDict()
        self._aging: OrderedDict[_Edge, None] = OrderedDict()
        # Questions answered in two ways, and when they last were.
        self._doubts: OrderedDict[_Edge, dict[_Question, float]] = OrderedDict()
        for one in known:
            place = (one.event, one.point, one.ref)
            _remember(self._told, place, one.transition)
            if one.unproven is None:
                self._unproven.pop(place, None)
            else:
                _remember(self._unproven, place, one.unproven)
            if one.is_fresh:
                _remember(self._fresh, (*place, one.transition), None)

    def note(self, expectation: Expectation, finding: Finding, now: float) -> list[Event]:
        """What is new with this finding; `now` is in monotonic seconds."""
        found = []
        looked_for = _looks_for(expectation)
        if looked_for is not None:
            event, transition = looked_for
            edge = (event, finding.point, finding.ref, transition)
            is_doubted = self._doubt(edge, finding, now)
            if finding.kind is Kind.OK and not is_doubted:
                found += self._confirm(edge, finding, expectation.ending if event == LIFTED else event)
            elif finding.kind in CONTRADICTED:
                found += self._take_back(edge, finding)
        if finding.kind in BAD:
            place = (finding.kind, finding.point, finding.order)
            is_new = place not in self._open
            _remember(self._open, place, (finding.at, now))
            if is_new or place in self._unproven:
                detail: dict[str, object] = {
                    "point": finding.point,
                    "kind": finding.kind,
                    "rule": finding.rule,
                }
                found.append(
                    self._event(place, "finding-opened", finding.order, finding, detail, is_new=is_new)
                )
        return found

    def settle(self) -> None:
        """A whole round has ended: what it left as it was stands."""
        self._fresh, self._aging = OrderedDict(), self._fresh

    def _doubt(self, edge: _Edge, finding: Finding, now: float) -> bool:
        """Whether questions about it are answered in two ways, this one or another."""
        doubts, question = self._doubts.pop(edge, {}), _question(finding)
        doubts.pop(question, None)
        if finding.kind in CONTRADICTED and len(doubts) < _MOST_DOUBTS:
            doubts[question] = now
        if doubts:
            _remember(self._doubts, edge, doubts)
        return bool(doubts)

    def _confirm(self, edge: _Edge, finding: Finding, event: str) -> list[Event]:
        change, point, ref, transition = edge
        place = (change, point, ref)
        is_new = self._told.get(place) != transition
        _remember(self._told, place, transition)
        if is_new:
            _remember(self._fresh, edge, None)
        elif place not in self._unproven:
            return []
        detail = {"point": point, "since": transition, "rule": finding.rule}
        return [self._event(place, event, ref, finding, detail, is_new=is_new)]

    def _take_back(self, edge: _Edge, finding: Finding) -> list[Event]:
        """Withdraw what was told a short while ago, and is contradicted now."""
        event, point, ref, transition = edge
        if edge not in self._fresh and edge not in self._aging:
            return []
        self._fresh.pop(edge, None)
        self._aging.pop(edge, None)
        self._told.pop((event, point, ref), None)
        self._unproven.pop((event, point, ref), None)
        detail = {"point": point, "change": event, "since": transition, "rule": finding.rule}
        return [Event(at=finding.at, event=TAKEN_BACK, subject=ref, detail=detail)]

    def _event(
        self,
        place: _Place,
        event: str,
        subject: str,
        finding: Finding,
        detail: dict[str, object],
        *,
        is_new: bool,
    ) -> Event:
        first = self._unproven.pop(place, None)
        again = {} if is_new else {FIRST: first}
        return Event(at=finding.at, event=event, subject=subject, detail={**detail, **again})

    def lost(self, events: Iterable[Event]) -> None:
        """The record that shows these could not be written; what ended is told again as ended."""
        for event in events:
            if event.event == TAKEN_BACK or "point" not in event.detail:
                continue
            detail = event.detail
            place = (detail.get("kind", change_of(event.event)), detail["point"], event.subject)
            if event.event == "finding-closed":
                self._open.setdefault(place, (detail["last"], float("-inf")))
            else:
                _remember(self._unproven, place, detail.get(FIRST, event.at))

    def quiet(self, at: float, now: float, patience: float = QUIET) -> list[Event]:
        """What was not seen any more for `patience` seconds; it ended when it was last seen.

        `at` is the time of day, `now` the monotonic one: a clock that is stepped ends nothing.
        """
        found = []
        for edge, doubts in list(self._doubts.items()):
            if now - max(doubts.values()) >= patience:
                del self._doubts[edge]
        for place, (last, seen) in list(self._open.items()):
            if now - seen >= patience:
                del self._open[place]
                self._unproven.pop(place, None)
                kind, point, order = place
                detail = {"point": point, "kind": kind, "last": last}
                found.append(Event(at=at, event="finding-closed", subject=order, detail=detail))
        return found


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST:
        memory.popitem(last=False)
