"""The runners: every enforcer as something that holds a world and answers questions.

An engine is a context manager that starts a server in a folder before an authority, and yields a Runner. A
new enforcer is done when it stands in ENGINES and passes.
"""

from __future__ import annotations

import sys
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from blocker.fleet import capabilities
from tests.conformance import seen
from tests.conformance.cases import REGIONS
from tests.conformance.world import Store, World
from tests.servers import lab

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


ENGINES: Mapping[str, Engine] = {
    "embedded": Engine(kind="embedded", by="self", start=_embedded),
    "embedded-tcp": Engine(kind="embedded", by="self", start=_embedded_tcp),
    "dnslib": Engine(kind="embedded", by="self", start=_dnslib),
}
