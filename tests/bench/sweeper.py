"""One sweep of a site's point as a process of its own: what came of it, its memory and CPU time, as JSON."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

from blocker import names, sitefile
from blocker.policy.reader import Reader
from blocker.site import Endpoint, Point
from blocker.sweep import bulk
from blocker.sweep.pages import Sweep
from blocker.sweep.swept import Limits

CANARY = "canary.free.example"


def main(site: Path, port: int, window: int) -> None:
    """Sweep what answers on the port, every name of the policy."""
    reader = Reader(sitefile.load(site).state)
    point = Point(name="p", kind="embedded", address=Endpoint("127.0.0.1", port), region="ID")
    lane = bulk.Lane(Sweep(point), reader, canaries=[names.to_key(CANARY)], limits=Limits(window=window))
    began, spent = time.monotonic(), time.process_time()
    [swept] = bulk.run([lane])
    # Not ru_maxrss, which a process inherits from whoever started it.
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak
    figures = ("asked", "ok", "odd", "lost", "unproven", "void", "retried", "stray", "dropped", "trouble")
    json.dump(
        {
            **{name: getattr(swept, name) for name in figures},
            "unaccounted": swept.unaccounted,
            "seconds": time.monotonic() - began,
            "cpu": time.process_time() - spent,
            "peak": int(peak[1]) * 1024,
        },
        sys.stdout,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
