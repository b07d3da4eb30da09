"""Whatever dies between the policy and the ledger, or becomes of the ledger: no act is lost, and none is told
twice.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from blocker.policy import ledger, outbox, writer
from blocker.policy.chain import Event
from tests.policy.child import in_child

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.cli.conftest import Site
    from tests.cli.signing import Signing

PLACES = {"before the ledger": (ledger, "append"), "after the ledger": (writer, "tidy")}


@pytest.fixture(params=PLACES)
def killed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Run a verb that is killed where it tells the ledger; the policy is changed by then."""
    where = PLACES[request.param]

    def run(site: Site, *words: str) -> None:
        def work() -> object:
            monkeypatch.setattr(*where, lambda *_: os.kill(os.getpid(), signal.SIGKILL))
            return site.run(*words)

        assert in_child(work) == "killed by SIGKILL"

    return run


def events(site: Site) -> list[str]:
    return [one.event for one in ledger.entries(site.folder / "state")]


def caught_up(site: Site, *, last: str, count: int) -> None:
    """The ledger is whole, before and after the next apply, which has nothing to do; it tells of the act."""
    said = site.run("ledger", "verify")
    assert said.code == 0
    waits = last not in events(site)
    assert ("not in the ledger yet; the next `blocker apply` writes" in said.err) is waits
    ran = site.apply()
    assert (ran.code, ran.err) == (0, "")
    assert events(site).count(last) == count
    assert site.apply().code == 0
    assert events(site).count(last) == count
    verified = site.run("ledger", "verify")
    assert (verified.code, verified.err) == (0, "")


def test_an_apply_that_was_killed_is_told(site: Site, killed: Callable[..., None]) -> None:
    site.block("one", "one.example")
    digest = json.loads(site.run("plan", "--json").out)["digest"]
    killed(site, "apply", "--accept", digest, "--reason", "the court is right")
    assert site.is_blocked("one.example")
    caught_up(site, last="applied", count=1)
    (told,) = ledger.entries(site.folder / "state", only=("accepted",))
    assert told.facts["reason"] == "the court is right"


def test_an_emergency_and_its_settlement_that_were_killed_are_told(
    signing: Signing, killed: Callable[..., None]
) -> None:
    signing.block("x", "x.example", "dora")
    killed(signing.site, "apply", "--yes", "--emergency", "a/x", "--reason", "phishing")
    assert signing.site.is_blocked("x.example")
    assert signing.site.run("ledger", "verify").code == 0
    signing.sign("x", "alice", "bob")
    killed(signing.site, "apply", "--yes")
    caught_up(signing.site, last="approved", count=1)
    assert (events(signing.site).count("emergency"), events(signing.site).count("applied")) == (1, 1)


def test_withholding_releasing_and_rolling_back_that_were_killed_are_told(
    site: Site, killed: Callable[..., None]
) -> None:
    site.block("one", "one.example")
    assert site.apply().code == 0
    killed(site, "withhold", "a/one", "--reason", "an appeal")
    caught_up(site, last="withheld", count=1)
    killed(site, "release", "a/one")
    caught_up(site, last="released", count=1)
    killed(site, "rollback", "0", "--reason", "a mistake")
    assert not site.is_blocked("one.example", at="2099-01-01")
    caught_up(site, last="rolled-back", count=1)
    times = [one.at for one in ledger.entries(site.folder / "state")]
    assert times == sorted(times)


def test_what_was_done_while_the_ledger_could_not_be_read_is_told_by_the_next_act(site: Site) -> None:
    site.block("one", "one.example")
    path = site.folder / "state" / ledger.FILE
    path.parent.mkdir()
    path.write_bytes(b"no database, but long enough to be read as one" * 40)
    ran = site.apply()
    assert (ran.code, "what was done is kept, and told by the next `blocker apply`" in ran.err) == (0, True)
    assert site.run("ledger", "verify").code == 4
    path.unlink()
    said = site.run("ledger")
    assert said.code == 0
    assert "4 events are not in the ledger yet; the next `blocker apply` writes them" in said.err
    assert site.run("withhold", "a/one", "--reason", "an appeal").code == 0
    assert events(site) == ["received", "checked", "planned", "applied", "withheld"]


def test_one_event_that_waits_is_said_as_one(site: Site) -> None:
    site.block("one", "one.example")
    assert site.apply().code == 0
    with pytest.MonkeyPatch.context() as stopped:
        stopped.setattr(outbox, "tell", lambda *_: None)
        assert site.run("withhold", "a/one", "--reason", "an appeal").code == 0
    assert "1 event is not in the ledger yet; the next `blocker apply` writes it" in site.run("ledger").err


@pytest.mark.parametrize("verb", [("ledger",), ("ledger", "verify")])
def test_a_ledger_that_was_lost_is_not_whole_whatever_is_added_to_it(
    site: Site, verb: tuple[str, ...]
) -> None:
    site.block("one", "one.example")
    assert site.apply().code == 0
    for file in (site.folder / "state").glob(f"{ledger.FILE}*"):
        file.unlink()
    lost = "the ledger does not say who applied generation 1: it was lost or cut off"
    said = site.run(*verb)
    assert (said.code, lost in said.err) == (4, True)
    site.block("two", "two.example")
    assert site.apply().code == 0
    said = site.run(*verb)
    assert (said.code, lost in said.err) == (4, True)


def test_an_end_that_was_cut_off_is_found_without_a_head(site: Site) -> None:
    for name in ("one", "two"):
        site.block(name, f"{name}.example")
        assert site.apply().code == 0
    path = site.folder / "state" / ledger.FILE
    whole = [*ledger.entries(path.parent)]
    assert [one.event for one in whole] == ["received", "checked", "planned", "applied"] * 2
    path.unlink()
    ledger.append(path.parent, [Event(at=one.at, event=one.event, detail=one.facts) for one in whole[:4]])
    said = site.run("ledger", "verify")
    assert (said.code, "who applied generation 2: it was lost or cut off" in said.err) == (4, True)
    assert "whole" not in said.out
