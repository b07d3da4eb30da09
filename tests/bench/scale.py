"""Apply at scale: 1,000,000 names, one more on top, the store's size and a worker's own memory."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench import site

if TYPE_CHECKING:
    from tests.bench.options import Options

MB = 1_000_000


def accept(folder: Path) -> site.Ran:
    """Apply past the guard, as a person would who read the plan."""
    plan = site.blocker(folder, "plan", "--json")
    found = re.search(r'"digest": "([0-9a-f]{64})"', plan.output)
    assert found, plan.output
    return site.blocker(folder, "apply", "--accept", found[1], "--reason", "bench")


def anonymous(pid: int) -> int:
    """The process's own memory (RssAnon), in octets."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def children(pid: int) -> list[int]:
    """The processes that this one started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def run(options: Options) -> None:
    """Print the figures beside what the issue of a national list asks for."""
    count = options.names or (20_000 if options.quick else 1_000_000)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        site.make(folder)
        site.bulk(folder, "list", count)
        first = accept(folder)
        assert first.code == 0, first.output
        store = (folder / "state" / "policy.lmdb").stat().st_size
        now = datetime.now(UTC).replace(microsecond=0)
        site.order(folder, "one", names="names: [one.example]", start=now)
        second = site.blocker(folder, "apply", "--yes")
        assert second.code == 0, second.output
        print(f"apply of {count:,} names     {first.wall:8.2f} s   peak {first.peak / MB:6.0f} MB")
        print(f"apply of one more name    {second.wall:8.2f} s   peak {second.peak / MB:6.0f} MB")
        print(f"store                     {store / MB:8.1f} MB")
        for pid, used in worker_memory(folder):
            print(f"worker {pid} RssAnon      {used / MB:8.1f} MB (cache empty)")


def worker_memory(folder: Path) -> list[tuple[int, int]]:
    """RssAnon of each worker of a fresh `serve`."""
    daemon = subprocess.Popen(
        [sys.executable, "-m", "blocker", "--site", str(folder / "site.yaml"), "serve"],
        stdout=subprocess.DEVNULL,
    )
    try:
        time.sleep(3)
        return [(pid, anonymous(pid)) for pid in children(daemon.pid)]
    finally:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait(5)
