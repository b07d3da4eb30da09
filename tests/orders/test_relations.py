from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders import parse, relations
from tests.orders.texts import BLOCK, act


def filed(*texts: str) -> list[parse.Filed]:
    found = []
    for text in texts:
        id_ = text.splitlines()[0].removeprefix("order: ")
        one, problems = parse.read(text.encode(), path=f"{id_}.yaml", id_=id_)
        assert problems == []
        assert one is not None
        found.append(one)
    return found


def wrong(*texts: str, quarantined: tuple[str, ...] = ()) -> dict[str, str]:
    """The ids of the orders with a Problem, and which one."""
    return {problem.order: problem.id for problem in relations.check(filed(*texts), quarantined=quarantined)}


ADD = ("add:", "  - {id: two, names: [two.example], regions: [ID], from: 2026-02-01, review_by: 2026-09-01}")

SUSPEND = act("a/s", "suspend", "a/b", issued="2026-01-20", start="2026-02-01")
LIFT = act("a/l", "lift", "a/b", issued="2026-01-25", start="2026-03-01")
AMEND = act("a/a", "amend", "a/b", *ADD, issued="2026-01-15", start="2026-01-15")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((BLOCK,), {}),
        ((BLOCK, SUSPEND), {}),
        ((BLOCK, act("a/s", "suspend", "a/b/one")), {}),
        ((BLOCK, act("a/s", "suspend", "a/b/gone")), {"a/s": "of-unknown"}),
        ((BLOCK, act("a/s", "suspend", "a/gone")), {"a/s": "of-unknown"}),
        ((BLOCK, act("a/s", "suspend", "a/gone/one")), {"a/s": "of-unknown"}),
        # A directive that an amend added is named by the amend's id.
        ((BLOCK, AMEND, act("a/s", "suspend", "a/a/two")), {}),
        ((BLOCK, AMEND, act("a/s", "suspend", "a/b/two")), {"a/s": "of-unknown"}),
        # What may be of what.
        (
            (BLOCK, SUSPEND, act("a/r", "reinstate", "a/s", issued="2026-02-02", start="2026-02-03")),
            {"a/r": "of-kind"},
        ),
        (
            (BLOCK, SUSPEND, act("a/m", "amend", "a/s", "until: 2026-05-01", issued="2026-02-02")),
            {"a/m": "of-kind"},
        ),
        ((BLOCK, LIFT, act("a/m", "suspend", "a/l", issued="2026-02-02")), {"a/m": "of-kind"}),
        ((BLOCK, SUSPEND, act("a/l", "lift", "a/s", issued="2026-02-02", start="2026-02-03")), {}),
        ((BLOCK, AMEND, act("a/l", "lift", "a/a", issued="2026-02-02", start="2026-02-03")), {}),
        ((BLOCK, LIFT, act("a/l2", "lift", "a/l", issued="2026-02-02", start="2026-02-03")), {}),
        (
            (
                BLOCK,
                act("a/r", "amend", "a/b", "until: 2026-05-01"),
                act("a/s", "suspend", "a/r", issued="2026-02-02"),
            ),
            {"a/s": "of-kind"},
        ),
        # Ended by its until, exactly then and after; the second before is early enough.
        ((BLOCK, act("a/l", "lift", "a/b", start="2026-04-10")), {"a/l": "of-ended"}),
        ((BLOCK, act("a/l", "lift", "a/b", start="2026-04-09T23:59:59Z")), {}),
        ((BLOCK, act("a/m", "amend", "a/b", "until: 2026-06-01", start="2026-04-10")), {"a/m": "of-ended"}),
        # A renewal that came before keeps it going.
        (
            (
                BLOCK,
                act("a/m", "amend", "a/b", "until: 2026-06-01"),
                act("a/l", "lift", "a/b", issued="2026-01-21", start="2026-04-10"),
            ),
            {},
        ),
        # Ended by a lift known before.
        (
            (BLOCK, LIFT, act("a/s", "suspend", "a/b", issued="2026-02-01", start="2026-03-01")),
            {"a/s": "of-ended"},
        ),
        ((BLOCK, LIFT, act("a/s", "suspend", "a/b", issued="2026-02-01", start="2026-02-10")), {}),
        # A lift that has come can't be cancelled; a suspension that has ended can't be lifted.
        (
            (BLOCK, LIFT, act("a/l2", "lift", "a/l", issued="2026-02-01", start="2026-03-01")),
            {"a/l2": "of-ended"},
        ),
        (
            (
                BLOCK,
                act("a/s", "suspend", "a/b", "until: 2026-02-05"),
                act("a/l", "lift", "a/s", issued="2026-02-01", start="2026-02-05"),
            ),
            {"a/l": "of-ended"},
        ),
        (
            (
                BLOCK,
                SUSPEND,
                act("a/r", "reinstate", "a/b", issued="2026-02-01", start="2026-02-05"),
                act("a/z", "lift", "a/s", issued="2026-02-02", start="2026-02-06"),
            ),
            {"a/z": "of-ended"},
        ),
        (
            (
                BLOCK,
                AMEND,
                act("a/l", "lift", "a/a", issued="2026-02-01"),
                act("a/m", "lift", "a/a", issued="2026-02-02"),
            ),
            {},
        ),
        # An amend that renews stands while what it renews does.
        (
            (
                BLOCK,
                act("a/m", "amend", "a/b", "until: 2026-06-01"),
                act("a/n", "lift", "a/m", issued="2026-01-21"),
            ),
            {},
        ),
        (
            (
                BLOCK,
                act("a/m", "amend", "a/b", "until: 2026-06-01"),
                act("a/n", "lift", "a/m", issued="2026-01-21", start="2026-06-01"),
            ),
            {"a/n": "of-ended"},
        ),
        # Reinstating.
        ((BLOCK, act("a/r", "reinstate", "a/b")), {"a/r": "nothing-to-reinstate"}),
        ((BLOCK, SUSPEND, act("a/r", "reinstate", "a/b", issued="2026-02-01", start="2026-02-05")), {}),
        (
            (BLOCK, SUSPEND, act("a/r", "reinstate", "a/b", issued="2026-01-21", start="2026-01-31")),
            {"a/r": "nothing-to-reinstate"},
        ),
        ((BLOCK, SUSPEND, act("a/r", "reinstate", "a/b/one", issued="2026-02-01", start="2026-02-05")), {}),
        (
            (
                BLOCK,
                SUSPEND,
                act("a/r", "reinstate", "a/b", issued="2026-02-01", start="2026-02-05"),
                act("a/t", "reinstate", "a/b", issued="2026-02-02", start="2026-02-06"),
            ),
            {"a/t": "nothing-to-reinstate"},
        ),
        # Circles.
        ((BLOCK, act("a/x", "lift", "a/x")), {"a/x": "of-loop"}),
        ((BLOCK, act("a/x", "lift", "a/y"), act("a/y", "lift", "a/x")), {"a/x": "of-loop", "a/y": "of-loop"}),
        ((BLOCK, act("a/x", "lift", "a/y"), act("a/y", "lift", "a/y")), {"a/y": "of-loop"}),
        # About one issued the same day with a later id.
        ((BLOCK, act("a/k", "lift", "a/s", start="2026-02-02"), act("a/s", "suspend", "a/b")), {}),
    ],
)
def test_what_an_order_is_about_is_there_and_of_the_right_kind(
    texts: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert wrong(*texts) == expected


EARLY = act("a/e", "lift", "a/b", issued="2026-01-22", start="2026-02-20")
CANCEL = act("a/x", "lift", "a/l", issued="2026-01-26", start="2026-02-25")


@pytest.mark.parametrize(
    ("texts", "idle"),
    [
        ((BLOCK, LIFT), []),
        # It was right when it came; then one issued before it was found in the post.
        ((BLOCK, EARLY, LIFT), ["a/l"]),
        ((BLOCK, act("a/e", "lift", "a/b/one", issued="2026-01-22", start="2026-02-20"), LIFT), ["a/l"]),
        ((BLOCK, act("a/e", "lift", "a/b", issued="2026-01-22", start="2026-03-01"), LIFT), ["a/l"]),
        ((BLOCK, act("a/e", "lift", "a/b", issued="2026-01-22", start="2026-03-02"), LIFT), []),
        # Cancelling a pending lift, which another one cancelled before, or which has nothing left to end.
        ((BLOCK, LIFT, CANCEL), []),
        ((BLOCK, LIFT, act("a/e", "lift", "a/l", issued="2026-01-25", start="2026-02-20"), CANCEL), ["a/x"]),
        ((BLOCK, EARLY, LIFT, CANCEL), ["a/l", "a/x"]),
    ],
)
def test_a_lift_of_what_another_lift_had_ended_is_warned_of_and_stands(
    texts: tuple[str, ...], idle: list[str]
) -> None:
    found = relations.judge(filed(*texts))
    assert [(one.order, one.id, one.severity) for one in found] == [
        (id_, "already-lifted", "warning") for id_ in idle
    ]
    assert relations.check(filed(*texts)) == []


def going_on(ref: str, *, of: str = "a/b", terms: str = "regions: [ID]") -> str:
    """An amend after AMEND whose directive continues another."""
    window = "from: 2026-01-18, until: 2027-01-01"
    added = f"  - {{id: on, names: [x.example], {terms}, {window}, continues: {ref}}}"
    return act("a/on", "amend", of, "add:", added, issued="2026-01-18", start="2026-01-18")


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        ((BLOCK, going_on("a/b/one")), {}),
        ((BLOCK, AMEND, going_on("a/a/two")), {}),
        ((BLOCK, AMEND, going_on("a/a/two", of="a/a")), {}),
        ((BLOCK, going_on("a/b/other")), {"a/on": "continues-unknown"}),
        ((BLOCK, going_on("a/b/one", terms="regions: [ID, GB-SCT]")), {"a/on": "continues-otherwise"}),
        (
            (BLOCK, going_on("a/b/one", terms="regions: [ID], action: nodata")),
            {"a/on": "continues-otherwise"},
        ),
        ((BLOCK, going_on("a/on/on")), {"a/on": "continues-unknown"}),
        ((BLOCK, going_on("a/none/one")), {"a/on": "continues-unknown"}),
        ((BLOCK, AMEND, going_on("a/b/one", of="a/a")), {"a/on": "continues-unknown"}),
        ((BLOCK, BLOCK.replace("a/b", "a/c"), going_on("a/c/one")), {"a/on": "continues-unknown"}),
        (
            (BLOCK, AMEND.replace("2026-01-15", "2026-01-19"), going_on("a/a/two")),
            {"a/on": "continues-unknown"},
        ),
    ],
)
def test_a_directive_continues_one_that_was_there_and_is_amended(
    texts: tuple[str, ...], expected: dict[str, str]
) -> None:
    assert wrong(*texts) == expected
    assert wrong(*reversed(texts)) == expected


def test_what_continues_a_directive_of_a_quarantined_order_is_not_complained_of() -> None:
    found = relations.judge(filed(BLOCK, going_on("a/a/two")), quarantined=("a/a",))
    assert found == []
    (place,) = relations.judge(filed(BLOCK, going_on("a/a/two")))
    assert (place.line, place.column) == (10, 97)


SEALED_BLOCK = BLOCK.replace("publication: public", "publication: sealed")
RENEW = act("a/r", "amend", "a/b", "until: 2026-12-01", issued="2026-01-15", start="2026-01-15")


@pytest.mark.parametrize(
    ("texts", "warned"),
    [
        ((BLOCK, AMEND), []),
        ((SEALED_BLOCK, AMEND), ["a/a"]),
        (
            (SEALED_BLOCK, AMEND.replace("publication: public", "publication: sealed-until-effective")),
            ["a/a"],
        ),
        ((SEALED_BLOCK, AMEND.replace("publication: public", "publication: sealed")), []),
        ((SEALED_BLOCK, RENEW, SUSPEND, LIFT), []),  # They write nothing that could be told.
    ],
)
def test_an_amend_that_says_it_is_public_of_what_is_sealed_is_warned_that_it_is_sealed_too(
    texts: tuple[str, ...], warned: list[str]
) -> None:
    found = relations.judge(filed(*texts))
    assert [(one.order, one.id, one.severity) for one in found] == [
        (id_, "of-sealed", "warning") for id_ in warned
    ]


def test_a_lift_about_a_lift_that_is_warned_of_is_judged_like_any_other() -> None:
    assert wrong(BLOCK, EARLY, LIFT, CANCEL, act("a/z", "lift", "a/gone")) == {"a/z": "of-unknown"}


def test_an_order_about_a_quarantined_one_is_not_complained_of() -> None:
    assert wrong(SUSPEND, quarantined=("a/b",)) == {}
    assert wrong(act("a/s", "suspend", "a/b/whatever"), quarantined=("a/b",)) == {}


def test_a_rejected_order_changes_nothing_for_the_next() -> None:
    bad = act("a/l", "lift", "a/b/gone", issued="2026-01-21", start="2026-01-22")
    assert wrong(BLOCK, bad, SUSPEND) == {"a/l": "of-unknown"}


def test_a_long_chain_of_lifts_is_judged_without_deep_calls() -> None:
    chain = [BLOCK, act("z/0", "lift", "a/b", start="2026-04-01")]
    chain += [
        act(f"z/{number}", "lift", f"z/{number - 1}", start=f"2026-03-{28 - number % 27:02d}")
        for number in range(1, 120)
    ]
    assert set(wrong(*chain).values()) <= {"of-ended"}


@st.composite
def histories(draw: st.DrawFn) -> list[str]:
    """A block and acts of all kinds about each other, right and wrong ones."""
    texts, targets = [BLOCK], ["a/b", "a/b/one"]
    for number in range(draw(st.integers(1, 6))):
        id_, kind = f"x/{number}", draw(st.sampled_from(["suspend", "reinstate", "lift", "amend"]))
        more: tuple[str, ...] = ()
        if kind == "amend":
            more = draw(st.sampled_from([ADD, ("until: 2026-08-01",), ("remove: [x.blocked.example]",)]))
        elif kind == "suspend" and draw(st.booleans()):
            more = ("until: 2026-07-01",)
        texts.append(
            act(
                id_,
                kind,
                draw(st.sampled_from(targets)),
                *more,
                issued=f"2026-01-{draw(st.integers(11, 20))}",
                start=f"2026-0{draw(st.integers(2, 6))}-01",
            )
        )
        targets += [id_, f"{id_}/two"]
    return texts


@given(histories())
def test_an_order_never_becomes_a_problem_because_of_a_later_one(texts: list[str]) -> None:
    everything = filed(*texts)
    whole = {(one.order, one.id) for one in relations.check(everything)}
    ranked = sorted(everything, key=lambda one: relations.came(one.order))
    for count in range(1, len(ranked)):
        known = {one.order.id for one in ranked[:count]}
        before = ranked[:count]
        # Orders about one that isn't there yet are judged when it is.
        if any(one.order.of and relations.order_of(one.order.of) not in known for one in before):
            continue
        now = {(one.order, one.id) for one in relations.check(before)}
        assert now == {found for found in whole if found[0] in known}


@given(st.lists(st.tuples(st.integers(11, 20), st.integers(1, 28), st.integers(0, 5)), max_size=6), st.data())
def test_no_lift_becomes_a_problem_because_another_lift_arrives(
    lifts: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    texts, about = [BLOCK], ["a/b"]
    for number, (issued, start, of) in enumerate(lifts):
        about.append(f"x/{number}")
        texts.append(
            act(
                f"x/{number}",
                "lift",
                about[of % (number + 1)],
                issued=f"2026-01-{issued}",
                start=f"2026-02-{start:02d}",
            )
        )
    everything = filed(*texts)
    late = data.draw(st.sampled_from([*about[1:], ""]))
    # Those about the late one could not be judged without it.
    waiting = {late}
    for one in everything:
        if one.order.of in waiting:
            waiting.add(one.order.id)
    then = {one.order for one in relations.check(one for one in everything if one.order.id not in waiting)}
    now = {one.order for one in relations.check(everything)}
    assert now - waiting == then


@given(histories())
def test_the_order_of_files_changes_no_judgement(texts: list[str]) -> None:
    first = relations.check(filed(*texts))
    for shuffled in itertools.islice(itertools.permutations(texts), 0, 20, 7):
        assert sorted(map(str, relations.check(filed(*shuffled)))) == sorted(map(str, first))


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ((BLOCK, act("a/l", "lift", "a/b", start="2026-04-20")), "'a/b' had already ended at 2026-04-10T"),
        (
            (BLOCK, act("a/l", "lift", "a/b/one", start="2026-04-20T00:00:00+07:00")),
            "'a/b/one' had already ended at 2026-04-10T07:00:00+07:00;",
        ),
        (
            (BLOCK, LIFT, act("a/s", "suspend", "a/b", issued="2026-03-02", start="2026-03-05")),
            "'a/b' had already ended at 2026-03-01T",
        ),
        (
            (BLOCK, LIFT, act("a/l2", "lift", "a/l", issued="2026-03-05", start="2026-03-05")),
            "'a/l' had already ended by 2026-03-05T",
        ),
    ],
    ids=["by its until", "one directive", "by a lift", "an act"],
)
def test_what_had_ended_is_told_with_when_it_did(texts: tuple[str, ...], said: str) -> None:
    (problem,) = relations.check(filed(*texts))
    assert problem.id == "of-ended"
    assert said in problem.message
