"""The report of an order's whole life, from the real daemon's evidence to what a browser shows."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING

import jsonschema
import pytest

from blocker.compliance.schema import SCHEMA
from blocker.demo.story import ORDER, Story
from blocker.web.compliance import page
from tests.prober import lives
from tests.servers import browser, lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.browser import Page

SCREENS = [pytest.param(1280, id="desktop"), pytest.param(390, id="telephone")]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site on which the demo's order began, was proven, and ended."""
    folder = tmp_path_factory.mktemp("life")
    result = Story(folder, lambda at, who, what: None).run()
    assert result.faults == []
    return folder


def report(folder: Path, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = lab.blocker(folder / "site.yaml", "report", *words)
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Page]:
    with browser.page(tmp_path) as one:
        yield one


def test_the_life_of_an_order_is_in_its_report_and_the_document_is_as_its_schema_says(lived: Path) -> None:
    ran = report(lived, ORDER, "--format", "json")
    assert (ran.returncode, ran.stderr) == (0, b"")
    made = json.loads(ran.stdout)
    jsonschema.validate(made, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [one["change"] for one in made["confirmations"]] == ["in-force", "lifted"]
    assert all(one["lateness_seconds"] >= 0 for one in made["confirmations"])
    assert all(len(one["evidence"]) == 64 for one in made["confirmations"])
    assert made["exceptions"] == []
    assert made["evidence"]["flaws"] == []
    assert {one["variant"] for one in made["coverage"]["variants"]} >= {"udp", "tcp"}
    assert json.loads(report(lived, "--schema").stdout) == SCHEMA


@pytest.mark.parametrize("form", ["html", "json"])
def test_the_same_evidence_gives_the_same_octets(lived: Path, form: str) -> None:
    first, second = (report(lived, ORDER, "--format", form).stdout for _ in range(2))
    assert first == second != b""


def looked_at(one: Page, path: Path, width: int, shot: Path) -> None:
    """Open it and hold it to what every report must be."""
    one.open(path, width)
    assert one.said == []
    assert one.value("document.title").startswith("Observed by probe: ")
    assert one.value("document.querySelectorAll('script, link[rel=stylesheet], iframe').length") == 0
    assert one.value("performance.getEntriesByType('resource').length") == 0
    assert one.value("document.documentElement.scrollWidth") <= width, "nothing sticks out"
    smallest = (
        "Math.min(...[...document.querySelectorAll('main *')].filter(e => e.textContent.trim())"
        ".map(e => parseFloat(getComputedStyle(e).fontSize)))"
    )
    assert one.value(smallest) >= 11.5, "all of it can be read"
    for ident in ("time", "heat"):
        box = f"document.querySelector('[aria-labelledby^=\"{ident}-\"]').getBoundingClientRect()"
        assert one.value(f"{box}.width") > 300
        assert one.value(f"document.getElementById('{ident}-title').textContent")
    one.photograph(shot)
    assert shot.read_bytes().startswith(b"\x89PNG")
    assert shot.stat().st_size > 20_000, "there is something to see"


@pytest.mark.parametrize("width", SCREENS)
def test_a_browser_shows_the_report_of_a_life_without_complaint(
    lived: Path, tmp_path: Path, opened: Page, width: int
) -> None:
    path = tmp_path / "report.html"
    ran = report(lived, ORDER, "--out", str(path))
    assert ran.returncode == 0
    looked_at(opened, path, width, tmp_path / "report.png")
    assert "complied" in opened.value("document.body.innerText")
    assert opened.value("document.body.innerText.match(/complied/g).length") == 1, "in the disclaimer alone"


@pytest.mark.parametrize("width", SCREENS)
@pytest.mark.parametrize("life", ["whole", "sealed"])
def test_a_browser_shows_every_part_of_a_report_without_complaint(
    tmp_path: Path, opened: Page, width: int, life: str
) -> None:
    path = tmp_path / f"{life}.html"
    path.write_text(page(lives.whole() if life == "whole" else lives.sealed()), encoding="utf-8")
    looked_at(opened, path, width, tmp_path / "report.png")


def test_text_from_outside_stays_text(tmp_path: Path, opened: Page) -> None:
    """Authorities, references and reasons are whatever somebody wrote."""
    path = tmp_path / "hostile.html"
    facts = lives.hostile()
    path.write_text(page(facts), encoding="utf-8")
    opened.open(path, 800)
    assert opened.said == []
    assert opened.value("document.querySelectorAll('script, img, b').length") == 0
    assert lives.HOSTILE in opened.value("document.querySelector('h1').parentElement.textContent")
