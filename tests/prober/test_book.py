from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders.model import Form
from blocker.prober import book as book_module
from blocker.prober import owed, report
from blocker.prober.book import Book
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import Finding, Kind
from blocker.prober.matrix import Probe
from blocker.prober.observe import OVER_TCP, PLAIN, Observation, Outcome, Reply, Variant
from blocker.prober.report import Confirmed, NotOk, PointView, Snapshot, from_json, to_json
from tests.prober.world import A, T, key

if TYPE_CHECKING:
    from blocker.names import Key

NAME = key("x.example")


def pair(
    kind: Kind = Kind.OK,
    *,
    rule: str = "blocked-with-attribution",
    at: float = T,
    why: Why = Why.SUBJECT,
    name: Key = NAME,
    order: str = "court/o1",
    point: str = "p1",
    **more: Any,
) -> tuple[Expectation, Finding]:
    ref = f"{order}/d"
    values: dict[str, Any] = {"form": Form.NXDOMAIN, "started": T - 10, "ended": None, **more}
    expectation = Expectation(
        point=point, region="ID", name=name, qtype=A, why=why, ref=ref, order=order, **values
    )
    finding = Finding(
        kind=kind,
        rule=rule,
        point=point,
        order=order,
        ref=ref,
        why=why,
        name=name,
        qtype=A,
        variant=PLAIN,
        at=at,
        detail="d",
    )
    return expectation, finding


def shown(book: Book) -> Snapshot:
    return book.snapshot(T + 100, generation=3, round_at=T, trouble="")


def test_the_latest_finding_of_a_question_replaces_the_one_before() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK, at=T))
    assert [one.kind for one in shown(book).not_ok] == ["underblock"]
    book.note(*pair(Kind.OK, at=T + 1))
    assert shown(book).not_ok == ()
    assert shown(book).ok == {"court/o1": 1}


def test_a_finding_that_stays_keeps_the_time_it_began() -> None:
    book = Book()
    for second in range(3):
        book.note(*pair(Kind.UNDERBLOCK, at=T + second))
    (one,) = shown(book).not_ok
    assert (one.since, one.last, one.count) == (T, T + 2, 1)


def test_findings_of_one_order_and_point_are_counted_together() -> None:
    book = Book()
    for number in range(3):
        book.note(*pair(Kind.UNDERBLOCK, name=key(f"x{number}.example"), at=T + number))
    (one,) = shown(book).not_ok
    assert (one.count, one.since, one.last) == (3, T, T + 2)


def test_moot_is_neither_ok_nor_a_finding() -> None:
    book = Book()
    book.note(*pair(Kind.MOOT, rule="nothing-there"))
    assert (shown(book).not_ok, shown(book).ok, shown(book).points["p1"].moot) == ((), {}, 1)


def test_insufficient_is_never_shown_as_fine() -> None:
    book = Book()
    book.note(*pair(Kind.INSUFFICIENT, rule="no-reference"))
    assert [one.kind for one in shown(book).not_ok] == ["insufficient"]
    assert shown(book).points["p1"].ok == 0


def test_the_first_ok_after_the_start_confirms_the_block_and_later_ones_do_not() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    book.note(*pair(at=T + 2))
    assert shown(book).confirmed == {"court/o1": {"p1": Confirmed(block=T + 1, started=T - 10)}}


def test_a_later_start_is_confirmed_anew() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    book.note(*pair(at=T + 60, started=T + 50))
    assert shown(book).first("court/o1").block == T + 60


def test_the_first_ok_after_the_end_confirms_the_lift() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    ended: dict[str, Any] = {"why": Why.ENDED, "form": None, "ended": T + 50}
    book.note(*pair(rule="attribution-gone", at=T + 51, **ended))
    book.note(*pair(rule="passes", at=T + 52, **ended))
    assert shown(book).confirmed["court/o1"]["p1"] == Confirmed(
        block=T + 1, started=T - 10, lift=T + 51, ended=T + 50
    )
    assert book.is_confirmed("court/o1", "p1", T + 50)
    assert not book.is_confirmed("court/o1", "p1", T + 60)


@pytest.mark.parametrize(
    ("kind", "why", "form"),
    [
        (Kind.UNDERBLOCK, Why.SUBJECT, Form.NXDOMAIN),
        (Kind.INSUFFICIENT, Why.SUBJECT, Form.NXDOMAIN),
        (Kind.MOOT, Why.SUBJECT, Form.NXDOMAIN),
        (Kind.OK, Why.LOOKALIKE, Form.NXDOMAIN),
        (Kind.OK, Why.SUBJECT, None),
    ],
)
def test_nothing_else_confirms_anything(kind: Kind, why: Why, form: Form | None) -> None:
    book = Book()
    book.note(*pair(kind, why=why, form=form, ended=T - 5))
    assert shown(book).confirmed == {}


def test_confirmations_and_attributions_outlive_the_process() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    again = Book(from_json(to_json(shown(book))))
    again.note(*pair(at=T + 90))
    assert shown(again).first("court/o1").block == T + 1
    assert again.was_attributed("p1", "court/o1/d")


def test_a_name_that_resolved_is_a_baseline() -> None:
    book = Book()
    assert not book.was_resolved("p1", NAME, A)
    book.note(*pair(rule="passes", why=Why.COMING, form=None))
    assert book.was_resolved("p1", NAME, A)


def test_a_transition_makes_what_was_fine_be_seen_anew_and_keeps_what_was_not() -> None:
    book = Book()
    book.note(*pair(at=T))
    book.note(*pair(Kind.UNDERBLOCK, name=key("y.example"), at=T))
    book.note(*pair(order="court/o2", at=T))
    book.turn({"court/o1/d"}, T + 1)
    assert shown(book).ok == {"court/o2": 1}
    assert len(shown(book).not_ok) == 1


def test_what_nobody_looks_at_any_more_expires_unless_it_is_not_ok() -> None:
    book = Book()
    book.note(*pair(at=T))
    book.note(*pair(Kind.LINGERING, name=key("y.example"), at=T))
    book.expire(T + 1, {"p1"})
    assert shown(book).ok == {}
    assert len(book.not_ok()) == 1
    book.expire(T + 1, {"p2"})
    assert book.not_ok() == []


def test_findings_whose_expectation_is_gone_are_forgotten() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK))
    book.forget(probe.expectation for probe in book.not_ok())
    assert shown(book).not_ok == ()


def test_what_is_pushed_out_while_not_ok_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MOST_NOT_OK", 2)
    book = Book()
    for number in range(5):
        book.note(*pair(Kind.UNDERBLOCK, name=key(f"x{number}.example")))
    assert len(book.not_ok()) == 2
    assert shown(book).hidden == 3


def test_baselines_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book_module, "_MOST_BASELINES", 3)
    book = Book()
    for number in range(9):
        book.note(*pair(order=f"court/o{number}"))
    assert len(shown(book).attributed) == 3


def test_queries_and_losses_are_counted_by_point() -> None:
    book = Book()
    lost = Observation(
        point="p1",
        variant=PLAIN,
        name=NAME,
        qtype=A,
        sent=T,
        outcome=Outcome.SILENT,
        mismatched=2,
    )
    book.saw(lost)
    book.saw(replace(lost, outcome=Outcome.ANSWERED, reply=Reply(rcode=0), received=T + 1.0))
    assert shown(book).points["p1"] == PointView(sent=2, lost=1, mismatched=4, answered_at=T + 1)


def test_the_report_holds_no_domain_names() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK))
    book.note(*pair(name=key("secret-name.example")))
    assert "example" not in to_json(shown(book))


@given(
    st.builds(
        Snapshot,
        at=st.floats(0, 2e9),
        generation=st.integers(0),
        points=st.dictionaries(st.text(max_size=5), st.builds(PointView)),
        ok=st.dictionaries(st.text(max_size=5), st.integers(0)),
        confirmed=st.dictionaries(
            st.text(max_size=5),
            st.dictionaries(st.text(max_size=5), st.builds(Confirmed), max_size=3),
            max_size=3,
        ),
        shard=st.tuples(st.integers(0, 9), st.integers(1, 9)),
        attributed=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5))).map(tuple),
        not_ok=st.lists(st.builds(NotOk, since=st.floats(0, 2e9), last=st.floats(0, 2e9)), max_size=3).map(
            tuple
        ),
    )
)
def test_a_report_read_back_is_the_same(snapshot: Snapshot) -> None:
    assert from_json(to_json(snapshot)) == snapshot


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", "x", '{"format": 9}', '{"format": 1, "points": 3}', "[" * 100_000, b"\xff"],
)
def test_anything_else_is_no_report(text: str | bytes) -> None:
    assert from_json(text) is None


def seen(point: str = "p1", nsid: bytes = b"", at: float = T) -> Observation:
    return Observation(
        point=point,
        name=key("x.example"),
        qtype=A,
        sent=at,
        outcome=Outcome.ANSWERED,
        received=at,
        reply=Reply(rcode=3, nsid=nsid),
    )


def test_instances_that_the_site_names_are_seen_and_others_counted() -> None:
    book = Book(instances={"p1": ("r1", "r2")})
    for nsid, at in ((b"r1", T), (b"r1", T + 1), (b"evil", T + 2), (b"", T + 3)):
        book.saw(seen(nsid=nsid, at=at))
    book.saw(seen("p2", b"r1"))
    points = shown(book).points
    assert (points["p1"].instances, points["p1"].strangers) == ({"r1": T + 1}, 2)
    assert (points["p2"].instances, points["p2"].strangers) == ({}, 0)


def test_how_many_directives_wait_for_a_later_round_is_shown() -> None:
    book = Book()
    book.turns("p1", 90, 30)
    book.saw(seen())
    assert (shown(book).points["p1"].directives, shown(book).points["p1"].waiting) == (90, 30)


def test_how_the_latest_controls_fared_is_shown() -> None:
    book = Book()
    book.saw(seen())
    book.controls("p1", are_fine=False)
    assert not shown(book).points["p1"].controls_ok
    book.controls("p1", are_fine=True)
    assert shown(book).points["p1"].controls_ok


def test_a_profile_outlives_a_restart_and_tells_of_a_drift() -> None:
    book = Book()
    book.canary("p1", Form.NXDOMAIN, Reply(rcode=3), T)
    again = Book(report.from_json(report.to_json(shown(book))))
    assert again.learnt("p1") == book.learnt("p1")
    again.canary("p1", Form.NXDOMAIN, Reply(rcode=0), T + 1)
    learnt = again.learnt("p1")
    assert learnt is not None
    assert (learnt.profile.rcode, learnt.drift) == (3, "rcode")


def lifted(**more: Any) -> dict[str, Any]:
    return {"why": Why.ENDED, "form": None, "ended": T + 50, "rule": "passes", **more}


def test_each_point_confirms_for_itself_and_the_order_at_the_first() -> None:
    book = Book()
    book.note(*pair(at=T + 3))
    book.note(*pair(at=T + 2, point="p2"))
    assert not book.is_confirmed("court/o1", "p3", T - 10)
    snapshot = shown(book)
    assert {point: one.block for point, one in snapshot.confirmed["court/o1"].items()} == {
        "p1": T + 3,
        "p2": T + 2,
    }
    assert snapshot.first("court/o1") == Confirmed(block=T + 2, started=T - 10)


def test_a_later_start_at_one_point_is_first_seen_there() -> None:
    book = Book()
    book.note(*pair(at=T + 2))
    book.note(*pair(at=T + 60, point="p2", started=T + 50))
    assert shown(book).first("court/o1").block == T + 60


@pytest.mark.parametrize("kind", [Kind.INJECTED, Kind.CONFLICT])
@pytest.mark.parametrize("more", [{}, lifted()], ids=["block", "lift"])
def test_a_confirmation_is_taken_back_when_a_second_answer_contradicts_it_and_made_anew_later(
    kind: Kind, more: dict[str, Any]
) -> None:
    book = Book()
    book.note(*pair(at=T + 60, **more))
    book.note(*pair(at=T + 60, point="p2", **more))
    book.note(*pair(kind, at=T + 61, **{**more, "rule": "second-origin"}))
    book.note(*pair(at=T + 62, name=key("y.example"), **more))  # While the contradiction is open.
    assert set(shown(book).confirmed["court/o1"]) == {"p2"}
    book.note(*pair(at=T + 63, **more))
    one = shown(book).confirmed["court/o1"]["p1"]
    assert T + 63 in (one.block, one.lift)


def test_a_contradiction_about_a_name_around_it_takes_nothing_back() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    book.note(*pair(Kind.CONFLICT, at=T + 2, why=Why.PARENT, form=None))
    assert shown(book).first("court/o1").block == T + 1


def test_a_confirmation_stands_once_a_whole_round_has_gone_by() -> None:
    book = Book()
    book.note(*pair(at=T + 1))
    book.settle(9)  # The round that ends now may have begun before.
    again = Book(shown(book))
    book.settle(9)
    for one in (book, again):
        one.note(*pair(Kind.INJECTED, at=T + 2))
    assert shown(book).first("court/o1").block == T + 1
    assert shown(again).confirmed == {}, "confirmed after the latest round of the run before"


def test_the_end_of_an_order_whose_names_others_block_is_covered() -> None:
    book = Book()
    book.note(*pair(at=T + 60, **lifted(form=Form.NXDOMAIN)))
    assert shown(book).confirmed["court/o1"]["p1"] == Confirmed(covered=T + 50)
    assert book.is_confirmed("court/o1", "p1", T + 50)
    assert shown(book).first("court/o1").lift is None


def test_an_end_is_not_covered_while_one_of_its_names_must_pass() -> None:
    book = Book()
    book.note(*pair(at=T + 60, **lifted(form=Form.NXDOMAIN)))
    free = pair(Kind.LINGERING, name=key("y.example"), at=T + 60, **lifted())
    book.note(*free)
    assert shown(book).confirmed == {}
    book.forget([free[0]])
    assert shown(book).confirmed["court/o1"]["p1"].covered == T + 50


def test_confirmations_are_bounded_and_those_of_points_that_are_gone_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(book_module, "_MOST_CONFIRMED", 2)
    book = Book()
    for number in range(4):
        book.note(*pair(order=f"court/o{number}"))
    book.saw(seen())
    assert set(shown(book).confirmed) == {"court/o0", "court/o1"}
    book.expire(0.0, {"p2"})
    assert (shown(book).confirmed, shown(book).points) == ({}, {})


def restarted(book: Book) -> Book:
    return Book(from_json(to_json(shown(book))), baselines=book.baselines())


def test_what_an_earlier_run_found_is_shown_until_a_round_has_judged_it_again() -> None:
    book = Book()
    for number in range(3):
        book.note(*pair(Kind.UNDERBLOCK, name=key(f"x{number}.example"), at=T))
    again = restarted(book)
    assert shown(again).not_ok == shown(book).not_ok
    again.note(*pair(Kind.UNDERBLOCK, name=key("x0.example"), at=T + 9))
    again.note(*pair(name=key("x1.example"), at=T + 9))
    (one,) = shown(again).not_ok
    assert (one.count, one.since, one.last) == (3, T, T + 9)
    again.settle(rotation=9)
    (one,) = shown(again).not_ok
    assert (one.count, one.since) == (1, T + 9)


def test_what_an_earlier_run_found_and_nobody_judges_any_more_goes_after_a_rotation() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK))
    again = restarted(book)
    again.note(*pair(order="court/o2"))
    again.settle(rotation=2)
    assert len(shown(again).not_ok) == 1
    again.settle(rotation=2)
    assert shown(again).not_ok == ()


def test_what_an_earlier_run_found_is_asked_first_and_shown_until_that_very_question_was_judged() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK, name=key("x0.example"), at=T))
    again = Book(from_json(to_json(shown(book))), owed=owed.from_json(owed.to_json(book.not_ok())))
    assert [one.expectation.name for one in again.not_ok()] == [key("x0.example")]
    again.note(*pair(name=key("x1.example"), at=T + 9))
    for _ in range(3):
        again.settle(rotation=2)
    assert [one.kind for one in shown(again).not_ok] == ["underblock"]
    again.note(*pair(name=key("x0.example"), at=T + 9))
    again.settle(rotation=2)
    assert (shown(again).not_ok, again.not_ok()) == ((), [])


def test_the_open_questions_of_directives_and_points_that_are_gone_are_dropped() -> None:
    asked, found = pair(Kind.UNDERBLOCK)
    left = [Probe(asked, found.variant), Probe(replace(asked, point="p2", ref="court/o2/d"), found.variant)]
    again = Book(owed=left)
    again.forget([asked])
    assert [one.expectation.point for one in again.not_ok()] == ["p2"]
    again.expire(0.0, {"p1"})
    assert again.not_ok() == []


@pytest.mark.parametrize(
    "text", ["", "{}", "[1]", "[[]]", '[{"expectation": 1, "variant": {}}]', b"\xff", "[" * 9999]
)
def test_anything_else_holds_no_open_questions(text: str | bytes) -> None:
    assert owed.from_json(text) == ()


def test_what_an_earlier_run_found_at_a_point_that_is_gone_is_shown_no_more() -> None:
    book = Book()
    book.note(*pair(Kind.UNDERBLOCK))
    again = restarted(book)
    again.expire(0.0, {"p2"})
    assert shown(again).not_ok == ()


def test_what_points_answered_and_how_controls_fared_outlives_a_restart() -> None:
    book = Book(instances={"p1": ("r1",)})
    book.saw(seen(nsid=b"r1"))
    book.controls("p1", are_fine=False)
    assert shown(restarted(book)).points == shown(book).points


def test_baselines_outlive_a_restart_apart_from_the_report() -> None:
    book = Book()
    book.note(*pair(rule="passes", why=Why.COMING, form=None))
    text = report.baselines_to_json(book.baselines())
    again = Book(shown(book), baselines=report.baselines_from_json(text))
    assert again.was_resolved("p1", NAME, A)
    assert not Book(from_json(to_json(shown(book)))).was_resolved("p1", NAME, A)


@pytest.mark.parametrize("text", ["", "{", "3", "[3]", '[["p1", "zz", 1]]', "[" * 100_000, b"\xff"])
def test_anything_else_is_no_baselines(text: str | bytes) -> None:
    assert report.baselines_from_json(text) == ()


def test_each_form_of_a_block_has_a_profile_of_its_own() -> None:
    book = Book()
    assert book.learnt("p1", Form.NODATA) is None
    book.canary("p1", Form.NXDOMAIN, Reply(rcode=3), T)
    book.canary("p1", Form.NODATA, Reply(rcode=0), T)
    denied, empty, other = (book.learnt("p1", form) for form in (Form.NXDOMAIN, Form.NODATA, Form.REDIRECT))
    assert denied is not None
    assert empty is not None
    assert (denied.profile.rcode, empty.profile.rcode) == (3, 0)
    assert denied.drift == empty.drift == ""
    assert other in (denied, empty)


def by_tcp(kind: Kind, at: float) -> tuple[Expectation, Finding]:
    expectation, finding = pair(kind, at=at)
    return expectation, replace(finding, variant=OVER_TCP)


LEAK, AWAY = Kind.UNDERBLOCK, Kind.UNREACHABLE


@pytest.mark.parametrize(
    ("rounds", "is_in_part"),
    [
        ([[pair(at=T), by_tcp(LEAK, T + 1)]], True),
        ([[by_tcp(Kind.OK, T)], [pair(at=T + 30)], [by_tcp(LEAK, T + 60)]], True),
        ([[pair(at=T), by_tcp(Kind.OK, T + 1)], [by_tcp(LEAK, T + 30)]], False),
        ([[by_tcp(Kind.OK, T), pair(at=T + 1)], [by_tcp(LEAK, T + 30)]], False),
        ([[pair(at=T), by_tcp(Kind.OK, T + 1)], [by_tcp(AWAY, T + 30)]], False),
        ([[pair(at=T)], [pair(LEAK, at=T + 30), by_tcp(LEAK, T + 31)]], False),
        ([[by_tcp(LEAK, T)]], False),
        ([[pair(at=T - 60, started=T - 90)], [by_tcp(LEAK, T)]], False),
    ],
    ids=[
        "never",
        "differs later",
        "all at once",
        "whichever came first",
        "was away",
        "then the other",
        "alone",
        "before the start",
    ],
)
def test_only_what_was_blocked_after_this_way_was_shows_that_they_differ(
    rounds: list[list[tuple[Expectation, Finding]]], is_in_part: bool
) -> None:
    book = Book()
    for seen in rounds:
        for one in seen:
            book.note(*one)
        expectation, finding = seen[-1]
        found = book.is_blocked_otherwise(replace(expectation, since=T - 10), finding.variant)
        book.settle(rotation=1)
    assert found is is_in_part


def test_what_leaks_in_two_ways_is_not_kept_from_being_told_by_a_third_that_was_not_asked_again() -> None:
    book = Book()
    for one in (pair(at=T), by_tcp(Kind.OK, T + 1)):
        book.note(*one)
    expectation, finding = pair(at=T + 2)
    do = replace(finding, variant=Variant(do=True))
    book.note(expectation, do)
    book.settle(rotation=1)
    book.note(*pair(at=T + 30))
    book.settle(rotation=1)
    book.note(*pair(LEAK, at=T + 60))
    book.note(*by_tcp(LEAK, T + 61))
    assert not book.is_blocked_otherwise(expectation, OVER_TCP)
    assert not book.is_blocked_otherwise(expectation, PLAIN)
