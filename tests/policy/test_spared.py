from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.keys import Keys
from blocker.orders.model import NamesFile
from blocker.orders.timetable import Names
from blocker.policy import spared
from tests.policy.strategies import SUBJECT_NAMES, key, read, subject

if TYPE_CHECKING:
    from blocker.names import Key

some = st.lists(st.sampled_from(["example", *SUBJECT_NAMES]).map(key), max_size=12)


def spans(*written: str) -> list[str]:
    ascending = sorted(map(key, written))
    return [names.to_text(first) for first, _ in spared.spans(ascending)]


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ([], []),
        (["a.example"], ["a.example"]),
        (["a.example", "b.example", "aa.example"], ["a.example", "b.example", "aa.example"]),
        (["b.a.example", "a.example", "a.b.a.example", "c.example"], ["a.example", "c.example"]),
        (["a.example", "a.example"], ["a.example"]),
    ],
    ids=["none", "one", "beside each other", "below each other", "twice"],
)
def test_no_removed_name_lies_in_the_span_of_another(written: list[str], expected: list[str]) -> None:
    assert spans(*written) == expected


@given(removed=some, ordered=some)
def test_a_span_has_the_names_at_and_below_its_own_and_all_spans_have_all(
    removed: list[Key], ordered: list[Key]
) -> None:
    found = list(spared.spans(sorted(removed)))
    keys = Keys.of(ordered)
    there = [{one for one in ordered if one == first or names.is_below(one, first)} for first, _ in found]
    assert list(spared.among(keys, found)) == [len(each) for each in there]
    assert list(spared.among_few(sorted([*keys, *keys]), found)) == [2 * len(each) for each in there]
    taken = {one for one in ordered if any(one == cut or names.is_below(one, cut) for cut in removed)}
    assert set().union(*there) == taken


def test_a_removed_name_that_spares_none_counts_as_one() -> None:
    assert spared.total([]) == 0
    assert spared.total([(0,), (3,)]) == 4
    assert spared.total([(0, 0), (3, 2), (0, 1)]) == 7


@pytest.mark.parametrize(
    ("written", "file", "expected"),
    [
        (["a.example", "*.b.example"], "", ["a.example", "b.example"]),
        ([], "1", ["b.example", "a.a.example", "b.b.example"]),
        (["c.example", "b.example"], "1", ["b.example", "c.example", "a.a.example", "b.b.example"]),
    ],
    ids=["written", "listed", "both"],
)
def test_what_is_removed_is_written_or_listed(written: list[str], file: str, expected: list[str]) -> None:
    listed = NamesFile(file="x.txt", sha256=file * 64) if file else None
    cut = Names(subjects=tuple(map(subject, written)), file=listed)
    assert list(spared.removed(cut, read)) == sorted(map(key, expected))
