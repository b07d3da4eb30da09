"""What the ledger remembers of a store that is gone: the acts as the store had them, and the last number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocker.policy import ledger, outbox, withholding, writer
from blocker.policy.chain import Entry, Event, Head, entry
from blocker.policy.records import Withheld
from blocker.policy.remembered import EVENTS, Remembered, remember
from blocker.policy.rollback import reason_of
from tests.policy.strategies import EPOCH, directive, order
from tests.policy.test_writer import target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def told(*events: tuple[str, str, dict[str, Any]]) -> Iterator[Entry]:
    """The rows of these events, one a second."""
    head = Head()
    for at, (event, subject, detail) in enumerate(events, 1):
        made = entry(Event(at=float(at), event=event, subject=subject, detail=detail), head)
        head = made.head
        yield made


def withheld(ref: str, reason: str = "appeal") -> tuple[str, str, dict[str, Any]]:
    return "withheld", ref, {"by": "anna", "reason": reason}


def rolled_back(generation: int, live: int, *refs: str) -> tuple[str, str, dict[str, Any]]:
    detail = {"generation": generation, "from": live, "refs": list(refs), "left": []}
    return "rolled-back", "", {**detail, "by": "bob", "reason": reason_of(generation, "x")}


def released(ref: str, **more: Any) -> tuple[str, str, dict[str, Any]]:
    return "released", ref, {"by": "anna", **more}


def applied(generation: object) -> tuple[str, str, dict[str, Any]]:
    return "applied", "", {"generation": generation}


HAND = Withheld(reason="appeal", at=1.0, by="anna")
TO_ONE = Withheld(reason=reason_of(1, "x"), at=2.0, by="bob")


@pytest.mark.parametrize(
    ("events", "held"),
    [
        ([], {}),
        ([withheld("a/x")], {"a/x": (HAND,)}),
        ([withheld("a/x"), released("a/x")], {}),
        ([released("a/x")], {}),
        ([withheld("a/x"), rolled_back(1, 2, "a/x", "a/y")], {"a/x": (HAND, TO_ONE), "a/y": (TO_ONE,)}),
        (
            [withheld("a/x", "first"), withheld("a/x", "second")],
            {"a/x": (Withheld(reason="second", at=2.0, by="anna"),)},
        ),
        (
            [withheld("a/x"), rolled_back(1, 2, "a/x"), released("a/x", still=True, ended=["by hand"])],
            {"a/x": (TO_ONE,)},
        ),
        (
            [
                withheld("a/x"),
                rolled_back(1, 2, "a/x"),
                released("a/x", still=True, ended=["rollback to generation 1"]),
            ],
            {"a/x": (HAND,)},
        ),
        # As a version told it that did not say which act ended.
        ([withheld("a/x"), rolled_back(1, 2, "a/x"), released("a/x", still=True)], {"a/x": (TO_ONE,)}),
        (
            [rolled_back(2, 3, "a/x"), rolled_back(1, 3, "a/x"), released("a/x", still=True)],
            {"a/x": (Withheld(reason=reason_of(2, "x"), at=1.0, by="bob"), TO_ONE)},
        ),
    ],
)
def test_acts_are_replayed_as_the_store_had_them(
    events: list[tuple[str, str, dict[str, Any]]], held: dict[str, tuple[Withheld, ...]]
) -> None:
    assert remember(told(*events)).withheld == held


def test_a_row_that_is_damaged_ends_nothing_and_withholds_what_it_still_names() -> None:
    found = remember(
        told(
            withheld("a/x"),
            ("released", "a/x", {}),
            ("rolled-back", "", {"refs": "a/y"}),
            ("withheld", "a/z", {}),
        )
    )
    assert found.withheld == {"a/x": (HAND,), "a/z": (Withheld(reason="", at=4.0, by=""),)}


@pytest.mark.parametrize(
    ("events", "number"),
    [
        ([], 0),
        ([applied(1), applied(2), applied(1)], 2),
        ([applied(1), rolled_back(1, 4)], 4),
        ([applied(3), applied("9"), applied(True), applied(None), applied(-1), applied(10**12)], 3),
    ],
)
def test_the_highest_number_that_a_generation_can_have_had_is_the_last_one(
    events: list[tuple[str, str, dict[str, Any]]], number: int
) -> None:
    assert remember(told(*events)).number == number


def test_acts_that_never_reached_the_ledger_are_counted() -> None:
    lost = ("not-kept", "", {"since": 1.0, "events": {"withheld": 2, "finding-opened": 9}})
    assert remember(told(lost, ("not-kept", "", {"events": 3}))) == Remembered(untold={"withheld": 2})


ACTS = st.lists(
    st.tuples(
        st.sampled_from(["withhold", "roll back", "release", "release the rollback"]),
        st.sampled_from(["x/1", "x/2", "x/1/d"]),
        st.integers(0, 2),
    ),
    max_size=12,
)


@settings(deadline=None, max_examples=25)
@given(acts=ACTS)
def test_whatever_was_done_the_ledger_remembers_what_the_store_has(
    tmp_path_factory: pytest.TempPathFactory, acts: list[tuple[str, str, int]]
) -> None:
    state = tmp_path_factory.mktemp("state")
    both = [order(f"x/{n}", directives=(directive("d", f"n{n}.example"),)) for n in (1, 2)]
    one = target(both, lambda _: (), number=3)
    writer.commit(state, one, base="", events=[Event(at=EPOCH, event="applied", detail={"generation": 3})])
    for at, (what, ref, number) in enumerate(acts, EPOCH + 1):
        do(state, what, ref, number, float(at))
    outbox.tell(state)
    found = remember(ledger.entries(state, only=EVENTS))
    assert found.number == 3
    assert found.withheld == withholding.withheld(state)


def do(state: Path, what: str, ref: str, number: int, at: float) -> None:
    """One act of the operator, if it can be done."""
    held = withholding.withheld(state)
    if what == "withhold":
        withholding.withhold(state, ref, Withheld(reason="appeal", at=at, by="anna"))
    elif what == "roll back":
        act = Withheld(reason=reason_of(number, "x"), at=at, by="bob")
        detail = {"generation": number, "from": 3, "refs": [ref], "by": "bob", "reason": act.reason}
        writer.withhold(state, act, ref, events=[Event(at=at, event="rolled-back", detail=detail)])
    elif what == "release" and ref in held:
        withholding.release(state, [ref], by="anna", now=at)
    elif what == "release the rollback":
        withholding.release(state, [], rollback=number, by="anna", now=at)


def test_since_when_a_site_lapses_is_told_by_the_applies_since_it_last_kept() -> None:
    def since(*applies: dict[str, Any]) -> int | None:
        return remember(told(*(("applied", "", detail) for detail in applies))).lapses_from

    keep, always = {"review": "keep"}, {"review": "lapse", "lapses_from": 0}
    later, old = {"review": "lapse", "lapses_from": 7}, {"review": "lapse"}
    assert since() is None
    assert since(keep) is None
    assert since(later, keep) is None
    assert since(always, later) == 0
    assert since(always, keep, later, always) == 7
    (first,) = told(("applied", "", old))
    assert since(old, later) == int(first.at), "a version that did not say since when"
