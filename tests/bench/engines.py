"""All engines side by side: a million ordered names, one core for the server, dnsperf on another.

What is compared was measured in the same run, engine after engine, round after round, and medians are shown:
machines are shared and their speed drifts. `CPU` is the server's own time for one answer, `core` how much of
its core it had: below 100 % others had the rest, and the rates are not what the server can do; then the ratio
by CPU time says more. `lost` and rcodes that aren't as they should be are printed, for a rate with losses
isn't one.
"""

from __future__ import annotations

import os
import random
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from blocker import sitefile
from blocker.names import to_key
from blocker.policy.decide import decide
from blocker.policy.reader import Reader
from blocker.rpz import zone
from blocker.site import Rpz
from tests.bench import dnsperf, processes, servers, site, world
from tests.bench.scale import accept
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.bench.dnsperf import Rate
    from tests.bench.options import Options
    from tests.bench.servers import Lab, Running

REGION = "ID"
MB = 1_000_000
PASSING = 4000
SHARE_BLOCKED = 0.05
HALF = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is asked, of which engines, and what must come back: the share of NXDOMAIN."""

    what: str
    engines: tuple[str, ...]
    blocked: float
    edns: bool = False
    is_cached: bool = False
    has_latency: bool = False


ENFORCERS = ("embedded", "dnsdist", "bare-dnsdist", "unbound-module", "unbound-rpz", "bind-rpz")

LOADS: Mapping[str, Load] = {
    "blocked": Load(
        what="ordered names and names below them, in random order, no EDNS",
        engines=("echo", *ENFORCERS, "dnslib"),
        blocked=1.0,
    ),
    "blocked-edns": Load(
        what="the same with EDNS, so with EDE where the engine has it",
        engines=("echo", *ENFORCERS),
        blocked=1.0,
        edns=True,
        has_latency=True,
    ),
    "passing-cached": Load(
        what=f"{PASSING} names that pass, cached",
        engines=(*ENFORCERS, "unbound"),
        blocked=0.0,
        is_cached=True,
        has_latency=True,
    ),
    "mixed": Load(
        what=f"{SHARE_BLOCKED:.0%} ordered names among those that pass, cached",
        engines=ENFORCERS,
        blocked=SHARE_BLOCKED,
        is_cached=True,
    ),
}

TARGETS = (
    ("blocked", "dnsdist", 1.0),
    ("blocked", "bare-dnsdist", 1.0),
    ("blocked-edns", "dnsdist", 0.75),
    ("blocked-edns", "bare-dnsdist", 0.75),
    ("blocked", "unbound-rpz", 2.0),
    ("blocked", "bind-rpz", 3.0),
    ("blocked", "dnslib", 40.0),
    ("passing-cached", "unbound", 0.4),
)
"""The embedded resolver's rate is at least so many times the other's."""


@dataclass(slots=True, kw_only=True)
class Found:
    """What the rounds gave for one engine and load."""

    rates: list[Rate] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    p50: list[float] = field(default_factory=list)
    p99: list[float] = field(default_factory=list)

    @property
    def each_second(self) -> float:
        return statistics.median(rate.each_second for rate in self.rates)

    @property
    def lost(self) -> float:
        return max(rate.lost for rate in self.rates)

    def times(self, other: Found) -> float:
        """So many times the other's rate, round by round."""
        pairs = zip(self.rates, other.rates, strict=True)
        return statistics.median(ours.each_second / theirs.each_second for ours, theirs in pairs)

    def times_by_cpu(self, other: Found) -> float:
        """So many times the other's answers for the same CPU time."""
        return statistics.median(theirs / ours for ours, theirs in zip(self.cpu, other.cpu, strict=True))


Table = dict[tuple[str, str], Found]


def run(options: Options) -> None:
    """Print the tables."""
    count = options.names or (20_000 if options.quick else 1_000_000)
    seconds = options.seconds or (0.5 if options.quick else 2.5)
    rounds = options.rounds or (1 if options.quick else 3)
    cores = processes.Cores.here()
    print(
        f"{count:,} names; server on core {min(cores.server)}, dnsperf on core {cores.client}; "
        f"{rounds} rounds of {seconds} s"
    )
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_:
        folder = Path(scratch)
        lab.program("dnsperf")
        upstream = open_.enter_context(world.upstream())
        labs = prepare(folder, count, upstream, cores)
        questions = write_questions(folder, count, rounds)
        running = start(labs, options, open_)
        show_loading(running, count)
        table: Table = {}
        for number in range(rounds):
            for load in LOADS:
                for engine in LOADS[load].engines:
                    if engine in running:
                        say(f"round {number + 1}: {load} on {engine}")
                        asked = questions[load, number]
                        measure(table, load, running[engine], asked, seconds, cores)
        show(table, rounds)
        show_targets(table)
        if "embedded" in running:
            open_.close()
            two_workers(labs, questions["blocked", 0], seconds, rounds)


def say(what: str) -> None:
    """Progress, for people who wait."""
    print(f"{time.strftime('%H:%M:%S')} {what}", file=sys.stderr, flush=True)


def prepare(folder: Path, count: int, upstream: int, cores: processes.Cores) -> Lab:
    """A site whose policy of so many names is applied, and its zone."""
    site.make(folder, upstream=upstream)
    site.bulk(folder, "list", count)
    say(f"applying {count:,} names")
    applied = accept(folder)
    assert applied.code == 0, applied.output
    print(f"apply: {applied.wall:.1f} s, peak {applied.peak / MB:.0f} MB, once for all engines")
    began = time.monotonic()
    rendered = folder / "id.rpz.zone"
    write_zone(rendered, folder / "state")
    print(f"zone: {time.monotonic() - began:.1f} s to render, {rendered.stat().st_size / MB:.0f} MB")
    labs = servers.Lab(
        folder=folder,
        site=sitefile.load(folder / "site.yaml"),
        region=REGION,
        upstream=upstream,
        names=tuple(site.listed(count)),
        zone=rendered,
        cores=cores.server,
    )
    print(f"store: {mapped(labs) * 1000:.1f} ms from opening it to the first verdict, nothing is loaded")
    return labs


def write_zone(path: Path, state: Path) -> None:
    """The policy as a zone, closed as `blocker push` writes it."""
    reader = Reader(state)
    name = Rpz().zone_of(REGION)
    with reader.snapshot() as policy, path.open("w") as file:
        file.write(zone.header(name, serial=1, ttl=policy.enforcement.ttl, comment="bench"))
        for entry in zone.entries(policy, name, REGION, time.time()):
            file.write(zone.lines(entry))
    reader.close()


def write_questions(folder: Path, count: int, rounds: int) -> dict[tuple[str, int], Path]:
    """The questions of each load and round: every round asks for other names of the list."""
    rng = random.Random(1)
    ordered = [name for apex in site.listed(count) for name in (apex, f"www.{apex}")]
    rng.shuffle(ordered)
    passing = [f"n{number}.free.example" for number in range(PASSING)]
    found = {}
    share = len(ordered) // rounds
    for number in range(rounds):
        part = ordered[number * share : (number + 1) * share]
        blocked = dnsperf.write(folder / f"blocked-{number}", part)
        mixed = rng.choices(passing, k=200_000)
        for at, name in zip(range(0, len(mixed), round(1 / SHARE_BLOCKED)), part, strict=False):
            mixed[at] = name
        found["blocked", number] = found["blocked-edns", number] = blocked
        found["passing-cached", number] = dnsperf.write(folder / "passing", passing)
        found["mixed", number] = dnsperf.write(folder / f"mixed-{number}", mixed)
    return found


def start(labs: Lab, options: Options, open_: ExitStack) -> dict[str, Running]:
    """Every engine there is, one after the other, so that none loads while another does."""
    found = {}
    for name, starter in servers.STARTERS.items():
        if not options.takes(name):
            continue
        say(f"starting {name}")
        try:
            found[name] = open_.enter_context(starter(labs))
        except pytest.skip.Exception as why:
            print(f"{name}: left out, {why}")
    return found


def mapped(labs: Lab) -> float:
    """Seconds from opening the store to its first verdict."""
    began = time.monotonic()
    with labs.policy() as policy:
        assert decide(policy, to_key(labs.names[0]), labs.region, time.time()).is_blocked
    return time.monotonic() - began


def show_loading(running: Mapping[str, Running], count: int) -> None:
    """How long each took to enforce, and what it takes to hold the policy."""
    print(f"\n{'engine':<16}{'to first block':>16}{'own memory':>14}{'mapped':>12}   of {count:,} names")
    for one in running.values():
        print(
            f"{one.name:<16}{one.loaded:>14.2f} s{one.memory.own / MB:>11.0f} MB"
            f"{one.memory.mapped / MB:>9.0f} MB"
        )


def measure(
    table: Table, load: str, engine: Running, asked: Path, seconds: float, cores: processes.Cores
) -> None:
    """One run, and where the load has it another at half the rate for its latencies."""
    wanted, found = LOADS[load], table.setdefault((load, engine.name), Found())
    if wanted.is_cached:
        dnsperf.warm(engine.port, asked)
    spent = processes.cpu(engine.pid)
    rate = dnsperf.run(engine.port, asked, seconds=seconds, core=cores.client, edns=wanted.edns)
    spent = processes.cpu(engine.pid) - spent
    found.cpu.append(spent / max(1, rate.completed))
    found.busy.append(spent / rate.seconds)
    found.rates.append(rate)
    if engine.name != "echo" and abs(rate.share("NXDOMAIN") - wanted.blocked) > 0.01:
        print(f"{load} on {engine.name}: not what must come back: {rate.rcodes}")
    if wanted.has_latency and rate.completed:
        half = dnsperf.run(
            engine.port,
            asked,
            seconds=seconds,
            core=cores.client,
            edns=wanted.edns,
            most=max(1, int(rate.each_second * HALF)),
        )
        found.p50.append(half.percentile(0.5))
        found.p99.append(half.percentile(0.99))


def show(table: Table, rounds: int) -> None:
    """One table for each load."""
    for load, wanted in LOADS.items():
        ours = table.get((load, "embedded"))
        print(f"\n{load}: {wanted.what}; median of {rounds}")
        print(
            f"{'engine':<16}{'q/s':>10}{'embedded is':>13}{'by CPU':>9}{'CPU':>10}{'core':>7}{'lost':>8}"
            f"{'p50':>10}{'p99':>10}{'   at half the rate' if wanted.has_latency else ''}"
        )
        for engine in wanted.engines:
            found = table.get((load, engine))
            if found is None:
                continue
            ratio = f"{ours.times(found):>11.2f} x{ours.times_by_cpu(found):>7.2f} x" if ours else f"{'':>22}"
            low, high = (
                f"{statistics.median(one) * 1e6:.0f} us" if one else "" for one in (found.p50, found.p99)
            )
            print(
                f"{engine:<16}{found.each_second:>10,.0f}{ratio}"
                f"{statistics.median(found.cpu) * 1e6:>7.1f} us{statistics.median(found.busy):>7.0%}"
                f"{found.lost:>8.2%}{low:>10}{high:>10}"
                f"{'   NO RATE: too many were lost' if found.lost > dnsperf.MOST_LOST else ''}"
            )


def show_targets(table: Table) -> None:
    """What the embedded resolver is held to."""
    print("\nembedded, beside what it is held to")
    for load, other, least in TARGETS:
        ours, theirs = table.get((load, "embedded")), table.get((load, other))
        if ours is not None and theirs is not None:
            ratio = ours.times(theirs)
            print(
                f"{load:<16}{ratio:>7.2f} x {other:<14} at least {least:<5} "
                f"{'yes' if ratio >= least else 'NO':<4}({ours.times_by_cpu(theirs):.2f} x by CPU time)"
            )


def two_workers(labs: Lab, asked: Path, seconds: float, rounds: int) -> None:
    """One worker and two, unpinned, with dnsperf on the same cores."""
    cores = os.sched_getaffinity(0)
    rates: dict[int, list[float]] = {1: [], 2: []}
    costs: dict[int, list[float]] = {1: [], 2: []}
    for number in range(rounds):
        for workers in (1, 2):
            say(f"round {number + 1}: {workers} workers")
            path = labs.folder / f"workers-{workers}.yaml"
            path.write_text(site.SITE.format(port=lab.free_port(), upstream=labs.upstream, workers=workers))
            with servers.embedded(replace(labs, site=sitefile.load(path), cores=None)) as running:
                spent = processes.cpu(running.pid)
                rate = dnsperf.run(running.port, asked, seconds=seconds, core=None, clients=64)
                costs[workers].append((processes.cpu(running.pid) - spent) / max(1, rate.completed))
                rates[workers].append(rate.each_second)
    one, two = (statistics.median(rates[workers]) for workers in (1, 2))
    cost_one, cost_two = (statistics.median(costs[workers]) for workers in (1, 2))
    print(
        f"\ntwo workers: {two:,.0f} q/s, one: {one:,.0f} q/s: {two / one:.2f} x on {len(cores)} cores, "
        f"which dnsperf shares;\nCPU for an answer {cost_two * 1e6:.1f} us with two, {cost_one * 1e6:.1f} us "
        f"with one: on cores of their own two give {2 * cost_one / cost_two:.2f} x one"
    )
