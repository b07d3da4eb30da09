"""`blocker rollback`: one command undoes a mistaken apply, and blocks nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Site


@pytest.fixture
def mistaken(site: Site) -> Site:
    """Generation 1 blocks one name; generation 2 two more, by two orders, and lifts the first."""
    site.block("one", "one.example")
    assert site.apply().code == 0
    site.block("two", "two.example")
    site.block("three", "three.example")
    site.act("end", "lift", "a/one")
    assert site.apply().code == 0
    return site


def test_what_came_since_is_no_longer_enforced_and_what_was_lifted_stays_lifted(mistaken: Site) -> None:
    assert mistaken.is_blocked("two.example")
    ran = mistaken.run("rollback", "1", "--reason", "a list of the wrong country")
    assert ran.code == 0
    assert ran.out.splitlines()[:2] == ["withheld: a/three", "withheld: a/two"]
    assert not any(mistaken.is_blocked(f"{name}.example") for name in ("one", "two", "three"))


def test_it_survives_later_applies_until_it_is_released(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    mistaken.block("four", "four.example")
    assert mistaken.apply().code == 0
    assert mistaken.is_blocked("four.example")
    assert not mistaken.is_blocked("two.example")
    assert mistaken.run("release", "a/two", "a/three").code == 0
    assert mistaken.is_blocked("two.example")
    assert mistaken.is_blocked("three.example")


def test_it_is_the_operators_own_act_with_its_reason(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "a mistake")
    said = mistaken.run("explain", "two.example", "--live", "--at", "2026-06-01", "--region", "ID").out
    assert "withheld" in said
    assert "rollback to generation 1: a mistake" in said
    [event] = [
        one for one in json.loads(mistaken.run("ledger", "--json").out) if one["event"] == "rolled-back"
    ]
    assert event["detail"]["refs"] == ["a/three", "a/two"]
    assert (event["detail"]["generation"], event["detail"]["from"]) == (1, 2)
    assert event["detail"]["reason"] == "rollback to generation 1: a mistake"


def test_to_the_beginning_everything_goes(mistaken: Site) -> None:
    mistaken.block("four", "four.example")
    mistaken.apply()
    assert mistaken.run("rollback", "0", "--reason", "x").code == 0
    assert not any(mistaken.is_blocked(f"{name}.example") for name in ("one", "two", "three", "four"))


def test_a_dry_run_changes_nothing(mistaken: Site) -> None:
    ran = mistaken.run("rollback", "1", "--reason", "x", "--dry-run")
    assert ran.out.splitlines() == ["would be withheld: a/three", "would be withheld: a/two"]
    assert mistaken.is_blocked("two.example")


def test_twice_is_once(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("rollback", "1", "--reason", "x")
    assert ran.code == 0
    assert ran.out == "nothing that came into force since generation 1 is enforced here\n"


@pytest.mark.parametrize("generation", ["2", "3", "99"])
def test_a_generation_that_is_not_before_is_refused(mistaken: Site, generation: str) -> None:
    ran = mistaken.run("rollback", generation, "--reason", "x")
    assert ran.code == 2
    assert "the live policy is generation 2; roll back to one before it, 0 to 1" in ran.err
    assert mistaken.is_blocked("two.example")


def test_a_reason_must_be_given(mistaken: Site) -> None:
    assert mistaken.run("rollback", "1").code == 2
    assert mistaken.run("rollback", "1", "--reason", " ").code == 2
    assert mistaken.is_blocked("two.example")


def test_what_is_released_is_released_whole_or_not_at_all(mistaken: Site) -> None:
    mistaken.run("rollback", "1", "--reason", "x")
    ran = mistaken.run("release", "a/two", "a/nine")
    assert ran.code == 2
    assert "'a/nine' is not withheld; withheld are: a/three, a/two" in ran.err
    assert not mistaken.is_blocked("two.example")
