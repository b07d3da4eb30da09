"""What `blocker verify` does beyond one round: every name of every list, or a sample that bounds the rest.

Shell; it wires sweeps to rounds. What a sweep hands back is probed in full, with controls, reference and a
second sample, before anything bad is said; that is bounded, and how much was left out is said.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import names
from blocker.policy.reader import Reader
from blocker.prober import expect
from blocker.prober.book import FINE
from blocker.prober.daemon import book_of
from blocker.prober.matrix import Probe
from blocker.prober.observe import PLAIN
from blocker.prober.reference import Reference, endpoints
from blocker.prober.rounds import Rounds
from blocker.site import ProberConfig
from blocker.sweep import bulk, sampling
from blocker.sweep.pages import PAGE, Sample, Sweep
from blocker.sweep.swept import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.policy.store import Snapshot
    from blocker.prober.judge import Finding
    from blocker.site import Point, Site
    from blocker.sweep.bulk import Questions
    from blocker.sweep.sampling import Bound
    from blocker.sweep.swept import Swept

SHARE = 0.003
CONFIDENCES = (0.95, 0.99)
"""What a sample is to show: with the first, that at most the SHARE of all names is not as ordered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """What came of one point's names: `size` of `count` were to be asked in bulk, some were looked at again.

    `findings` are those of the second look. `hidden` were not as ordered at the first look and had no second.
    """

    count: int
    size: int
    swept: Swept
    findings: tuple[Finding, ...] = ()
    hidden: int = 0

    @property
    def bad(self) -> int:
        """Names that are not shown to be as ordered."""
        swept = self.swept
        unfit = swept.void + swept.unproven + swept.unanswered
        return self.hidden + unfit + sum(one.kind not in FINE for one in self.findings)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """What may be said of all names; nothing if not all that were drawn were asked."""
        if self.swept.asked != self.size:
            return ()
        said = (sampling.bound(self.swept.asked, self.bad, self.count, one) for one in CONFIDENCES)
        return tuple(said)[: 1 if self.size == self.count else None]

    @property
    def is_fine(self) -> bool:
        return not self.swept.trouble and not self.bad


def survey(
    site: Site,
    *,
    whole: bool,
    rate: float | None = None,
    stop: Callable[[], bool] = lambda: False,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> list[Surveyed]:
    """Ask every point about every name in force for it, or about a sample; one result for each point.

    `rate` is in queries a second to one point, by default the site's. `told` says how many names of how many
    were looked at. Raises StoreError.
    """
    reader = Reader(site.state)
    try:
        rng = random.SystemRandom()
        sizes: list[tuple[int, int]] = []
        asked: list[Questions] = []
        for point in site.points:
            questions = Sweep(point)
            with reader.snapshot() as policy:
                count = _count(policy, point)
            size = count if whole else sampling.plan(count, CONFIDENCES[0], SHARE)
            sizes.append((count, size))
            is_part = size < count
            asked.append(Sample(questions, sorted(rng.sample(range(count), size))) if is_part else questions)
        config = site.prober or ProberConfig()
        limits = Limits(rate=rate or float(config.rate))
        book = book_of(site)
        rounds = Rounds(site, reader, book, Reference(endpoints(site)))
        asyncio.run(_learn(site, reader, rounds))
        lanes = []
        for one in asked:
            learnt = book.learnt(one.point.name)
            profile = learnt.profile if learnt else None
            lanes.append(bulk.Lane(one, reader, canaries=config.canaries, profile=profile, limits=limits))
        with reader.snapshot() as policy:
            everything = policy.size() * len(lanes)
        swept = bulk.run(lanes, stop=stop, told=lambda seen: told(sum(one.read for one in seen), everything))
        found = {} if stop() else asyncio.run(_again(reader, rounds, swept))
        return [
            _surveyed(size, one, found.get(one.point, [])) for size, one in zip(sizes, swept, strict=True)
        ]
    finally:
        reader.close()


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


def _count(policy: Snapshot, point: Point) -> int:
    """How many questions a sweep of the point has."""
    questions, now, after = Sweep(point), time.time(), names.ROOT
    count = 0
    while True:
        page = questions.page(policy, now, after, PAGE)
        count += len(page.names)
        if page.after is None:
            return count
        after = page.after


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


async def _again(reader: Reader, rounds: Rounds, swept: Sequence[Swept]) -> dict[str, list[Finding]]:
    """Full probes of what the sweeps handed back, by point."""
    now = time.time()
    with reader.snapshot() as policy:
        doubts = [doubt for one in swept for doubt in one.doubts]
        asked, _ = expect.renew(policy, doubts, now)
        stamp = policy.stamp
    found: dict[str, list[Finding]] = {}
    for one in await rounds.look([Probe(one, PLAIN) for one in asked], stamp=stamp, urgent=True):
        found.setdefault(one.point, []).append(one)
    return found


def _surveyed(sizes: tuple[int, int], swept: Swept, findings: list[Finding]) -> Surveyed:
    # Those that are formed stand for all of their like: each is a block, or its name exists nowhere.
    drawn = len(swept.doubts) - min(swept.formed, bulk.MOST_FORMED)
    hidden = swept.odd + swept.lost - drawn
    unseen = len(swept.doubts) - len(findings)
    count, size = sizes
    return Surveyed(count=count, size=size, swept=swept, findings=tuple(findings), hidden=hidden + unseen)
