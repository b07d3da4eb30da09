"""What is worth writing down: of many judged probes those that prove something, and what the ledger is told.

Pure: mutable, but times come with the findings. Evidence is bounded, so it must not drown in repetition:

- What is not fine is kept when a question is first judged so, when kind or rule change, while it lasts after
  ten minutes, then after twice that and so on, daily at the last; and the first fine finding that ends it.
- The first finding at a point, in each variant, that confirms a directive's start or end is kept.
- Of the rest, one an hour for each point, order, variant and reason to ask, and one for each instance of a
  point. If that is more than fills half of the space in a month, it is that much more seldom.

Nothing here grows without bound; what is forgotten is at worst kept once more.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, TypeVar

from blocker.policy.chain import Event
from blocker.prober.book import FINE
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
TYPICAL = 1300  # octets of a record

_MOST = 100_000
_MOST_INSTANCES = 64  # of one point; an NSID is whatever a server says

_K = TypeVar("_K")
_V = TypeVar("_V")


def confirms(expectation: Expectation, finding: Finding) -> tuple[str, int] | None:
    """Whether the finding shows that a directive holds, or has ended, since which transition."""
    if finding.kind is Kind.OK:
        if (
            expectation.why is Why.SUBJECT
            and expectation.form is not None
            and expectation.started is not None
        ):
            return "in-force", expectation.started
        if expectation.why is Why.ENDED and expectation.form is None and expectation.ended is not None:
            return "lifted", expectation.ended
    return None


class Choice:
    """Says which findings are kept; `space` is what evidence may take, in octets."""

    def __init__(self, space: int) -> None:
        self._space = space
        self._troubles: OrderedDict[tuple[str, str, Key, int, str], tuple[Kind, str, float, float]]
        self._troubles = OrderedDict()
        self._confirmed: OrderedDict[tuple[str, str, str, str], int] = OrderedDict()
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
        confirmed = confirms(expectation, finding)
        if confirmed is not None:
            change, transition = confirmed
            place = (finding.point, finding.ref, str(finding.variant), change)
            if self._confirmed.get(place) != transition:
                _remember(self._confirmed, place, transition)
                self._is_due(finding)
                return True
        # Both are asked, for the record serves both.
        return any([self._is_due(finding), self._is_new_instance(finding, instances)])

    def _is_news(self, finding: Finding) -> bool:
        """Whether trouble began, changed, lasts or ended."""
        question = (finding.point, finding.ref, finding.name, finding.qtype, str(finding.variant))
        old = self._troubles.pop(question, None)
        if finding.kind in FINE:
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

    def _is_due(self, finding: Finding) -> bool:
        sort = (finding.point, finding.order, str(finding.variant), finding.why)
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


class Diary:
    """What the ledger is told: first confirmations, and what is not as ordered, from when to when.

    `known` are the confirmations it has already: (event, point, ref, transition).
    """

    def __init__(self, known: Iterable[tuple[str, str, str, int]] = ()) -> None:
        self._told: OrderedDict[tuple[str, str, str], int] = OrderedDict()
        self._open: OrderedDict[tuple[str, str, str], float] = OrderedDict()
        for event, point, ref, transition in known:
            _remember(self._told, (event, point, ref), transition)

    def note(self, expectation: Expectation, finding: Finding) -> list[Event]:
        """What is new with this finding."""
        found = []
        confirmed = confirms(expectation, finding)
        if confirmed is not None:
            event, transition = confirmed
            place = (event, finding.point, finding.ref)
            if self._told.get(place) != transition:
                _remember(self._told, place, transition)
                detail = {"point": finding.point, "since": transition, "rule": finding.rule}
                found.append(Event(at=finding.at, event=event, subject=finding.ref, detail=detail))
        if finding.kind in BAD:
            sort = (finding.point, finding.order, finding.kind)
            if sort not in self._open:
                detail = {"point": finding.point, "kind": finding.kind, "rule": finding.rule}
                found.append(
                    Event(at=finding.at, event="finding-opened", subject=finding.order, detail=detail)
                )
            _remember(self._open, sort, finding.at)
        return found

    def quiet(self, now: float, patience: float = QUIET) -> list[Event]:
        """What was not seen any more for `patience` seconds; it ended when it was last seen."""
        found = []
        for (point, order, kind), last in list(self._open.items()):
            if abs(now - last) >= patience:
                del self._open[point, order, kind]
                detail = {"point": point, "kind": kind, "last": last}
                found.append(Event(at=now, event="finding-closed", subject=order, detail=detail))
        return found


def _remember(memory: OrderedDict[_K, _V], key: _K, value: _V) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > _MOST:
        memory.popitem(last=False)
