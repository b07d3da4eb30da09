"""What the operator did itself: withholding, releasing, rolling back, letting lapse.

Pure. None of it is ever shown as the authority's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.compliance.observed import Facts
    from blocker.policy.chain import Entry

WITHHELD, RELEASED, ROLLED_BACK = "withheld", "released", "rolled-back"
"""The events of the ledger by which the operator stops enforcing by itself, and resumes."""

UNTOLD = "(not told here: the reason that was written speaks of other orders)"
"""What stands in place of a reason that names what the reader may not know of."""

ACTS = (WITHHELD, RELEASED, ROLLED_BACK, "lapses", "keeps")
"""Every `act` of an OperatorAct."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorAct:
    """What the operator did itself, to one order or directive: `act` is withheld, released or rolled-back, or
    lapses or keeps: what is overdue for review does so since then.
    """

    at: float
    act: str
    ref: str
    reason: str


def of_the_operator(facts: Facts) -> list[OperatorAct]:
    """The operator's own acts on what the report is about, by time; never shown as the authority's."""
    ids, found, review = facts.ids, [], "keep"
    is_reviewed = any(one.review_by is not None for one in facts.directives)
    for one in facts.events:
        reason = UNTOLD if one.seq in facts.untold else str(one.facts.get("reason", ""))
        found += [
            OperatorAct(at=one.at, act=act, ref=ref, reason=reason) for act, ref in own(one) if ref in ids
        ]
        if one.event == "applied":
            before, review = review, str(one.facts.get("review", "keep"))
            if is_reviewed and review != before:
                act = "lapses" if review == "lapse" else "keeps"
                found.append(OperatorAct(at=one.at, act=act, ref=facts.order.id, reason=_REVIEW[act]))
    return found


_REVIEW = {
    "lapses": "since then the site does not enforce what is overdue for review",
    "keeps": "since then the site enforces what is overdue for review",
}


def own(one: Entry) -> Iterator[tuple[str, str]]:
    """What the event withholds or releases; a rollback withholds all that its detail names, and to end
    one of several acts releases nothing.
    """
    if one.event == WITHHELD or (one.event == RELEASED and not one.facts.get("still")):
        yield one.event, one.subject
    refs = one.facts.get("refs") if one.event == ROLLED_BACK else None
    for ref in sorted(map(str, refs)) if isinstance(refs, list) else ():
        yield ROLLED_BACK, ref


def withheld(facts: Facts, ref: str) -> list[tuple[float, float | None]]:
    """From when until when the operator did not enforce the directive."""
    names = {ref}.union(*(one.lineage | {one.order} for one in facts.directives if one.ref == ref))
    found: list[tuple[float, float | None]] = []
    held: set[str] = set()
    since = 0.0
    for one in of_the_operator(facts):
        if one.ref not in names:
            continue
        if one.act in (WITHHELD, ROLLED_BACK):
            since = since if held else one.at
            held.add(one.ref)
        elif one.act == RELEASED and held:
            held.discard(one.ref)
            found += [] if held else [(since, one.at)]
    return found + ([(since, None)] if held else [])
