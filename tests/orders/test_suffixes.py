from __future__ import annotations

from datetime import date

import publicsuffixlist
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders import suffixes

library = publicsuffixlist.PublicSuffixList(only_icann=True)
RULES = sorted(names.to_text(key) for key in suffixes.rules().exact | suffixes.rules().free)


def test_every_rule_and_every_name_below_it_agree_with_the_library() -> None:
    for rule in RULES:
        for name in (rule, f"x.{rule}", f"y.x.{rule}"):
            key = names.to_key(name)
            if "." in name:
                assert suffixes.rules().cover(key) == library.is_public(name), name


@given(
    st.lists(st.sampled_from(["com", "uk", "co", "ck", "www", "jp", "kawasaki", "x"]), min_size=2, max_size=4)
)
def test_any_name_agrees_with_the_library(labels: list[str]) -> None:
    name = ".".join(labels)
    assert suffixes.rules().cover(names.to_key(name)) == library.is_public(name)


def test_every_rule_is_read_as_a_name_that_a_person_typed_would_be() -> None:
    lines = [line.split(" ")[0] for line in suffixes._text().splitlines() if not line.startswith("//")]
    typed = {
        names.to_key(names.canonical(line.removeprefix("*.").removeprefix("!"))) for line in lines if line
    }
    both = (suffixes.rules(), suffixes.private())
    assert frozenset().union(*(one.exact | one.free for one in both)) == typed


def test_the_private_section_is_apart() -> None:
    assert not suffixes.rules().cover(names.to_key("github.io"))
    assert suffixes.private().cover(names.to_key("github.io"))
    assert not suffixes.private().cover(names.to_key("co.uk"))


def test_every_private_rule_agrees_with_the_library() -> None:
    both, private = publicsuffixlist.PublicSuffixList(), suffixes.private()
    for key in private.exact - private.wild:
        assert both.is_public(names.to_text(key))
    for key in private.wild:
        assert both.is_public(f"x.{names.to_text(key)}")
        assert private.cover(names.to_key(f"x.{names.to_text(key)}"))


def test_the_list_says_of_which_day_it_is() -> None:
    assert date.fromisoformat(suffixes.version()) > date(2024, 1, 1)
