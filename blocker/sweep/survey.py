"""What `blocker verify` does beyond one round: every name of every list, or of long ones a sample.

Shell; it wires sweeps to rounds. What a sweep hands back is probed in full, with controls, reference and a
second sample, before anything bad is said; that is bounded, and how much was left out is said.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blocker import names
from blocker.policy.reader import Reader
from blocker.prober import expect
from blocker.prober.book import FINE
from blocker.prober.daemon import book_of
from blocker.prober.matrix import Probe
from blocker.prober.observe import AAAA, HTTPS, OVER_TCP, PLAIN, A, Variant
from blocker.prober.reference import Reference, endpoints
from blocker.prober.rounds import Rounds
from blocker.site import ProberConfig
from blocker.sweep import bulk, sampling
from blocker.sweep.pages import EVERY, PAGE, Sample, Sweep
from blocker.sweep.swept import STOPPED, Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from blocker.prober.expect import Expectation
    from blocker.prober.judge import Finding
    from blocker.site import Point, Site
    from blocker.sweep.bulk import Questions
    from blocker.sweep.sampling import Bound
    from blocker.sweep.swept import Swept

SHARE = 0.003
CONFIDENCES = (0.95, 0.99)
"""What a sample is to show: with the first, that at most the SHARE of all names is not as ordered."""

OTHERWISE = ((AAAA, PLAIN), (HTTPS, PLAIN), (A, OVER_TCP))
"""What is asked besides about a sample where all names are asked about: types that lead to addresses as well,
and the other transport."""

_HEED = 0.1  # seconds between two looks at whether to stop


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Names of which the same may be said: of `what` (an order, short lists; empty: of everything) there are
    `count`, `asked` of them were asked about, and `bad` of those are not shown to be as ordered.
    """

    what: str = ""
    count: int
    asked: int
    bad: int

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What may be said of all its names, with each confidence."""
        said = (sampling.bound(self.asked, self.bad, self.count, one) for one in CONFIDENCES)
        return tuple(said)[: 1 if self.asked == self.count else None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What came of asking one point in one `way`, which is words.

    `swept` are the figures of the first look, if there was one in bulk. `again` were probed in full, and
    `findings` are what came of that; `hidden` were not as ordered at the first look and had no second.
    `parts` are empty if not all was asked that was to be; `trouble` says why.
    """

    point: str
    way: str
    swept: Swept | None = None
    parts: tuple[Part, ...] = ()
    findings: tuple[Finding, ...] = ()
    again: int = 0
    hidden: int = 0
    trouble: str = ""

    @property
    def bad(self) -> int:
        """Names looked at again that are not shown to be as ordered."""
        return sum(one.kind not in FINE for one in self.findings)

    @property
    def is_fine(self) -> bool:
        return bool(self.parts) and not any(one.bad for one in self.parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """How much of one point's names is asked about: by order, how many it names and how many are drawn."""

    point: Point
    count: int
    sizes: Mapping[str, tuple[int, int]]

    @property
    def is_whole(self) -> bool:
        return all(size == count for count, size in self.sizes.values())

    @property
    def total(self) -> int:
        return self.count if self.is_whole else sum(size for _, size in self.sizes.values())

    def questions(self, point: Point) -> Questions:
        """What is asked of the point, or of another address of it."""
        if self.is_whole:
            return Sweep(point)
        return Sample(Sweep(point), {order: _drawn(*both) for order, both in self.sizes.items()})

    def parts(self) -> list[tuple[str, Sequence[str] | None, int, int]]:
        """What may be spoken of: whose names (None: all), how many, and how many are asked about."""
        if self.is_whole:
            return [("", None, self.count, self.count)]
        short = {order: count for order, (count, size) in self.sizes.items() if size == count}
        total = sum(short.values())
        found: list[tuple[str, Sequence[str] | None, int, int]] = []
        if short:
            found.append(("short lists", [*short], total, total))
        return found + [(order, [order], *both) for order, both in self.sizes.items() if order not in short]


def survey(
    site: Site,
    *,
    whole: bool,
    rate: int | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[str, int, int], None] = lambda _what, _done, _all: None,
) -> list[Surveyed]:
    """Ask every point about every name in force for it, or of each order with a long list about a sample.

    With `whole` about every name at every address of the point, and about a sample of all in OTHERWISE.
    `rate` is in queries a second to one point, by default the site's. `told` says of what so many of so many
    names were looked at. Raises StoreError.
    """
    config = site.prober or ProberConfig()
    config = replace(config, rate=rate or config.rate)
    site = replace(site, prober=config)
    reader = Reader(site.state)
    try:
        plans = [_plan(reader, point, whole=whole) for point in site.points]
        book = book_of(site)
        rounds = Rounds(site, reader, book, Reference(endpoints(site)))
        asyncio.run(_learn(site, reader, rounds))
        found: list[Surveyed] = []
        for place in range(max(len(one.addresses) for one in site.points) if whole else 1):
            here = [one for one in plans if place < len(one.point.addresses)]
            lanes = []
            for plan in here:
                learnt = book.learnt(plan.point.name)
                asked = plan.questions(replace(plan.point, address=plan.point.addresses[place]))
                lanes.append(
                    bulk.Lane(
                        asked,
                        reader,
                        canaries=config.canaries,
                        profile=learnt.profile if learnt else None,
                        limits=Limits(rate=float(config.rate)),
                    )
                )
            swept = _swept(reader, lanes, stop, told, place)
            doubts = [one for each in swept for one in (*each.doubts, *each.samples)]
            points = [one.point for one in here]
            again = asyncio.run(_look(reader, rounds, points, doubts, Variant(place=place), stop))
            found += [_surveyed(*both, place, again) for both in zip(here, swept, strict=True)]
        if whole:
            told_us = {
                one.point for one in found if one.swept and one.swept.ok + one.swept.formed + one.swept.odd
            }
            heard = [one for one in plans if one.point.name in told_us]
            found += asyncio.run(_otherwise(reader, rounds, heard, stop))
            mute = [one.point.name for one in plans if one.count and one not in heard]
            found += (
                Surveyed(point=one, way=_way(*way), trouble="over UDP nothing could be told")
                for one in mute
                for way in OTHERWISE
            )
        return sorted(found, key=lambda one: one.point)
    finally:
        reader.close()


def _swept(
    reader: Reader,
    lanes: Sequence[bulk.Lane],
    stop: Callable[[], bool],
    told: Callable[[str, int, int], None],
    place: int,
) -> list[Swept]:
    with reader.snapshot() as policy:
        everything = policy.size() * len(lanes)
    what = f"asking about names{f' at address {place + 1}' if place else ''}"
    return bulk.run(lanes, stop=stop, told=lambda seen: told(what, sum(one.read for one in seen), everything))


def _plan(reader: Reader, point: Point, *, whole: bool) -> _Plan:
    """Count the questions of a sweep of the point, and decide how many of each order's are asked."""
    questions, now, after = Sweep(point), time.time(), names.ROOT
    counts: Counter[str] = Counter()
    count = 0
    with reader.snapshot() as policy:
        while True:
            page = questions.page(policy, now, after, PAGE)
            count += len(page.names)
            counts.update(order for speaking in page.speaking for order, _ in speaking)
            if page.after is None:
                break
            after = page.after
    sizes = {
        order: (each, each if whole else sampling.plan(each, CONFIDENCES[0], SHARE))
        for order, each in sorted(counts.items())
    }
    return _Plan(point=point, count=count, sizes=sizes)


def _drawn(count: int, size: int) -> Sequence[int]:
    """So many places of so many, in order, each as likely as any other."""
    return range(count) if size == count else sorted(random.SystemRandom().sample(range(count), size))


def is_sampled(site: Site, limit: int) -> bool:
    """Whether some list in force is longer than what a round looks at of one. Raises StoreError."""
    reader = Reader(site.state)
    try:
        now = time.time()
        with reader.snapshot() as policy:
            counts = policy.counts()
            return any(
                count > limit and policy.directives[number].in_force(now) for number, count in counts.items()
            )
    finally:
        reader.close()


async def _learn(site: Site, reader: Reader, rounds: Rounds) -> None:
    """See what blocks look like at each point, if the site has an order to show it."""
    order = site.prober.canary_order if site.prober else ""
    now = time.time()
    with reader.snapshot() as policy:
        refs = frozenset(one.ref for one in policy.directives.values() if order and one.order == order)
        look = expect.Look(only=refs, limit=1, budget=1)
        asked = expect.expect(policy, site.points, now, look) if refs else []
        stamp = policy.stamp
    await rounds.look([Probe(one, PLAIN) for one in asked], stamp=stamp, urgent=True)


async def _look(
    reader: Reader,
    rounds: Rounds,
    points: Sequence[Point],
    asked: Sequence[Expectation],
    way: Variant,
    stop: Callable[[], bool],
) -> list[Finding]:
    """Full probes of these, as the policy of now expects it; none if they were stopped."""
    if stop():
        return []
    now = time.time()
    with reader.snapshot() as policy:
        renewed, _ = expect.renew(policy, points, asked, now)
        stamp = policy.stamp
    probes = [Probe(one, way) for one in renewed]
    looking = asyncio.ensure_future(rounds.look(probes, stamp=stamp, urgent=True))
    while not looking.done():
        await asyncio.wait({looking}, timeout=_HEED)
        if stop():
            looking.cancel()
    return [] if looking.cancelled() else looking.result()


async def _otherwise(
    reader: Reader, rounds: Rounds, plans: Sequence[_Plan], stop: Callable[[], bool]
) -> list[Surveyed]:
    """A sample of each point's names, asked for in other types and over the other transport."""
    sizes = {plan.point.name: sampling.plan(plan.count, CONFIDENCES[0], SHARE) for plan in plans}
    drawn: list[Expectation] = []
    for plan in plans:
        sample = Sample(Sweep(plan.point), {EVERY: _drawn(plan.count, sizes[plan.point.name])})
        with reader.snapshot() as policy:
            page = sample.page(policy, time.time(), limit=plan.count + 1)
        drawn += [replace(one, name=name) for name, one in zip(page.names, page.wanted, strict=True)]
    found = []
    points = [plan.point for plan in plans]
    for qtype, variant in OTHERWISE:
        asked = [replace(one, qtype=qtype) for one in drawn]
        findings = await _look(reader, rounds, points, asked, variant, stop)
        for plan in plans:
            point = plan.point.name
            own = tuple(one for one in findings if one.point == point)
            size = sizes[point]
            bad = size - sum(one.kind in FINE for one in own)
            is_over = stop()
            found.append(
                Surveyed(
                    point=point,
                    way=_way(qtype, variant),
                    parts=() if is_over else (Part(count=plan.count, asked=size, bad=bad),),
                    findings=own,
                    trouble=STOPPED if is_over else "",
                )
            )
    return found


def _surveyed(plan: _Plan, swept: Swept, place: int, findings: Sequence[Finding]) -> Surveyed:
    own = [one for one in findings if one.point == swept.point]
    kinds = {(one.ref, one.name): one.kind for one in own}
    # Those that are formed stand for all of their like: each is a block, or its name exists nowhere.
    good = swept.ok_of + swept.formed_of
    good.update(one.order for one in swept.doubts if kinds.get((one.ref, one.name)) in FINE)
    good.subtract(one.order for one in swept.samples if kinds.get((one.ref, one.name)) not in FINE)
    parts = []
    for what, orders, count, asked in plan.parts() if swept.asked == plan.total else ():
        fine = good.total() if orders is None else sum(good[one] for one in orders)
        parts.append(Part(what=what, count=count, asked=asked, bad=asked - fine))
    again = len(swept.doubts) + len(swept.samples)
    return Surveyed(
        point=swept.point,
        way=_way(A, PLAIN, str(plan.point.addresses[place]) if len(plan.point.addresses) > 1 else ""),
        swept=swept,
        parts=tuple(parts),
        findings=tuple(own),
        again=again,
        hidden=swept.odd + swept.lost - len(swept.doubts) + again - len(own),
        trouble=swept.trouble,
    )


def _way(qtype: int, variant: Variant, address: str = "") -> str:
    name = {A: "A", AAAA: "AAAA", HTTPS: "HTTPS"}[qtype]
    return f"{name} over {str(variant).upper()}{f' at {address}' if address else ''}"
