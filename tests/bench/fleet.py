"""An ISP's fleet on loopback: our resolver, and every other engine fed as `blocker push` feeds it.

Configurations are those of ops/ as they stand, but for ports and folders. The orders are applied before
anything starts; from then on nothing but time happens to the policy.
"""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from blocker import capabilities, sitefile
from blocker.fleet import report
from blocker.fleet.report import Pushed
from blocker.site import WAYS
from tests.bench import processes, site, world
from tests.bench.engines import say
from tests.bench.scale import accept
from tests.servers import bind_lab, dnsdist_lab, knot_lab, lab, powerdns_lab, unbound_lab, unbound_rpz_lab
from tests.servers.zone_lab import ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.bench.options import Options

REGION = "ID"
SETTING_UP = 35
"""Seconds from planning to the first instant: for applying the orders and starting everything."""

_SITE = """\
rpz: {{zone: "{zone}", primary: "127.0.0.1:{primary}", key: rpz.key}}
points:
{points}"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One order: `name` and `target` are blocked from `start` until `until` (epoch seconds).

    `alias` leads to `target`. `names` are further ordered names.
    """

    slug: str
    name: str
    target: str
    alias: str
    start: int
    until: int
    names: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An engine that runs: as site.yaml says it."""

    kind: str
    port: int
    by: str = ""
    control: tuple[str, ...] = ()

    @property
    def reach(self) -> tuple[str, ...]:
        """The limits that are declared for it."""
        return capabilities.of(self.kind, self.by or WAYS[self.kind][0]).reach

    def line(self, name: str) -> str:
        words = f", control: {json.dumps(self.control)}" if self.control else ""
        by = f", by: {self.by}" if self.by else ""
        address = f'address: "127.0.0.1:{self.port}", region: {REGION}'
        return f"  - {{name: {name}, kind: {self.kind}, {address}{by}{words}}}\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """What runs: the engines by their names, the state directory, and the log of `blocker push`."""

    points: Mapping[str, Point]
    state: Path
    log: Path

    @property
    def ports(self) -> dict[str, int]:
        return {name: point.port for name, point in self.points.items()}

    def pushed(self) -> list[Pushed]:
        """What was pushed to each target last."""
        found = [report.from_json(path.read_bytes()) for path in (self.state / report.FOLDER).glob("*.json")]
        return [one for reports in found for one in reports or () if isinstance(one, Pushed)]


@contextmanager
def started(folder: Path, orders: Sequence[Instant], options: Options) -> Iterator[Fleet]:
    """Everything runs and is fed."""
    with ExitStack() as open_:
        upstream = open_.enter_context(world.upstream({one.alias: one.target for one in orders}))
        own = site.make(folder, upstream=upstream)
        for one in orders:
            _write(folder, one)
        say("applying")
        applied = accept(folder)
        assert applied.code == 0, applied.output
        engines = _Engines(folder, upstream, own, open_)
        points = engines.start(options)
        path = folder / "site.yaml"
        lines = "".join(point.line(name) for name, point in points.items())
        more = _SITE.format(zone=ZONE.partition(".")[2], primary=engines.primary, points=lines)
        path.write_text(path.read_text() + more)
        log = folder / "push.log"
        say("starting push")
        push = open_.enter_context(processes.started(lab.blocker(path, "push"), log))
        time.sleep(1)
        assert push.poll() is None, processes.tail(log)
        yield Fleet(points=points, state=folder / "state", log=log)


def _write(folder: Path, one: Instant) -> None:
    """The order's file, and its list's if it has one."""
    names = f"names: [{one.name}, {one.target}]"
    orders = folder / "orders" / "bench"
    if one.names:
        octets = "".join(f"{name}\n" for name in one.names).encode()
        (orders / f"{one.slug}.txt").write_bytes(octets)
        digest = hashlib.sha256(octets).hexdigest()
        names += f'\n    names_file: {{file: {one.slug}.txt, sha256: "{digest}"}}'
    start, until = (datetime.fromtimestamp(at, UTC).isoformat() for at in (one.start, one.until))
    (orders / f"{one.slug}.yaml").write_text(
        site.ORDER.format(id=f"bench/{one.slug}", names=names, start=start, until=until)
    )


class _Engines:
    """What starts each engine, in one folder, fed by one primary."""

    def __init__(self, folder: Path, upstream: int, own: int, open_: ExitStack) -> None:
        self._folder, self._upstream, self._own, self._open = folder, upstream, own, open_
        self._site, self._state = folder / "site.yaml", folder / "state"
        self._ports = {"bind": lab.free_port(), "unbound-rpz": lab.free_port()}
        self.primary = self._primary()

    def _primary(self) -> int:
        """The hidden primary; Unbound, which signs nothing, is let in by its address."""
        room, port = self._folder / "primary", lab.free_port()
        room.mkdir()
        (room / f"{ZONE}.zone").write_text(bind_lab.EMPTY.read_text())
        (self._folder / "rpz.key").write_text(bind_lab.KEY)
        signed, unsigned = self._ports["bind"], self._ports["unbound-rpz"]
        notified = f'127.0.0.1 port {signed} key "blocker-transfer"; 127.0.0.1 port {unsigned};'
        changes = {
            **bind_lab._own(room, port, "/var/lib/bind"),
            **bind_lab.keyed(room, bind_lab.PRIMARY),
            "port 5354 { 127.0.0.1; 192.0.2.53; }": f"port {port} {{ 127.0.0.1; }}",
            "{ 192.0.2.71; }": "{ 127.0.0.1; }",
            '192.0.2.61 key "blocker-transfer"; 192.0.2.71;': notified,
        }
        self._open.enter_context(bind_lab._running(room, port, filled(bind_lab.PRIMARY, changes)))
        return port

    def start(self, options: Options) -> dict[str, Point]:
        """Every engine that is wanted and installed."""
        found = {}
        for start in (
            self.embedded,
            self.unbound_module,
            self.dnsdist,
            self.unbound_rpz,
            self.bind,
            self.powerdns,
            self.knot,
        ):
            name = start.__name__.replace("_", "-")
            if options.takes(name):
                say(f"starting {name}")
                try:
                    found[name] = start()
                except pytest.skip.Exception as why:
                    print(f"{name}: left out, {why}")
        return found

    def embedded(self) -> Point:
        log = self._folder / "serve.log"
        process = self._open.enter_context(processes.started(lab.blocker(self._site, "serve"), log))
        lab.until_answering(self._own, process, log)
        return Point(kind="embedded", port=self._own)

    def unbound_module(self) -> Point:
        room = self._folder / "unbound-module"
        run = unbound_lab.unbound(room, self._state, self._upstream, region=REGION)
        running = self._open.enter_context(run)
        return Point(kind="unbound", port=running.port, by="module", control=running.control)

    def dnsdist(self) -> Point:
        enforcement = sitefile.load(self._site).enforcement
        run = dnsdist_lab.dnsdist(self._folder / "dnsdist", self._state, enforcement, self._upstream)
        return Point(kind="dnsdist", port=self._open.enter_context(run).port)

    def unbound_rpz(self) -> Point:
        room, port = self._folder / "unbound-rpz", self._ports["unbound-rpz"]
        run = unbound_rpz_lab.unbound_rpz(
            room, self._upstream, room / "zone", primary=self.primary, port=port
        )
        return Point(kind="unbound", port=port, by="rpz", control=self._open.enter_context(run).control)

    def bind(self) -> Point:
        room, port = self._folder / "bind", self._ports["bind"]
        run = bind_lab.secondary(room, self._upstream, primary=self.primary, port=port)
        return Point(kind="bind", port=port, control=self._open.enter_context(run).control)

    def powerdns(self) -> Point:
        room = self._folder / "powerdns"
        run = powerdns_lab.powerdns(room, self._upstream, room / "zone", primary=self.primary)
        running = self._open.enter_context(run)
        return Point(kind="powerdns", port=running.port, control=running.control)

    def knot(self) -> Point:
        zone = self._state / "rpz" / f"{ZONE}.zone"
        running = self._open.enter_context(knot_lab.knot(self._folder / "knot", self._upstream, zone))
        return Point(kind="knot", port=running.port)
