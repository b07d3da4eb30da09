"""Real engines that obey, real engines that don't, and fronts that play tricks: the points of one site.

Every engine is started twice, once with the orders of the site's own store and once with those of the planted
faults. A point that an engine or a front is missing for is left out, and it is said why.
"""

from __future__ import annotations

import multiprocessing
import time
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.prober.judge import Kind
from blocker.site import Endpoint, Outside, Point, ProberConfig, Site
from tests.conformance.cases import REGIONS, Case
from tests.conformance.engines import ENGINES
from tests.conformance.session import world_outside
from tests.conformance.world import ENFORCEMENT, Store, World
from tests.faults import planted
from tests.faults.front import FAR, Trick, front
from tests.faults.lab import NO_ORDER, Lab, Wanted
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from blocker.orders.model import Order
    from tests.conformance.engines import Runner

POINTS = ("embedded", "dnsdist", "unbound-module", "unbound-rpz", "bind-rpz", "powerdns-rpz", "knot-rpz")
HOME = "ID"
LOSS = 0.2
_THAT_SEE_ALIASES = ("embedded", "unbound-module", "bind-rpz", "powerdns-rpz", "knot-rpz")
UNSURE = frozenset({Kind.INSUFFICIENT})


def _world(orders: Iterable[Order]) -> World:
    return World(cases=tuple(Case(id=order.id, says="", orders=(order,)) for order in orders))


class _Builder:
    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder, self._stack = folder, stack
        self.upstream = stack.enter_context(world_outside(planted.ALIASES))
        self.points: list[Point] = []
        self.wanted: dict[tuple[str, str], Wanted] = {}
        self.missing: dict[str, str] = {}
        now = planted.now()
        self.faults = planted.policy_faults(now)
        self.standing = planted.standing_orders(now)
        self.orders = [*(one.ordered for one in self.faults), *self.standing]
        self.good: dict[str, Point] = {}

    @property
    def without_way(self) -> list[Order]:
        """The orders of who has never heard of one of them."""
        return [one for one in self.orders if one.id != planted.WAY]

    def engine(self, name: str, label: str, orders: Sequence[Order], *, upstream: int = 0) -> Point:
        """A running engine that holds these orders."""
        return self.started(name, label, orders, upstream=upstream)[0]

    def started(
        self, name: str, label: str, orders: Sequence[Order], *, upstream: int = 0
    ) -> tuple[Point, Runner]:
        """The same with what it can be made to hold other orders by. Its NSID is the label."""
        folder = self._folder / f"{label}-{name}"
        folder.mkdir()
        engine, upstream = ENGINES[name], upstream or self.upstream
        starting = engine.named(folder, upstream, label) if engine.named else engine.start(folder, upstream)
        runner = self._stack.enter_context(starting)
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
            bad = self.engine(name, "bad", [*(one.done for one in self.faults if one.done), *self.standing])
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
        *orders: str,
        also: frozenset[Kind] = frozenset(),
    ) -> None:
        """A front before the engine that obeys; it is wrong about WAY if no other orders are named."""
        if engine in self.good:
            behind = self.good[engine]
            port = self._stack.enter_context(front(behind.address.port, self.upstream, trick))
            point = replace(behind, address=Endpoint("127.0.0.1", port), outside=None)
            self.add(replace(point, name=f"{fault} {engine}"), fault, kind, *orders, also=also)

    def add(
        self, point: Point, fault: str, kind: Kind, *orders: str, also: frozenset[Kind] = frozenset()
    ) -> None:
        self.points.append(point)
        for order in orders or [planted.WAY]:
            self.wanted[point.name, order] = (fault, kind, also)

    @property
    def everywhere(self) -> list[str]:
        """Every order, and what is asked for none."""
        return [order.id for order in self.orders] + [NO_ORDER]


def _add_fronts(make: _Builder) -> None:
    for fault, leak in planted.LEAKS.items():
        is_of_alias = leak.order == planted.ALIAS
        for engine in _THAT_SEE_ALIASES if is_of_alias else ("embedded", "unbound-rpz"):
            trick = Trick(leaks=leak.leaks, zone=leak.zone)
            make.add_front(fault, engine, trick, leak.kind, leak.order, also=leak.also)
    for engine in ("embedded", "bind-rpz", "dnsdist", "unbound-module", "powerdns-rpz"):
        make.add_front("injected", engine, Trick(forges=True, ip_ttl=FAR), Kind.INJECTED)
    # Of one TTL and without a word why on either: only the NSID tells, and without EDNS nothing does.
    plain = frozenset({Kind.CONFLICT})
    make.add_front("unnamed", "unbound-rpz", Trick(forges=True), Kind.INJECTED, also=plain)
    make.add_front("conflict", "bind-rpz", Trick(forges=True), Kind.CONFLICT)
    for engine in ("embedded", "unbound-module", "unbound-rpz", "knot-rpz"):
        make.add_front("mimicked", engine, Trick(forges=True, mimics=True), Kind.CONFLICT)
    make.add_front("refusing", "embedded", Trick(refuses=True), Kind.UNREACHABLE, *make.everywhere)
    make.add_front("silent", "bind-rpz", Trick(is_silent=True), Kind.UNREACHABLE, *make.everywhere)
    make.add_front("no-udp", "embedded", Trick(drops=1.0), Kind.UNREACHABLE, *make.everywhere)
    for engine in ("embedded", "bind-rpz"):
        make.add_front("lossy", engine, Trick(drops=LOSS), Kind.OK, *make.everywhere, also=UNSURE)


def _add_dead(make: _Builder) -> None:
    """A point that is away, and one whose upstream is: what must pass fails there, and nothing can be told of
    it.
    """
    dead = Point(name="dead", kind="embedded", address=Endpoint("127.0.0.1", lab.free_port()), region=HOME)
    make.add(dead, "dead", Kind.UNREACHABLE, *make.everywhere)
    point = make.engine("embedded", "dead-upstream", make.orders, upstream=lab.free_port())
    make.add(point, "dead-upstream", Kind.INSUFFICIENT, *make.everywhere)


def _add_instances(make: _Builder) -> None:
    """One of two instances has never heard of an order."""
    for engine in ("embedded", "unbound-rpz", "knot-rpz"):
        if engine in make.good:
            other = make.engine(engine, "other", make.without_way)
            # Without EDNS nobody says which instance answered, and a name may meet the wrong one alone.
            unsure = UNSURE | {Kind.UNDERBLOCK}
            trick = Trick(others=(other.address.port,))
            make.add_front("instance", engine, trick, Kind.PARTIAL, also=unsure)


def _add_stale(make: _Builder, stack: ExitStack, folder: Path) -> None:
    """A cache in front of a point keeps an address from before an order that began at once."""
    point, runner = make.started("embedded", "stale", make.without_way)
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
    # It follows aliases itself: what an excepted one leads to is blocked, for who asks for that alone.
    make.wanted[cache.name, "lab/except"] = ("chased", Kind.OVERBLOCK, frozenset())


def _add_blind(make: _Builder) -> None:
    """Engines said to be of a kind that sees where aliases lead, and what is free below a blocked name."""
    if "dnsdist" in make.good:
        point = replace(make.good["dnsdist"], name="blind dnsdist", kind="embedded", by="self")
        make.add(point, "alias-blind", Kind.UNDERBLOCK, planted.ALIAS, "lab/sinkhole", "lab/except")
    if "unbound-rpz" in make.good:
        point = replace(make.good["unbound-rpz"], name="blind unbound-rpz", by="module")
        make.add(point, "alias-blind", Kind.UNDERBLOCK, "lab/sinkhole")
        make.wanted[point.name, planted.CANARY] = ("no-holes", Kind.OVERBLOCK, frozenset())
        leak = frozenset({Kind.UNDERBLOCK})
        make.wanted[point.name, "lab/except"] = ("no-holes", Kind.OVERBLOCK, leak)


@contextmanager
def running(folder: Path) -> Iterator[Lab]:
    """Everything, on loopback."""
    fade = multiprocessing.get_context("fork").Event()
    with ExitStack() as stack:
        make = _Builder(folder, stack)
        for name in POINTS:
            make.add_engine(name)
        _add_fronts(make)
        for engine in ("embedded", "bind-rpz", "unbound-rpz"):
            make.add_front("faded", engine, Trick(faded=fade), Kind.WRONG_FORM, planted.CANARY)
        _add_dead(make)
        _add_instances(make)
        _add_stale(make, stack, folder)
        _add_blind(make)
        stores = {"all": make.orders, "few": planted.few(make.orders)}
        sites = {
            label: Site(
                operator="Lab",
                contact="mailto:legal@isp.example",
                node="lab",
                path=folder / "site.yaml",
                state=folder / label,
                orders=folder,
                enforcement=ENFORCEMENT,
                prober=ProberConfig(
                    interval=1,
                    canaries=(names.to_key("canary.test-free.example"),),
                    canary_order=planted.CANARY,
                    reference=(Endpoint("127.0.0.1", make.upstream),),
                    rate=10_000,
                ),
                points=tuple(make.points),
            )
            for label in stores
        }
        for label, orders in stores.items():
            Store(state=folder / label).hold(_world(orders))
        yield Lab(
            site=sites["all"],
            few=sites["few"],
            orders={
                folder / label: (*(one.id for one in orders), NO_ORDER) for label, orders in stores.items()
            },
            fade=fade,
            wanted=make.wanted,
            missing=make.missing,
        )
