"""What is written down: what proves something, and never the same again and again."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from blocker.policy.chain import Event
from blocker.prober import evidence, keeping
from blocker.prober.expect import Why
from blocker.prober.judge import Kind
from blocker.prober.keeping import DAY, HOUR, NAMES, REPEAT, TAKEN_BACK, Choice, Diary, Known, confirms
from blocker.prober.observe import OVER_TCP
from tests.prober.proof import blocked, expectation, forged, once, twice
from tests.prober.world import T, key, real

SPACE = 1 << 30
OK = once(expectation(), blocked)
LEAK = twice(expectation(), real)
FREE = once(expectation(why=Why.EXCEPT, form=None, name=key("free.example")), real)
LIFTED = once(expectation(why=Why.ENDED, form=None, ended=T - 10), real)


def wants(choice: Choice, record: Any, at: float, **more: Any) -> bool:
    instances = more.pop("instances", ())
    return choice.wants(record.expectation, replace(record.finding, at=at, **more), instances)


def kept(choice: Choice, record: Any, moments: list[float], **more: Any) -> list[float]:
    return [at for at in moments if wants(choice, record, T + at, **more)]


def note(diary: Diary, record: Any, at: float = T, now: float = 0.0) -> list[Event]:
    return diary.note(record.expectation, replace(record.finding, at=at), now)


def test_lasting_trouble_is_kept_more_and_more_seldom_and_its_end_once() -> None:
    choice = Choice(SPACE)
    every = [30.0 * number for number in range(200)]
    assert kept(choice, LEAK, every) == [0, REPEAT, 3 * REPEAT, 7 * REPEAT]
    assert kept(choice, FREE, [6000.0]) == [6000.0], "another question"
    assert kept(choice, OK, [6000.0, 6030.0, 6060.0]) == [6000.0, 6030.0]
    assert kept(choice, LEAK, [6090.0]) == [6090.0], "trouble begins anew"


def test_trouble_is_never_kept_more_seldom_than_daily() -> None:
    choice = Choice(SPACE)
    found = kept(choice, LEAK, [60.0 * number for number in range(10 * 1440)])
    assert max(later - one for one, later in pairwise(found)) == DAY


def test_trouble_that_changes_is_kept() -> None:
    choice = Choice(SPACE)
    assert wants(choice, LEAK, T)
    assert wants(choice, LEAK, T + 1, kind=Kind.PARTIAL, rule="blocked-in-part")
    assert wants(choice, LEAK, T + 2, rule="another")
    assert wants(choice, LEAK, T + 3)
    assert not wants(choice, LEAK, T + 4)


def test_a_clock_stepped_back_hides_nothing_for_long() -> None:
    choice = Choice(SPACE)
    assert wants(choice, LEAK, T)
    assert wants(choice, LEAK, T - DAY)


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        (OK, ("in-force", T - 1000)),
        (LIFTED, ("lifted", T - 10)),
        (LEAK, None),
        (FREE, None),
        (once(expectation(started=None), blocked), None),
        (once(expectation(why=Why.ENDED, ended=T - 10), blocked), None),
        (once(expectation(why=Why.ENDED, form=None, ended=None), real), None),
        (once(expectation(why=Why.SUBJECT, form=None), real), None),
    ],
)
def test_a_start_or_end_is_confirmed_by_what_is_as_ordered_after_it(record: Any, expected: Any) -> None:
    assert confirms(record.expectation, record.finding) == expected


def test_the_first_confirmation_of_each_start_at_each_point_is_kept() -> None:
    choice = Choice(SPACE)
    assert wants(choice, OK, T)
    assert not wants(choice, OK, T + 1)
    assert wants(choice, OK, T + 2, point="p2")
    assert wants(choice, OK, T + 2, variant=OVER_TCP)
    later = replace(OK, expectation=replace(OK.expectation, started=T + 3))
    assert wants(choice, later, T + 4)
    assert not wants(choice, later, T + 5)


def confirming(number: int, **more: Any) -> Any:
    return once(expectation(name=key(f"n{number}.example"), **more), blocked)


def test_of_each_start_at_a_point_every_name_is_kept_once_and_of_a_long_list_as_many_as_a_round_asks() -> (
    None
):
    choice = Choice(SPACE)
    found = [wants(choice, confirming(number), T + number) for number in range(NAMES + 5)]
    assert found == [True] * NAMES + [False] * 5
    assert not wants(choice, confirming(3), T + 100)
    assert wants(choice, confirming(3, started=T + 50), T + 100), "another start"


def lost(choice: Choice, record: Any, at: float) -> None:
    choice.lost(record.expectation, replace(record.finding, at=at))


@pytest.mark.parametrize("record", [OK, LEAK, FREE, LIFTED], ids=["start", "trouble", "free", "end"])
def test_what_could_not_be_written_is_wanted_again(record: Any) -> None:
    choice = Choice(SPACE)
    for at in (T, T + 1, T + 2):
        assert wants(choice, record, at, instances=("r1",))
        lost(choice, record, at)
    assert wants(choice, record, T + 3, instances=("r1",))
    assert not wants(choice, record, T + 4, instances=("r1",))


def test_an_end_of_trouble_that_could_not_be_written_is_wanted_again() -> None:
    choice = Choice(SPACE)
    wants(choice, OK, T)
    wants(choice, LEAK, T + 1)
    for at in (T + 2, T + 3):
        assert wants(choice, OK, at)
        lost(choice, OK, at)
    assert wants(choice, OK, T + 4)
    wants(choice, LEAK, T + 5)
    lost(choice, LEAK, T + 5)
    assert wants(choice, OK, T + 6), "the trouble is written, but not its end"


def test_a_lost_record_of_an_earlier_start_takes_nothing_from_the_present_one() -> None:
    choice = Choice(SPACE)
    wants(choice, confirming(1, started=T + 50), T + 60)
    lost(choice, confirming(1), T)
    choice.lost(LIFTED.expectation, LIFTED.finding)
    assert [wants(choice, confirming(1, started=T + 50), T + at) for at in (61, 62)] == [True, False]


def test_what_is_fine_is_sampled_once_an_hour_for_each_point_order_variant_and_reason() -> None:
    choice = Choice(SPACE)
    assert kept(choice, FREE, [0.0, 30.0, HOUR - 1, HOUR, HOUR + 30]) == [0.0, HOUR]
    assert kept(choice, FREE, [40.0, 50.0], variant=OVER_TCP) == [40.0]
    assert kept(choice, FREE, [40.0, 50.0], order="court/o2") == [40.0]
    assert kept(choice, FREE, [40.0, 50.0], why=Why.SIBLING) == [40.0]


def test_every_instance_is_seen_in_evidence_and_one_that_makes_up_names_fills_nothing() -> None:
    choice = Choice(SPACE)
    assert wants(choice, FREE, T)
    assert wants(choice, FREE, T + 1, instances=("r1",))
    assert not wants(choice, FREE, T + 2, instances=("r1",))
    assert wants(choice, FREE, T + 3, instances=("r1", "r2"))
    made_up = [wants(choice, FREE, T + 4, instances=(f"x{number}",)) for number in range(200)]
    assert made_up.count(True) == 62
    assert wants(choice, FREE, T + HOUR - 1, instances=("r1",)) is False
    assert wants(choice, FREE, T + HOUR + 1, instances=("r1",))


def test_where_much_is_fine_samples_are_as_seldom_as_their_space_is_small() -> None:
    choice = Choice(1 << 20)
    for number in range(500):
        assert wants(choice, FREE, T, order=f"court/o{number}")
    month = 30 * DAY
    assert choice.period == pytest.approx(500 * keeping.TYPICAL * month / (1 << 19))
    assert not wants(choice, FREE, T + HOUR + 1, order="court/o7")
    assert wants(choice, FREE, T + choice.period, order="court/o7")


def test_memory_is_bounded_and_what_is_forgotten_is_kept_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeping, "_MOST", 2)
    choice = Choice(SPACE)
    for number in range(3):
        assert wants(choice, FREE, T, order=f"court/o{number}")
    assert not wants(choice, FREE, T, order="court/o2")
    assert wants(choice, FREE, T, order="court/o0")


def test_the_ledger_is_told_of_first_confirmations_once() -> None:
    diary = Diary()
    (told,) = note(diary, OK)
    assert (told.event, told.subject, told.at) == ("in-force", "court/o1/d", T)
    assert told.detail == {"point": "p1", "since": T - 1000, "rule": "blocked-with-attribution"}
    assert note(diary, OK) == []
    (lifted,) = note(diary, LIFTED)
    assert (lifted.event, lifted.detail["since"]) == ("lifted", T - 10)


@pytest.mark.parametrize("ending", ["lifted", "suspended", "lapsed"])
def test_an_end_is_told_by_what_it_is_and_known_again_as_an_end(ending: str) -> None:
    ended = once(expectation(why=Why.ENDED, form=None, ended=T - 10, ending=ending), real)
    diary = Diary()
    (told,) = note(diary, ended)
    assert told.event == ending
    assert note(diary, ended) == []
    diary.lost([told])
    (again,) = note(diary, ended)
    assert (again.event, again.detail["first"]) == (ending, T)
    assert keeping.change_of(told.event) == "lifted"
    written = json.loads(json.dumps(evidence.expectation_record(ended.expectation)))
    assert evidence.expectation_of(written).ending == ending


def test_what_no_probe_shows_is_not_told_again_by_one() -> None:
    diary = Diary()
    diary.lost([Event(at=T, event="review-overdue", subject="court/o1", detail={"review_by": T})])
    assert note(diary, FREE) == []


def test_what_the_ledger_has_from_an_earlier_run_is_not_told_again() -> None:
    diary = Diary([Known("in-force", "p1", "court/o1/d", T - 1000)])
    assert note(diary, OK) == []


def test_what_the_ledger_has_without_a_record_is_told_again_with_one_and_says_since_when() -> None:
    known = ("in-force", "p1", "court/o1/d", T - 1000)
    (again,) = note(Diary([Known(*known, T - 7.0)]), OK)
    assert (again.event, again.at, again.detail["first"]) == ("in-force", T, T - 7.0)
    assert note(Diary([Known(*known, T - 7.0), Known(*known)]), OK) == []


FORGED = forged(expectation())
STILL_BLOCKED = forged(expectation(why=Why.ENDED, form=None, ended=T - 10), real, blocked)


@pytest.mark.parametrize(
    ("fine", "forged", "change"), [(OK, FORGED, "in-force"), (LIFTED, STILL_BLOCKED, "lifted")]
)
def test_what_was_told_is_taken_back_when_contradicting_answers_come_and_told_anew_when_they_end(
    fine: Any, forged: Any, change: str
) -> None:
    diary = Diary()
    (told,) = note(diary, fine)
    (back,) = [one for one in note(diary, forged, at=T + 1) if one.event == TAKEN_BACK]
    assert (told.event, back.at, back.subject) == (change, T + 1, told.subject)
    assert back.detail["change"] == change
    assert (back.detail["point"], back.detail["since"]) == (told.detail["point"], told.detail["since"])
    assert TAKEN_BACK not in {one.event for one in note(diary, forged, at=T + 2)}
    (anew,) = note(diary, fine, at=T + 3)
    assert (anew.event, anew.at, "first" in anew.detail) == (change, T + 3, False)


def test_nothing_is_told_while_another_question_about_it_has_contradicting_answers() -> None:
    diary = Diary()
    note(diary, FORGED)
    other = once(expectation(), blocked, variant=OVER_TCP)
    assert note(diary, other, at=T + 1, now=1) == []
    note(diary, LEAK, at=T + 2, now=2)
    assert [one.event for one in note(diary, other, at=T + 3, now=3)] == ["in-force"]


def test_a_doubt_that_nobody_looked_into_again_ends() -> None:
    diary = Diary()
    note(diary, FORGED)
    other = once(expectation(), blocked, variant=OVER_TCP)
    diary.quiet(T + 500, 500)
    assert note(diary, other, at=T + 500, now=500) == []
    diary.quiet(T + 600, 600)
    assert [one.event for one in note(diary, other, at=T + 600, now=600)] == ["in-force"]


@pytest.mark.parametrize(("rounds", "is_back"), [(0, True), (1, True), (2, False)])
def test_what_has_outlived_a_whole_round_is_never_taken_back(rounds: int, is_back: bool) -> None:
    diary = Diary()
    note(diary, OK)
    for _ in range(rounds):
        diary.settle()
    found = {one.event for one in note(diary, FORGED, at=T + 1)}
    assert (TAKEN_BACK in found) is is_back


@pytest.mark.parametrize("is_fresh", [True, False])
def test_what_an_earlier_run_told_a_short_while_ago_can_be_taken_back(is_fresh: bool) -> None:
    diary = Diary([Known("in-force", "p1", "court/o1/d", T - 1000, None, is_fresh)])
    found = {one.event for one in note(diary, FORGED)}
    assert (TAKEN_BACK in found) is is_fresh


def test_a_lost_record_of_what_was_taken_back_changes_nothing_of_what_is_told_then() -> None:
    diary = Diary()
    note(diary, OK)
    diary.lost(one for one in note(diary, FORGED, at=T + 1) if one.event == TAKEN_BACK)
    (anew,) = note(diary, OK, at=T + 3)
    assert "first" not in anew.detail


@pytest.mark.parametrize("record", [OK, LIFTED, LEAK], ids=["start", "end", "trouble"])
def test_what_is_told_is_told_again_until_its_record_is_written(record: Any) -> None:
    diary = Diary()
    told = note(diary, record)
    for later in (5.0, 9.0):
        diary.lost(told)
        (again,) = told = note(diary, record, at=T + later)
        assert (again.at, again.detail["first"]) == (T + later, T)
    assert note(diary, record, at=T + 30) == []


def test_an_end_that_the_ledger_was_not_told_is_told_again() -> None:
    diary = Diary()
    note(diary, LEAK)
    closed = diary.quiet(T + 700, 700)
    diary.lost(closed)
    assert [replace(one, at=T + 700) for one in diary.quiet(T + 710, 710)] == closed
    note(diary, LEAK)
    diary.lost(closed)
    assert diary.quiet(T + 720, 20) == [], "it has begun anew since"


def test_the_ledger_is_told_when_trouble_begins_and_when_it_was_last_seen() -> None:
    diary = Diary()
    (opened,) = note(diary, LEAK)
    assert (opened.event, opened.subject) == ("finding-opened", "court/o1")
    assert opened.detail == {"point": "p1", "kind": "underblock", "rule": "resolves-though-blocked"}
    assert note(diary, LEAK, at=T + 30, now=30) == []
    assert diary.quiet(T + 60, 60) == []
    (closed,) = diary.quiet(T + 30 + keeping.QUIET, 30 + keeping.QUIET)
    assert (closed.event, closed.subject) == ("finding-closed", "court/o1")
    assert closed.detail == {"point": "p1", "kind": "underblock", "last": T + 30}
    assert diary.quiet(T + 9999, 9999) == []


@pytest.mark.parametrize("step", [-HOUR, HOUR])
def test_a_stepped_clock_ends_nothing(step: float) -> None:
    diary = Diary()
    note(diary, LEAK)
    assert diary.quiet(T + step, 10) == []
    assert note(diary, LEAK, at=T + step, now=20) == []
    assert diary.quiet(T + step + 20, 30) == []


def test_what_can_not_be_told_opens_nothing() -> None:
    pending = once(expectation(), real)
    assert pending.finding.kind is Kind.INSUFFICIENT
    assert note(Diary(), pending) == []
