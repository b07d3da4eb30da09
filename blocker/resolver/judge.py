"""What the policy says of an alias chain: where it is blocked, and until when that holds.

Each owner of the chain is decided in turn; the chain is kept up to the first blocked one, whose verdict is
the answer's. A chain that starts at a directive's except is not blocked by that directive.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.policy.decide import Verdict
    from blocker.resolver.chain import Chain, Received


class Decide(Protocol):
    """`decide` with policy, region and time given."""

    def __call__(self, key: Key, exempt: frozenset[str] = frozenset()) -> Verdict: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """`verdict` is that of the blocked owner number `at` of the chain, None if nothing in it is blocked.

    `until` is the next visible change of any verdict up to there (epoch seconds). `is_unusable`: a blocked
    name stands in the answer outside the chain.
    """

    verdict: Verdict | None = None
    at: int = 0
    until: int | None = None
    is_unusable: bool = False


def judge(received: Received | Chain, qtype: int, first: Verdict, decide: Decide) -> Judged:
    """What holds for the chain, whose first owner has the verdict `first` and passes."""
    until = first.until
    for at, key in enumerate(received.keys[1:], 1):
        found = decide(key, first.exempt)
        until = sooner(until, found.until)
        if found.form_for(qtype) is not None:
            return Judged(verdict=found, at=at, until=until)
    for key in received.strays:
        found = decide(key)
        until = sooner(until, found.until)
        if found.is_blocked:
            return Judged(is_unusable=True)
    return Judged(until=until)


def sooner(one: int | None, other: int | None) -> int | None:
    """The earlier of two instants, either of which may never come."""
    return other if one is None else one if other is None else min(one, other)
