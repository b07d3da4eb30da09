"""What the ledger remembers of a policy store that is gone: how far its generations counted, and what the
operator withheld.

Pure. The acts are replayed in their order, by the rules by which the store was changed: a store made anew
must neither block what its operator refuses to enforce, nor give a number twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.policy.records import Withheld
from blocker.policy.rollback import is_by_hand, kind, with_act

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocker.policy.chain import Entry

EVENTS = ("applied", "withheld", "released", "rolled-back", "not-kept")
"""The events of the ledger that say so."""

_LIVE_THEN = {"applied": "generation", "rolled-back": "from"}
"""Where events say the number of the generation that was live then."""

_LAST = 999_999_997  # what the command line can't say (nine digits), with room to go on, is damage


@dataclass(frozen=True, slots=True, kw_only=True)
class Remembered:
    """`number` is that of the last generation, 0 if there was none; `withheld` are the acts that withhold
    each ref or order id; `lapses_from` is since when the site lapsed what was overdue for review (epoch
    seconds), None if it did not; `untold` says how many acts of each event never reached the ledger.
    """

    number: int = 0
    lapses_from: int | None = None
    withheld: Mapping[str, tuple[Withheld, ...]] = field(default_factory=dict)
    untold: Mapping[str, int] = field(default_factory=dict)


def remember(entries: Iterable[Entry]) -> Remembered:
    """What these rows say, from the first on; other events than EVENTS are passed over."""
    number, untold = 0, Counter[str]()
    applies: list[Entry] = []
    held: dict[str, tuple[Withheld, ...]] = {}
    for one in entries:
        facts = one.facts
        if one.event == "applied":
            applies.append(one)
        if one.event in ("withheld", "rolled-back"):
            act = Withheld(reason=str(facts.get("reason", "")), at=one.at, by=str(facts.get("by", "")))
            refs = [one.subject] if one.event == "withheld" else facts.get("refs")
            for ref in refs if isinstance(refs, list) else ():
                held[str(ref)] = with_act(held.get(str(ref), ()), act)
        elif one.event == "released" and "by" in facts:  # Without, it is damaged, and ends nothing.
            left = _left(held.pop(one.subject, ()), facts)
            held.update({one.subject: left} if left else {})
        elif one.event == "not-kept" and isinstance(counts := facts.get("events"), dict):
            untold.update({event: _number(count) for event, count in counts.items() if event in EVENTS})
        number = max(number, _number(facts.get(_LIVE_THEN.get(one.event, ""))))
    return Remembered(
        number=number,
        lapses_from=lapses_from(applies),
        withheld=dict(sorted(held.items())),
        untold=dict(untold),
    )


def lapses_from(applies: Iterable[Entry]) -> int | None:
    """Since when the site lapses what is overdue for review, by the latest of these applies; None: it does
    not.
    """
    since: int | None = None
    for one in applies:
        if one.facts.get("review") != "lapse":
            since = None
        elif since is None:
            told = one.facts.get("lapses_from")
            since = told if isinstance(told, int) else int(one.at)
    return since


def _left(acts: tuple[Withheld, ...], facts: Mapping[str, object]) -> tuple[Withheld, ...]:
    """What still withholds a ref after a release of it."""
    if not facts.get("still"):
        return ()
    if isinstance(ended := facts.get("ended"), list):
        return tuple(act for act in acts if kind(act.reason) not in ended)
    # A version that did not say which: a release by name ends what was done by hand, where something was.
    return tuple(act for act in acts if not is_by_hand(act.reason)) or acts


def _number(value: object) -> int:
    """A number as it was counted; 0 for what can't be one."""
    return value if type(value) is int and 0 < value <= _LAST else 0
