"""The runners: every enforcer as something that holds a world and answers questions.

An engine is a context manager that starts a server in a folder before an authority, and yields a Runner. A
new enforcer is done when it stands in ENGINES and passes.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from blocker.fleet import capabilities
from blocker.plugins.dnsdist import Dnsdist
from blocker.policy.reader import Reader
from blocker.rpz import zone
from tests.conformance import seen
from tests.conformance.cases import REGIONS
from tests.conformance.world import ENFORCEMENT, Store, World
from tests.servers import (
    bind_lab,
    dnsdist_lab,
    knot_lab,
    lab,
    powerdns_lab,
    unbound_lab,
    unbound_rpz_lab,
    zone_lab,
)
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from blocker.fleet.capabilities import Capability
    from tests.conformance.cases import Ask
    from tests.conformance.seen import Seen


class Runner(Protocol):
    """A running engine."""

    @property
    def serves_all_regions(self) -> bool:
        """Whether it tells clients of several regions apart."""

    def hold(self, world: World, region: str, t: int) -> None:
        """Make it hold the world as of `t`, for the region if it serves one; done when it does."""

    def turn(self, world: World, region: str, t: int) -> None:
        """What is done at the instant `t`, at which the world it holds changes."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        """What it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How a kind of enforcer is started, and what it declares that it can't do."""

    kind: str
    by: str
    start: Callable[[Path, int], AbstractContextManager[Runner]]

    @property
    def can(self) -> Capability:
        return capabilities.of(self.kind, self.by)


SITE = """\
site: {{operator: Lab, contact: "mailto:legal@isp.example", node: lab}}
state: state
orders: orders
protected: protected.yaml
regions: {{ID: ["127.0.0.1/32"]}}
resolver: {{listen: ["127.0.0.1:{port}"], workers: 1, upstreams: ["127.0.0.1:{upstream}"], allow: [loopback]}}
"""


def _sources(asks: Sequence[Ask]) -> list[str]:
    return [REGIONS[ask.region] for ask in asks]


def put(asks: Sequence[Ask], port: int, sources: Sequence[str], *, tcp: bool = False) -> list[Seen]:
    """Questions over UDP, those that want it (with `tcp` all) over TCP."""
    over_tcp = [number for number, ask in enumerate(asks) if ask.tcp or tcp]
    over_udp = [number for number, ask in enumerate(asks) if not (ask.tcp or tcp)]
    found: dict[int, Seen] = {}
    for numbers, way in ((over_udp, seen.over_udp), (over_tcp, seen.over_tcp)):
        chosen = [asks[number] for number in numbers]
        came = way(chosen, port, [sources[number] for number in numbers]) if chosen else []
        found.update(zip(numbers, came, strict=True))
    return [found[number] for number in range(len(asks))]


@dataclass(kw_only=True)
class Stored:
    """An engine that reads the policy store, and so needs nothing at any instant."""

    store: Store
    port: int
    tcp: bool = False
    serves_all_regions: bool = True

    def hold(self, world: World, region: str, t: int) -> None:
        self.store.hold(world)

    def turn(self, world: World, region: str, t: int) -> None:
        """The timetable is in the store."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        return put(asks, self.port, _sources(asks), tcp=self.tcp)


@contextmanager
def _embedded(folder: Path, upstream: int, *, tcp: bool = False) -> Iterator[Runner]:
    port = lab.free_port()
    (folder / "orders").mkdir()
    (folder / "protected.yaml").write_text("protected: []\n")
    (folder / "site.yaml").write_text(SITE.format(port=port, upstream=upstream))
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    log = folder / "log"
    with lab.started(lab.blocker(folder / "site.yaml", "serve"), log) as process:
        lab.until_answering(port, process, log)
        yield Stored(store=store, port=port, tcp=tcp)


@contextmanager
def _embedded_tcp(folder: Path, upstream: int) -> Iterator[Runner]:
    with _embedded(folder, upstream, tcp=True) as runner:
        yield runner


@contextmanager
def _dnslib(folder: Path, upstream: int) -> Iterator[Runner]:
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    port = lab.free_port()
    log = folder / "log"
    words = [str(store.state), str(port), str(upstream)]
    with lab.started([sys.executable, "-m", "tests.conformance.dnslib_server", *words], log) as process:
        lab.until_answering(port, process, log)
        yield Stored(store=store, port=port)


@dataclass(kw_only=True)
class Pushed(Stored):
    """dnsdist, whose own store is pushed to at every transition."""

    target: Dnsdist

    def hold(self, world: World, region: str, t: int) -> None:
        super().hold(world, region, t)
        self.turn(world, region, t)

    def turn(self, world: World, region: str, t: int) -> None:
        reader = Reader(self.store.state)
        try:
            with reader.snapshot() as policy:
                self.target.send(self.target.prepare(policy, t))
        finally:
            reader.close()  # One process opens a store once, and the next world is written here.


@contextmanager
def _dnsdist(folder: Path, upstream: int) -> Iterator[Runner]:
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    with dnsdist_lab.dnsdist(folder, store.state, ENFORCEMENT, upstream) as server:
        yield Pushed(store=store, port=server.port, target=Dnsdist(store.state))


@dataclass(kw_only=True)
class Modular:
    """Unbound with our module: an Unbound for each region, for each has one cache for all its clients."""

    store: Store
    start: Callable[[str], int]
    port: int = 0
    ports: dict[str, int] = field(default_factory=dict)
    serves_all_regions: bool = False

    def hold(self, world: World, region: str, t: int) -> None:
        self.store.hold(world)
        if region not in self.ports:
            self.ports[region] = self.start(region)
        self.port = self.ports[region]

    def turn(self, world: World, region: str, t: int) -> None:
        """The timetable is in the store."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        return put(asks, self.port, ["127.0.0.1"] * len(asks))


@contextmanager
def _unbound_module(folder: Path, upstream: int) -> Iterator[Runner]:
    unbound_lab.module()
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    with ExitStack() as stack:

        def start(region: str) -> int:
            server = unbound_lab.unbound(folder / region, store.state, upstream, region=region)
            return stack.enter_context(server).port

        yield Modular(store=store, start=start)


@dataclass(kw_only=True)
class Zoned:
    """An engine that is given the policy as a zone's file, by itself or at a word to its control tool."""

    zonefile: Path
    port: int = 0
    log: Path
    load: Callable[[], object] = lambda: None
    serves_all_regions: bool = False
    serial: int = 0

    def hold(self, world: World, region: str, t: int) -> None:
        self.write(world, region, t)
        self.load()
        zone_lab.until_marked(self.port, self.serial, self.log)

    def turn(self, world: World, region: str, t: int) -> None:
        self.hold(world, region, t)

    def write(self, world: World, region: str, t: int) -> None:
        """The zone as of `t`, written aside and renamed."""
        self.serial += 1
        text = zone.header(ZONE, serial=self.serial, ttl=30, comment="lab")
        text += "".join(zone.lines(entry) for entry in zone.entries(world.policy, ZONE, region, t))
        aside = self.zonefile.with_suffix(".new")
        aside.write_text(zone_lab.marked(text, self.serial))
        aside.rename(self.zonefile)

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        return put(asks, self.port, ["127.0.0.1"] * len(asks))


def _zoned(folder: Path) -> Zoned:
    made = Zoned(zonefile=folder / f"{ZONE}.zone", log=folder / "log")
    made.write(World(cases=()), "ID", 0)
    return made


@contextmanager
def _unbound_rpz(folder: Path, upstream: int) -> Iterator[Runner]:
    runner = _zoned(folder)
    with unbound_rpz_lab.unbound_rpz(folder, upstream, runner.zonefile) as server:
        runner.port = server.port
        runner.load = lambda: server.controlled("auth_zone_reload", ZONE)
        yield runner


@contextmanager
def _bind(folder: Path, upstream: int) -> Iterator[Runner]:
    runner = _zoned(folder)
    with bind_lab.secondary(folder / "bind", upstream, zone_file=runner.zonefile) as server:
        runner.port, runner.log = server.port, server.log
        runner.load = lambda: server.controlled("reload", ZONE)
        yield runner


@contextmanager
def _powerdns(folder: Path, upstream: int) -> Iterator[Runner]:
    runner = _zoned(folder)
    with powerdns_lab.powerdns(folder, upstream, runner.zonefile) as server:
        runner.port = server.port
        runner.load = lambda: server.controlled("reload-lua-config")
        yield runner


@contextmanager
def _knot(folder: Path, upstream: int) -> Iterator[Runner]:
    runner = _zoned(folder)
    with knot_lab.knot(folder, upstream, runner.zonefile) as server:
        runner.port = server.port
        yield runner


ENGINES: Mapping[str, Engine] = {
    "embedded": Engine(kind="embedded", by="self", start=_embedded),
    "embedded-tcp": Engine(kind="embedded", by="self", start=_embedded_tcp),
    "dnslib": Engine(kind="embedded", by="self", start=_dnslib),
    "dnsdist": Engine(kind="dnsdist", by="lmdb", start=_dnsdist),
    "unbound-module": Engine(kind="unbound", by="module", start=_unbound_module),
    "unbound-rpz": Engine(kind="unbound", by="rpz", start=_unbound_rpz),
    "bind-rpz": Engine(kind="bind", by="rpz", start=_bind),
    "powerdns-rpz": Engine(kind="powerdns", by="rpz", start=_powerdns),
    "knot-rpz": Engine(kind="knot", by="rpz", start=_knot),
}
