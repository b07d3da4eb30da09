"""The runners that are given the policy as a zone."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.rpz import zone
from tests.conformance import seen
from tests.conformance.world import Store, World
from tests.servers import bind_lab, knot_lab, powerdns_lab, unbound_lab, unbound_rpz_lab, zone_lab
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.conformance.cases import Ask
    from tests.conformance.seen import Seen


@dataclass(kw_only=True)
class Zoned:
    """An engine that is given the policy as a zone's file, by itself or at a word to its control tool."""

    zonefile: Path
    port: int = 0
    log: Path
    load: Callable[[], object] = lambda: None
    control: tuple[str, ...] = ()
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
        return seen.put(asks, self.port, ["127.0.0.1"] * len(asks))


def _zoned(folder: Path) -> Zoned:
    made = Zoned(zonefile=folder / f"{ZONE}.zone", log=folder / "log")
    made.write(World(cases=()), "ID", 0)
    return made


@contextmanager
def unbound_rpz(folder: Path, upstream: int, nsid: str = "") -> Iterator[Zoned]:
    runner = _zoned(folder)
    named = unbound_lab.named(nsid) if nsid else ""
    with unbound_rpz_lab.unbound_rpz(folder, upstream, runner.zonefile, server=named) as server:
        runner.port, runner.control = server.port, server.control
        runner.load = lambda: server.controlled("auth_zone_reload", ZONE)
        yield runner


@dataclass(kw_only=True)
class Beside(Zoned):
    """Unbound with the module and a zone beside it."""

    store: Store
    start: Callable[[str], unbound_lab.Unbound]
    servers: dict[str, unbound_lab.Unbound] = field(default_factory=dict)

    def hold(self, world: World, region: str, t: int) -> None:
        self.store.hold(world)
        self.write(world, region, t)
        if region not in self.servers:
            self.servers[region] = self.start(region)
        server = self.servers[region]
        server.controlled("auth_zone_reload", ZONE)
        self.port, self.log, self.control = server.port, server.folder / "log", server.control
        zone_lab.until_marked(self.port, self.serial, self.log)


@contextmanager
def unbound_both(folder: Path, upstream: int) -> Iterator[Zoned]:
    unbound_lab.module()
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    zonefile = folder / f"{ZONE}.zone"
    own = {unbound_rpz_lab.PRIMARY: "", unbound_rpz_lab.ZONEFILE: str(zonefile)}
    conf = folder / "module-and-rpz.conf"
    conf.write_text(zone_lab.filled(unbound_lab.OPS / conf.name, own))
    with ExitStack() as stack:

        def start(region: str) -> unbound_lab.Unbound:
            return stack.enter_context(
                unbound_lab.unbound(folder / region, store.state, upstream, region=region, conf=str(conf))
            )

        yield Beside(zonefile=zonefile, log=folder / "log", store=store, start=start)


@contextmanager
def bind(folder: Path, upstream: int) -> Iterator[Zoned]:
    runner = _zoned(folder)
    with bind_lab.secondary(folder / "bind", upstream, zone_file=runner.zonefile) as server:
        runner.port, runner.log, runner.control = server.port, server.log, server.control
        runner.load = lambda: server.controlled("reload", ZONE)
        yield runner


@contextmanager
def powerdns(folder: Path, upstream: int) -> Iterator[Zoned]:
    runner = _zoned(folder)
    with powerdns_lab.powerdns(folder, upstream, runner.zonefile) as server:
        runner.port, runner.control = server.port, server.control
        runner.load = lambda: server.controlled("reload-lua-config")
        yield runner


@contextmanager
def knot(folder: Path, upstream: int, nsid: str = "") -> Iterator[Zoned]:
    runner = _zoned(folder)
    named = knot_lab.named(nsid) if nsid else ""
    with knot_lab.knot(folder, upstream, runner.zonefile, after=named) as server:
        runner.port = server.port
        yield runner
