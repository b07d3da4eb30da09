"""Which names a rollback frees that the generation it goes back to blocks by orders that are over since.

Pure. An order that came since may have lifted or narrowed an older one, and another one blocked the same
names anew: what undoes the second does not bring back the first, for nothing is ever blocked by undoing.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from blocker.names import Key
from blocker.policy.decide import Policy, decide
from blocker.policy.directives import SUBJECT_ROLES, Role

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from blocker.orders.timetable import Scheduled
    from blocker.policy.decide import Pair

MOST = 20_000
"""Names that are looked at: what is withheld at once may have millions."""

_A_DIRECTIVE = 2_000


class Sampled(Policy, Protocol):
    """A policy that has names of each directive at hand."""

    def sample(self, number: int, limit: int, seed: int) -> Sequence[tuple[Key, Role]]:
        """At most `limit` names of one directive with their roles; of few all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Otherwise:
    """The names of a policy under other directives, or with others withheld."""

    policy: Policy
    directives: Mapping[int, Scheduled]
    withheld: Mapping[str, object]
    stamp: int = 0

    def set_of(self, key: Key) -> int | None:
        return self.policy.set_of(key)

    def pairs(self, set_id: int) -> Sequence[Pair]:
        return self.policy.pairs(set_id)


def reaching_further(
    policy: Sampled,
    before: Iterable[Scheduled],
    held: Mapping[str, object],
    refs: Collection[str],
    t: float,
) -> frozenset[str]:
    """Which of these directives, which continue older ones, have names that the `before` of an earlier
    generation does not block at `t`. `held` is what is withheld.
    """
    then = _of_then(policy, before, held)
    return frozenset(
        one.ref
        for number, one in policy.directives.items()
        if one.ref in refs
        and any(
            not decide(then, key, region, t).is_blocked
            for key in _subjects(policy, number, _A_DIRECTIVE)
            for region in one.regions
        )
    )


def _of_then(policy: Policy, before: Iterable[Scheduled], held: Mapping[str, object]) -> _Otherwise:
    old = {one.ref: one for one in before}
    older = {n: old.get(one.ref) or replace(one, windows=()) for n, one in policy.directives.items()}
    return _Otherwise(policy=policy, directives=older, withheld=held)


def _subjects(policy: Sampled, number: int, most: int) -> Iterator[Key]:
    """Names that a directive blocks."""
    for key, role in policy.sample(number, most, 0):
        if role in SUBJECT_ROLES:
            yield Key(key + b"\x01x") if role is Role.BELOW else key


def freed(
    policy: Sampled,
    before: Iterable[Scheduled],
    held: Mapping[str, object],
    refs: Collection[str],
    t: float,
) -> dict[str, int]:
    """How many names of the directives that `refs` withhold are blocked at `t` by the `before` of an earlier
    generation, and by nothing any more: by the directive's ref, as far as MOST names tell. `held` is what was
    withheld without that.
    """
    every = policy.directives
    then = _of_then(policy, before, held)
    until_now = _Otherwise(policy=policy, directives=every, withheld=held)
    now = _Otherwise(policy=policy, directives=every, withheld=dict(held) | dict.fromkeys(refs, ""))
    found: Counter[str] = Counter()
    left = MOST
    for number, one in every.items():
        if one.is_cut or not one.in_force(t) or one.lineage.isdisjoint(refs):
            continue
        for key in _subjects(policy, number, min(left, _A_DIRECTIVE)):
            left -= 1
            found[one.ref] += any(
                decide(then, key, region, t).is_blocked
                and decide(until_now, key, region, t).is_blocked
                and not decide(now, key, region, t).is_blocked
                for region in one.regions
            )
    return {ref: count for ref, count in sorted(found.items()) if count}
