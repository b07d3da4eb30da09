"""From a start to the first probe that saw it in force, on every engine, as `blocker watch` noted it.

All orders are applied beforehand. The prober asks at the instant and 0.1, 0.25, 0.5 and 1 s after it, so what
an engine that enforces at once is held to is the second of these.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.prober.expect import Why
from blocker.prober.judge import Kind
from blocker.prober.shelf import Shelf
from tests.bench import fleet, poll, processes
from tests.bench.engines import say
from tests.servers import lab

if TYPE_CHECKING:
    from tests.bench.options import Options

STEP = 3.0
"""Seconds between two starts."""

TARGET = 0.25
"""Seconds after the start, for engines that enforce by then."""

SLOW = frozenset({"powerdns", "knot"})
"""Engines that look for a new zone by themselves now and then."""

_PROBER = """\
prober: {{interval: 1h, rate: 500, canaries: [canary.free.example], reference: ["127.0.0.1:{upstream}"]}}
"""


def run(options: Options) -> None:
    """Print the distributions, in milliseconds."""
    count = options.rounds or (3 if options.quick else 20)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        first = int(time.time()) + fleet.SETTING_UP
        orders = [
            fleet.Instant(
                slug=f"o{number}",
                name=f"n{number}.bench.example",
                target=f"t{number}.bench.example",
                alias=f"a{number}.alias.example",
                start=first + int(STEP * number),
                until=first + 86_400,
            )
            for number in range(count)
        ]
        say(f"{count} orders: the first starts in {fleet.SETTING_UP} s, one every {STEP:.0f} s")
        with fleet.started(folder, orders, options) as running:
            path = folder / "site.yaml"
            upstream = path.read_text().split('upstreams: ["127.0.0.1:')[1].partition('"')[0]
            path.write_text(path.read_text() + _PROBER.format(upstream=upstream))
            with processes.started(lab.blocker(path, "watch"), folder / "watch.log") as prober:
                time.sleep(max(0.0, orders[-1].start + STEP - time.time()))
                assert prober.poll() is None, processes.tail(folder / "watch.log")
        _show(running.state, orders, list(running.points))


def _show(state: Path, orders: list[fleet.Instant], points: list[str]) -> None:
    starts = {f"bench/{one.slug}": one.start for one in orders}
    firsts: dict[tuple[str, str], float] = {}
    for kept in Shelf(state).records():
        one, finding = kept.record.expectation, kept.record.finding
        if (
            one.why is Why.SUBJECT
            and one.form is not None
            and finding.kind is Kind.OK
            and one.order in starts
        ):
            late = finding.at - starts[one.order]
            key = (one.point, one.order)
            firsts[key] = min(late, firsts.get(key, late))
    print("\nmilliseconds from the start to its first confirmation")
    print(f"{'point':<16}{'min':>9}{'median':>9}{'p90':>9}{'max':>9}{'never':>7}")
    for point in points:
        values = [late for (name, _), late in firsts.items() if name == point]
        never = len(orders) - len(values)
        held = ""
        if point not in SLOW and values:
            met = sum(late <= TARGET for late in values)
            held = f"  within {TARGET * 1000:.0f} ms: {met} of {len(orders)}"
        print(f"{point:<16}{poll.distribution(values)}{never:>7}{held}")
