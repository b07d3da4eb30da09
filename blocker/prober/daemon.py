"""The prober as a process: when something is due, look; write down what was seen.

Shell; it wires values to sockets and files and holds no judgement. It never applies anything. A policy that
can't be read, a point that is away, a stepped clock or a full disk are states it shows and outlives; a bug
in one round ends that round.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from zlib import crc32

from blocker.errors import StoreError
from blocker.journal import fault, say
from blocker.orders import suffixes
from blocker.orders.timetable import boundaries
from blocker.policy.overdue import overdue, reviews
from blocker.policy.reader import Reader
from blocker.prober import expect, matrix, owed, report, schedule
from blocker.prober.book import Book
from blocker.prober.keeper import Keeper
from blocker.prober.matrix import Probe
from blocker.prober.observe import OVER_TCP, PLAIN
from blocker.prober.reference import Reference, endpoints
from blocker.prober.rounds import Rounds
from blocker.site import ProberConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence
    from pathlib import Path

    from blocker.orders.timetable import Scheduled
    from blocker.policy.decide import Policy
    from blocker.policy.overdue import Review
    from blocker.prober.expect import Expectation
    from blocker.prober.judge import Finding
    from blocker.site import Point, Site

_POLL = 0.05  # seconds: a new generation is picked up within 100 ms
_SETTLE = 0.15  # seconds that points have to pick up a new generation before they are asked
_LATE = 0.5  # a dense probe later than this is left out; the next one is near
_WRITE_EVERY = 0.25
_REOPEN_EVERY = 0.5
_MOST_TASKS = 64
_KEEP_ROUNDS = 10
_VERIFY_BUDGET = 3000

LIMIT = 20
"""Names of one directive that a round looks at."""


def run(site: Site, beat: Callable[[], None]) -> None:
    """Probe the site's points until SIGTERM or SIGINT; `beat` is called at least twice a second."""

    async def main() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        await watch(site, beat, stop)

    asyncio.run(main())


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """One round, judged.

    `unjudged` probes were under way as the policy changed; `unasked` expectations were beyond the budget.
    """

    findings: tuple[Finding, ...]
    unjudged: int
    unasked: int


def verify(site: Site, *, timeout: float = 1.5, limit: int = LIMIT, budget: int = _VERIFY_BUDGET) -> Verified:
    """One round: every expectation in every way that it can be asked in, judged. Raises StoreError.

    `budget` bounds the questions for one point; at the usual rate those of the default take three minutes.
    """

    async def main() -> Verified:
        reader = Reader(site.state)
        book = book_of(site)
        rounds = Rounds(site, reader, book, Reference(endpoints(site)), timeout=timeout)
        now = time.time()
        with reader.snapshot() as policy:
            stamp = policy.stamp
            # The whole is looked at, whichever prober's share it is.
            everything = _look(site, number=int(now), limit=limit, budget=budget)
            look = replace(everything, whole=True, shard=(0, 1))
            asked = expect.expect(policy, site.points, now, look)
            wanted = expect.count(policy, site.points, now, look)
        probes = matrix.probes(asked, _by_name(site), number=look.number, whole=True)
        findings = tuple(await rounds.look(probes, stamp=stamp, urgent=True, linger=_LINGER))
        reader.close()
        return Verified(findings=findings, unjudged=len(probes) - len(findings), unasked=wanted - len(asked))

    return asyncio.run(main())


async def watch(site: Site, beat: Callable[[], None], stop: asyncio.Event) -> None:
    """As `run`, in a running event loop, until `stop` is set."""
    prober = _Prober(site, beat)
    try:
        while not stop.is_set():
            beat()
            pause = prober.tick(time.time())
            prober.write()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), pause)
    finally:
        await prober.close()


def _look(
    site: Site,
    *,
    number: int,
    only: frozenset[str] | None = None,
    limit: int = LIMIT,
    budget: int = 240,
    since: float = 0.0,
) -> expect.Look:
    config = site.prober or ProberConfig()
    return expect.Look(
        canaries=config.canaries,
        protected=site.protected,
        only=only,
        number=number,
        limit=limit,
        budget=budget,
        since=since,
        is_public=suffixes.rules().cover,
        shard=(config.shard, config.shards),
    )


def book_of(site: Site, before: report.Snapshot | None = None) -> Book:
    """The book of the site's prober, as it goes on from what was written down last, or from `before`."""
    return Book(
        before or report.from_json(_octets(site.state / report.FILE)),
        instances={point.name: point.instances for point in site.points},
        baselines=report.baselines_from_json(_octets(site.state / report.BASELINES)),
        owed=owed.from_json(_octets(site.state / owed.FILE)),
    )


def _by_name(site: Site) -> dict[str, Point]:
    return {point.name: point for point in site.points}


@dataclass(slots=True, kw_only=True)
class _Timetable:
    """What the loop needs to know of the policy between two looks at it."""

    stamp: int = -1
    generation: int = 0
    since: float = 0.0
    transitions: Sequence[int] = field(default=())
    reviews: Sequence[Review] = field(default=())


class _Prober:
    def __init__(self, site: Site, beat: Callable[[], None]) -> None:
        suffixes.rules()  # It takes a while to load, which the first look after a start can't spare.
        self._site = site
        self._beat = beat
        self._path = site.state / report.FILE
        before = report.from_json(_octets(self._path))
        self._book = book_of(site, before)
        self._reference = Reference(endpoints(site))
        self._reader: Reader | None = None
        self._rounds: Rounds | None = None
        config = site.prober or ProberConfig()
        self._interval, self._rate = config.interval, float(config.rate)
        self._shard = config.shard, config.shards
        self._table = _Timetable()
        self._tasks: set[asyncio.Task[None]] = set()
        self._whole: asyncio.Task[None] | None = None
        self._whole_due = 0.0
        self._number: int | None = None
        self._dense_after = time.time()
        self._round_at = before.round_at if before else 0.0
        self._keeper = Keeper(
            site.state,
            config.evidence,
            patience=max(600.0, 3.0 * config.interval),
            settled=self._round_at,
        )
        self._trouble = "the policy was not read yet"
        self._reopen_at = 0.0
        self._written_at = 0.0
        self._writing = 0.0
        self._quiet = 0.0
        self._unwritten: set[str] = set()
        self._baselines: tuple[report.Baseline, ...] = ()
        self._left: tuple[Probe, ...] = ()

    def tick(self, now: float) -> float:
        """Start what is due at `now` (epoch seconds); the seconds until the next tick."""
        if not self._refresh(now):
            self._quiet = _POLL
            return _POLL
        self._dense(now)
        self._remind(now)
        if now >= self._whole_due or self._whole_due > now + 2 * self._interval:  # Or the clock was stepped.
            due = schedule.sparse(now, self._interval, self._site.node)
            self._whole_due = due.at
            if self._whole is None or self._whole.done() or self._whole.cancelling():
                # Rounds that are due while a long one goes on are left out, but no number is: the numbers
                # say whose turn it is.
                self._number = due.number if self._number is None else self._number + 1
                self._whole = self._start(self._everything(self._number))
        following = schedule.dense(self._dense_after, self._table.transitions)
        upcoming = min(self._whole_due, following.at if following else self._whole_due)
        self._quiet = upcoming - time.time()
        return min(_POLL, max(0.001, self._quiet))

    def _refresh(self, now: float) -> bool:
        """Look at the policy; whether there is one."""
        try:
            if self._reader is None:
                if time.monotonic() < self._reopen_at:
                    return False
                self._reopen_at = time.monotonic() + _REOPEN_EVERY
                self._reader = Reader(self._site.state, pulse=self._beat)
                self._rounds = Rounds(
                    self._site, self._reader, self._book, self._reference, keep=self._keeper.keep
                )
            with self._reader.snapshot() as policy:
                if policy.stamp != self._table.stamp:
                    self._table = _Timetable(
                        stamp=policy.stamp,
                        generation=policy.generation.number,
                        since=now,
                        transitions=boundaries(policy.directives.values(), after=float("-inf")),
                        reviews=reviews(policy.directives.values(), now),
                    )
                    # A round about the old policy has nothing left to say.
                    if self._whole is not None:
                        self._whole.cancel()
                    self._whole_due = now + _SETTLE
                elif now < self._table.since:  # Stepped back: what comes now is not from before.
                    self._table = replace(self._table, since=now)
            self._trouble = self._reader.trouble
        except StoreError as error:
            self._trouble = str(error)
            return False
        return True

    def _remind(self, now: float) -> None:
        """Have the ledger told of each review that is overdue, once."""
        if (late := overdue(self._table.reviews, now)) and self._keeper.tell(late):
            self._table = replace(self._table, reviews=self._table.reviews[len(late) :])

    def _dense(self, now: float) -> None:
        """Start what is due around transitions; offsets missed by a late loop or a stepped clock are left."""
        if self._dense_after > now + 1.0:
            self._dense_after = now
        while (due := schedule.dense(self._dense_after, self._table.transitions)) and due.at <= now:
            self._dense_after = due.at
            if now - due.at <= _LATE and len(self._tasks) < _MOST_TASKS:
                self._start(self._around(due))

    def _start(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(self._guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _guarded(self, work: Coroutine[object, object, None]) -> None:
        """The one place where a bug or a store gone wrong ends a round, and the prober goes on."""
        try:
            await work
        except StoreError as error:
            self._trouble = str(error)
        except Exception as error:  # noqa: BLE001  # whatever it is, the next round must come
            say("prober", f"a round failed\n{fault(error)}")

    async def _around(self, due: schedule.Around) -> None:
        """Look at the directives that change at the transitions due now."""
        if self._reader is None or self._rounds is None:
            return
        now = time.time()
        with self._reader.snapshot() as policy:
            changed: dict[str, int] = {}
            for one in schedule.same_instant(due, self._table.transitions):
                refs = expect.changing(policy, one.transition)
                changed.update(dict.fromkeys(refs, one.transition))
                if now >= one.transition:
                    self._book.turn(refs, one.transition)
            is_crowd = len(changed) > _CROWD
            asked: list[Expectation] = []
            for only, points in self._shares(policy, changed, due.number).items():
                look = _look(
                    self._site,
                    number=due.number,
                    only=only,
                    limit=2,
                    budget=max(_CROWD, len(only)),
                    since=self._table.since,
                )
                asked += expect.expect(policy, points, now, look)
            stamp = policy.stamp
        is_late = due.number >= _SETTLED_FROM and not is_crowd
        probes = [Probe(one, _PLAIN[one.outside]) for one in asked]
        await self._rounds.look(probes, stamp=stamp, urgent=True, linger=_LINGER if is_late else 0.0)
        if is_late:
            over_tcp = [Probe(one, OVER_TCP) for one in asked if not one.outside]
            await self._rounds.look(over_tcp, stamp=stamp, urgent=True)

    def _shares(
        self, policy: Policy, changed: Mapping[str, int], number: int
    ) -> dict[frozenset[str], list[Point]]:
        """The points by the directives, of those that changed, to ask them about at the offset."""
        if len(changed) <= _CROWD:
            return {frozenset(changed): list(self._site.points)}
        every = sorted(
            (
                one
                for one in policy.directives.values()
                if one.ref in changed and schedule.is_ours(one.ref, self._shard)
            ),
            key=lambda one: (crc32(one.ref.encode()), one.ref),
        )
        found: dict[frozenset[str], list[Point]] = {}
        for point in self._site.points:

            def is_seen(one: Scheduled, point: Point = point) -> bool:
                """So are those that concern others: they come last."""
                return not one.applies_to(point.region) or self._book.is_confirmed(
                    one.order, point.name, changed[one.ref]
                )

            chosen = schedule.portion(every, number, self._rate, is_seen)
            found.setdefault(frozenset(one.ref for one in chosen), []).append(point)
        return found

    async def _everything(self, number: int) -> None:
        """Look at everything, and again at what wasn't fine."""
        if self._reader is None or self._rounds is None:
            return
        now = time.time()
        with self._reader.snapshot() as policy:
            since, stamp = self._table.since, policy.stamp
            # The longest unseen come first; the rest have their turn in later rounds.
            doubted = self._book.not_ok()[:_AGAIN]
            again, gone = expect.renew(policy, (probe.expectation for probe in doubted), now, since=since)
            look = _look(self._site, number=number, since=since)
            asked = expect.expect(policy, self._site.points, now, look)
            turns = expect.turns(policy, self._site.points, now, look)
            directives = len(policy.directives)
        for point, (concerned, waiting) in turns.items():
            self._book.turns(point, concerned, waiting)
        self._book.forget(gone)
        renewed = {expect.question(one): one for one in again}
        probes = [
            Probe(renewed[expect.question(probe.expectation)], probe.variant)
            for probe in doubted
            if expect.question(probe.expectation) in renewed
        ]
        known = {(expect.question(probe.expectation), probe.variant) for probe in probes}
        probes += [
            probe
            for probe in matrix.probes(asked, _by_name(self._site), number=number, whole=False)
            if (expect.question(probe.expectation), probe.variant) not in known
        ]
        await self._rounds.look(probes, stamp=stamp, linger=_LINGER)
        self._round_at = time.time()
        self._book.expire(
            self._round_at - _KEEP_ROUNDS * self._interval, {one.name for one in self._site.points}
        )
        ways = max((len(matrix.ways(point)) for point in self._site.points), default=1)
        self._book.settle(ways * (1 + directives // _AT_ONCE))
        self._keeper.settle()
        self._keep_names()

    def write(self, *, force: bool = False) -> None:
        """Replace the report, a few times a second at most; a long one seldom, and never as a look is due."""
        began = time.monotonic()
        pause = max(_WRITE_EVERY, 20 * self._writing)
        if not force and (began - self._written_at < pause or self._quiet < min(self._writing, _POLL)):
            return
        snapshot = self._book.snapshot(
            time.time(), generation=self._table.generation, round_at=self._round_at, trouble=self._trouble
        )
        snapshot = replace(snapshot, evidence=self._keeper.view(), shard=self._shard)
        self._replace(self._path, report.to_json(snapshot), 0o640)
        self._written_at = time.monotonic()
        self._writing = self._written_at - began

    def _keep_names(self) -> None:
        """Baselines and open questions are names, maybe of sealed orders: for this and the next process."""
        baselines = self._book.baselines()
        if baselines != self._baselines:
            self._baselines = baselines
            self._replace(self._path.with_name(report.BASELINES), report.baselines_to_json(baselines), 0o600)
        left = tuple(self._book.not_ok()[: owed.MOST])
        if left != self._left:
            self._left = left
            self._replace(self._path.with_name(owed.FILE), owed.to_json(left), 0o600)

    def _replace(self, path: Path, text: str, mode: int) -> None:
        """Whole or not at all; a trouble is said once."""
        scratch = path.with_name(f"{path.name}.{os.getpid()}.new")
        try:
            handle = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
            with open(handle, "w", encoding="utf-8") as file:  # noqa: PTH123  # an open descriptor has no path
                file.write(text)
            scratch.replace(path)
            self._unwritten.discard(path.name)
        except OSError as error:
            if path.name not in self._unwritten:
                say("prober", f"the report can't be written: {path}: {error.strerror}")
                self._unwritten.add(path.name)
            with contextlib.suppress(OSError):
                scratch.unlink()

    async def close(self) -> None:
        """Stop all rounds and write down what was seen."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._keeper.close()
        self.write(force=True)
        self._keep_names()
        if self._reader is not None:
            self._reader.close()


# Directives changing at once beyond which each offset looks at a part of them, with one question about each.
# For fewer, be it one, there are as many questions to a point.
_CROWD = 12
# The place in schedule.OFFSETS from which TCP is asked too, and a second answer waited for that contradicts:
# before, the first confirmation can't wait, and is taken back then.
_SETTLED_FROM = 5
_AT_ONCE = 60  # directives that one round of everything asks each point about
_AGAIN = 200
_LINGER = 0.5  # seconds: a forger on the path is faster than the point, not by more than that
_PLAIN = (PLAIN, matrix.OUTSIDE)  # by whether it is asked as a client of another region


def _octets(path: Path) -> bytes:
    """What is in the file; nothing if it can't be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
