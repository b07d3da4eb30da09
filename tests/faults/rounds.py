"""The daemon's own rounds over the points of the lab, and what its report says after each."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blocker.prober import daemon, matrix, report
from blocker.prober.judge import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocker.prober.report import Snapshot
    from blocker.site import Point
    from tests.faults.lab import Cell, Found, Lab

_PATIENCE = 120.0
_FADE_AFTER = 2  # rounds


@dataclass(kw_only=True)
class Watched:
    """What the reports said: the cells of the last, those that were ever wrong at points where nothing was
    planted, and in which round each planted fault was first found, from 1.
    """

    cells: list[Cell]
    false: list[Cell]
    found_in: dict[tuple[str, str], int] = field(default_factory=dict)

    def __str__(self) -> str:
        counted = sorted(Counter(self.found_in.values()).items())
        return "found first " + ", ".join(f"in round {number}: {faults}" for number, faults in counted)


def watched(site: Lab, points: tuple[Point, ...]) -> Watched:
    """Let the daemon look at these points for as many rounds as there are ways to ask one."""
    rounds = max(len(matrix.ways(point)) for point in points)
    made = Watched(cells=[], false=[])

    def read(snapshot: Snapshot, number: int) -> None:
        found: Found = {}
        for one in snapshot.not_ok:
            told = f"{one.rule} {one.variant}: {one.detail}"
            found.setdefault((one.point, one.order), []).append((Kind(one.kind), told))
        made.cells = site.cells(points, site.few, found)
        for cell in made.cells:
            if cell.wanted is Kind.OK and not cell.is_right:
                made.false.append(cell)
            if cell.wanted is not Kind.OK and cell.wanted in cell.found:
                made.found_in.setdefault((cell.point, cell.order), number)

    asyncio.run(_watch(site, points, rounds, read))
    return made


async def _watch(
    site: Lab, points: tuple[Point, ...], rounds: int, read: Callable[[Snapshot, int], None]
) -> None:
    here = replace(site.few, points=points)
    stop = asyncio.Event()
    watching = asyncio.create_task(daemon.watch(here, lambda: None, stop))
    try:
        end, ended, done = time.monotonic() + _PATIENCE, 0.0, 0
        while done < rounds:
            assert time.monotonic() < end, f"{done} rounds in {_PATIENCE} s"
            await asyncio.sleep(0.1)
            snapshot = _report(here.state)
            if snapshot is None:
                continue
            read(snapshot, done + 1)
            if snapshot.round_at > ended:
                ended, done = snapshot.round_at, done + 1
                if done == _FADE_AFTER:
                    site.fade.set()
    finally:
        stop.set()
        await watching


def _report(state: Path) -> Snapshot | None:
    path = state / report.FILE
    return report.from_json(path.read_bytes()) if path.exists() else None
