"""What a point must answer now, and why.

Pure. Every expectation is derived with `decide` itself, so there is one meaning: a control that another
order covers is expected to be blocked. Controls come from the orders (excepted names, parents, siblings,
`notNAME`, what lies below an exact subject) and from the site (canaries). None is random: made-up labels
would fill caches below us and prove little. Bounded per directive and per round; long lists are sampled,
another part each round.

A round never spends its budget on subjects alone: a point that blocks too much would then look obedient. It
looks at no more directives than it can ask a subject, an except and a control of, and the others have their
turn in the next rounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import chain, zip_longest
from typing import TYPE_CHECKING, Any, Protocol
from zlib import crc32

from blocker import capabilities, names
from blocker.orders.model import Form
from blocker.orders.timetable import LIFTED, boundaries, last_boundary
from blocker.policy import decide
from blocker.policy.directives import SUBJECT_ROLES, Role
from blocker.prober.observe import AAAA, ANY, HTTPS, MX, TXT, A
from blocker.prober.schedule import is_ours

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from ipaddress import IPv4Address, IPv6Address

    from blocker.names import Key
    from blocker.orders.timetable import Scheduled
    from blocker.site import Enforcement, Point


MORE = (AAAA, HTTPS, MX, TXT, ANY, decide.DS)
"""The types, beside A, in which what must be blocked is asked for: those that lead to addresses, some that
don't, and DS, which must pass where names below are free (RFC 8020 §2 and decide)."""

ALIASES = frozenset({"aliases", "cached-aliases"})
"""The limits of reach by which any alias of a blocked name may be answered."""

EXCEPTED_ALIASES = "excepted-aliases"
"""That by which one may be at which an except holds."""

LIMITS = {ANY: "any", decide.DS: "holes"}
"""By type, the limit of reach by which a point does not answer it as it must."""


def is_top(key: Key) -> bool:
    """Whether the name is a top-level domain, or the root."""
    return names.parent(key) == names.ROOT


class Why(StrEnum):
    """What a name is to the directive, the site or the person that made us ask."""

    SUBJECT = "subject"
    EXCEPT = "except"
    PARENT = "parent"
    SIBLING = "sibling"
    LOOKALIKE = "lookalike"
    BELOW = "below"
    ELSEWHERE = "elsewhere"
    WITHHELD = "withheld"
    COMING = "coming"
    ENDED = "ended"
    OUTSIDE = "outside"
    CANARY = "canary"
    ASKED = "asked"


class Source(decide.Policy, Protocol):
    """A policy whose directives' names can be sampled."""

    @property
    def enforcement(self) -> Enforcement:
        """The site values that travel with it."""

    def sample(self, number: int, limit: int, seed: int) -> Sequence[tuple[Key, Role]]:
        """At most `limit` names of a directive with their roles; another seed may give others."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectation:
    """What one point must answer to one question.

    `region` None: that of no client. `outside`: it is asked as a client of another region than the
    point's. `declared` is the limit of reach by which the point is known not to answer this as it must.
    `is_sealed`: nobody outside may learn that the name is asked for, as the reference would.
    `misses_aliases`: the point is known to answer some aliases of blocked names.
    `form` None: it must pass. `ref` and `order` are those of the directive that made us ask, empty for
    canaries; `because` are the directives that block the name. It holds for observations within
    `[since, until)`, epoch seconds, the stretch between two transitions of the policy. `started` is the
    latest start of the directive's force at or before now, `ended` the latest end, `ending` what that end is
    (`Scheduled.ending`).
    """

    point: str
    region: str | None
    name: Key
    qtype: int
    why: Why
    outside: bool = False
    declared: str = ""
    is_sealed: bool = False
    misses_aliases: bool = False
    ref: str = ""
    order: str = ""
    form: Form | None = None
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()
    because: tuple[str, ...] = ()
    since: float = 0.0
    until: float | None = None
    started: int | None = None
    ended: int | None = None
    ending: str = LIFTED


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Where a round looks.

    `number` is the round's: it rotates samples and directives. `limit` bounds the names of one directive,
    `budget` the questions for one point, `only`, if given, keeps to these refs (and no canaries). `since`
    is the instant before which the policy was another one: nothing observed before it is judged by this.
    Names under `protected` and canaries are not derived as controls: the site speaks for them. Nor are
    names that `is_public` says belong to everybody: public suffixes. `whole`: each subject is asked about in
    every type, with what lies below it. `shard` is the part of the directives that is ours, of so many; the
    `canary_order` is everybody's, for what blocks look like is learnt from it.
    """

    canaries: tuple[Key, ...] = ()
    protected: tuple[Key, ...] = ()
    only: frozenset[str] | None = None
    number: int = 0
    limit: int = 20
    budget: int = 240
    since: float = 0.0
    is_public: Callable[[Key], bool] = is_top
    whole: bool = False
    shard: tuple[int, int] = (0, 1)
    canary_order: str = ""


def expect(policy: Source, points: Iterable[Point], t: float, look: Look) -> list[Expectation]:
    """What each point must answer at `t`, where the round looks."""
    found: list[Expectation] = []
    for asks in _of_points(policy, points, t, look):
        concerned = asks.concerned()
        chosen, lap = _rotated(concerned, look)
        queues = [asks.of(number, concerned[number], place, lap) for place, number in enumerate(chosen)]
        queues.insert(0, asks.canaries())
        taken: dict[Question, Expectation] = {}
        # One from each in turn: a long list doesn't push a short one out of the budget.
        for one in _in_turn(*queues):
            if len(taken) == look.budget:
                break
            taken.setdefault(question(one), one)
        found += taken.values()
    return found


def count(policy: Source, points: Iterable[Point], t: float, look: Look) -> int:
    """How many expectations `expect` would find if the budget had no bound."""
    total = 0
    for asks in _of_points(policy, points, t, look):
        queues = (asks.of(number, why) for number, why in asks.concerned().items())
        total += sum(len({question(one) for one in queue}) for queue in queues)
        total += len(list(asks.canaries()))
    return total


def turns(policy: Source, points: Iterable[Point], t: float, look: Look) -> dict[str, tuple[int, int]]:
    """By point: of how many directives there is something to ask, and of how many a round has no room for."""
    found = {}
    for asks in _of_points(policy, points, t, look):
        concerned = asks.concerned()
        found[asks.point] = len(concerned), len(concerned) - len(_rotated(concerned, look)[0])
    return found


def renew(
    policy: Source, points: Iterable[Point], olds: Iterable[Expectation], t: float, *, since: float = 0.0
) -> tuple[list[Expectation], list[Expectation]]:
    """The same questions expected anew at `t`, and those old ones whose directive or point is no more."""
    start, until = stretch(policy, t)
    by_name = {point.name: point for point in points}
    directives = {one.ref: one for one in policy.directives.values()}
    again, gone = [], []
    for old in olds:
        why: Why | None = old.why
        edges, is_sealed = (old.started, old.ended, old.ending), old.is_sealed
        if old.ref:
            one = directives.get(old.ref)
            if one is None:
                why = None
            else:
                edges, is_sealed = _edges(one, t), old.is_sealed or one.is_sealed(t)
                if old.why in _BY_TIME and old.region is not None:
                    why = _standing(policy, one, old.region, t)
        point = by_name.get(old.point)
        if why is None or point is None:
            gone.append(old)
            continue
        verdict = decide.decide(policy, old.name, old.region, t)
        again.append(
            replace(
                old,
                why=why,
                is_sealed=is_sealed,
                **by(verdict, old.qtype, point),
                since=max(start, since),
                until=until,
                started=edges[0],
                ended=edges[1],
                ending=edges[2],
            )
        )
    return again, gone


def stretch(policy: decide.Policy, t: float) -> tuple[float, float | None]:
    """The latest transition of the policy at or before `t`, 0 if none, and the first after it."""
    directives = policy.directives.values()
    return max(0.0, last_boundary(directives, t)), next(iter(boundaries(directives, after=t)), None)


def changing(policy: decide.Policy, transition: int) -> frozenset[str]:
    """The refs of the directives and cuts that start or end at the transition; of a cut, what it cuts too."""
    found: set[str] = set()
    for one in policy.directives.values():
        if any(transition in window for window in one.windows):
            found.update((one.ref, *one.cuts))
    return frozenset(found)


def forged(policy: decide.Policy) -> frozenset[bytes]:
    """The RDATA of every address that the policy's redirects answer with."""
    return frozenset(
        address.packed
        for one in policy.directives.values()
        if one.action.form is Form.REDIRECT
        for address in one.action.addresses
    )


_RAW = b"a.b \xe9"
"""A label that no host has and any name may have (RFC 2181 §11): an octet beyond ASCII, a space, and a dot,
which ends the label for whoever compares names as text."""

_BY_TIME = frozenset({Why.SUBJECT, Why.COMING, Why.ENDED, Why.WITHHELD, Why.ELSEWHERE})


def _standing(policy: decide.Policy, one: Scheduled, region: str, t: float) -> Why | None:
    """What its subjects are now; None if it never holds, or concerns another region and does not hold now.

    None too if it is sealed and has not begun: a name that passes goes on to upstream, and nobody there may
    learn of the order by our asking.
    """
    in_force = one.in_force(t)
    if not one.applies_to(region):
        return Why.ELSEWHERE if in_force and not one.is_sealed(t) else None
    if in_force:
        is_withheld = not policy.withheld.keys().isdisjoint((one.ref, one.order, *one.lineage))
        return Why.WITHHELD if is_withheld else Why.SUBJECT
    if not one.windows:
        return None
    if one.windows[0][0] <= t:
        return Why.ENDED
    return None if one.is_sealed(t) else Why.COMING


def _edges(one: Scheduled, t: float) -> tuple[int | None, int | None, str]:
    ended = max((end for _, end in one.windows if end is not None and end <= t), default=None)
    return (
        max((start for start, _ in one.windows if start <= t), default=None),
        ended,
        LIFTED if ended is None else one.ending(ended),
    )


def _of_points(policy: Source, points: Iterable[Point], t: float, look: Look) -> Iterator[_Asks]:
    start, until = stretch(policy, t)
    for point in points:
        yield _Asks(policy, point, t, look=look, within=(max(start, look.since), until))


def _rotated(numbers: Iterable[int], look: Look) -> tuple[list[int], int]:
    """The directives that this round asks about, and how often each was asked about before.

    As many rounds in a row as are needed ask about all.

    A round of everything has room for the first questions of each. A round of some is about an instant:
    there the subjects of many come before the controls of few.
    """
    room = look.budget if look.only is not None else max(1, look.budget // _FIRST)
    # In an order of its own, so that a round has directives of many orders.
    every = sorted(numbers, key=lambda number: (crc32(b"%d" % number), number))
    if len(every) <= room:
        return every, look.number
    lap, at = divmod(look.number * room, len(every))
    # Those that come behind the end of the row begin their next lap; one more turn for the others is no harm.
    return (every[at:] + every[:at])[:room], lap


_EACH_TIME = 2  # questions about subjects for which a round has room, at least
_FIRST = 4  # questions about one directive that come before all others: subject, except, control, subject


def _in_turn(*queues: Iterable[Expectation]) -> Iterator[Expectation]:
    """The first of each, then the second of each, and so on."""
    return (one for rank in zip_longest(*queues) for one in rank if one is not None)


Question = tuple[str, str, "Key", int, bool]


def question(one: Expectation) -> Question:
    """What is asked of which point, on whose account: there is one answer to it at a time."""
    return one.point, one.ref, one.name, one.qtype, one.outside


class _Asks:
    """Derives the expectations of one point."""

    def __init__(
        self, policy: Source, point: Point, t: float, *, look: Look, within: tuple[float, float | None]
    ) -> None:
        self._policy, self._point, self._t, self._look = policy, point, t, look
        self._since, self._until = within
        self._canaries, self._protected = frozenset(look.canaries), frozenset(look.protected)

    @property
    def point(self) -> str:
        return self._point.name

    def canaries(self) -> Iterator[Expectation]:
        for key in sorted(self._canaries if self._look.only is None else ()):
            yield self._ask(key, A, Why.CANARY, None)

    def concerned(self) -> dict[int, Why]:
        """The directives and cuts where the round looks that there is something to ask about, and why."""
        only = self._look.only
        return {
            number: why
            for number, one in self._policy.directives.items()
            if (only is None or one.ref in only)
            and (one.order == self._look.canary_order or is_ours(one.ref, self._look.shard))
            and (why := self._why(one)) is not None
        }

    def of(self, number: int, why: Why, place: int = 0, lap: int = 0) -> Iterator[Expectation]:
        """The questions about one directive or cut.

        First one of each sort: a subject, an except, a control; then the others in turn. Which except and
        control come first depends on the round and the directive's `place` in it, so each round has all.
        Which subject and type come first depends on the `lap`: a round may have no room for more of them than
        two, and moves on by so many.
        """
        one = self._policy.directives[number]
        # Names of directives not in force here are controls themselves: a few are enough.
        limit = self._look.limit if why in (Why.SUBJECT, Why.EXCEPT) else min(self._look.limit, 5)
        sample = self._policy.sample(number, limit, self._look.number)
        subjects = [(key, role) for key, role in sample if role in SUBJECT_ROLES]
        asked = iter(_from(_EACH_TIME * lap, self._subjects(subjects, why, one)))
        if why not in (Why.SUBJECT, Why.EXCEPT):
            yield from asked
            return
        turn = crc32(b"%d" % self._look.number) + place
        excepts = _from(turn, self._excepts(sample, one))
        around = _from(turn, self._controls(subjects, one))
        outside = list(self._outside(subjects, one))
        if one.is_sealed(self._t):
            # What passes goes on to upstream, and nobody there may learn of the order by our asking.
            excepts, outside = [], []
            around = [asked for asked in around if asked.form is not None]
        yield from chain(_take(asked), excepts[:1], around[:1], outside, _take(asked))
        yield from _in_turn(asked, chain(excepts[1:], around[1:]))

    def _why(self, one: Scheduled) -> Why | None:
        if one.is_cut:
            return Why.EXCEPT if one.in_force(self._t) else None
        return _standing(self._policy, one, self._point.region, self._t)

    def _excepts(self, sample: Iterable[tuple[Key, Role]], one: Scheduled) -> Iterator[Expectation]:
        for key, role in sample:
            target = {Role.EXCEPT: key, Role.EXCEPT_BELOW: under(key, b"www")}.get(role)
            if target is not None:
                yield self._ask(target, A, Why.EXCEPT, one)

    def _controls(self, subjects: Sequence[tuple[Key, Role]], one: Scheduled) -> Iterator[Expectation]:
        for key, role in subjects if self._look.whole else subjects[:3]:
            for kind, control in controls(key, role, self._look.is_public):
                if self._is_the_sites(control):
                    continue
                asked = self._ask(control, A, kind, one)
                yield asked
                if self._look.whole and asked.form is not None:
                    yield self._ask(control, AAAA, kind, one)
            raw = under(key, _RAW) if self._look.whole and role is not Role.EXACT else None
            if raw is not None and (asked := self._ask(raw, A, Why.BELOW, one)).form is not None:
                yield asked

    def _subjects(
        self, subjects: Sequence[tuple[Key, Role]], why: Why, one: Scheduled
    ) -> Iterator[Expectation]:
        more = MORE if self._look.only is None else (AAAA,)
        for qtype in (A, *(more if why is Why.SUBJECT else ())):
            for target in _targets(subjects):
                yield self._ask(target, qtype, why, one)

    def _outside(self, subjects: Sequence[tuple[Key, Role]], one: Scheduled) -> Iterator[Expectation]:
        """What a client of another region must be answered for the first of the subjects."""
        outside = self._point.outside
        if outside is None or one.is_cut:
            return
        region = self._policy.enforcement.region_of(outside.client)
        for target in _targets(subjects[: None if self._look.whole else 1]):
            inside = self._ask(target, A, Why.OUTSIDE, one)
            verdict = decide.decide(self._policy, target, region, self._t)
            yield replace(inside, region=region, outside=True, **by(verdict, A, self._point))

    def _is_the_sites(self, key: Key) -> bool:
        above = set(names.ancestry(key))
        return key in self._canaries or not above.isdisjoint(self._protected)

    def _ask(self, name: Key, qtype: int, why: Why, one: Scheduled | None) -> Expectation:
        verdict = decide.decide(self._policy, name, self._point.region, self._t)
        started, ended, ending = _edges(one, self._t) if one else (None, None, LIFTED)
        return Expectation(
            point=self._point.name,
            region=self._point.region,
            name=name,
            qtype=qtype,
            why=why,
            ref=one.ref if one else "",
            order=one.order if one else "",
            is_sealed=one is not None and one.is_sealed(self._t),
            **by(verdict, qtype, self._point),
            since=self._since,
            until=self._until,
            started=started,
            ended=ended,
            ending=ending,
        )


def _targets(subjects: Iterable[tuple[Key, Role]]) -> Iterator[Key]:
    """The names to ask for: of a subject that is not meant itself, one below it."""
    for key, role in subjects:
        target = under(key, b"www") if role is Role.BELOW else key
        if target is not None:
            yield target


def by(verdict: decide.Verdict, qtype: int, point: Point) -> dict[str, Any]:
    """What of an expectation the verdict says, and how far the point is known to reach."""
    reach = capabilities.of(point.kind, point.by).reach
    limit = LIMITS.get(qtype, "")
    is_declared = limit in reach and (limit != "holes" or verdict.has_holes)
    missed = ALIASES | {EXCEPTED_ALIASES} if verdict.exempt else ALIASES
    return {
        "form": verdict.form_for(qtype),
        "addresses": verdict.action.addresses if verdict.action else (),
        "because": verdict.because,
        "declared": limit if is_declared else "",
        "misses_aliases": not missed.isdisjoint(reach),
    }


def _take(queue: Iterator[Expectation]) -> list[Expectation]:
    return [one for one in [next(queue, None)] if one is not None]


def _from(turn: int, queue: Iterable[Expectation]) -> list[Expectation]:
    """All of them, beginning at another one each turn."""
    every = list(queue)
    at = turn % len(every) if every else 0
    return every[at:] + every[:at]


def controls(
    subject: Key, role: Role, is_public: Callable[[Key], bool] = is_top
) -> Iterator[tuple[Why, Key]]:
    """The names around a subject that it does not cover, or that say how far it reaches."""
    above = names.parent(subject)
    if not is_top(above) and not is_public(above):
        yield Why.PARENT, above
        sibling = next(one for label in (b"www", b"mail") if (one := under(above, label)) != subject)
        if sibling is not None:
            yield Why.SIBLING, sibling
    label = names.labels_of(subject)[-1]
    lookalike = under(above, b"not" + label)
    if lookalike is not None:
        yield Why.LOOKALIKE, lookalike
    below = under(subject, b"www")
    if role is not Role.BELOW and below is not None:
        yield Why.BELOW, below
    if role is Role.BELOW:
        yield Why.PARENT, subject


def under(key: Key, label: bytes) -> Key | None:
    """The name one label below; None if the label or the name would be too long (RFC 1035 §2.3.4)."""
    if len(label) > 63 or len(key) + 1 + len(label) + 1 > 255:
        return None
    return names.Key(key + bytes([len(label)]) + label)
