"""`make bench`: every figure with the machine it was measured on. Absolute times are no promises."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path

from tests.bench import life, scale, start


def machine() -> str:
    """What this was measured on."""
    found = [line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    memory = next((line.split()[1] for line in _lines("/proc/meminfo")), "0")
    return (
        f"{os.cpu_count()} x {found[0] if found else platform.machine()}, {int(memory) / 1e6:.0f} GB, "
        f"Linux {platform.release()}, Python {platform.python_version()}"
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


BENCHES = {"scale": scale.run, "start": start.run, "life": life.run}

if __name__ == "__main__":
    print(machine())
    for name in sys.argv[1:] or BENCHES:
        print(f"\n{name}: {sys.modules[BENCHES[name].__module__].__doc__}")
        BENCHES[name]()
