"""An order's whole life, 20 times: how long after its instants do clients and the prober see it?"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.bench.load import percentile

if TYPE_CHECKING:
    from tests.bench.options import Options

FIGURES = {
    "block_delay": "from -> first blocked answer",
    "lift_delay": "until -> first lifted answer",
    "confirmed_block_delay": "from -> confirmed by probe",
    "confirmed_lift_delay": "until -> confirmed by probe",
}


def run(options: Options) -> None:
    """Run `blocker demo` again and again and print the distribution of its delays, in milliseconds."""
    runs = options.rounds or (2 if options.quick else 20)
    found: list[dict[str, float]] = []
    faults = 0
    for number in range(runs):
        demo = subprocess.run(
            [sys.executable, "-m", "blocker", "demo", "--json"], capture_output=True, text=True, check=False
        )
        facts = json.loads(demo.stdout)
        if demo.returncode:
            faults += 1
            print(f"run {number + 1}: not as ordered: {facts['faults']}")
        else:
            found.append({key: facts[key] * 1000 for key in FIGURES})
    print(f"{runs} runs, {runs - faults} as ordered")
    for key, what in FIGURES.items():
        values = sorted(one[key] for one in found)
        if values:
            print(
                f"{what:<32} median {percentile(values, 0.5):6.1f} ms  max {values[-1]:6.1f} ms   "
                + " ".join(f"{value:.1f}" for value in values)
            )
