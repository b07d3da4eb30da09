"""Bulk probing: every name of a long list asked of one point and judged, beside what else can ask.

The prober has one core, the server another. All is measured in the same run, round after round, and medians
are shown. A server that can take it answers from a template; the embedded resolver is asked the same, and
dnsperf asks both. scapy's `sr` and blackbox_exporter ask the template server. `core` is how much of its core
the prober had: below 100 % it waited for the server, or others had the rest.
"""

from __future__ import annotations

import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from blocker import sitefile
from tests.bench import dnsperf, processes, servers, site, world
from tests.bench.engines import MB, REGION, say
from tests.bench.scale import accept
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.bench.options import Options
    from tests.bench.servers import Lab

WINDOW = 192
PRESSED = 4096
"""Queries under way of which any server's socket buffer loses some."""

LEAST_RATE, MOST_SECONDS, MOST_MEMORY = 80_000, 15.0, 200
LEAST_OF_DNSPERF, LEAST_OF_SCAPY = 0.5, 300.0

_SCAPY_NAMES = 2000
_HAMMERS = 8
_BLACKBOX = """\
modules:
  dns:
    prober: dns
    timeout: 2s
    dns:
      query_name: "{name}"
      query_type: A
      preferred_ip_protocol: ip4
      valid_rcodes: [NXDOMAIN]
"""


@dataclass(slots=True, kw_only=True)
class Found:
    """What the rounds gave at one server."""

    sweeps: list[dict[str, Any]] = field(default_factory=list)
    dnsperf: list[dnsperf.Rate] = field(default_factory=list)

    @property
    def rates(self) -> list[float]:
        """Probes a second, judged, of each round."""
        return [one["asked"] / one["seconds"] for one in self.sweeps]

    @property
    def rate(self) -> float:
        return statistics.median(self.rates)

    def of_dnsperf(self) -> float:
        """So many times dnsperf's rate, round by round."""
        pairs = zip(self.rates, self.dnsperf, strict=True)
        return statistics.median(ours / theirs.each_second for ours, theirs in pairs)


def run(options: Options) -> None:
    """Print the figures beside what is asked."""
    count = options.names or (50_000 if options.quick else 1_000_000)
    seconds = options.seconds or (0.5 if options.quick else 3.0)
    rounds = options.rounds or (1 if options.quick else 3)
    cores = processes.Cores.here()
    print(f"{count:,} names, 1 point; server on core {min(cores.server)}, probers on core {cores.client}")
    with tempfile.TemporaryDirectory() as scratch, ExitStack() as open_:
        labs = prepare(Path(scratch), count, open_.enter_context(world.upstream()), cores)
        questions = dnsperf.write(Path(scratch) / "questions", labs.names)
        found = {}
        for name, starter in SERVERS.items():
            if options.takes(name):
                port = open_.enter_context(starter(labs))
                found[name] = measure(name, port, labs, questions, seconds, rounds)
        show(found)
        if "template" in found:
            port = open_.enter_context(template(labs))
            pressed(labs, port, cores)
            rivals(found["template"].rate, labs, port, questions, seconds)


def prepare(folder: Path, count: int, upstream: int, cores: processes.Cores) -> Lab:
    """A site with a policy of so many names."""
    site.make(folder, upstream=upstream)
    site.bulk(folder, "list", count)
    say(f"applying {count:,} names")
    applied = accept(folder)
    assert applied.code == 0, applied.output
    return servers.Lab(
        folder=folder,
        site=sitefile.load(folder / "site.yaml"),
        region=REGION,
        upstream=upstream,
        names=tuple(site.listed(count)),
        zone=folder / "none",
        cores=cores.server,
    )


@contextmanager
def template(labs: Lab) -> Iterator[int]:
    """The port of a server that answers from a template."""
    port = lab.free_port()
    words, log = (
        [sys.executable, "-m", "tests.bench.template", "template", str(port)],
        labs.room("template") / "log",
    )
    with processes.started(words, log, cores=labs.cores, env=IMPORTABLE) as process:
        processes.until(lambda: labs.is_blocked(port), 10.0, "template", process, log)
        yield port


@contextmanager
def embedded(labs: Lab) -> Iterator[int]:
    """The port of our resolver."""
    with servers.embedded(labs) as running:
        yield running.port


SERVERS: Mapping[str, Callable[[Lab], Any]] = {"template": template, "embedded": embedded}
IMPORTABLE = {"PYTHONPATH": str(Path(__file__).parent.parent.parent)}


def sweep(labs: Lab, port: int, core: int, *, window: int = WINDOW) -> dict[str, Any]:
    """One sweep of every name, in a process pinned to the core."""
    words = [sys.executable, "-m", "tests.bench.sweeper", str(labs.site.path), str(port), str(window)]
    found: dict[str, Any] = _pinned(words, core)
    assert found["unaccounted"] == 0, found
    return found


def _pinned(words: list[str], core: int) -> Any:
    """What the process, pinned to the core, prints as JSON."""
    with processes.pinned(frozenset({core})):
        output = subprocess.run(
            words, check=True, capture_output=True, env={**os.environ, **IMPORTABLE}
        ).stdout
    return json.loads(output)


def measure(name: str, port: int, labs: Lab, questions: Path, seconds: float, rounds: int) -> Found:
    """The prober and dnsperf in turn, at the same server."""
    core, found = processes.Cores.here().client, Found()
    for number in range(rounds):
        say(f"round {number + 1}: {name}")
        found.dnsperf.append(dnsperf.run(port, questions, seconds=seconds, core=core, edns=True))
        found.sweeps.append(sweep(labs, port, core))
    return found


def show(found: Mapping[str, Found]) -> None:
    """The prober at each server."""
    print(
        f"\n{'server':<10}{'probes/s':>10}{'dnsperf':>10}{'ratio':>8}{'all names':>11}{'CPU':>10}{'core':>6}"
        f"{'peak':>9}{'as ordered':>12}{'again':>7}{'lost':>6}{'unaccounted':>13}"
    )
    for name, one in found.items():
        last, cpu = one.sweeps[-1], statistics.median(each["cpu"] / each["asked"] for each in one.sweeps)
        busy = statistics.median(each["cpu"] / each["seconds"] for each in one.sweeps)
        theirs = statistics.median(rate.each_second for rate in one.dnsperf)
        print(
            f"{name:<10}{one.rate:>10,.0f}{theirs:>10,.0f}"
            f"{one.of_dnsperf():>7.2f}x{statistics.median(each['seconds'] for each in one.sweeps):>9.1f} s"
            f"{cpu * 1e6:>7.1f} us{busy:>6.0%}{max(each['peak'] for each in one.sweeps) / MB:>6.0f} MB"
            f"{last['ok']:>12,}{sum(each['retried'] for each in one.sweeps):>7,}"
            f"{sum(each['lost'] for each in one.sweeps):>6,}"
            f"{sum(each['unaccounted'] for each in one.sweeps):>13,}"
        )
    if "template" in found:
        one = found["template"]
        scale = 1_000_000 / one.sweeps[-1]["asked"]
        seconds = statistics.median(each["seconds"] for each in one.sweeps) * scale
        memory = max(each["peak"] for each in one.sweeps) / MB
        print("\nwhat is asked, at the server that can take it")
        target(f"{one.rate:,.0f} probes/s", f"at least {LEAST_RATE:,}", is_met=one.rate >= LEAST_RATE)
        target(
            f"{one.of_dnsperf():.2f} x dnsperf",
            f"at least {LEAST_OF_DNSPERF}",
            is_met=one.of_dnsperf() >= LEAST_OF_DNSPERF,
        )
        target(
            f"{seconds:.1f} s for 1 M names", f"at most {MOST_SECONDS:.0f} s", is_met=seconds <= MOST_SECONDS
        )
        target(f"{memory:.0f} MB", f"at most {MOST_MEMORY} MB", is_met=memory <= MOST_MEMORY)


def target(what: str, limit: str, *, is_met: bool) -> None:
    """One line of what is asked."""
    print(f"{what:<28}{limit:<20}{'yes' if is_met else 'NO'}")


def pressed(labs: Lab, port: int, cores: processes.Cores) -> None:
    """A sweep with more under way than buffers hold: what is lost is asked again."""
    say("a sweep that loses datagrams")
    found = sweep(labs, port, cores.client, window=PRESSED)
    print(
        f"\nwith {PRESSED:,} under way: {found['retried']:,} datagrams lost and sent again, "
        f"{found['dropped']:,} of them in our own sockets; {found['ok']:,} of {found['asked']:,} as ordered, "
        f"{found['lost']:,} names never answered, {found['unaccounted']:,} unaccounted"
    )


def rivals(rate: float, labs: Lab, port: int, questions: Path, seconds: float) -> None:
    """What others ask in a second, and so many times that the prober asks."""
    print()
    for name, asking in {"scapy sr": scapy, "blackbox": blackbox}.items():
        say(name)
        try:
            theirs, remark = asking(labs, port, questions, seconds)
        except pytest.skip.Exception as why:
            print(f"{name}: left out, {why}")
            continue
        print(f"{name:<10}{theirs:>10,.0f} probes/s, the prober {rate / theirs:,.0f} x{remark}")
        if name == "scapy sr":
            ratio = rate / theirs
            target(
                f"{ratio:,.0f} x scapy sr", f"at least {LEAST_OF_SCAPY:.0f}", is_met=ratio >= LEAST_OF_SCAPY
            )


def scapy(_: Lab, port: int, questions: Path, seconds: float) -> tuple[float, str]:
    """scapy's `sr`."""
    if os.geteuid():
        pytest.skip("scapy needs CAP_NET_RAW")
    words = [sys.executable, "-m", "tests.bench.scapy_sr", str(port), str(questions), str(_SCAPY_NAMES)]
    found = _pinned(words, processes.Cores.here().client)
    del seconds
    return found["answered"] / found["seconds"], f" ({found['answered']} of {found['sent']} answered)"


def blackbox(labs: Lab, port: int, questions: Path, seconds: float) -> tuple[float, str]:
    """blackbox_exporter, its /probe asked by so many clients without a pause."""
    program, room, web = lab.program("prometheus-blackbox-exporter"), labs.room("blackbox"), lab.free_port()
    name = questions.open().readline().split()[0]
    (room / "blackbox.yml").write_text(_BLACKBOX.format(name=name))
    words = [program, f"--config.file={room / 'blackbox.yml'}", f"--web.listen-address=127.0.0.1:{web}"]
    core = frozenset({processes.Cores.here().client})
    with processes.started(words, room / "log", cores=core) as process:
        processes.until(lambda: _probe(web, port, 1)[0] == 1, 10.0, "blackbox", process, room / "log")
        counts: list[tuple[int, int]] = []
        end = time.monotonic() + seconds

        def hammer() -> None:
            counts.append(_probe(web, port, until=end))

        with processes.pinned(labs.cores):
            threads = [threading.Thread(target=hammer) for _ in range(_HAMMERS)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
    good, asked = (sum(figures) for figures in zip(*counts, strict=True))
    return good / seconds, f" ({good:,} of {asked:,} successful)"


def _probe(web: int, port: int, most: int = 1 << 30, *, until: float = float("inf")) -> tuple[int, int]:
    """How many probes succeeded of how many asked for."""
    good = asked = 0
    connection = http.client.HTTPConnection("127.0.0.1", web, timeout=5)
    try:
        while asked < most and time.monotonic() < until:
            connection.request("GET", f"/probe?module=dns&target=127.0.0.1:{port}")
            asked += 1
            good += b"\nprobe_success 1" in connection.getresponse().read()
    except OSError:
        return good, asked
    finally:
        connection.close()
    return good, asked
