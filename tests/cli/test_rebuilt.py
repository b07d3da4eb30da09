"""A store that is made anew, as the runbook has it: what is withheld stays so, and numbers grow."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from blocker.policy import ledger
from blocker.policy.chain import Event

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Site


@pytest.fixture
def undone(site: Site) -> Site:
    """Generation 1 blocks one name, generation 2 another, and a rollback freed that one."""
    site.block("one", "one.example")
    assert site.apply().code == 0
    site.block("two", "two.example")
    assert site.apply().code == 0
    assert site.run("rollback", "1", "--reason", "a mistake").code == 0
    return site


def lose(site: Site) -> None:
    """The store is moved away."""
    for name in ("policy.lmdb", "policy.lmdb-lock"):
        path = site.folder / "state" / name
        path.rename(path.with_name(f"{name}.damaged"))


def numbers(site: Site) -> list[int]:
    """The generations that the ledger tells of, in its order."""
    rows = ledger.entries(site.folder / "state", only=("applied",))
    return [one.facts["generation"] for one in rows]


def withheld(site: Site) -> list[list[str]]:
    """What is withheld, since when, by whom and why."""
    return [line.split("\t") for line in site.run("release").out.splitlines()]


def test_what_was_rolled_back_stays_so_and_numbers_go_on(undone: Site) -> None:
    before = withheld(undone)
    lose(undone)
    ran = undone.apply()
    assert (ran.code, ran.err) == (0, "")
    assert "applied: generation 3, policy " in ran.out
    assert "withheld: what the ledger knows to be withheld stays so: a/two; `blocker release` lists it\n" in (
        ran.out
    )
    assert not undone.is_blocked("two.example")
    assert undone.is_blocked("one.example")
    assert withheld(undone) == before
    assert numbers(undone) == [1, 2, 3]
    assert undone.run("ledger", "verify").code == 0


def test_the_next_apply_says_nothing_of_it_and_keeps_it(undone: Site) -> None:
    lose(undone)
    undone.apply()
    undone.block("three", "three.example")
    ran = undone.apply()
    assert "applied: generation 4" in ran.out
    assert "what the ledger knows" not in ran.out
    assert not undone.is_blocked("two.example")


def test_it_is_released_as_if_nothing_had_happened(undone: Site) -> None:
    lose(undone)
    undone.apply()
    assert undone.run("release", "--rollback", "1").code == 0
    assert undone.is_blocked("two.example")
    lose(undone)
    assert "what the ledger knows" not in undone.apply().out
    assert undone.is_blocked("two.example")
    assert numbers(undone) == [1, 2, 3, 4]


def test_which_of_two_acts_was_ended_is_known_to_the_new_store(undone: Site) -> None:
    undone.run("withhold", "a/two", "--reason", "a question")
    undone.run("release", "--rollback", "1")
    before = withheld(undone)
    assert [row[3] for row in before] == ["a question"]
    lose(undone)
    undone.apply()
    assert withheld(undone) == before
    assert undone.run("release", "a/two").out.startswith("released: a/two is enforced again")


def test_what_many_acts_withheld_is_told_in_one_sentence(undone: Site) -> None:
    for number in range(8):
        undone.block(f"n{number}", f"n{number}.example")
        undone.apply()
        assert undone.run("withhold", f"a/n{number}", "--reason", "x").code == 0
    lose(undone)
    path = undone.folder / "site.yaml"
    path.write_text(path.read_text().replace("max_added: 5", "max_added: 50"))
    assert "stays so: a/n0, a/n1, a/n2, a/n3, a/n4 and 4 more; `blocker release`" in undone.apply().out


def test_plan_and_explain_say_before_the_apply_that_it_stays_withheld(undone: Site) -> None:
    lose(undone)
    made = json.loads(undone.run("plan", "--json").out)
    assert (made["added"], made["withheld"]) == (2, 1)
    said = {one["ref"]: one["withheld"] for one in made["changes"]}
    assert said["a/one/one"] == ""
    assert said["a/two/one"].startswith("by this operator since ")
    ran = undone.run("explain", "two.example", "--at", "2026-06-01", "--region", "ID")
    assert "two.example is not blocked" in ran.out
    assert "withheld by this operator" in ran.out
    assert "rollback to generation 1: a mistake" in ran.out
    assert undone.is_blocked("one.example", live=False)


@pytest.mark.parametrize("asked", ["1", "2", "3", "abc"])
def test_a_rollback_to_before_the_store_was_made_anew_is_refused_with_those_that_it_knows(
    undone: Site, asked: str
) -> None:
    lose(undone)
    undone.apply()
    ran = undone.run("rollback", asked, "--reason", "x")
    assert ran.code == 2
    assert (
        "the live policy is generation 3; roll back to one before it, 0 (0 is before the first apply). "
        "The store was made anew with generation 3, and knows none before. `blocker ledger` shows" in ran.err
    )
    assert undone.is_blocked("one.example")


@pytest.mark.parametrize(("applies", "earlier"), [(1, "0 or 3"), (2, "0 or 3 to 4")])
def test_from_its_first_generation_on_a_store_made_anew_is_rolled_back_as_any(
    undone: Site, applies: int, earlier: str
) -> None:
    lose(undone)
    undone.apply()
    for number in range(applies):
        undone.block(f"new{number}", f"new{number}.example")
        assert undone.apply().code == 0
    assert f"roll back to one before it, {earlier} (0 is" in undone.run("rollback", "2", "--reason", "x").err
    assert undone.run("rollback", "3", "--reason", "x").out.startswith("withheld: a/new0\n")
    assert not undone.is_blocked("new0.example")
    assert undone.is_blocked("one.example")
    assert undone.run("rollback", "0", "--reason", "x").code == 0
    assert not undone.is_blocked("one.example")


def garbage(site: Site) -> None:
    (site.folder / "state" / "ledger.sqlite").write_bytes(b"nonsense" * 1000)


def change(site: Site) -> None:
    with closing(sqlite3.connect(site.folder / "state" / "ledger.sqlite")) as database, database:
        database.execute("DROP TRIGGER events_never_change")
        database.execute("UPDATE events SET subject = 'a/one' WHERE subject = 'a/two'")


def cut(site: Site) -> None:
    with closing(sqlite3.connect(site.folder / "state" / "ledger.sqlite")) as database, database:
        database.execute("DROP TRIGGER events_never_go")
        database.execute("DELETE FROM events WHERE event = 'checked'")


def overflow(site: Site) -> None:
    lost = Event(at=1.0, event="not-kept", detail={"since": 0.0, "events": {"withheld": 2}})
    ledger.append(site.folder / "state", [lost])


@pytest.mark.parametrize(
    ("spoil", "why", "is_known"),
    [
        (garbage, "the ledger can't be read: ", False),
        (change, "entry 5 was changed; the trigger events_never_change is gone", True),
        (cut, "entry 2 is missing; ", True),
        (overflow, "it was never told of 'withheld', 2 of them", True),
    ],
    ids=["garbage", "change", "cut", "overflow"],
)
def test_a_ledger_that_is_not_whole_stops_nobody_and_what_may_be_lost_is_told(
    undone: Site, spoil: Callable[[Site], None], why: str, is_known: bool
) -> None:
    lose(undone)
    spoil(undone)
    for words in (("plan",), ("apply", "--yes")):
        ran = undone.run(*words)
        assert ran.code == 0
        assert "ledger.sqlite ledger-not-whole: there is no policy store, and of what was withheld" in ran.err
        assert why in ran.err
        assert "An apply blocks again what the ledger doesn't tell to be withheld" in ran.err
    assert undone.is_blocked("one.example")
    assert undone.is_blocked("two.example") is not is_known
    assert f"applied: generation {3 if is_known else 1}," in ran.out


def test_beside_a_store_nobody_asks_the_ledger_for_it(undone: Site) -> None:
    change(undone)
    assert "ledger-not-whole" not in undone.run("plan").err


def test_a_site_without_a_ledger_begins_with_the_first_generation(site: Site) -> None:
    site.block("one", "one.example")
    ran = site.apply()
    assert (ran.code, ran.err) == (0, "")
    assert "applied: generation 1," in ran.out
    assert "what the ledger knows" not in ran.out


@pytest.mark.parametrize("chosen", ["before it was lost", "with the new store"])
def test_what_a_site_kept_until_it_chose_to_lapse_was_in_force_until_then(site: Site, chosen: str) -> None:
    site.block("one", "one.example")
    site.write("one", site.path("one").read_text().replace("until: 2099-01-01", "review_by: 2026-01-15"))
    assert site.apply().code == 0
    path = site.folder / "site.yaml"
    path.write_text(f"{path.read_text()}review: {{overdue: lapse}}\n")
    if chosen == "before it was lost":
        assert site.apply().code == 0
    lose(site)
    assert site.apply().code == 0
    assert site.is_blocked("one.example", at="2026-01-20")
    assert not site.is_blocked("one.example", at="2099-01-01")
