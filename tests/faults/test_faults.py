"""Planted faults at real servers are found for what they are, and healthy ones are left in peace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from blocker.prober.judge import BAD, Kind
from tests.faults import lab, points, rounds

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.lab import Cell, Lab
    from tests.faults.rounds import Watched

PROBES = int(os.environ.get("BLOCKER_PROBES", "3000"))
"""Probes of healthy points, at least."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with points.running(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture(scope="module")
def cells(site: Lab) -> list[Cell]:
    """Where nothing could be told, once more: twenty servers on a busy machine may be too slow to answer."""
    found = {(cell.point, cell.order): cell for cell in site.look(site.faulty)[0]}
    unsure = {
        cell.point
        for cell in found.values()
        if not cell.is_right and cell.found <= {cell.wanted, *cell.also, Kind.INSUFFICIENT}
    }
    again = tuple(point for point in site.faulty if point.name in unsure)
    if again:
        found |= {(cell.point, cell.order): cell for cell in site.look(again)[0]}
    return list(found.values())


@pytest.fixture(scope="module")
def watched(site: Lab) -> Watched:
    return rounds.watched(site, site.watched)


def told(cells: list[Cell]) -> list[str]:
    return [str(cell) for cell in cells if not cell.is_right]


def test_healthy_points_have_no_findings(site: Lab) -> None:
    _, false = lab.probed(site, PROBES)
    assert told(false) == []


def test_every_planted_fault_is_found_for_what_it_is_and_nothing_else_is(cells: list[Cell]) -> None:
    assert told(cells) == [], f"\n{lab.confusion(cells)}"


def test_every_engine_and_every_sort_of_finding_had_its_faults(site: Lab, cells: list[Cell]) -> None:
    if site.missing:
        pytest.skip("; ".join(site.missing.values()))
    planted = {(cell.point, cell.fault) for cell in cells if cell.fault != "none"}
    assert len(planted) >= 40
    assert {cell.wanted for cell in cells} >= BAD | {Kind.INSUFFICIENT, Kind.OK}
    assert {point for point, _ in planted} >= {f"bad {name}" for name in points.POINTS}


def test_points_behind_a_lossy_way_are_not_said_to_do_anything_wrong(site: Lab) -> None:
    assert told(site.lost()) == []


def test_rounds_find_every_fault_once_each_way_had_its_turn(watched: Watched) -> None:
    assert told(watched.cells) == [], f"\n{lab.confusion(watched.cells)}"


def test_rounds_never_find_anything_at_healthy_points(watched: Watched) -> None:
    assert told(watched.false) == []
