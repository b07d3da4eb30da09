"""A scrape of 500 orders at 50 points, all of them missed, beside as many plain gauges of the library."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from blocker import metrics
from blocker.web.view import Scene
from tests.web import great

if TYPE_CHECKING:
    from tests.bench.options import Options


def run(options: Options) -> None:
    """Print the series of a scrape, and its processor time beside that of the library's own gauges."""
    rounds = options.rounds or (3 if options.quick else 10)
    with tempfile.TemporaryDirectory() as scratch:
        great.plant(Path(scratch))
        ours = metrics.registry(Scene(Path(scratch), great.points()).view)
        shown = generate_latest(ours).decode()
        count = sum(not line.startswith("#") for line in shown.splitlines())
        theirs = CollectorRegistry()
        gauge = Gauge("blocker_plain", "As many series.", ["kind", "order", "point"], registry=theirs)
        for at in range(count):
            gauge.labels("underblock", f"court/o{at}", "p1").set(at)
        took = _seconds(ours, rounds)
        print(f"{count:,} series, {len(shown) / 1000:,.0f} kB: {took * 1000:.0f} ms a scrape", end="; ")
        plain = _seconds(theirs, rounds)
        print(f"as many plain gauges: {plain * 1000:.0f} ms, ratio {took / plain:.1f}")
        print(f"within 1 s and 10,000 series: {'yes' if took <= 1.0 and count <= 10_000 else 'NO'}")


def _seconds(registry: CollectorRegistry, rounds: int) -> float:
    """Processor time of one scrape, the median of some."""
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        generate_latest(registry)
        taken.append(time.process_time() - began)
    return sorted(taken)[rounds // 2]
