"""What a sweep asks of a point: every name that an order in force speaks of, and what must come back.

Pure. Names come from the policy page by page, in its order; what must come back is what `decide` says, once
for all names that have the same sets on their path. Asked are the names that are blocked for the point's
region, a name below where only what is below is, and the excepts of directives in force, which must pass.
Each question knows the orders that name it, so that each order's names can be sampled by themselves.
A page is decided by one policy at one instant and good until the next transition: whoever asks takes the next
page from the policy of then.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from blocker import names
from blocker.policy import decide
from blocker.policy.decide import Decider
from blocker.policy.directives import Role
from blocker.prober import expect
from blocker.prober.expect import Expectation, Why
from blocker.prober.observe import A

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocker.names import Key
    from blocker.orders.timetable import Scheduled
    from blocker.site import Point

PAGE = 4096
_MOST = 65536
_Path = tuple[bytes, ...]
Speaking = tuple[tuple[str, str], ...]
EVERY = ""
"""In the place of an order's id: all questions."""


class Source(decide.Policy, Protocol):
    """A policy whose names can be read in order."""

    def page(self, after: Key, limit: int) -> Sequence[tuple[Key, bytes]]:
        """At most `limit` names after the key, in order, each with the packed id of its set."""

    def find(self, key: Key) -> bytes | None:
        """The packed id of the set at this very name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Questions in a row. `names[n]` must be answered as `wanted[n]` says, whose own name is another.

    `speaking[n]` are the directives that made us ask, of each order that names it one: (order, ref).
    `after` is where the next page begins, None after the last. `stamp` is that of the policy; the answers
    are judged if they come within `[since, until)`, epoch seconds, while it is in force. `forged` holds the
    RDATA of every redirect address of the policy. `read` names were looked at.
    """

    names: Sequence[Key]
    wanted: Sequence[Expectation]
    speaking: Sequence[Speaking]
    after: Key | None
    stamp: int
    since: float
    until: float | None
    forged: frozenset[bytes] = frozenset()
    read: int = 0

    def holds(self, stamp: int, now: float) -> bool:
        """Whether what it says is so at `now` under the policy of this stamp."""
        return stamp == self.stamp and self.since <= now and (self.until is None or now < self.until)


@dataclass(slots=True)
class _Asked:
    """What is asked of the names of one path: the name itself, and one below it."""

    own: Expectation | None
    ref_below: str | None
    speaking: Speaking = ()
    below: Expectation | None = None


@dataclass(slots=True)
class Sweep:
    """The questions for one point. It remembers verdicts by path, never names."""

    point: Point
    qtype: int = A
    _decider: Decider = field(default_factory=Decider)
    _epoch: int = -1
    _asked: dict[_Path, _Asked] = field(default_factory=dict)
    _stretch: tuple[float, float | None] = (0.0, None)
    _forged: frozenset[bytes] = frozenset()
    _orders: dict[str, str] = field(default_factory=dict)
    _sealed: set[str] = field(default_factory=set)

    def page(self, policy: Source, t: float, after: Key = names.ROOT, limit: int = PAGE) -> Page:
        """The questions about the next `limit` names of the policy at `t`, beginning after a key."""
        epoch = self._decider.refresh(policy, t)
        if epoch != self._epoch:
            self._epoch, self._stretch, self._forged = epoch, expect.stretch(policy, t), expect.forged(policy)
            directives = policy.directives.values()
            self._orders = {one.ref: one.order for one in directives} | {"": ""}
            self._sealed = {one.ref for one in directives if one.is_sealed(t)}
            self._asked.clear()
        asked, wanted, speaking = [], [], []
        rows = policy.page(after, limit)
        above = self._above(policy, rows[0][0]) if rows else []
        known = self._asked
        for key, value in rows:
            while above and not key.startswith(above[-1][0]):
                above.pop()
            path = (*above[-1][1], value) if above else (value,)
            above.append((key, path))
            found = known.get(path)
            if found is None:
                found = self._learn(policy, key, path, t)
            if found.own is not None:
                asked.append(key)
                wanted.append(found.own)
                speaking.append(found.speaking)
            if found.ref_below is not None:
                child = expect.under(key, b"www")
                if child is not None and policy.find(child) is None:  # Else it has its turn by itself.
                    if found.below is None:
                        found.below = self._expect(policy, child, found.ref_below, t)
                    asked.append(child)
                    wanted.append(found.below)
                    speaking.append(found.speaking)
        return Page(
            names=asked,
            wanted=wanted,
            speaking=speaking,
            after=rows[-1][0] if len(rows) == limit else None,
            stamp=policy.stamp,
            since=self._stretch[0],
            until=self._stretch[1],
            forged=self._forged,
            read=len(rows),
        )

    def _above(self, policy: Source, key: Key) -> list[tuple[Key, _Path]]:
        """The names of the policy above the key, each with its path."""
        found: list[tuple[Key, _Path]] = []
        path: _Path = ()
        for ancestor in list(names.ancestry(key))[:-1]:
            value = policy.find(ancestor)
            if value is not None:
                path = (*path, value)
                found.append((ancestor, path))
        return found

    def _learn(self, policy: Source, key: Key, path: _Path, t: float) -> _Asked:
        if len(self._asked) >= _MOST:
            self._asked.clear()
        set_id = policy.set_of(key)
        assert set_id is not None  # noqa: S101 - for the types: the policy gave the name
        holding = [
            (role, policy.directives[number])
            for number, role in policy.pairs(set_id)
            if _holds(policy, policy.directives[number], self.point.region, t)
        ]
        by_role = {role: one.ref for role, one in holding}
        own = self._expect(policy, key, by_role.get(Role.EXCEPT, ""), t)
        found = self._asked[path] = _Asked(
            own=own if own.form is not None or Role.EXCEPT in by_role else None,
            ref_below=by_role.get(Role.BELOW, by_role.get(Role.EXCEPT_BELOW)),
            speaking=tuple({one.order: one.ref for _, one in holding}.items()) or ((own.order, own.ref),),
        )
        return found

    def _expect(self, policy: Source, key: Key, ref: str, t: float) -> Expectation:
        """What must come back for the name; `ref` is the directive that speaks of it if none blocks it."""
        verdict = self._decider.decide(policy, key, self.point.region, t)
        ref = next(iter(verdict.because), ref)
        return Expectation(
            point=self.point.name,
            region=self.point.region,
            name=key,
            qtype=self.qtype,
            why=Why.SUBJECT if verdict.is_blocked else Why.EXCEPT,
            ref=ref,
            order=self._orders[ref],
            **expect.by(verdict, self.qtype, self.point),
            is_sealed=not self._sealed.isdisjoint((ref, *verdict.because)),
            since=self._stretch[0],
            until=self._stretch[1],
        )


@dataclass(slots=True)
class Sample:
    """A part of a sweep: by order the places among the questions that it names, which ascend.

    What was drawn for an order is asked on its account; what two orders drew is asked twice. The places of
    EVERY are those among all questions. It looks at `step` names of the policy at once.
    """

    sweep: Sweep
    places: Mapping[str, Sequence[int]]
    step: int = PAGE
    _left: dict[str, deque[int]] = field(default_factory=dict)
    _passed: Counter[str] = field(default_factory=Counter)
    _drawn: dict[tuple[int, str], Expectation] = field(default_factory=dict)

    @property
    def point(self) -> Point:
        return self.sweep.point

    def page(self, policy: Source, t: float, after: Key = names.ROOT, limit: int = PAGE) -> Page:
        """As that of the sweep, with what was drawn of it: `limit` questions, or some more."""
        if after == names.ROOT:
            self._left = {order: deque(places) for order, places in self.places.items() if places}
            self._passed.clear()
        asked: list[Key] = []
        wanted: list[Expectation] = []
        read, there = 0, after
        while True:
            whole = self.sweep.page(policy, t, there, self.step)
            self._drawn.clear()
            for name, one, speaking in zip(whole.names, whole.wanted, whole.speaking, strict=True):
                for order, ref in ((EVERY, one.ref), *speaking):
                    if self._is_drawn(order):
                        asked.append(name)
                        wanted.append(self._for(one, order or one.order, ref))
            read += whole.read
            if whole.after is None or not self._left or len(asked) >= limit:
                break
            there = whole.after
        return replace(
            whole,
            names=asked,
            wanted=wanted,
            speaking=[((one.order, one.ref),) for one in wanted],
            read=read,
            after=whole.after if self._left else None,
        )

    def _is_drawn(self, order: str) -> bool:
        left = self._left.get(order)
        if left is None:
            return False
        place = self._passed[order]
        self._passed[order] += 1
        if left[0] != place:
            return False
        left.popleft()
        if not left:
            del self._left[order]
        return True

    def _for(self, one: Expectation, order: str, ref: str) -> Expectation:
        """The expectation on this order's account: one value for all of a page that are answered alike."""
        found = self._drawn.get((id(one), order))
        if found is None:
            found = self._drawn[id(one), order] = replace(one, order=order, ref=ref)
        return found


def _holds(policy: decide.Policy, one: Scheduled, region: str, t: float) -> bool:
    """Whether it is in force for the region, and enforced."""
    return one.in_force(t) and (
        one.is_cut or (one.applies_to(region) and policy.withheld.keys().isdisjoint(one.lineage))
    )
