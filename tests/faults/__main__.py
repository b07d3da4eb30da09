"""`python -m tests.faults [PROBES]`: healthy points probed so often, then the faults, and what was found."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.faults import lab, points, rounds


def main() -> int:
    wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder, points.running(Path(folder)) as site:
        probes, false = lab.probed(site, wanted)
        print(f"healthy: {probes:,} probes of {len(site.healthy)} points, {len(false)} false findings")
        amiss = [*false, *_shown("verify", site.look(site.faulty)[0]), *_shown("loss", site.lost())]
        watched = rounds.watched(site, site.watched)
        amiss += [*_shown("rounds", watched.cells), *watched.false]
        print(watched)
    for one in amiss:
        print(one)
    for name, reason in site.missing.items():
        print(f"{name}: {reason}")
    return 1 if amiss else 0


def _shown(how: str, cells: list[lab.Cell]) -> list[lab.Cell]:
    """The confusion matrix; what was wrong."""
    planted = {(cell.point, cell.fault) for cell in cells if cell.fault != "none"}
    wrong = [cell for cell in cells if not cell.is_right]
    print(
        f"\n{how}: {len(planted)} planted faults, {len(wrong)} of {len(cells)} cells (order at point) wrong"
    )
    print(lab.confusion(cells))
    return wrong


if __name__ == "__main__":
    sys.exit(main())
