"""A list of a million names starts at one instant: what do clients feel in the second after it?"""

from __future__ import annotations

import multiprocessing
import signal
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.demo import upstream
from tests.bench import load, site
from tests.bench.scale import accept

if TYPE_CHECKING:
    from tests.bench.options import Options

RATE = 1000
NXDOMAIN = 3


def run(options: Options) -> None:
    """Print p50 and p99 of the second before the start and of the second after it."""
    count = options.names or (20_000 if options.quick else 1_000_000)
    rounds = options.rounds or (1 if options.quick else 3)
    for number in range(rounds):
        with tempfile.TemporaryDirectory() as scratch:
            before, after = _round(Path(scratch), count)
        ratio = load.percentile(after, 0.99) / load.percentile(before, 0.99)
        print(
            f"round {number + 1}: before p50 {_ms(before, 0.5)} p99 {_ms(before, 0.99)}   "
            f"after p50 {_ms(after, 0.5)} p99 {_ms(after, 0.99)}   p99 ratio {ratio:.2f}"
        )


def _ms(values: list[float], share: float) -> str:
    return f"{load.percentile(values, share) * 1000:.2f} ms"


def _round(folder: Path, count: int) -> tuple[list[float], list[float]]:
    listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    listening.bind(("127.0.0.1", 0))
    source = multiprocessing.get_context("fork").Process(target=upstream.serve, args=(listening,))
    source.start()
    port = site.make(folder, upstream=listening.getsockname()[1])
    start = int(time.time()) + 40
    site.bulk(folder, "list", count, start=datetime.fromtimestamp(start, UTC))
    applied = accept(folder)
    assert applied.code == 0, applied.output
    daemon = subprocess.Popen(
        [sys.executable, "-m", "blocker", "--site", str(folder / "site.yaml"), "serve"],
        stdout=subprocess.DEVNULL,
    )
    try:
        assert time.time() < start - 5, "the apply took longer than this benchmark allows for"
        ordered = list(islice(site.listed(count), 0, count, max(1, count // 500)))
        free = [f"free{number}.example" for number in range(500)]
        mixed = [name for pair in zip(ordered, free, strict=False) for name in pair]
        answers = load.run(port, mixed, start=start - 4, seconds=6, rate=RATE)
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(5)
        source.terminate()
        source.join()
        listening.close()
    lost = sum(1 for one in answers if one.latency is None)
    if lost:
        print(f"lost: {lost} of {len(answers)}")
    before = [one.latency for one in answers if one.latency and start - 1 <= one.sent < start]
    after = [one.latency for one in answers if one.latency and start <= one.sent < start + 1]
    blocked = sum(1 for one in answers if one.rcode == NXDOMAIN and one.sent >= start)
    print(f"{len(answers):,} questions, {blocked:,} blocked after the start")
    return before, after
