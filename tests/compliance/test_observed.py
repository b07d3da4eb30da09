"""A report says what was observed, no more: the same evidence gives the same report, and no other order is in
it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from blocker.compliance import observed, operator_acts, troubles
from blocker.compliance.document import document, duration, moment, summary
from blocker.compliance.schema import SCHEMA
from blocker.orders.model import Kind, Publication
from blocker.orders.schedule import schedule
from blocker.policy.chain import Event
from blocker.prober.judge import Controls, Evidence
from blocker.prober.judge import Kind as Finding
from blocker.prober.observe import OVER_TCP
from tests.prober import lives
from tests.prober.lives import DAY, ORDER, REF, kept, ledger, records, root, sealed, whole
from tests.prober.proof import blocked, expectation, forged, judged, once, seen, twice
from tests.prober.world import T, act, answer, block, key, real, when

if TYPE_CHECKING:
    from blocker.compliance.observed import Facts
    from blocker.orders.model import Order

WHOLE = whole()


def confirmed(facts: Facts, point: str, change: str) -> list[float | None]:
    return [one.seen for one in observed.confirmations(facts) if (one.point, one.change) == (point, change)]


def test_each_start_and_end_was_first_observed_at_each_point_or_is_said_not_to_be() -> None:
    assert confirmed(WHOLE, "jakarta-anycast", "in-force") == [T + 0.04, T + 30 * DAY + 0.004]
    assert confirmed(WHOLE, "jakarta-anycast", "suspended") == [T + 20 * DAY + 0.002]
    assert confirmed(WHOLE, "jakarta-anycast", "lifted") == [T + 50 * DAY + 0.004]
    assert confirmed(WHOLE, "surabaya", "suspended") == [T + 20 * DAY + 540]
    assert confirmed(WHOLE, "surabaya", "lifted") == [None]


def told(event: str, at: float, **more: Any) -> Event:
    detail = {"point": "surabaya", "since": T, "rule": "blocked-with-attribution", **more}
    return Event(at=at, event=event, subject=REF, detail=detail)


FORGERY = (told("in-force", T + 0.004), told("taken-back", T + 1.0, change="in-force"))
ONE = lives.subject("surabaya", T)
FORGED = (once(ONE, blocked, at=T + 0.004), forged(ONE, at=T + 1.0))


def test_what_the_prober_took_back_was_not_observed() -> None:
    facts = whole(records=kept([*FORGED]), events=ledger(*FORGERY))
    assert confirmed(facts, "surabaya", "in-force") == [None]
    (one,) = [
        one for one in observed.confirmations(facts) if (one.point, one.change) == ("surabaya", "in-force")
    ]
    assert (one.names_seen, one.variants) == (0, ())


def test_what_was_taken_back_and_confirmed_then_was_observed_at_the_later_instant() -> None:
    true = once(ONE, blocked, at=T + 90.0, variant=OVER_TCP)
    facts = whole(
        records=kept([*FORGED, true]),
        events=ledger(*FORGERY, told("in-force", T + 90.0, evidence="f" * 64)),
    )
    one = next(
        one for one in observed.confirmations(facts) if (one.point, one.change) == ("surabaya", "in-force")
    )
    assert (one.seen, one.hash, one.names_seen, one.variants) == (T + 90.0, "f" * 64, 1, ("tcp",))


def test_a_taking_back_that_says_too_little_takes_nothing() -> None:
    facts = whole(records=(), events=ledger(FORGERY[0], told("taken-back", T + 1.0)))
    assert confirmed(facts, "surabaya", "in-force") == [T + 0.004]


def test_a_point_of_another_region_owes_nothing() -> None:
    assert "london" not in observed.points(WHOLE)
    assert "bandung-dnsdist-edge-04" in observed.points(WHOLE), "ID-JB is within ID"


def test_what_the_ledger_remembers_counts_where_the_evidence_is_gone() -> None:
    told = Event(
        at=T + 3.0,
        event="in-force",
        subject=REF,
        detail={"point": "old-point", "since": T, "rule": "passes", "evidence": "f" * 64},
    )
    facts = whole(records=(), points=(), events=ledger(lives.applied(T - 9, ORDER), told))
    (one,) = observed.confirmations(facts)
    assert (one.point, one.seen, one.hash, one.lateness) == ("old-point", T + 3.0, "f" * 64, 3.0)


@pytest.mark.parametrize("detail", [{"point": 7, "since": T}, {"point": "p"}, {}])
def test_an_event_of_the_ledger_that_says_too_little_confirms_nothing(detail: dict[str, Any]) -> None:
    event = Event(at=T + 3.0, event="in-force", subject="court/o1/other", detail=detail)
    facts = whole(records=(), events=ledger(event))
    assert all(one.seen is None for one in observed.confirmations(facts))


@pytest.mark.parametrize(
    ("received", "applied", "counted"),
    [(None, None, T), (T - 9, T - 5, T), (T + 9, T + 5, T + 9), (T + 5, T + 9, T + 9), (None, T + 2, T + 2)],
)
def test_lateness_counts_from_the_latest_of_start_receipt_and_apply(
    received: int | None, applied: int | None, counted: int
) -> None:
    order = replace(root(), received=None if received is None else when(received), deadline=None)
    facts = whole(
        order=order,
        acts=(),
        directives=tuple(schedule([order])),
        events=() if applied is None else ledger(lives.applied(applied, ORDER)),
        records=kept([once(lives.subject("surabaya", T), blocked, at=T + 60.0)]),
    )
    one = next(one for one in observed.confirmations(facts) if one.point == "surabaya")
    assert (one.counted, one.lateness) == (counted, 60.0 - (counted - T))


def test_lateness_of_a_lift_counts_from_its_receipt_and_its_own_deadline_holds() -> None:
    lift = replace(
        act(Kind.LIFT, ORDER, "court/o1-lifted", start=T + 50 * DAY),
        received=when(T + 50 * DAY + 3600),
        deadline=timedelta(hours=1),
    )
    orders = [root(), lift]
    facts = whole(
        acts=(lift,),
        directives=tuple(schedule(orders)),
        events=ledger(lives.applied(T - 9, ORDER), lives.applied(T + 50 * DAY + 3700, "court/o1-lifted")),
        records=kept([once(lives.ended("surabaya", T + 50 * DAY), real, at=T + 50 * DAY + 3705.0)]),
    )
    (one,) = [
        one for one in observed.confirmations(facts) if (one.point, one.change) == ("surabaya", "lifted")
    ]
    assert (one.lateness, one.due) == (5.0, T + 50 * DAY + 7200)
    (made,) = [
        one
        for one in document(facts)["confirmations"]
        if (one["point"], one["change"]) == ("surabaya", "lifted")
    ]
    assert made["before_deadline"] is True


def test_trouble_lasts_until_something_fine_is_seen_and_one_without_an_end_has_none() -> None:
    found = [(str(one.kind), one.point, one.start, one.end, one.records) for one in troubles.troubles(WHOLE)]
    assert found == [
        ("underblock", "bandung-dnsdist-edge-04", T + 6 * DAY, T + 11 * DAY, 3),
        ("insufficient", "jakarta-anycast", T + 14 * DAY, T + 15 * DAY, 1),
        ("lingering", "surabaya", T + 50 * DAY + 3600, None, 2),
    ]


def test_trouble_of_several_questions_is_one_where_times_meet_and_two_where_not() -> None:
    one, other = expectation(name=key("a.example")), expectation(name=key("b.example"))
    facts = whole(
        records=kept(
            [
                twice(one, real, at=T + 10.0),
                twice(other, real, at=T + 20.0),
                once(one, blocked, at=T + 30.0),
                once(other, blocked, at=T + 40.0),
                twice(one, real, at=T + 50.0),
            ]
        )
    )
    first, second = troubles.troubles(facts)
    assert (first.start, first.end, first.questions, first.records) == (T + 10.0, T + 40.0, 2, 2)
    assert (second.start, second.end, second.last) == (T + 50.0, None, T + 50.0)


def test_trouble_that_turns_into_other_trouble_ends_there() -> None:
    one = expectation()
    facts = whole(records=kept([failing(one, T + 10.0), twice(one, real, at=T + 20.0)]))
    assert [(str(each.kind), each.end) for each in troubles.troubles(facts)] == [
        ("insufficient", T + 20.0),
        ("underblock", None),
    ]


def failing(one: Any, at: float) -> Any:
    return twice(one, lambda asked: answer(asked, rcode=2), at=at)


def away(one: Any, at: float) -> Any:
    return judged(one, [seen(one, at=at), seen(one, at=at)], Evidence(controls=Controls.SILENT))


@pytest.mark.parametrize("blind", [failing, away])
@pytest.mark.parametrize(("after", "end"), [((), None), ((blocked,), T + 30.0)])
def test_a_leak_does_not_end_by_an_answer_that_tells_nothing(
    blind: Any, after: tuple[Any, ...], end: float | None
) -> None:
    one = expectation()
    several = [twice(one, real, at=T + 10.0), blind(one, T + 20.0)]
    several += [once(one, script, at=T + 30.0) for script in after]
    leak, unsure = troubles.troubles(whole(records=kept(several)))
    assert (str(leak.kind), leak.start, leak.last, leak.end) == ("underblock", T + 10.0, T + 10.0, end)
    assert (unsure.last, unsure.end) == (several[1].finding.at, end)


def test_a_leak_that_is_seen_again_after_answers_that_tell_nothing_is_one() -> None:
    one = expectation()
    several = [twice(one, real, at=T + 10.0), failing(one, T + 20.0), twice(one, real, at=T + 30.0)]
    facts = whole(records=kept(several))
    assert [(str(each.kind), each.end, each.records) for each in troubles.troubles(facts)] == [
        ("underblock", None, 2),
        ("insufficient", T + 30.0, 1),
    ]


def test_what_is_moot_is_not_counted_as_being_as_ordered() -> None:
    """A way that a point is declared not to reach, where the name resolves though it must be blocked."""
    leak = once(lives.subject("surabaya", T, declared="any"), real, at=T + 9.0)
    assert leak.finding.kind is Finding.MOOT
    made = document(whole(records=kept([leak]), points=lives.POINTS[2:3], events=()))["coverage"]
    (names,), (variant,) = made["names"], made["variants"]
    assert (names["observed"], names["as_ordered"], names["not_as_ordered"]) == (1, 0, 0)
    assert (variant["as_ordered"], variant["moot"], variant["cannot_be_told"]) == (0, 1, 0)


def test_trouble_that_meets_trouble_without_an_end_has_none() -> None:
    one, other = expectation(name=key("a.example")), expectation(name=key("b.example"))
    facts = whole(
        records=kept(
            [
                twice(one, real, at=T + 10.0),
                twice(other, real, at=T + 20.0),
                once(other, blocked, at=T + 30.0),
            ]
        )
    )
    (only,) = troubles.troubles(facts)
    assert (only.start, only.end, only.questions) == (T + 10.0, None, 2)


def test_coverage_counts_what_was_kept_by_point_and_variant_and_names_the_instances() -> None:
    covers = {(one.point, one.variant): one for one in observed.coverage(WHOLE)}
    leaking = covers["bandung-dnsdist-edge-04", "udp+do"]
    assert (leaking.records, leaking.fine, leaking.bad, leaking.unsure) == (5, 2, 3, 0)
    assert covers["jakarta-anycast", "udp"].unsure == 1
    assert covers["jakarta-anycast", "tcp"].instances == ("jkt-1",)
    (jakarta,) = [one for one in document(WHOLE)["coverage"]["points"] if one["point"] == "jakarta-anycast"]
    assert (jakarta["instances"], jakarta["instances_missing"]) == (["jkt-1"], ["jkt-2"])


def both(point: str, at: float, **more: Any) -> list[Any]:
    other = lives.subject(point, T, name=key("www.mirror.example"))
    return [once(lives.subject(point, T), blocked, at=at, **more), once(other, blocked, at=at + 1, **more)]


def test_names_observed_are_told_of_the_names_ordered_by_directive_and_point() -> None:
    several = [*both("surabaya", T + 1.0), *both("surabaya", T + 3.0, variant=lives.DO)]
    several.append(once(lives.subject("jakarta-anycast", T), blocked, at=T + 2.0))
    several += [twice(lives.subject("surabaya", T), real, at=T + 9.0)]
    facts = whole(records=kept(several), points=(lives.POINTS[0], lives.POINTS[2]), events=())
    found = {one.point: one for one in observed.confirmations(facts)}
    assert (found["surabaya"].names_seen, found["surabaya"].names) == (2, 2)
    assert found["surabaya"].variants == ("udp", "udp+do")
    assert (found["jakarta-anycast"].names_seen, found["jakarta-anycast"].names) == (1, 2)
    made = document(facts)
    assert made["coverage"]["names"] == [
        {
            "ref": REF,
            "point": point,
            "names": 2,
            "observed": seen,
            "as_ordered": seen,
            "not_as_ordered": bad,
        }
        for point, seen, bad in [("jakarta-anycast", 1, 0), ("surabaya", 2, 1)]
    ]
    assert "at 2 of 2 points, for at least 1 of 2 names at each, at the latest" in made["summary"][0]


def test_a_summary_says_of_all_names_that_they_were_observed_where_they_were() -> None:
    points = lives.POINTS[2:3]
    facts = whole(records=kept(both("surabaya", T + 1.0)), points=points, events=())
    assert "at 1 of 1 point, for 2 of 2 names at each, at the latest" in summary(facts)[0]
    alone = whole(records=facts.records[:1], points=points, events=(), counts={REF: 1})
    assert "for 1 of 1 name at each" in summary(alone)[0]


def test_what_only_the_ledger_remembers_was_seen_of_one_name() -> None:
    told = Event(at=T + 3.0, event="in-force", subject=REF, detail={"point": "surabaya", "since": T})
    facts = whole(records=(), points=lives.POINTS[2:3], events=ledger(told))
    assert "for at least 1 of 2 names at each" in summary(facts)[0]
    assert document(facts)["confirmations"][0]["variants"] == []


def test_the_report_is_of_the_last_thing_that_is_known_and_of_no_clock() -> None:
    assert WHOLE.as_of == T + 50 * DAY + 9 * 3600
    assert whole(records=(), events=ledger(lives.applied(T - 9, ORDER))).as_of == T - 9
    assert whole(records=(), events=()).as_of == T - 5000, "when it was issued"
    others = ledger(lives.applied(T + 99 * DAY, "court/other"), Event(at=T + 99 * DAY, event="evidence"))
    assert whole(records=(), events=others).as_of == T - 5000


def test_that_it_was_reported_on_changes_no_report() -> None:
    before = whole(events=WHOLE.events[:-1])
    assert WHOLE.events[-1].event == "reported"
    assert document(before) == document(WHOLE)


@pytest.mark.parametrize("facts", [WHOLE, sealed(), whole(events=(), records=(), points=(), segments=())])
def test_the_document_is_as_its_schema_says(facts: Facts) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(document(facts), SCHEMA, format_checker=jsonschema.FormatChecker())


def test_the_schema_knows_no_member_that_the_document_has_not() -> None:
    made = document(WHOLE)
    del made["ledger"]
    with pytest.raises(jsonschema.ValidationError, match="'ledger' is a required property"):
        jsonschema.validate(made, SCHEMA)
    with pytest.raises(jsonschema.ValidationError, match="Additional properties"):
        jsonschema.validate({**document(WHOLE), "extra": 1}, SCHEMA)


def test_a_deadline_is_kept_missed_or_not_to_be_told() -> None:
    made = {
        (one["point"], one["change"], one["required_from"]): one["before_deadline"]
        for one in document(WHOLE)["confirmations"]
    }
    start, again = moment(T), moment(T + 30 * DAY)
    assert made["jakarta-anycast", "in-force", start] is True
    assert made["surabaya", "in-force", start] is False
    assert made["jakarta-anycast", "in-force", again] is None, "the deadline was for the first start"
    unseen = document(whole(records=kept([r for r in records() if r.finding.point != "surabaya"])))
    assert [one["before_deadline"] for one in unseen["confirmations"] if one["point"] == "surabaya"] == [
        False,
        None,
        None,
        None,
    ]
    early = whole(
        records=kept([once(lives.subject("surabaya", T), blocked, at=T + 60.0)]),
        events=ledger(lives.applied(T - 9, ORDER)),
    )
    assert [one["before_deadline"] for one in document(early)["confirmations"]] == [None, None, True]


def test_the_summary_never_says_complied() -> None:
    assert summary(WHOLE) == [
        (
            "The block was observed by probe at 3 of 3 points, for at least 1 of 2 names at each, at the "
            "latest 1.5 h after it was to take effect."
        ),
        (
            "The suspension was observed by probe at 3 of 3 points, for at least 1 of 2 names at each, at "
            "the latest 9.0 min after it was to take effect."
        ),
        (
            "The lift was observed by probe at 2 of 3 points, for at least 1 of 2 names at each, at the "
            "latest 11 ms after it was to take effect; it was not observed, or not each time, at surabaya."
        ),
        "Exceptions: 2 not as ordered, 1 in which nothing could be told.",
    ]
    assert summary(sealed()) == [
        f"No block was to be observed by {moment(T - 1800)}.",
        f"No lift was to be observed by {moment(T - 1800)}.",
        "No exception was observed.",
    ]
    alone = whole(points=lives.POINTS[2:3], records=())
    assert summary(replace(alone, events=ledger(lives.applied(T + 1, ORDER))))[0] == (
        "The block was observed by probe at 0 of 1 point; it was not observed, or not each time, at surabaya."
    )


def test_evidence_that_is_not_whole_is_said_first_of_all_to_be_so() -> None:
    facts = whole(flaws=("open/00000001: it was cut off",))
    assert summary(facts)[-1] == "The evidence is not whole: 1 flaws were found; they are listed below."
    assert document(facts)["evidence"]["flaws"] == ["open/00000001: it was cut off"]


def test_names_of_a_sealed_order_are_counted_only() -> None:
    (directive,) = document(sealed())["directives"]
    assert (directive["names_count"], directive["names"]) == (2, None)


def secret(kind: Kind, ident: str, publication: Publication, start: float) -> Any:
    return act(kind, ORDER, ident, start=start, publication=publication)


def test_acts_that_are_still_sealed_are_not_in_the_report_of_a_public_order() -> None:
    pending = secret(Kind.LIFT, "court/s1", Publication.SEALED_UNTIL_EFFECTIVE, T + 70 * DAY)
    orders = [root(), pending]
    facts = whole(acts=(pending,), directives=tuple(schedule(orders)))
    made = document(facts)
    assert made["acts"] == []
    assert made["directives"][0]["windows"] == [{"from": moment(T), "until": None}]
    assert "court/s1" not in str(made)
    later = whole(
        acts=(pending,),
        directives=tuple(schedule(orders)),
        records=kept([once(lives.ended("surabaya", T + 70 * DAY), real, at=T + 71 * DAY)]),
    )
    assert [one["id"] for one in document(later)["acts"]] == ["court/s1"], "it is effective"
    assert document(later)["directives"][0]["windows"][0]["until"] == moment(T + 70 * DAY)


def test_what_a_sealed_act_adds_or_sets_is_not_in_the_report_of_a_public_order() -> None:
    added = block("y.example", start=T + 80 * DAY, until=T + 90 * DAY).directives
    amend = replace(secret(Kind.AMEND, "court/a1", Publication.SEALED, T + 60 * DAY), directives=added)
    suspend = secret(Kind.SUSPEND, "court/s1", Publication.SEALED, T + 61 * DAY)
    resume = secret(Kind.REINSTATE, "court/s2", Publication.SEALED, T + 62 * DAY)
    acts = (amend, suspend, resume)
    facts = whole(acts=acts, directives=tuple(schedule([root(), *acts])))
    made = document(facts)
    assert [one["ref"] for one in made["directives"]] == [REF]
    assert made["directives"][0]["windows"] == [{"from": moment(T), "until": None}]
    theirs = replace(facts, order=replace(root(), publication=Publication.SEALED))
    assert len(document(theirs)["acts"]) == 3, "who sealed the order knows its acts"


def test_a_public_act_about_a_sealed_one_is_not_in_the_report_of_a_public_order_for_it_names_that() -> None:
    suspend = secret(Kind.SUSPEND, "court/s1", Publication.SEALED, T + 61 * DAY)
    cancel = act(Kind.LIFT, "court/s1", "court/l1", start=T + 62 * DAY)
    after = act(Kind.LIFT, "court/l1", "court/l2", start=T + 61 * DAY)
    facts = whole(acts=(after, cancel, suspend))
    made = document(facts)
    assert made["acts"] == []
    assert "court/s1" not in str(made)
    theirs = replace(facts, order=replace(root(), publication=Publication.SEALED))
    assert len(document(theirs)["acts"]) == 3


def test_a_rollback_is_an_act_of_the_operators_on_all_that_it_names_and_on_nothing_else() -> None:
    detail = {
        "generation": 1,
        "from": 2,
        "by": "anna@r1",
        "reason": "too much",
        "refs": [REF, "court/other/d"],
    }
    back = Event(at=T + 2 * DAY, event="rolled-back", detail=detail)
    others = Event(at=T + 9 * DAY, event="rolled-back", detail={**detail, "refs": ["court/other/d"]})
    odd = Event(at=T + 9 * DAY, event="rolled-back", detail={})
    facts = whole(records=(), events=ledger(lives.applied(T - 9, ORDER), back, others, odd))
    made = document(facts)
    assert made["operator_acts"] == [
        {"at": moment(T + 2 * DAY), "act": "rolled-back", "ref": REF, "reason": "too much"}
    ]
    assert made["as_of"] == moment(T + 2 * DAY), "what concerns others is no news about it"
    jsonschema.validate(made, SCHEMA)


def acts(*several: tuple[str, float, str]) -> Facts:
    return whole(events=ledger(*(Event(at=at, event=event, subject=ref) for event, at, ref in several)))


@pytest.mark.parametrize(
    ("several", "spans"),
    [
        ([], []),
        ([("withheld", 1.0, REF)], [(1.0, None)]),
        ([("withheld", 1.0, ORDER), ("released", 2.0, ORDER)], [(1.0, 2.0)]),
        ([("released", 2.0, REF)], []),
        (
            [
                ("withheld", 1.0, REF),
                ("withheld", 2.0, ORDER),
                ("released", 3.0, REF),
                ("released", 4.0, ORDER),
            ],
            [(1.0, 4.0)],
        ),
        ([("withheld", 1.0, "court/o1-lifted")], []),
    ],
)
def test_a_directive_is_withheld_while_it_or_its_order_is(
    several: list[tuple[str, float, str]], spans: list[tuple[float, float | None]]
) -> None:
    assert operator_acts.withheld(acts(*several), REF) == spans


def test_what_was_seen_of_a_sealed_acts_names_is_not_in_the_report_of_a_public_order() -> None:
    added = block("y.example", start=T + 60 * DAY, until=T + 90 * DAY).directives
    amend = replace(secret(Kind.AMEND, "court/a1", Publication.SEALED, T + 60 * DAY), directives=added)
    acts = (amend,)
    ref = f"court/a1/{added[0].id}"
    leak = twice(expectation(point="surabaya", order="court/a1", ref=ref), real, at=T + 61 * DAY)
    withheld = Event(at=T + 62 * DAY, event="withheld", subject=ref, detail={"reason": "a mistake"})
    facts = whole(
        acts=acts,
        directives=tuple(schedule([root(), *acts])),
        records=kept([*records(), leak]),
        events=ledger(lives.applied(T - 1800, ORDER), lives.applied(T + 59 * DAY, "court/a1"), withheld),
    )
    without = replace(facts, acts=(), directives=tuple(schedule([root()])), records=kept(records()))
    assert "court/a1" not in str(document(facts))
    assert "a mistake" not in str(document(facts))
    assert document(facts) == document(without)
    theirs = replace(facts, order=replace(root(), publication=Publication.SEALED))
    assert ref in str(document(theirs)["exceptions"])
    assert ref in str(document(theirs)["operator_acts"])


def test_who_sat_at_the_keyboard_is_not_in_the_report() -> None:
    assert "anna" not in str(document(WHOLE))


def test_the_digest_answers_for_records_and_segments() -> None:
    digest = observed.digest(WHOLE)
    assert digest == observed.digest(whole())
    assert digest != observed.digest(whole(records=WHOLE.records[1:]))
    assert digest != observed.digest(whole(segments=()))


def test_an_apply_whose_detail_says_nothing_is_about_no_order() -> None:
    odd = ledger(Event(at=T, event="applied", detail={"orders": 7, "gone": None}))
    assert observed.applied_at(whole(events=odd), ORDER) is None
    gone = ledger(lives.applied(T + 1, gone=(ORDER,)))
    assert [one["at"] for one in document(whole(events=gone))["applied"]] == [moment(T + 1)]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0021, "2 ms"), (1.26, "1.3 s"), (90, "1.5 min"), (5400, "1.5 h"), (200_000, "2.3 d")],
)
def test_durations_are_as_exact_as_it_matters(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_an_exception_has_the_words_of_its_rule_even_if_the_rule_is_gone() -> None:
    (kind,) = {one["kind"] for one in document(WHOLE)["exceptions"] if one["point"] == "surabaya"}
    assert kind == Finding.LINGERING
    odd = replace(records()[-1], finding=replace(records()[-1].finding, rule="older"))
    (one,) = document(whole(records=kept([odd])))["exceptions"]
    assert one["meaning"] == "A rule of another version."


def reviewed(*acts: Order, lapses_from: int, **more: Any) -> Facts:
    """An open order whose review was due after ten days, on a site that lapses what is overdue."""
    own = replace(lives.root().directives[0], until=None, review_by=when(T + 10 * DAY))
    order = replace(lives.root(), directives=(own,))
    found = schedule([order, *acts], lapses_from=lapses_from)
    values: dict[str, Any] = {"records": (), **more}
    return whole(order=order, acts=acts, directives=tuple(found), lapses_from=lapses_from, **values)


def lapsed_at(point: str, at: float, since: int = T + 10 * DAY) -> Event:
    detail = {"point": point, "since": since, "rule": "passes"}
    return Event(at=at, event="lapsed", subject=REF, detail=detail)


def applied(at: float, review: str) -> Event:
    one = lives.applied(at, ORDER)
    return replace(one, detail={**one.detail, "review": review})


@pytest.mark.parametrize("later", [0, 3 * DAY], ids=["chosen before", "chosen later"])
def test_what_lapsed_is_said_to_be_so_and_never_to_be_a_lift(later: int) -> None:
    start = T + 10 * DAY + later
    chosen = start if later else T
    seen = lapsed_at("surabaya", start + 2.0, start)
    events = ledger(applied(T - 9, "keep"), applied(chosen, "lapse"), seen)
    facts = reviewed(lapses_from=chosen, events=events)
    made = document(facts)
    assert made["directives"][0]["lapsed"] == [
        {"due": moment(T + 10 * DAY), "from": moment(start), "until": None}
    ]
    assert confirmed(facts, "surabaya", "lapsed") == [start + 2.0]
    assert confirmed(facts, "surabaya", "lifted") == []
    (said,) = [one for one in summary(facts) if "its review was due" in one]
    assert said.endswith("The authority did not lift it.")
    assert [(one["act"], one["ref"]) for one in made["operator_acts"]] == [("lapses", ORDER)]


def test_when_it_will_be_reviewed_is_not_told_if_that_is_sealed() -> None:
    renewal = act(Kind.AMEND, ORDER, "court/o1-renewed", start=T + 40 * DAY, review_by=when(T + 90 * DAY))
    for publication, until in ((Publication.PUBLIC, moment(T + 40 * DAY)), (Publication.SEALED, None)):
        amend = replace(renewal, publication=publication)
        facts = reviewed(amend, lapses_from=T, events=ledger(lapsed_at("surabaya", T + 11 * DAY)))
        assert [one["until"] for one in document(facts)["directives"][0]["lapsed"]] == [until]
    over = reviewed(renewal, lapses_from=T, events=ledger(lapsed_at("surabaya", T + 50 * DAY)))
    assert f"until {moment(T + 40 * DAY)}" in " ".join(summary(over))
    assert document(reviewed(renewal, lapses_from=T + 41 * DAY))["directives"][0]["lapsed"] == []


def test_a_site_that_keeps_again_what_it_let_lapse_says_so() -> None:
    events = ledger(*(applied(T + n, how) for n, how in enumerate(("keep", "lapse", "lapse", "keep"))))
    facts = replace(reviewed(lapses_from=T), events=events)
    assert [one.act for one in operator_acts.of_the_operator(facts)] == ["lapses", "keeps"]
    assert operator_acts.of_the_operator(whole(events=events, directives=())) == []
