"""`python -m tests.faults [PROBES]`: healthy points probed so often, then the faults, and what was found."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults import lab


def main() -> int:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, lab.running(Path(folder)) as site:
        probes, false = lab.probed(site, wanted)
        print(f"healthy: {probes:,} probes of {len(site.healthy)} points, {len(false)} false findings")
        cells, _ = site.look(site.faulty)
    planted = {(cell.point, cell.fault) for cell in cells if cell.fault != "none"}
    wrong = [cell for cell in cells if not cell.is_right]
    print(f"{len(planted)} planted faults, {len(wrong)} of {len(cells)} cells (order at point) wrong\n")
    print(lab.confusion(cells))
    for one in (*false, *wrong):
        print(one)
    for name, reason in site.missing.items():
        print(f"{name}: {reason}")
    return 1 if false or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
