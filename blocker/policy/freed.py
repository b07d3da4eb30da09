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
    from collections.abc import Collection, Iterable, Mapping, Sequence

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
    old = {one.ref: one for one in before}
    every = policy.directives
    older = {number: old.get(one.ref) or replace(one, windows=()) for number, one in every.items()}
    then = _Otherwise(policy=policy, directives=older, withheld=held)
    until_now = _Otherwise(policy=policy, directives=every, withheld=held)
    now = _Otherwise(policy=policy, directives=every, withheld=dict(held) | dict.fromkeys(refs, ""))
    found: Counter[str] = Counter()
    left = MOST
    for number, one in every.items():
        if one.is_cut or not one.in_force(t) or one.lineage.isdisjoint(refs):
            continue
        for key, role in policy.sample(number, min(left, _A_DIRECTIVE), 0):
            left -= 1
            asked = Key(key + b"\x01x") if role is Role.BELOW else key
            found[one.ref] += role in SUBJECT_ROLES and any(
                decide(then, asked, region, t).is_blocked
                and decide(until_now, asked, region, t).is_blocked
                and not decide(now, asked, region, t).is_blocked
                for region in one.regions
            )
    return {ref: count for ref, count in sorted(found.items()) if count}
