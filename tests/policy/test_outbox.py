"""What was done waits in the store until the ledger has it, and is told once."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from blocker.policy import ledger, outbox, store, writer
from blocker.policy.chain import Event
from blocker.policy.reader import Reader
from blocker.policy.records import Trust, Withheld
from tests.policy.child import Child
from tests.policy.strategies import EPOCH, directive, order
from tests.policy.test_writer import target

if TYPE_CHECKING:
    from pathlib import Path

ORDER = order("x/1", directives=(directive("d", "a.example"),))


def applied(state: Path, number: int = 1, base: str = "") -> str:
    """One apply that nobody told the ledger of yet; the policy's digest."""
    one = target([ORDER], lambda _: (), number=number)
    event = Event(at=float(one.generation.applied_at), event="applied", detail={"generation": number})
    writer.commit(state, one, base=base, events=[event])
    return one.generation.digest


def withheld(state: Path, at: float) -> None:
    event = Event(at=at, event="withheld", subject="x/1", detail={"reason": "appeal"})
    writer.withhold(state, Withheld(reason="appeal", at=at, by="me"), "x/1", events=[event])


def told(state: Path) -> list[tuple[float, str]]:
    return [(one.at, one.event) for one in ledger.entries(state)]


def test_what_was_done_is_told_in_its_order_with_its_own_time_and_once(tmp_path: Path) -> None:
    applied(tmp_path)
    withheld(tmp_path, EPOCH + 1.5)
    assert outbox.compare(tmp_path) == (2, [])
    outbox.tell(tmp_path)
    outbox.tell(tmp_path)
    assert told(tmp_path) == [(EPOCH, "applied"), (EPOCH + 1.5, "withheld")]
    assert outbox.compare(tmp_path) == (0, [])
    assert ledger.verify(tmp_path) == []


def test_who_tells_what_another_has_told_meanwhile_adds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(tmp_path)
    with monkeypatch.context() as stopped:
        stopped.setattr(writer, "tidy", lambda *_: None)
        outbox.tell(tmp_path)
    assert outbox.compare(tmp_path) == (0, [])
    withheld(tmp_path, EPOCH + 1)
    outbox.tell(tmp_path)
    assert told(tmp_path) == [(EPOCH, "applied"), (EPOCH + 1, "withheld")]


def test_a_ledger_of_before_is_added_to(tmp_path: Path) -> None:
    """It has no index of the salts, and a row that somebody spoilt."""
    ledger.append(tmp_path, [Event(at=1.0, event="reported")])
    with closing(sqlite3.connect(tmp_path / ledger.FILE)) as database:
        database.execute("DROP INDEX events_salts")
        database.execute("DROP TRIGGER events_never_change")
        database.execute("UPDATE events SET detail = '{'")
        database.commit()
    applied(tmp_path)
    assert outbox.compare(tmp_path) == (1, [])
    outbox.tell(tmp_path)
    assert [event for _, event in told(tmp_path)] == ["reported", "applied"]


def test_while_the_ledger_can_not_be_written_everything_waits_and_the_policy_holds(tmp_path: Path) -> None:
    (tmp_path / ledger.FILE).write_bytes(b"no database, but long enough to be read as one" * 40)
    digest = applied(tmp_path)
    said: list[str] = []
    outbox.tell(tmp_path, said.append)
    outbox.tell(tmp_path)
    (one,) = said
    assert one.endswith("; what was done is kept, and told by the next `blocker apply`")
    (flaw,) = outbox.compare(tmp_path)[1]
    assert flaw.startswith("the ledger can't be compared with what is applied: ")
    (tmp_path / ledger.FILE).unlink()
    applied(tmp_path, 2, digest)
    outbox.tell(tmp_path)
    assert [one.facts["generation"] for one in ledger.entries(tmp_path)] == [1, 2]


def test_of_what_no_room_is_left_for_the_sums_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(tmp_path)
    monkeypatch.setattr(writer, "ROOM", 1)
    withheld(tmp_path, EPOCH + 1)
    withheld(tmp_path, EPOCH + 2)
    writer.release(tmp_path, {}, at=EPOCH + 3, events=[Event(at=EPOCH + 3, event="released")])
    assert outbox.compare(tmp_path) == (2, [])
    outbox.tell(tmp_path)
    assert told(tmp_path) == [(EPOCH, "applied"), (EPOCH + 3, "not-kept")]
    *_, last = ledger.entries(tmp_path)
    assert last.facts == {"since": EPOCH + 1, "events": {"withheld": 2, "released": 1}}


@pytest.mark.parametrize(
    ("known", "flaw"),
    [
        ([1, 2, 3, 4, 5, 6, 7], ""),
        ([1, 2, 3, 4, 5, 6, 7, 8, -1], ""),
        ([], "generation 1 to 7: it was lost or cut off"),
        ([1, 2, 3, 4, 5, 6], "generation 7: it was lost or cut off"),
        ([1, 2, 3, [4], "5", None, 7], "generation 4 to 6: it was lost or cut off"),
        ([3, 5, 6, 7], "generation 1 to 2, 4: it was lost or cut off"),
    ],
)
def test_generations_that_the_ledger_lacks_are_found(tmp_path: Path, known: list[object], flaw: str) -> None:
    writer.commit(tmp_path, target([ORDER], lambda _: (), number=7), base="")
    events = [Event(at=EPOCH, event="applied", detail={"generation": number}) for number in known]
    ledger.append(tmp_path, events)
    flaws = outbox.compare(tmp_path)[1]
    assert flaws == ([f"the ledger does not say who applied {flaw}"] if flaw else [])


def test_of_many_gaps_the_first_are_said(tmp_path: Path) -> None:
    writer.commit(tmp_path, target([ORDER], lambda _: (), number=12), base="")
    events = [Event(at=EPOCH, event="applied", detail={"generation": 2 * number}) for number in range(1, 7)]
    ledger.append(tmp_path, events)
    (flaw,) = outbox.compare(tmp_path)[1]
    assert "generation 1, 3, 5, 7, 9, …: " in flaw


def test_a_generation_of_the_same_number_from_another_store_is_not_the_live_one(tmp_path: Path) -> None:
    writer.commit(tmp_path, target([ORDER], lambda _: (), number=1), base="")
    ledger.append(tmp_path, [Event(at=EPOCH - 9, event="applied", detail={"generation": 1})])
    assert outbox.compare(tmp_path) == (
        0,
        ["what the ledger says of generation 1 is not of the one that is live"],
    )


def test_where_nothing_is_applied_nothing_is_lacking(tmp_path: Path) -> None:
    outbox.tell(tmp_path, pytest.fail)
    assert outbox.compare(tmp_path) == (0, [])
    with pytest.raises(Exception, match="no policy has been applied yet"):
        writer.withhold(tmp_path, Withheld(reason="r", at=1.0, by="me"), "x/1")
    outbox.tell(tmp_path, pytest.fail)
    writer.settle(tmp_path, (), Trust())
    outbox.tell(tmp_path, pytest.fail)
    assert outbox.compare(tmp_path) == (0, [])


def test_what_waits_and_can_not_be_read_is_said(tmp_path: Path) -> None:
    applied(tmp_path)
    with store.environment(tmp_path, write=True) as opened, opened.begin(write=True) as txn:
        txn.put(store.OUTBOX, b"{", db=opened.open_db(b"meta", txn=txn))
    said: list[str] = []
    outbox.tell(tmp_path, said.append)
    assert "what waits for the ledger can't be read" in said[0]
    os.truncate(tmp_path / store.FILE, 8192)
    outbox.tell(tmp_path, said.append)
    assert "the store is truncated" in said[1]


def test_enforcers_do_not_read_the_policy_anew_when_the_ledger_was_told(tmp_path: Path) -> None:
    applied(tmp_path)
    teller, other = Child(lambda: outbox.tell(tmp_path)), Child(lambda: withheld(tmp_path, EPOCH))
    reader = Reader(tmp_path)
    with reader.snapshot() as before:
        stamp = before.stamp
    assert teller.go() == "None"
    assert reader.is_overtaken
    with reader.snapshot() as after:
        assert after is before
        assert after.stamp == stamp
        assert [one.ref for one in after.directives.values()] == ["x/1/d"]
    assert not reader.is_overtaken
    assert other.go() == "None"
    with reader.snapshot() as last:
        assert list(last.withheld) == ["x/1"]
    reader.close()
