"""What a resolver must forget when orders begin or end, as the commands of its own control tool.

Pure. A name that was answered before the start stands in some cache. Which engine keeps what was measured:

- Unbound with our module never sees a cache hit. A start that was known in advance is shaped by TTL; one
  that comes with an apply is not, so what was cached must go: `flush_zone`, once the module has the policy.
- Unbound by RPZ decides for the name before its cache, but a cached alias leads past it to a blocked target.
- PowerDNS has a packet cache in front of RPZ, and without NOTIFY it takes up to a refresh to have the zone.
- BIND decides at once; `flushtree` only frees what it keeps for nothing.

`flush_zone` stalls a thread for 80 to 100 ms whatever the zone, so no more than ZONES of them are asked for
at one instant; further names are flushed by themselves, NAMES at most, and what is more than that expires
by `answers.max_ttl`. It is counted, never passed over in silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders.timetable import last_boundary

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blocker.names import Key
    from blocker.policy.decide import Policy
    from blocker.site import Point

ZONES = 16
NAMES = 2000
BATCH = 100
"""Names of one command, where the tool takes several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one kind of point is purged.

    `after` are the seconds after a change at which it is done: more than once where nobody tells when the
    point has the new policy. `tree` and `name` make the words of one command for some names, to forget
    each with all below it, or by itself. `several` is how many names one command may have, `is_dear` whether
    a tree costs as much as the whole cache. `is_shaped`: starts known in advance leave nothing to purge.
    """

    after: tuple[float, ...]
    tree: Callable[[Sequence[str]], tuple[str, ...]]
    name: Callable[[Sequence[str]], tuple[str, ...]]
    several: int = 1
    is_dear: bool = False
    is_shaped: bool = False


WAYS: dict[tuple[str, str], Way] = {
    ("unbound", "module"): Way(
        after=(0.0,),
        tree=lambda found: ("flush_zone", *found),
        name=lambda found: ("flush", *found),
        is_dear=True,
        is_shaped=True,
    ),
    ("unbound", "rpz"): Way(
        after=(0.1, 2.0),
        tree=lambda found: ("flush_zone", *found),
        name=lambda found: ("flush", *found),
        is_dear=True,
    ),
    ("bind", "rpz"): Way(
        after=(1.0,),
        tree=lambda found: ("flushtree", *found),
        name=lambda found: ("flushname", *found),
    ),
    ("powerdns", "rpz"): Way(
        after=(0.5, 1.5, 4.0),
        tree=lambda found: ("wipe-cache", *(f"{name}$" for name in found)),
        name=lambda found: ("wipe-cache", *found),
        several=BATCH,
    ),
}
"""By kind and way of the point; what is missing keeps nothing that could leak."""


def commands(point: Point, found: Sequence[str]) -> tuple[list[tuple[str, ...]], int]:
    """The words after `point.control` that make it forget these names (canonical text), command by command;
    and how many names are skipped.
    """
    way = WAYS[point.kind, point.by]
    trees, single = found[:NAMES], found[:0]
    if way.is_dear and len(found) > ZONES:
        trees, single = found[:0], found[:NAMES]
    made = [
        say(batch)
        for say, part in ((way.tree, trees), (way.name, single))
        for batch in _batches(part, way.several)
    ]
    return made, len(found) - len(trees) - len(single)


def _batches(found: Sequence[str], size: int) -> Iterable[Sequence[str]]:
    return (found[at : at + size] for at in range(0, len(found), size))


def active(policy: Policy, region: str, t: float) -> frozenset[str]:
    """The refs of the directives and cuts in force for the region at `t`, withheld ones left out."""
    return frozenset(
        one.ref
        for one in policy.directives.values()
        if one.in_force(t)
        and (one.is_cut or one.applies_to(region))
        and policy.withheld.keys().isdisjoint(one.lineage)
    )


def fresh(policy: Policy, t: float, *, since: float) -> frozenset[str]:
    """The refs of the directives and cuts whose force began or ended between `since` and `t`."""
    return frozenset(one.ref for one in policy.directives.values() if since < last_boundary([one], t))


def as_text(keys: Iterable[Key]) -> list[str]:
    """Each name once, in order; those that hang below another one are left out, for it is a tree."""
    found: list[Key] = []
    for key in sorted(set(keys)):
        if not found or not names.is_below(key, found[-1]):
            found.append(key)
    return [names.to_text(key) for key in found]
