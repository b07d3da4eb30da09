"""The meaning of the policy: may this name be answered, for this region, at this instant?

Pure. A name's path is the set ids found from the top-level domain down to the name; sets hold (directive,
role) pairs. All names with one path share one verdict, so an enforcer's memo stays small however long the
lists are. The rules are those of "Semantics" in the design:

- A directive covers a name if one of its subjects does and none of its excepts, nor any cut of it in
  force, does. `because` lists every directive in force that covers the name.
- The action is that of the most specific subject: most labels, then exact, subtree, below; then the
  strictest form, the earliest `issued`, the order id.
- NXDOMAIN denies everything below a name (RFC 8020 §2), so it needs one directive that covers the name
  and all below it. Without one the name has *holes*: NXDOMAIN becomes NODATA, and DS and DNSKEY pass, for
  a validating resolver below us needs them to reach the names that are free.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from blocker import names
from blocker.orders.model import Action, Form
from blocker.orders.timetable import Scheduled, boundaries, last_boundary
from blocker.policy.directives import Role

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Pair = tuple[int, Role]
NamePath = tuple[tuple[int, ...], bool]

DS, DNSKEY = 43, 48  # RFC 4034

_STRICTNESS = {form: rank for rank, form in enumerate(Form)}
_MATCH_RANK = {Role.EXACT: 0, Role.SUBTREE: 1, Role.BELOW: 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What holds for a name, a region and an instant.

    `action` is that of the winner, as ordered; None passes. `because` holds the refs of all covering
    directives, the winner first. `public` are those of them that may be shown. `until` is the next instant
    at which a *visible* change of this verdict comes, None if none is known; sealed starts are not visible.
    `exempt` are the directives whose except (or cut) holds at this name: they don't block what an alias
    chain that starts here leads to.
    """

    action: Action | None = None
    because: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    has_holes: bool = False
    until: int | None = None
    exempt: frozenset[str] = frozenset()

    @property
    def is_blocked(self) -> bool:
        return self.action is not None

    def form_for(self, qtype: int) -> Form | None:
        """The form of the answer to this query type as sent; None passes."""
        if self.action is None or (self.has_holes and qtype in (DS, DNSKEY)):
            return None
        if self.action.form is Form.NXDOMAIN and self.has_holes:
            return Form.NODATA
        return self.action.form


PASS = Verdict()


def cap(until: int | None, most: int, t: float) -> int:
    """The most that a TTL may be, in seconds: caches below serve a TTL n for up to n + 1 seconds."""
    return most if until is None else max(0, min(most, math.floor(until - t) - 1))


def steady(until: int | None, most: int, t: float) -> float:
    """Until when `cap` says what it says at `t`, at least."""
    return math.inf if until is None else until - min(math.floor(until - t), most + 1)


class Policy(Protocol):
    """The applied directives and the names they speak of, as `decide` needs them.

    `stamp` differs between any two policies that one process sees.
    """

    @property
    def stamp(self) -> int: ...

    @property
    def directives(self) -> Mapping[int, Scheduled]:
        """Every directive and cut by its number."""

    @property
    def withheld(self) -> Mapping[str, object]:
        """Refs of directives, and ids of orders, that the operator does not enforce."""

    def set_of(self, key: names.Key) -> int | None:
        """The id of the set of pairs at this very name."""

    def pairs(self, set_id: int) -> Sequence[Pair]:
        """What the names of this set are, and to which directives."""


def path_of(policy: Policy, key: names.Key) -> NamePath:
    """The sets from the top down to the name, and whether the last of them is the name's own."""
    path, set_id, at = [], None, 0
    while at < len(key):  # As names.ancestry, whose generator would cost as much as the look-ups.
        at += 1 + key[at]
        set_id = policy.set_of(names.Key(key[:at]))
        if set_id is not None:
            path.append(set_id)
    return tuple(path), set_id is not None


def decide(
    policy: Policy, key: names.Key, region: str | None, t: float, *, exempt: frozenset[str] = frozenset()
) -> Verdict:
    """What holds for the name in the region (None: no region) at `t`, seconds since the epoch.

    `exempt` are refs of directives that don't count: those at whose except an alias chain began.
    """
    if region is None:
        return PASS
    path, has_own = path_of(policy, key)
    return _decide_path(policy, path, has_own, region, t, exempt) if path else PASS


class Decider:
    """`decide` with a bounded memo by path, forgotten at every transition and change of the policy.

    `epoch` grows whenever it forgets: whoever keeps conclusions drawn from verdicts tags them with it.
    """

    def __init__(self, limit: int = 65536) -> None:
        self.epoch = 0
        self._limit = limit
        self._memo: dict[tuple[tuple[int, ...], bool, str, frozenset[str]], Verdict] = {}
        self._stamp: int | None = None
        self._since: float = 0
        self._till: float = 0

    def refresh(self, policy: Policy, t: float) -> int:
        """Forget what no longer holds for this policy at `t`; the epoch."""
        if policy.stamp != self._stamp or not self._since <= t < self._till:
            self._memo.clear()
            self.epoch += 1
            self._stamp = policy.stamp
            directives = policy.directives.values()
            self._till = next(iter(boundaries(directives, after=t)), float("inf"))
            self._since = last_boundary(directives, t)
        return self.epoch

    def decide(
        self,
        policy: Policy,
        key: names.Key,
        region: str | None,
        t: float,
        *,
        exempt: frozenset[str] = frozenset(),
    ) -> Verdict:
        """As the function of this name."""
        if region is None:
            self.refresh(policy, t)
            return PASS
        return self.along(policy, path_of(policy, key), region, t, exempt=exempt)

    def along(
        self,
        policy: Policy,
        found: NamePath,
        region: str,
        t: float,
        *,
        exempt: frozenset[str] = frozenset(),
    ) -> Verdict:
        """What holds for the names of this path, for who has walked it."""
        self.refresh(policy, t)
        path, has_own = found
        if not path:
            return PASS
        memo_key = (path, has_own, region, exempt)
        verdict = self._memo.get(memo_key)
        if verdict is None:
            if len(self._memo) >= self._limit:
                self._memo.clear()
            verdict = self._memo[memo_key] = _decide_path(policy, path, has_own, region, t, exempt)
        return verdict


def _decide_path(
    policy: Policy,
    path: tuple[int, ...],
    has_own: bool,
    region: str,
    t: float,
    exempt: frozenset[str],
) -> Verdict:
    structure = _Structure(policy, path, has_own=has_own, region=region, exempt=exempt)
    now = structure.verdict(t)
    secret = structure.secret(t)
    for moment in structure.boundaries(after=t, hidden=secret):
        then = structure.verdict(moment, hidden=secret)
        if _shown(then) != _shown(now):
            return replace(now, until=moment)
    return now


def _shown(verdict: Verdict) -> tuple[object, ...]:
    """What of a verdict an answer, or the answer to an alias chain from here, hangs on."""
    return (verdict.action, verdict.because, verdict.has_holes, verdict.exempt)


@dataclass(slots=True)
class Coverage:
    """How one directive reaches a name, whatever the time.

    `rank` is that of its most specific subject that covers the name: smaller is more specific; None
    covers it not. A cut has no subjects: only `excepted` and `has_except_below` speak for it.
    """

    rank: tuple[int, int] | None = None
    covers_below: bool = False
    excepted: bool = False
    has_except_below: bool = False

    def add(self, role: Role, depth: int, *, at_name: bool) -> None:
        """Take in what a name at this depth of the path is to the directive."""
        if role is Role.EXCEPT or (role is Role.EXCEPT_BELOW and not at_name):
            self.excepted = True
        elif role in (Role.ABOVE, Role.EXCEPT_BELOW):
            self.has_except_below |= at_name
        elif role is not Role.EXACT or at_name:
            self.covers_below |= role is not Role.EXACT
            if role is not Role.BELOW or not at_name:
                rank = (-depth, _MATCH_RANK[role])
                self.rank = rank if self.rank is None else min(rank, self.rank)


def coverage(policy: Policy, path: tuple[int, ...], *, has_own: bool) -> dict[int, Coverage]:
    """How every directive met on the path reaches its names, by the directive's number."""
    found: dict[int, Coverage] = {}
    last = len(path) - 1
    for depth, set_id in enumerate(path):
        for number, role in policy.pairs(set_id):
            found.setdefault(number, Coverage()).add(role, depth, at_name=has_own and depth == last)
    return found


class _Structure:
    """Who could cover the names of one path in one region, whatever the time."""

    def __init__(
        self,
        policy: Policy,
        path: tuple[int, ...],
        *,
        has_own: bool,
        region: str,
        exempt: frozenset[str],
    ) -> None:
        self._coverage = coverage(policy, path, has_own=has_own)
        withheld = policy.withheld
        self._directives: dict[int, Scheduled] = {}
        for number in self._coverage:
            one = policy.directives[number]
            if one.is_cut or (
                one.applies_to(region)
                and one.ref not in exempt
                and (not withheld or withheld.keys().isdisjoint(one.lineage))
            ):
                self._directives[number] = one

    def secret(self, t: float) -> frozenset[str]:
        """What nobody may learn of before it starts: sealed, and not in force at `t`."""
        return frozenset(
            one.ref for one in self._directives.values() if one.is_sealed(t) and not one.in_force(t)
        )

    def boundaries(self, *, after: float, hidden: frozenset[str]) -> list[int]:
        """When the verdict may visibly change. A sealed act that starts force is not shaped, one that ends it
        is: a block must not linger.
        """
        found: set[int] = set()
        for one in self._directives.values():
            if one.ref not in hidden:
                begins = {end if one.is_cut else start for start, end in one.windows}
                found.update(set(boundaries([one], after=after)) - (begins & set(one.hidden)))
        return sorted(found)

    def verdict(self, t: float, *, hidden: frozenset[str] = frozenset()) -> Verdict:
        excepted: set[str] = set()
        holed: set[str] = set()
        for number, one in self._directives.items():
            if one.is_cut and one.ref not in hidden and one.in_force(t):
                at = self._coverage[number]
                if at.excepted:
                    excepted.update(one.cuts)
                if at.has_except_below:
                    holed.update(one.cuts)
        covering = []
        has_holes = True
        for number, one in self._directives.items():
            at = self._coverage[number]
            if one.is_cut or at.excepted or one.ref in excepted or one.ref in hidden or not one.in_force(t):
                continue
            if at.covers_below and not at.has_except_below and one.ref not in holed:
                # Below subjects at the name itself leave the name free but close everything under it.
                has_holes = False
            if at.rank is not None:
                covering.append((at.rank, _STRICTNESS[one.action.form], one.issued, one.order, one.ref, one))
        exempt = frozenset(
            one.ref
            for number, one in self._directives.items()
            if not one.is_cut and (self._coverage[number].excepted or one.ref in excepted)
        )
        if not covering:
            return Verdict(exempt=exempt) if exempt else PASS
        covering.sort(key=lambda entry: entry[:5])
        ranked = [entry[5] for entry in covering]
        return Verdict(
            action=ranked[0].action,
            because=tuple(one.ref for one in ranked),
            public=tuple(one.ref for one in ranked if not one.is_sealed(t)),
            has_holes=has_holes,
            exempt=exempt,
        )
