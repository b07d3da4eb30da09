"""Which names of an order no longer exist at the unfiltered reference.

Shell where it asks. NXDOMAIN there denies the name and all below it (RFC 8020 §2), so whatever its match is,
the subject itself is asked for. Of a long list a few are asked for, others every day. Names of an order
that nobody outside may know of are not asked for: the reference would learn of them.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import names
from blocker.policy.directives import SUBJECT_ROLES
from blocker.prober.observe import NOERROR, NXDOMAIN, A
from blocker.prober.reference import Reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blocker.names import Key
    from blocker.policy.overdue import Review
    from blocker.policy.store import Snapshot
    from blocker.site import Endpoint

SAMPLE = 20  # names of one order
_MOST = 2_000  # names in all
_AT_ONCE = 16
_DAY = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What to ask for of one order, that has so many names."""

    order: str
    ordered: int
    keys: tuple[Key, ...] = ()
    is_sealed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """Of so many ordered names so many were asked for; of those, how many are gone, or could not be told."""

    ordered: int
    asked: int
    gone_names: tuple[str, ...] = ()
    unknown: int = 0
    is_sealed: bool = False

    @property
    def gone(self) -> int:
        return len(self.gone_names)


def choose(policy: Snapshot, due: Iterable[Review], t: float) -> list[Chosen]:
    """What to ask for of each order under review."""
    counts = policy.counts()
    numbers = {one.ref: number for number, one in policy.directives.items()}
    sealed = {one.order for one in policy.directives.values() if one.is_sealed(t)}
    found: dict[str, Chosen] = {}
    left = _MOST
    for review in due:
        before = found.get(review.order, Chosen(order=review.order, ordered=0))
        room = min(SAMPLE - len(before.keys), left) if review.order not in sealed else 0
        keys: set[Key] = set()
        for ref in review.refs:
            for key, role in policy.sample(numbers[ref], SAMPLE, int(t // _DAY)):
                if role in SUBJECT_ROLES and len(keys) < room:
                    keys.add(key)
        left -= len(keys)
        found[review.order] = Chosen(
            order=review.order,
            ordered=before.ordered + sum(counts[numbers[ref]] for ref in review.refs),
            keys=(*before.keys, *sorted(keys)),
            is_sealed=review.order in sealed,
        )
    return list(found.values())


def look(chosen: Sequence[Chosen], endpoints: Sequence[Endpoint]) -> Mapping[str, Looked]:
    """What the reference says of them, by order."""
    return asyncio.run(_look(chosen, endpoints))


async def _look(chosen: Sequence[Chosen], endpoints: Sequence[Endpoint]) -> dict[str, Looked]:
    reference, room = Reference(endpoints), asyncio.Semaphore(_AT_ONCE)

    async def exists(key: Key) -> bool | None:
        async with room:
            reply = await reference.ask(key, A)
        if reply is None or reply.is_attributed or reply.rcode not in (NOERROR, NXDOMAIN):
            return None
        return reply.rcode == NOERROR

    found = {}
    for one in chosen:
        keys = one.keys if endpoints else ()
        said = await asyncio.gather(*map(exists, keys))
        found[one.order] = Looked(
            ordered=one.ordered,
            asked=len(keys),
            gone_names=tuple(
                names.to_text(key) for key, is_there in zip(keys, said, strict=True) if is_there is False
            ),
            unknown=said.count(None),
            is_sealed=one.is_sealed,
        )
    return found
