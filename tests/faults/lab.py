"""What was planted at the points of one site, and what the prober finds there: a confusion matrix.

What it must find for each point and order is known. A look is one `verify`; `rounds` lets the daemon look.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from blocker.prober import daemon
from blocker.prober.judge import Kind
from tests.faults import planted

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.synchronize import Event
    from pathlib import Path

    from blocker.site import Point, Site

NO_ORDER = ""
"""That of the site's own canaries."""
FINE = frozenset({Kind.OK, Kind.MOOT})

Wanted = tuple[str, Kind, frozenset[Kind]]
"""The id of the fault, what must be found, and what may be found beside it."""

Found = dict[tuple[str, str], list[tuple[Kind, str]]]
"""By (point, order) the kinds that were found, each with rule and detail."""

NONE: Wanted = ("none", Kind.OK, frozenset())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One order at one point: what was planted (ok: nothing) and what was found."""

    point: str
    order: str
    fault: str
    wanted: Kind
    also: frozenset[Kind]
    found: frozenset[Kind]
    told: frozenset[str] = frozenset()
    """Rule and detail of each finding."""

    @property
    def is_right(self) -> bool:
        has_wanted = self.wanted in self.found or self.wanted is Kind.OK
        return has_wanted and self.found <= {self.wanted, *self.also}

    @property
    def verdict(self) -> str:
        """What was found, without what comes of it."""
        return "+".join(sorted(self.found - (self.also if self.wanted in self.found else set()))) or Kind.OK

    def __str__(self) -> str:
        found = f"{self.point} {self.order} ({self.fault}): wanted {self.wanted}, found {sorted(self.found)}"
        return "\n  ".join([found, *sorted(self.told)])


@dataclass(kw_only=True)
class Lab:
    """The site of all points, and the same with a `few` of the orders and another store. `wanted` is what
    must be found, by (point, order); all else is fine. Once `fade` is set, some points' blocks fade.
    """

    site: Site
    few: Site
    orders: Mapping[Path, tuple[str, ...]]
    fade: Event
    wanted: dict[tuple[str, str], Wanted] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)

    def look(
        self, points: tuple[Point, ...], *, site: Site | None = None, timeout: float = 4.0
    ) -> tuple[list[Cell], int]:
        """One `verify` of these points, judged by what was planted, and the number of probes."""
        site = site or self.site
        verified = daemon.verify(replace(site, points=points), timeout=timeout, limit=20)
        assert (verified.unjudged, verified.unasked) == (0, 0)
        found: Found = {}
        for one in verified.findings:
            told = f"{one.rule} {one.qtype} {one.variant}: {one.detail}"
            found.setdefault((one.point, one.order), []).append((one.kind, told))
        return self.cells(points, site, found), len(verified.findings)

    def lost(self) -> list[Cell]:
        """What is found where datagrams are lost, after less waiting for them."""
        return self.look(self.unheard, site=self.few, timeout=0.5)[0]

    def cells(self, points: tuple[Point, ...], site: Site, found: Found) -> list[Cell]:
        """What was found beside what was planted, for each of the points and of the site's orders."""
        cells = []
        for point in points:
            for order in self.orders[site.state]:
                fault, wanted, also = self.wanted.get((point.name, order), NONE)
                own = [one for one in found.get((point.name, order), ()) if one[0] not in FINE]
                cells.append(
                    Cell(
                        point=point.name,
                        order=order,
                        fault=fault,
                        wanted=wanted,
                        also=also,
                        found=frozenset(kind for kind, _ in own),
                        told=frozenset(told for _, told in own),
                    )
                )
        return cells

    def named(self, *first: str) -> tuple[Point, ...]:
        """The points whose names begin with one of these words."""
        return tuple(one for one in self.site.points if one.name.startswith(first))

    @property
    def healthy(self) -> tuple[Point, ...]:
        return self.named("good ")

    @property
    def unheard(self) -> tuple[Point, ...]:
        """Those that not all datagrams, or none, reach."""
        return self.named("lossy ", "silent ", "no-udp ")

    @property
    def watched(self) -> tuple[Point, ...]:
        """Those for rounds: healthy ones, every fault of ways within their reach, and what shows in time."""
        ways = (f"{fault} embedded" for fault in planted.LEAKS if fault not in planted.SELDOM)
        forgers = ("injected embedded", "mimicked embedded")
        return self.named("good ", "faded ", "stale ", "leak-alias ", "blind dnsdist", *forgers, *ways)

    @property
    def faulty(self) -> tuple[Point, ...]:
        others = (*self.healthy, *self.unheard, *self.named("faded "))
        return tuple(one for one in self.site.points if one not in others)


def probed(site: Lab, wanted: int) -> tuple[int, list[Cell]]:
    """Look at the healthy points until that many probes were judged; the number, and what was found amiss."""
    probes, false = 0, []
    while probes < wanted:
        cells, number = site.look(site.healthy)
        probes += number
        false += [cell for cell in cells if not cell.is_right]
    return probes, false


def confusion(cells: list[Cell]) -> str:
    """Planted by found, as a table."""
    rows: dict[Kind, Counter[str]] = {}
    for cell in cells:
        rows.setdefault(cell.wanted, Counter())[cell.verdict] += 1
    columns = sorted({found for row in rows.values() for found in row})
    head = ["planted \\ found", *columns]
    lines = [head, *([str(kind), *(str(row[found]) for found in columns)] for kind, row in rows.items())]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "\n".join(
        "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines
    )
