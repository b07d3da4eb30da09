"""What was not as ordered, or could not be told: from when until when, question by question.

Pure. Nothing ends by an answer that tells nothing, and nothing by silence.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.prober.book import FINE
from blocker.prober.judge import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.compliance.observed import Facts
    from blocker.names import Key
    from blocker.prober.shelf import Kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """What was not as ordered, or could not be told, from when until the first answer after it that tells
    otherwise.

    `end` None: nothing that tells otherwise was observed after `last`, when it was last seen.
    """

    kind: Kind
    rule: str
    point: str
    variant: str
    ref: str
    start: float
    last: float
    end: float | None
    questions: int
    records: int
    detail: str


def troubles(facts: Facts) -> list[Trouble]:
    """What was kept that is not fine, question by question, joined where times meet; by time."""
    episodes = list(_episodes(facts))
    grouped: dict[tuple[str, ...], list[_Episode]] = defaultdict(list)
    for one in sorted(episodes, key=lambda one: (one.start, one.last)):
        joined = grouped[one.sort]
        if joined and (joined[-1].end is None or one.start <= joined[-1].end):
            joined[-1].join(one)
        else:
            joined.append(one)
    found = [one.trouble() for several in grouped.values() for one in several]
    return sorted(found, key=lambda one: (one.start, one.point, one.ref, one.variant, one.kind, one.rule))


@dataclass(slots=True, kw_only=True)
class _Episode:
    """Trouble of one sort while it grows."""

    sort: tuple[str, ...]
    kept: Kept
    start: float
    last: float
    end: float | None = None
    records: int = 1
    questions: set[tuple[Key, int]]

    def join(self, other: _Episode) -> None:
        self.end = None if self.end is None or other.end is None else max(self.end, other.end)
        self.last = max(self.last, other.last)
        self.records += other.records
        self.questions |= other.questions

    def trouble(self) -> Trouble:
        finding = self.kept.record.finding
        return Trouble(
            kind=finding.kind,
            rule=finding.rule,
            point=finding.point,
            variant=str(finding.variant),
            ref=finding.ref,
            start=self.start,
            last=self.last,
            end=self.end,
            questions=len(self.questions),
            records=self.records,
            detail=finding.detail,
        )


_BLIND = frozenset({Kind.INSUFFICIENT, Kind.UNREACHABLE})
"""What tells nothing of the block itself, so that no trouble has ended by it."""


def _episodes(facts: Facts) -> Iterator[_Episode]:
    going: dict[tuple[bool, tuple[str, str, Key, int, str]], _Episode] = {}
    for kept in facts.records:
        finding = kept.record.finding
        question = (finding.point, finding.ref, finding.name, finding.qtype, str(finding.variant))
        sort = (finding.kind, finding.rule, finding.point, str(finding.variant), finding.ref)
        is_blind = finding.kind in _BLIND
        here = going.get((is_blind, question))
        if here is not None and here.sort == sort:
            here.last = finding.at
            here.records += 1
        for place in [(True, question)] if is_blind else [(True, question), (False, question)]:
            old = going.get(place)
            if old is not None and old.sort != sort:
                old.end = finding.at
                yield going.pop(place)
        if finding.kind not in FINE and (is_blind, question) not in going:
            going[is_blind, question] = _Episode(
                sort=sort,
                kept=kept,
                start=finding.at,
                last=finding.at,
                questions={(finding.name, finding.qtype)},
            )
    yield from going.values()
