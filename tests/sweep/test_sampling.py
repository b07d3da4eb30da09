"""Sampling: what is said is what counting every draw gives, and never less."""

from __future__ import annotations

from fractions import Fraction
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.sweep import sampling

CONFIDENCES = st.sampled_from([0.8, 0.95, 0.99])


def at_most(bad: int, among: int, drawn: int, count: int) -> Fraction:
    """How likely so few bad ones are, by counting the draws."""
    few = sum(
        comb(among, some) * comb(count - among, drawn - some) for some in range(bad + 1) if some <= drawn
    )
    return Fraction(few, comb(count, drawn))


@given(st.integers(1, 150), CONFIDENCES, st.floats(0.005, 0.9))
def test_a_plan_is_the_smallest_that_would_meet_a_bad_name_if_more_were_bad(
    count: int, confidence: float, share: float
) -> None:
    among, missed = int(share * count) + 1, 1 - confidence
    enough = [size for size in range(count + 1) if float(at_most(0, among, size, count)) <= missed + 1e-9]
    assert abs(sampling.plan(count, confidence, share) - min(enough)) <= 1 or min(enough) > count / 2


@given(st.data(), st.integers(1, 120), CONFIDENCES)
def test_a_bound_is_the_most_bad_names_that_such_a_draw_allows(
    data: st.DataObject, count: int, confidence: float
) -> None:
    sampled = data.draw(st.integers(0, count))
    bad = data.draw(st.integers(0, sampled))
    said = sampling.bound(sampled, bad, count, confidence)
    allowed = [
        among
        for among in range(bad, count - (sampled - bad) + 1)
        if float(at_most(bad, among, sampled, count)) > 1 - confidence - 1e-8
    ]
    most = round(said.share * count)
    assert most == max(allowed)


@given(st.integers(1, 10**7), CONFIDENCES, st.floats(0.0005, 0.5))
def test_who_asks_as_planned_and_sees_nothing_bad_may_say_what_was_planned(
    count: int, confidence: float, share: float
) -> None:
    size = sampling.plan(count, confidence, share)
    # One more may be said for those within a hair's breadth of the confidence.
    assert sampling.bound(size, 0, count, confidence).share <= (int(share * count) + 1) / count
    assert size <= count


@pytest.mark.parametrize(("confidence", "three"), [(0.95, 3.0), (0.99, 4.6)])
def test_for_long_lists_it_is_the_rule_of_three(confidence: float, three: float) -> None:
    said = sampling.bound(1000, 0, 1_000_000, confidence)
    assert said.share == pytest.approx(three / 1000, rel=0.01)


def test_a_bulk_order_takes_a_thousand_names_for_three_in_a_thousand() -> None:
    assert sampling.plan(1_000_000, 0.95, 0.003) == 997
    assert sampling.plan(9_500_000, 0.99, 0.003) == 1533


@pytest.mark.parametrize("count", [0, 1, 20, 1000])
def test_of_a_small_order_every_name_is_asked_about(count: int) -> None:
    assert sampling.plan(count, 0.95, 0.003) == count


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            sampling.bound(1000, 0, 1_000_000, 0.95),
            (
                "1,000 of 1,000,000 names sampled, 0 not as ordered: "
                "with 95 % confidence at most 0.30 % of all are not"
            ),
        ),
        (
            sampling.bound(1000, 10, 1_000_000, 0.99),
            (
                "1,000 of 1,000,000 names sampled, 10 not as ordered: "
                "with 99 % confidence at most 2.1 % of all are not"
            ),
        ),
        (sampling.bound(20, 3, 20, 0.95), "all 20 names asked about, 3 not as ordered"),
        (sampling.bound(0, 0, 0, 0.95), "all 0 names are as ordered"),
        (
            sampling.bound(0, 0, 10, 0.95),
            "0 of 10 names sampled, 0 not as ordered: with 95 % confidence at most 100 % of all are not",
        ),
    ],
)
def test_what_is_said_is_rounded_up(found: sampling.Bound, sentence: str) -> None:
    assert str(found) == sentence


def test_nothing_is_said_to_be_nothing_only_if_it_is() -> None:
    assert (
        sampling.Bound(sampled=1, bad=0, count=2, confidence=0.95, share=0.0)
        .__str__()
        .endswith("at most 0 % of all are not")
    )
