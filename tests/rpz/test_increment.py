"""The answer to IXFR, record by record: RFC 1995 §4 and §7, and what is no such answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.names import ROOT
from blocker.rpz.increment import Increment, Part, Unusable
from blocker.rpz.transfer import SOA, Record
from tests.policy.strategies import key

HELD, FINAL = 7, 9
MOST = 10_000
GONE, NEW, HEAD, WHOLE = Part.GONE, Part.NEW, Part.HEAD, Part.WHOLE
_LETTERS = {HEAD: "", GONE: "-", NEW: "+", WHOLE: "="}


def records(script: str) -> list[Record]:
    """Numbers are SOA records of this serial, words are owners."""
    return [
        Record(ROOT, SOA, "?", 30, serial=int(word))
        if word.isdigit()
        else Record(key(f"{word}.example"), 5, ".", 30)
        for word in script.split()
    ]


def read(script: str, most: int = MOST) -> tuple[str, bool]:
    """What the parts are, and whether the answer is whole."""
    answer = Increment(HELD, FINAL, most)
    said = [
        _LETTERS[answer.take(record)] + word
        for word, record in zip(script.split(), records(script), strict=True)
    ]
    return " ".join(said), answer.is_over


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("9 7 a 9 b 9", "9 7 -a 9 +b 9"),
        ("9 7 9 9", "9 7 9 9"),
        ("9 7 a b 8 c 8 c 9 d e 9", "9 7 -a -b 8 +c 8 -c 9 +d +e 9"),
        ("9 7 8 a 8 9 b 9", "9 7 8 +a 8 9 +b 9"),
        ("9 7 a 9 9", "9 7 -a 9 9"),
        ("9 a b 9", "9 =a =b 9"),
    ],
)
def test_differences_and_a_whole_zone_are_told_apart_and_have_an_end(script: str, said: str) -> None:
    assert read(script) == (said, True)
    words = script.split()
    for length in range(len(words)):
        assert not read(" ".join(words[:length]))[1]


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("a", "does not begin with an SOA"),
        ("7", "leads to serial 7, not 9"),
        ("6", "leads to serial 6, not 9"),
        ("10 7 10 10", "leads to serial 10, not 9"),
        ("9 6", "begins at serial 6, not 7"),
        ("9 9", "begins at serial 9, not 7"),
        ("9 7 8 a 7", "begins at serial 7, not 8"),
        ("9 7 8 a 9", "begins at serial 9, not 8"),
        ("9 7 10 a 9", "begins at serial 9, not 10"),
        ("9 a 8", "leads to serial 8, not 9"),
        ("9 a 9 b", "goes on behind its end"),
        ("9 7 a 9 b 9 c", "goes on behind its end"),
        ("9 7 a 9 b 9 9", "goes on behind its end"),
    ],
)
def test_what_doesn_t_lead_from_the_held_version_to_the_other_is_unusable(script: str, why: str) -> None:
    with pytest.raises(Unusable, match=why):
        read(script)


def test_differences_are_bounded_and_a_whole_zone_is_not_by_them() -> None:
    with pytest.raises(Unusable, match="longer than the zone"):
        read("9 7 " + "a " * 100, 1000)
    with pytest.raises(Unusable, match="longer than the zone"):
        read("9 7 " + "8 8 " * 100, 1000)
    assert read("9 " + "a " * 100 + "9", 1000)[1]


@given(st.lists(st.sampled_from(["6", "7", "8", "9", "a"]), max_size=12))
def test_whatever_is_said_only_a_chain_from_held_to_final_ends(words: list[str]) -> None:
    try:
        said, is_over = read(" ".join(words))
    except Unusable:
        return
    if is_over and "=" not in said:
        serials = [word for word in said.split() if word.isdigit()]
        assert serials[0] == serials[-1] == "9"
        before, after = serials[1:-1:2], serials[2:-1:2]
        assert before == ["7", *after[:-1]]
        assert after[-1] == "9"
