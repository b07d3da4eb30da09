"""When to probe: dense around every transition, sparse in between, never faster than a point can bear.

Pure: the time is an argument, and what is due is a function of it alone. So a stepped clock needs no
repair: the next question about the new time has the right answer. Times are wall-clock seconds since the
epoch, except in Bucket, whose clock must never run backwards.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_T = TypeVar("_T")

# Seconds around a transition. The one before shows that it isn't early; those within the first quarter
# second give the first confirmation; the later ones see slow points settle.
OFFSETS = (-1.0, 0.0, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A round of everything at `at`; `number` counts them since the epoch and is the seed of samples."""

    at: float
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """A round at `at` that looks at what changes at `transition`; `number` is its place in OFFSETS."""

    at: float
    number: int
    transition: int


def sparse(now: float, interval: int, seed: str) -> Due:
    """The first round of everything after `now`: one in each interval, at a place the seed decides.

    Sites with different seeds so don't probe in step.
    """
    number = int(now // interval)
    while True:
        at = number * interval + interval * 0.5 * (crc32(f"{seed}:{number}".encode()) / 2**32)
        if at > now:
            return Due(at=at, number=number)
        number += 1


def dense(now: float, transitions: Sequence[int]) -> Around | None:
    """The first round after `now` around one of the transitions (ascending), None if there is none."""
    found: Around | None = None
    for transition in transitions[bisect_left(transitions, now - OFFSETS[-1]) :]:
        if found is not None and transition + OFFSETS[0] >= found.at:
            break
        for number, offset in enumerate(OFFSETS):
            at = transition + offset
            if at > now and (found is None or at < found.at):
                found = Around(at=at, number=number, transition=transition)
    return found


def same_instant(due: Around, transitions: Sequence[int]) -> list[Around]:
    """Every round due at the very time of `due`, itself included: transitions seconds apart share times."""
    found = []
    for transition in transitions[bisect_left(transitions, due.at - OFFSETS[-1]) :]:
        if transition + OFFSETS[0] > due.at:
            break
        for number, offset in enumerate(OFFSETS):
            if transition + offset == due.at:
                found.append(Around(at=due.at, number=number, transition=transition))
    return found


def room(number: int, rate: float) -> int:
    """How many questions can be asked of a point at the offset with this place, at `rate` queries a second.

    Half of the rate is left for controls and second samples. At the transition there is a burst besides.
    """
    until = OFFSETS[number + 1] if number + 1 < len(OFFSETS) else OFFSETS[number] + 5.0
    seconds = max(until - OFFSETS[number], 1.0 if OFFSETS[number] == 0.0 else 0.0)
    return max(1, int(rate * seconds / 2))


def portion(every: Sequence[_T], number: int, rate: float, is_seen: Callable[[_T], bool]) -> list[_T]:
    """Those of all that change at a transition to look at at the offset: as many as there is room for.

    Each offset goes on where the one before ended, so that all have their turn, those not seen yet first.
    """
    before = sum(room(one, rate) for one, offset in enumerate(OFFSETS[:number]) if offset >= 0.0)
    at = before % len(every) if every else 0
    ordered = [*every[at:], *every[:at]]
    unseen = [one for one in ordered if not is_seen(one)]
    return (unseen or ordered)[: room(number, rate)]


def is_ours(ref: str, shard: tuple[int, int]) -> bool:
    """Whether the directive is in the shard, of so many that share the work."""
    return crc32(ref.encode()) % shard[1] == shard[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """A token bucket: `rate` queries a second, `burst` at once. `at` (seconds) is its last look."""

    rate: float
    burst: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, at: float) -> Bucket:
        """A bucket that allows one second's worth at once, or one query for rates below one."""
        burst = max(1.0, rate)
        return cls(rate=rate, burst=burst, tokens=burst, at=at)

    def take(self, now: float, *, reserve: float = 0.0) -> tuple[Bucket, float]:
        """The bucket after one query, and 0; or the bucket and the seconds to wait before asking again.

        `reserve`, a share of the burst, is left for queries that can't wait: those around transitions.
        """
        tokens = min(self.burst, self.tokens + max(0.0, now - self.at) * self.rate)
        needed = 1.0 + reserve * max(0.0, self.burst - 1.0)
        filled = replace(self, tokens=tokens, at=max(self.at, now))
        if tokens + 1e-9 >= needed:
            return replace(filled, tokens=max(0.0, tokens - 1.0)), 0.0
        return filled, (needed - tokens) / self.rate
