"""Planted faults at real servers are found for what they are, and healthy ones are left in peace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from blocker.prober.judge import BAD, Kind
from tests.faults import lab

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.lab import Cell, Lab

PROBES = int(os.environ.get("BLOCKER_PROBES", "3000"))
"""Probes of healthy points, at least."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab.running(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture(scope="module")
def cells(site: Lab) -> list[Cell]:
    return site.look(site.faulty)[0]


def test_healthy_points_have_no_findings(site: Lab) -> None:
    _, false = lab.probed(site, PROBES)
    assert [str(cell) for cell in false] == []


def test_every_planted_fault_is_found_for_what_it_is_and_nothing_else_is(cells: list[Cell]) -> None:
    wrong = [str(cell) for cell in cells if not cell.is_right]
    assert wrong == [], f"\n{lab.confusion(cells)}"


def test_every_engine_and_every_sort_of_finding_had_its_faults(site: Lab, cells: list[Cell]) -> None:
    if site.missing:
        pytest.skip("; ".join(site.missing.values()))
    planted = {(cell.point, cell.fault) for cell in cells if cell.fault != "none"}
    assert len(planted) >= 40
    assert {cell.wanted for cell in cells} >= BAD | {Kind.INSUFFICIENT, Kind.OK}
    assert {point for point, _ in planted} >= {f"bad {name}" for name in lab.POINTS}
