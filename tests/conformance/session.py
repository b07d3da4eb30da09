"""One run: the authority and every engine at once, each asked what the table and the generator ask.

The turning cases share one instant of the real clock; so all engines are up before it and are asked around it
together. An apply has none, but the purge that follows it takes seconds; so all are purged together, too.
"""

from __future__ import annotations

import multiprocessing
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.rpz import zone
from tests.conformance import authority, generator, table
from tests.conformance.cases import REGIONS, Phase, begins
from tests.conformance.engines import ENGINES
from tests.conformance.meaning import meaning
from tests.conformance.purging import purging
from tests.conformance.rows import Cell, Outcome, cells
from tests.conformance.world import World
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from blocker.capabilities import Capability
    from blocker.orders.model import Order
    from tests.conformance.cases import Ask, Case
    from tests.conformance.engines import Runner

OWNER_LIMIT = 255 - 2 - len(names.to_wire(names.to_key(ZONE))) + 1
"""The most octets of a name, in wire form, whose subtree fits into the zone."""

LEADS = (6, 12, 24)  # seconds from the turning world's load to its instant
HOME = "ID"
SEED = 20260110
_HEARD = generator.ASKED * 4 // 5  # questions of a piece that an engine hears, whatever it can't


@dataclass(kw_only=True)
class Results:
    """What was seen. `missing` are engines that are not installed, each with the reason."""

    cells: dict[str, list[Cell]] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)


@contextmanager
def world_outside(aliases: Mapping[str, str]) -> Iterator[int]:
    """The authority, in a process of its own; its port."""
    wired = {authority.wire(owner): authority.wire(target) for owner, target in aliases.items()}
    udp, tcp = authority.listening()
    process = multiprocessing.get_context("fork").Process(target=authority.serve, args=(udp, tcp, wired))
    process.start()
    try:
        yield int(udp.getsockname()[1])
    finally:
        process.terminate()
        process.join()
        udp.close()
        tcp.close()


def refused_in(case: Case, can: Capability) -> str:
    """Why `plan` would refuse the case's orders for such a point; empty if it would not."""
    for order in case.orders:
        for directive in order.directives:
            if directive.action.form not in can.forms:
                return f"form {directive.action.form}"
            if can.is_zone and any(zone.unsayable_name(one.key, ZONE) for one in directive.subjects):
                return "owner too long"
    return ""


Row = tuple["Case", "Ask"]


def _rows(world: World, phase: Phase, regions: Sequence[str | None] = (HOME,)) -> list[Row]:
    """The questions of a phase from clients of these regions."""
    return [
        (case, ask)
        for case in world.cases
        for ask in case.asks
        if ask.phase is phase and ask.region in regions
    ]


def _moved(rows: Sequence[Row], phase: Phase) -> list[Row]:
    """The same questions in another phase."""
    return [(case, replace(ask, phase=phase)) for case, ask in rows]


class Session:
    """The engines that are up, and what they showed."""

    def __init__(self, folder: Path, wanted: Sequence[str]) -> None:
        self.results = Results()
        self._folder = folder
        self._wanted = wanted
        self._runners: dict[str, Runner] = {}

    @contextmanager
    def running(self, worlds: Sequence[World]) -> Iterator[None]:
        """Every engine, in front of an authority that knows the aliases of these worlds."""
        aliases = {owner: target for world in worlds for owner, target in world.aliases.items()}
        with ExitStack() as stack:
            upstream = stack.enter_context(world_outside(aliases))
            for name in self._wanted:
                folder = self._folder / name
                folder.mkdir()
                try:
                    self._runners[name] = stack.enter_context(ENGINES[name].start(folder, upstream))
                except pytest.skip.Exception as reason:
                    self.results.missing[name] = str(reason)
                else:
                    self.results.cells[name] = []
            yield

    def stand(self, world: World) -> None:
        """Ask what does not change meanwhile, in every region."""
        for name, runner in self._runners.items():
            held = self._sayable(name, world)
            self._refuse(name, world)
            now = int(time.time())
            if runner.serves_all_regions:
                runner.hold(held, HOME, now)
                self._ask(name, held, _rows(held, Phase.STANDING, tuple(REGIONS)), now)
            else:
                for region in REGIONS:
                    if region is not None:
                        runner.hold(held, region, now)
                        self._ask(name, held, _rows(held, Phase.STANDING, (region,)), now)

    def turn(self) -> None:
        """Ask before and after one instant; if the machine is too slow for it, a later one."""
        found = self.results.cells
        for lead in LEADS:
            self.results.cells = {name: [] for name in self._runners}
            if self._turned(int(time.time()) + lead):
                break
        else:
            raise AssertionError(f"the engines took more than {lead} s to be loaded and asked")
        for name, cells_ in self.results.cells.items():
            found[name] += cells_
        self.results.cells = found

    def _turned(self, at: int) -> bool:
        """Whether everything was asked in time."""
        world = World(cases=tuple(table.turning(at)))
        held = {name: self._sayable(name, world) for name in self._runners}
        now = int(time.time())

        def before(name: str) -> None:
            self._runners[name].hold(held[name], HOME, now)
            for _ in range(2):  # The second time from the caches.
                self._ask(name, held[name], _rows(held[name], Phase.BEFORE), now)

        def at_the_instant(name: str) -> None:
            self._runners[name].turn(held[name], HOME, at)
            self._ask(name, held[name], _rows(held[name], Phase.AFTER), at)

        with ThreadPoolExecutor(max_workers=len(self._runners)) as pool:
            list(pool.map(before, self._runners))
            if time.time() >= at:
                return False
            time.sleep(max(0.0, at + 0.05 - time.time()))
            list(pool.map(at_the_instant, self._runners))
        for name in self._runners:
            self._refuse(name, world)
        return True

    def apply(self, world: World, is_new: Callable[[Order], bool]) -> None:
        """Ask all questions of the world while its new orders are not there yet, so that the answers stand in
        every cache, again when these were applied, and again when the purge has done its work.
        """
        after = {name: self._sayable(name, world) for name in self._runners}
        before = {name: held.without(is_new) for name, held in after.items()}
        now = int(time.time())
        with ThreadPoolExecutor(max_workers=len(self._runners)) as pool:
            list(pool.map(lambda name: self._runners[name].hold(before[name], HOME, now), self._runners))
        with ExitStack() as stack:  # Without threads: each purger is a fork.
            purgers = {
                name: stack.enter_context(
                    purging(
                        self._folder / name / f"purges-{time.monotonic_ns()}",
                        ENGINES[name],
                        runner.control,
                        HOME,
                        before[name],
                    )
                )
                for name, runner in self._runners.items()
            }

            def warm_and_apply(name: str) -> None:
                rows = _rows(after[name], Phase.STANDING)
                # Of a name that passes, each engine gives for ANY what it likes (RFC 8482).
                cached = [(case, ask) for case, ask in _moved(rows, Phase.UNAPPLIED) if ask.qtype != "ANY"]
                cached = [row for row in cached if row[1].qclass == "IN"]
                for _ in range(2):
                    self._ask(name, before[name], cached, now)
                self._runners[name].hold(after[name], HOME, now)
                self._ask(name, after[name], _moved(rows, Phase.UNPURGED), now, cached=before[name])
                purgers[name].apply(after[name])
                for _ in range(2):  # The second time from the caches.
                    self._ask(name, after[name], _moved(rows, Phase.APPLIED), now)

            with ThreadPoolExecutor(max_workers=len(self._runners)) as pool:
                list(pool.map(warm_and_apply, self._runners))

    @staticmethod
    def _sayable(name: str, world: World) -> World:
        """The cases whose orders the engine can enforce."""
        return world.where(lambda case: not refused_in(case, ENGINES[name].can))

    def _refuse(self, name: str, world: World) -> None:
        for case in world.cases:
            why = refused_in(case, ENGINES[name].can)
            if why:
                self.results.cells[name] += [
                    Cell(case=case.id, ask=ask, aspect="answer", outcome=Outcome.REFUSED, limit=why)
                    for ask in case.asks
                ]

    def _ask(
        self, name: str, world: World, rows: Sequence[Row], t: float, *, cached: World | None = None
    ) -> None:
        """Put these questions, and judge what comes; it may be `cached` since another world, if there is one
        and the engine declares so.
        """
        answers = self._runners[name].ask([ask for _, ask in rows])
        can = ENGINES[name].can if cached is None else ENGINES[name].can_uncontrolled
        for (case, ask), seen in zip(rows, answers, strict=True):
            expected = meaning(world.policy, ask, world.aliases, t)
            if cached is not None:
                old = meaning(cached.policy, ask, world.aliases, t)
                expected = replace(expected, instead={**expected.instead, "cached-names": (old,)})
            self.results.cells[name] += cells(case.id, ask, expected, seen, world.aliases, can)


def run(
    folder: Path, wanted: Sequence[str] = tuple(ENGINES), generated: int = 0, seed: int = SEED
) -> Results:
    """Everything, with at least so many generated questions an engine."""
    now = int(time.time())
    standing = World(cases=tuple(table.standing(now, OWNER_LIMIT)))
    turning = World(cases=tuple(table.turning(0)))
    applied = World(cases=tuple(table.applied(now)))
    random = World(cases=tuple(generator.pieces(-(-generated // _HEARD), seed, now)))
    session = Session(folder, wanted)
    with session.running([standing, turning, applied, random]):
        session.stand(standing)
        session.turn()
        session.apply(applied, lambda order: begins(order) == now)
        session.apply(standing, lambda _: True)
        if generated:
            session.stand(random)
    return session.results


def worst(results: Results) -> dict[str, list[Cell]]:
    """What failed, by engine."""
    return {
        name: [cell for cell in found if cell.outcome is Outcome.FAILED]
        for name, found in results.cells.items()
    }
