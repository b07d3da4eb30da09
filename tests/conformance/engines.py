"""The runners: every enforcer as something that holds a world and answers questions.

An engine is a context manager that starts a server in a folder before an authority, and yields a Runner. A
new enforcer is done when it stands in ENGINES and passes.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

from blocker import capabilities
from blocker.plugins.dnsdist import Dnsdist
from blocker.policy.reader import Reader
from tests.conformance import seen, zones
from tests.conformance.cases import REGIONS
from tests.conformance.world import ENFORCEMENT, Store, World
from tests.servers import dnsdist_lab, lab, unbound_lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from blocker.capabilities import Capability
    from tests.conformance.cases import Ask
    from tests.conformance.seen import Seen


class Runner(Protocol):
    """A running engine."""

    @property
    def port(self) -> int:
        """Where it answers once it holds a world."""

    @property
    def serves_all_regions(self) -> bool:
        """Whether it tells clients of several regions apart."""

    @property
    def control(self) -> tuple[str, ...]:
        """The first words of its control command, once it holds a world; empty if it has none."""

    def hold(self, world: World, region: str, t: int) -> None:
        """Make it hold the world as of `t`, for the region if it serves one; done when it does."""

    def turn(self, world: World, region: str, t: int) -> None:
        """What is done at the instant `t`, at which the world it holds changes."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        """What it answers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """How a kind of enforcer is started, and what it declares that it can't do. `named` starts it with an
    NSID, if it can say one.
    """

    kind: str
    by: str
    start: Callable[[Path, int], AbstractContextManager[Runner]]
    named: Callable[[Path, int, str], AbstractContextManager[Runner]] | None = None
    mends: frozenset[str] = frozenset()
    """Limits of its kind that it doesn't have."""

    purged: frozenset[str] = frozenset()
    """Those that it has only as long as nothing is purged."""

    @property
    def can(self) -> Capability:
        return self._without(self.mends | self.purged)

    @property
    def can_uncontrolled(self) -> Capability:
        """The same as long as nothing was purged."""
        can = self._without(self.mends)
        return replace(can, reach=(*can.reach, *can.uncontrolled))

    def _without(self, limits: frozenset[str]) -> Capability:
        declared = capabilities.of(self.kind, self.by)
        return replace(declared, reach=tuple(one for one in declared.reach if one not in limits))


SITE = """\
site: {{operator: Lab, contact: "mailto:legal@isp.example", node: {node}}}
state: state
orders: orders
protected: protected.yaml
regions: {{ID: ["127.0.0.1/32"]}}
resolver: {{listen: ["127.0.0.1:{port}"], workers: 1, upstreams: ["127.0.0.1:{upstream}"], allow: [loopback]}}
"""


def _sources(asks: Sequence[Ask]) -> list[str]:
    return [REGIONS[ask.region] for ask in asks]


@dataclass(kw_only=True)
class Stored:
    """An engine that reads the policy store, and so needs nothing at any instant."""

    store: Store
    port: int
    tcp: bool = False
    serves_all_regions: bool = True
    control: tuple[str, ...] = ()

    def hold(self, world: World, region: str, t: int) -> None:
        self.store.hold(world)

    def turn(self, world: World, region: str, t: int) -> None:
        """The timetable is in the store."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        return seen.put(asks, self.port, _sources(asks), tcp=self.tcp)


@contextmanager
def _embedded(folder: Path, upstream: int, nsid: str = "lab", *, tcp: bool = False) -> Iterator[Runner]:
    port = lab.free_port()
    (folder / "orders").mkdir()
    (folder / "protected.yaml").write_text("protected: []\n")
    (folder / "site.yaml").write_text(SITE.format(port=port, upstream=upstream, node=nsid))
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
    start: Callable[[str], unbound_lab.Unbound]
    port: int = 0
    control: tuple[str, ...] = ()
    servers: dict[str, unbound_lab.Unbound] = field(default_factory=dict)
    serves_all_regions: bool = False

    def hold(self, world: World, region: str, t: int) -> None:
        self.store.hold(world)
        if region not in self.servers:
            self.servers[region] = self.start(region)
        self.port, self.control = self.servers[region].port, self.servers[region].control

    def turn(self, world: World, region: str, t: int) -> None:
        """The timetable is in the store."""

    def ask(self, asks: Sequence[Ask]) -> list[Seen]:
        return seen.put(asks, self.port, ["127.0.0.1"] * len(asks))


@contextmanager
def _unbound_module(folder: Path, upstream: int, nsid: str = "") -> Iterator[Runner]:
    unbound_lab.module()
    named = unbound_lab.named(nsid) if nsid else ""
    store = Store(state=folder / "state")
    store.hold(World(cases=()))
    with ExitStack() as stack:

        def start(region: str) -> unbound_lab.Unbound:
            server = unbound_lab.unbound(folder / region, store.state, upstream, region=region, server=named)
            return stack.enter_context(server)

        yield Modular(store=store, start=start)


ENGINES: Mapping[str, Engine] = {
    "embedded": Engine(kind="embedded", by="self", start=_embedded, named=_embedded),
    "embedded-tcp": Engine(kind="embedded", by="self", start=_embedded_tcp),
    "dnslib": Engine(kind="embedded", by="self", start=_dnslib),
    "dnsdist": Engine(kind="dnsdist", by="lmdb", start=_dnsdist),
    "unbound-module": Engine(kind="unbound", by="module", start=_unbound_module, named=_unbound_module),
    "unbound-rpz": Engine(kind="unbound", by="rpz", start=zones.unbound_rpz, named=zones.unbound_rpz),
    "unbound-both": Engine(
        kind="unbound",
        by="rpz",
        start=zones.unbound_both,
        mends=frozenset({"alias-addresses", "every-class", "ede", "shaping"}),
        purged=frozenset({"cached-aliases"}),
    ),
    "bind-rpz": Engine(kind="bind", by="rpz", start=zones.bind),
    "powerdns-rpz": Engine(kind="powerdns", by="rpz", start=zones.powerdns),
    "knot-rpz": Engine(kind="knot", by="rpz", start=zones.knot, named=zones.knot),
}
