"""Real engines that obey, real engines that don't, and fronts that play tricks: points of one site.

Every engine is started twice, once with the orders of the site's own store and once with those of the planted
faults. What the prober must find for each point and order is known, so a confusion matrix can be drawn.
"""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.prober import daemon
from blocker.prober.judge import Kind
from blocker.site import Endpoint, Outside, Point, ProberConfig, Site
from tests.conformance.cases import REGIONS, Case
from tests.conformance.engines import ENGINES
from tests.conformance.session import world_outside
from tests.conformance.world import ENFORCEMENT, Store, World
from tests.faults import planted
from tests.faults.front import FAR, Trick, front
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.prober.judge import Finding
    from tests.conformance.engines import Runner

POINTS = ("embedded", "dnsdist", "unbound-module", "unbound-rpz", "bind-rpz", "powerdns-rpz", "knot-rpz")
FINE = frozenset({Kind.OK, Kind.MOOT})
HOME = "ID"

Wanted = tuple[str, Kind, frozenset[Kind]]
"""The id of the fault, what must be found, and what may be found beside it."""

NONE: Wanted = ("none", Kind.OK, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One order at one point: what was planted (ok: nothing) and what was found."""

    point: str
    order: str
    fault: str
    wanted: Kind
    also: frozenset[Kind]
    found: frozenset[Kind]
    told: frozenset[str] = frozenset()
    """Rule and detail of each finding."""

    @property
    def is_right(self) -> bool:
        if self.wanted is Kind.OK:
            return not self.found
        return self.wanted in self.found and self.found <= {self.wanted, *self.also}

    @property
    def verdict(self) -> str:
        """What was found, without what comes of it."""
        return "+".join(sorted(self.found - (self.also if self.wanted in self.found else set()))) or Kind.OK

    def __str__(self) -> str:
        found = f"{self.point} {self.order} ({self.fault}): wanted {self.wanted}, found {sorted(self.found)}"
        return "\n  ".join([found, *sorted(self.told)])


@dataclass(kw_only=True)
class Lab:
    """The site of all points. `wanted` is what must be found, by (point, order); all else is fine."""

    site: Site
    orders: tuple[str, ...]
    wanted: dict[tuple[str, str], Wanted] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def look(self, points: tuple[Point, ...]) -> tuple[list[Cell], list[Finding]]:
        """One `verify` of these points, judged by what was planted."""
        verified = daemon.verify(replace(self.site, points=points), timeout=4.0, limit=20)
        assert (verified.unjudged, verified.unasked) == (0, 0)
        amiss: dict[tuple[str, str], list[Finding]] = {}
        for one in verified.findings:
            if one.kind not in FINE:
                amiss.setdefault((one.point, one.order), []).append(one)
        cells = []
        for point in points:
            for order in self.orders:
                fault, wanted, also = self.wanted.get((point.name, order), NONE)
                own = amiss.get((point.name, order), [])
                cells.append(
                    Cell(
                        point=point.name,
                        order=order,
                        fault=fault,
                        wanted=wanted,
                        also=also,
                        found=frozenset(one.kind for one in own),
                        told=frozenset(f"{one.rule} {one.qtype} {one.variant}: {one.detail}" for one in own),
                    )
                )
        return cells, list(verified.findings)

    @property
    def healthy(self) -> tuple[Point, ...]:
        return tuple(one for one in self.site.points if one.name.startswith("good "))

    @property
    def faulty(self) -> tuple[Point, ...]:
        return tuple(one for one in self.site.points if not one.name.startswith("good "))


def _world(orders: list[Order]) -> World:
    return World(cases=tuple(Case(id=order.id, says="", orders=(order,)) for order in orders))


class _Builder:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.upstream = stack.enter_context(world_outside({}))
        self.points: list[Point] = []
        self.wanted: dict[tuple[str, str], Wanted] = {}
        self.missing: dict[str, str] = {}
        now = planted.now()
        self.faults = planted.policy_faults(now)
        self.way = planted.way_order(now)
        self.orders = [*(one.ordered for one in self.faults), self.way]
        self.good: dict[str, Point] = {}

    def engine(self, name: str, label: str, orders: list[Order], *, upstream: int = 0) -> Point:
        """A running engine that holds these orders."""
        return self.started(name, label, orders, upstream=upstream)[0]

    def started(
        self, name: str, label: str, orders: list[Order], *, upstream: int = 0
    ) -> tuple[Point, Runner]:
        """The same with what it can be made to hold other orders by."""
        folder = self._folder / f"{label}-{name}"
        folder.mkdir()
        engine = ENGINES[name]
        runner = self._stack.enter_context(engine.start(folder, upstream or self.upstream))
        runner.hold(_world(orders), HOME, int(time.time()))
        point = Point(
            name=f"{label} {name}",
            kind=engine.kind,
            by=engine.by,
            address=Endpoint("127.0.0.1", runner.port),
            region=HOME,
            outside=Outside(source=REGIONS["GB"]) if runner.serves_all_regions else None,
        )
        return point, runner

    def add_engine(self, name: str) -> None:
        """It obeying, and it with all faults of policy."""
        try:
            good = self.engine(name, "good", self.orders)
            bad = self.engine(name, "bad", [*(one.done for one in self.faults if one.done), self.way])
        except pytest.skip.Exception as reason:
            self.missing[name] = str(reason)
            return
        self.good[name] = good
        self.points += [good, bad]
        for fault in self.faults:
            if bad.outside is not None or not fault.outside:
                self.wanted[bad.name, fault.ordered.id] = (fault.id, fault.kind, fault.also)

    def add_front(
        self,
        fault: str,
        engine: str,
        trick: Trick,
        kind: Kind,
        *,
        also: frozenset[Kind] = frozenset(),
        everywhere: bool = False,
    ) -> None:
        if engine not in self.good:
            return
        behind = self.good[engine]
        port = self._stack.enter_context(front(behind.address.port, self.upstream, trick))
        point = replace(behind, name=f"{fault} {engine}", address=Endpoint("127.0.0.1", port), outside=None)
        self.add(point, fault, kind, also=also, everywhere=everywhere)

    def add(
        self,
        point: Point,
        fault: str,
        kind: Kind,
        *,
        also: frozenset[Kind] = frozenset(),
        everywhere: bool = False,
    ) -> None:
        self.points.append(point)
        for order in self.orders if everywhere else [self.way]:
            self.wanted[point.name, order.id] = (fault, kind, also)


@contextmanager
def running(folder: Path) -> Iterator[Lab]:
    """Everything, on loopback."""
    with ExitStack() as stack:
        make = _Builder(folder, stack)
        for name in POINTS:
            make.add_engine(name)
        for name, (leaks, kind) in planted.LEAKS.items():
            make.add_front(name, "embedded", Trick(leaks=leaks), kind)
            make.add_front(name, "unbound-rpz", Trick(leaks=leaks), kind)
        make.add_front("injected", "embedded", Trick(forges=True, ip_ttl=FAR), Kind.INJECTED)
        make.add_front("injected", "bind-rpz", Trick(forges=True, ip_ttl=FAR), Kind.INJECTED)
        make.add_front("conflict", "unbound-rpz", Trick(forges=True), Kind.CONFLICT)
        make.add_front("refusing", "embedded", Trick(refuses=True), Kind.UNREACHABLE, everywhere=True)
        make.add_front("silent", "bind-rpz", Trick(is_silent=True), Kind.UNREACHABLE, everywhere=True)
        dead = Point(
            name="dead",
            kind="embedded",
            address=Endpoint("127.0.0.1", lab.free_port()),
            region=HOME,
        )
        make.add(dead, "dead", Kind.UNREACHABLE, everywhere=True)
        _add_instances(make)
        _add_stale(make, stack, folder)
        _add_dead_upstream(make)
        store = Store(state=folder / "state")
        store.hold(_world(make.orders))
        yield Lab(
            site=Site(
                operator="Lab",
                contact="mailto:legal@isp.example",
                node="lab",
                path=folder / "site.yaml",
                state=store.state,
                orders=folder,
                enforcement=ENFORCEMENT,
                prober=ProberConfig(
                    canaries=(names.to_key("canary.test-free.example"),),
                    reference=(Endpoint("127.0.0.1", make.upstream),),
                    rate=10_000,
                ),
                points=tuple(make.points),
            ),
            orders=tuple(order.id for order in make.orders),
            wanted=make.wanted,
            missing=make.missing,
        )


def _add_instances(make: _Builder) -> None:
    """One of two instances has never heard of an order."""
    other = make.engine("embedded", "other", [one for one in make.orders if one is not make.way])
    # Without EDNS nobody says which instance answered, and a name may meet the wrong one alone.
    unsure = frozenset({Kind.INSUFFICIENT, Kind.UNDERBLOCK})
    make.add_front("instance", "embedded", Trick(others=(other.address.port,)), Kind.PARTIAL, also=unsure)


def _add_stale(make: _Builder, stack: ExitStack, folder: Path) -> None:
    """A cache in front of a point keeps an address from before an order that began at once."""
    others = [one for one in make.orders if one is not make.way]
    point, runner = make.started("embedded", "stale", others)
    try:
        port = stack.enter_context(lab.unbound_in_front(folder / "cache", point.address.port))
    except pytest.skip.Exception as reason:
        make.missing["stale"] = str(reason)
        return
    assert lab.ask(port, "way.example") is not None
    runner.hold(_world(make.orders), HOME, int(time.time()))
    cache = replace(point, address=Endpoint("127.0.0.1", port), outside=None)
    # Unbound forwards without asking why, so what is blocked is attributed by its form alone.
    make.add(cache, "stale", Kind.PARTIAL)


def _add_dead_upstream(make: _Builder) -> None:
    """What must pass fails, and what is blocked is. Nothing can be told of what must pass."""
    point = make.engine("embedded", "dead-upstream", make.orders, upstream=lab.free_port())
    make.add(point, "dead-upstream", Kind.INSUFFICIENT, everywhere=True)


def probed(site: Lab, wanted: int) -> tuple[int, list[Cell]]:
    """Look at the healthy points until that many probes were judged; the number, and what was found amiss."""
    probes, false = 0, []
    while probes < wanted:
        cells, findings = site.look(site.healthy)
        probes += len(findings)
        false += [cell for cell in cells if not cell.is_right]
    return probes, false


def confusion(cells: list[Cell]) -> str:
    """Planted by found, as a table."""
    rows: dict[Kind, Counter[str]] = {}
    for cell in cells:
        rows.setdefault(cell.wanted, Counter())[cell.verdict] += 1
    columns = sorted({found for row in rows.values() for found in row})
    head = ["planted \\ found", *columns]
    lines = [head, *([str(kind), *(str(row[found]) for found in columns)] for kind, row in rows.items())]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines
    )
