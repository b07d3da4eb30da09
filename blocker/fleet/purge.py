"""What a resolver must forget when orders begin or end, as the commands of its own control tool.

Pure. A name that was answered before the start stands in some cache. Which engine keeps what was measured:

- Unbound with our module never sees a cache hit. A start that was known in advance is shaped by TTL. Of one
  that comes with an apply, what was cached must go as soon as the module has the policy: it shapes what is
  asked for from then on, so that a start which is yet to come needs nothing more.
- Unbound by RPZ decides for the name before its cache, but a cached alias leads past it to a blocked target.
- PowerDNS has a packet cache in front of RPZ, and without NOTIFY it takes up to a refresh to have the zone.
- BIND decides at once; `flushtree` only frees what it keeps for nothing.

`flush_zone` stalls a thread for 80 to 100 ms whatever the zone, so no more than ZONES of them are asked for
at one instant: of more names one `flush_zone .` is as cheap, and forgets everything. No more than NAMES are
kept in mind for one point: what would be more is everything, too, for a cold cache costs its clients
milliseconds, and a name left to expire is an order not kept. Only where nothing leaks (BIND) is the rest left
to expire, and counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import names
from blocker.policy.directives import SUBJECT_ROLES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from blocker.names import Key
    from blocker.orders.timetable import Window
    from blocker.policy.store import Snapshot
    from blocker.site import Point

ZONES = 16
NAMES = 2000
BATCH = 100
"""Names of one command, where the tool takes several."""

Known = tuple[str, str]
"""The ref of a directive or cut, and the digest of its order's file: replaced by another, it is another."""

Force = dict[Known, "tuple[Window, ...]"]
"""When each is in force for one region, as far as the operator lets it; none: never."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How one kind of point is purged.

    `after` are the seconds after a change at which it is done: more than once where nobody tells when the
    point has the new policy. `tree` makes the words of one command that forgets some names, each with all
    below it. `several` is how many names one command may have, `is_dear` whether a tree costs as much as the
    whole cache. `is_shaped`: starts known in advance leave nothing to purge. `is_leaky`: what is not purged
    may be answered.
    """

    after: tuple[float, ...]
    tree: Callable[[Sequence[str]], tuple[str, ...]]
    several: int = 1
    is_dear: bool = False
    is_shaped: bool = False
    is_leaky: bool = True


WAYS: dict[tuple[str, str], Way] = {
    ("unbound", "module"): Way(
        after=(0.0,),
        tree=lambda found: ("flush_zone", *found),
        is_dear=True,
        is_shaped=True,
    ),
    ("unbound", "rpz"): Way(
        after=(0.1, 2.0),
        tree=lambda found: ("flush_zone", *found),
        is_dear=True,
    ),
    ("bind", "rpz"): Way(
        after=(1.0,),
        tree=lambda found: ("flushtree", *found),
        is_leaky=False,
    ),
    ("powerdns", "rpz"): Way(
        after=(0.5, 1.5, 4.0),
        tree=lambda found: ("wipe-cache", *(f"{name}$" for name in found)),
        several=BATCH,
    ),
}
"""By kind and way of the point; what is missing keeps nothing that could leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """The words after `point.control`, the first of which is the tool's own; the names it is about."""

    words: tuple[str, ...]
    keys: tuple[Key, ...]


def commands(point: Point, found: Iterable[Key]) -> list[Command]:
    """What makes the point forget these names. A name is forgotten when all commands about it were done."""
    way = WAYS[point.kind, point.by]
    trees = _trees(found)
    if way.is_dear and len(trees) > ZONES:
        trees = {names.ROOT: [key for tree in trees.values() for key in tree]}
    tops = list(trees)
    return [
        Command(
            words=way.tree([word(top) for top in batch]),
            keys=tuple(key for top in batch for key in trees[top]),
        )
        for batch in (tops[at : at + way.several] for at in range(0, len(tops), way.several))
    ]


def apart(point: Point, found: Sequence[Key]) -> list[Command]:
    """The same with a command for each name, as far as so many may be asked for."""
    if WAYS[point.kind, point.by].is_dear and len(found) > ZONES:
        return commands(point, found)
    return [one for key in found for one in commands(point, [key])]


def _trees(found: Iterable[Key]) -> dict[Key, list[Key]]:
    """The names below which no other of them is not, each with all of those that are."""
    trees: dict[Key, list[Key]] = {}
    top: Key | None = None
    for key in sorted(set(found)):
        if top is None or not (top == names.ROOT or names.is_below(key, top)):
            top = key
            trees[top] = []
        trees[top].append(key)
    return trees


def word(key: Key) -> str:
    r"""The name as an argument: for what begins with a hyphen is an option, a name never does (`\\045`)."""
    text = names.to_text(key)
    return f"\\045{text[1:]}" if text.startswith("-") else text


def force(policy: Snapshot, region: str) -> Force:
    """When each directive and cut of the policy holds for the region; withheld ones never do."""
    return {
        (one.ref, policy.orders.get(one.order, "")): one.windows
        if policy.withheld.keys().isdisjoint(one.lineage)
        else ()
        for one in policy.directives.values()
        if one.is_cut or one.applies_to(region)
    }


def changed(was: Force, then: float, now_is: Force, now: float) -> set[Known]:
    """What is in force `now` and was not `then`, or the other way round."""
    return {
        known
        for known in was.keys() | now_is.keys()
        if bool(_within(was.get(known, ()), then, then)) is not bool(_within(now_is.get(known, ()), now, now))
    }


def differing(was: Force, now_is: Force, now: float, ahead: float) -> set[Known]:
    """Whose force differs between two policies, at any time from `now` until `ahead` seconds later."""
    return {
        known
        for known in was.keys() | now_is.keys()
        if _within(was.get(known, ()), now, now + ahead) != _within(now_is.get(known, ()), now, now + ahead)
    }


def fresh(now_is: Force, *, since: float, now: float) -> set[Known]:
    """Whose force began or ended after `since` and until `now`."""
    return {
        known
        for known, windows in now_is.items()
        if any(edge is not None and since < edge <= now for window in windows for edge in window)
    }


def let_go(policy: Snapshot, region: str, since: float) -> set[Known]:
    """What the operator withheld after `since`."""
    withheld = {ref for ref, acts in policy.withheld.items() if min(act.at for act in acts) > since}
    return {
        (one.ref, policy.orders.get(one.order, ""))
        for one in policy.directives.values()
        if (one.is_cut or one.applies_to(region)) and not withheld.isdisjoint(one.lineage)
    }


def _within(windows: Sequence[Window], since: float, until: float) -> tuple[tuple[float, float], ...]:
    """The parts of the windows between the two instants, both of them included."""
    return tuple(
        (max(start, since), until if end is None else min(end, until))
        for start, end in windows
        if start <= until and (end is None or end > since)
    )


def of_directives(
    policy: Snapshot, wanted: Iterable[Known], t: float, *, is_leaky: bool = True
) -> tuple[list[Key], int]:
    """Names of these directives and cuts, NAMES at most, and how many more there are.

    Those with the fewest names come first, so that no long list stands in the way of an urgent order. What
    the policy has not got any more can't be named: then it is the root, which is everything. Nor may names be
    told that are sealed at `t`: everybody on the machine sees the words of a command. They are the root
    too, or nothing where nothing leaks.
    """
    numbers = {
        (one.ref, policy.orders.get(one.order, "")): number for number, one in policy.directives.items()
    }
    wanted = set(wanted)
    if not wanted <= numbers.keys():
        return [names.ROOT], 0
    sealed = {known for known in wanted if policy.directives[numbers[known]].is_sealed(t)}
    if sealed and is_leaky:
        return [names.ROOT], 0
    wanted -= sealed
    found: list[Key] = []
    counts = policy.counts()
    chosen = sorted((counts[numbers[known]], numbers[known]) for known in wanted)
    for _, number in chosen:
        if len(found) < NAMES:
            is_cut = policy.directives[number].is_cut
            sample = policy.sample(number, NAMES, 0)
            found += [key for key, role in sample if is_cut or role in SUBJECT_ROLES]
    del found[NAMES:]
    return found, max(0, sum(count for count, _ in chosen) - len(found))
