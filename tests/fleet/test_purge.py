from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from blocker import names
from blocker.fleet import purge
from blocker.orders.model import Publication
from blocker.policy.reader import Reader
from blocker.policy.records import Withheld
from blocker.policy.writer import withhold
from blocker.site import Endpoint, Point
from tests.resolver.live import store
from tests.resolver.world import T0, block

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.timetable import Window


def point(kind: str = "unbound", by: str = "module", *control: str, region: str = "ID") -> Point:
    return Point(
        name="p1",
        kind=kind,
        by=by,
        address=Endpoint("127.0.0.1", 53),
        region=region,
        control=control or ("ctl",),
    )


TABLE = [
    (
        "unbound",
        "module",
        ["a.example", "b.example"],
        [("flush_zone", "a.example"), ("flush_zone", "b.example")],
    ),
    ("unbound", "rpz", ["a.example"], [("flush_zone", "a.example")]),
    ("bind", "rpz", ["a.example"], [("flushtree", "a.example")]),
    ("powerdns", "rpz", ["a.example", "b.example"], [("wipe-cache", "a.example$", "b.example$")]),
]


@pytest.mark.parametrize(("kind", "by", "found", "said"), TABLE, ids=[f"{row[0]}-{row[1]}" for row in TABLE])
def test_each_engine_forgets_by_its_own_command(
    kind: str, by: str, found: list[str], said: list[tuple[str, ...]]
) -> None:
    made = purge.commands(point(kind, by), map(names.to_key, found))
    assert [one.words for one in made] == said
    assert [names.to_text(key) for one in made for key in one.keys] == found


def many(number: int) -> list[names.Key]:
    return [names.to_key(f"n{one}.example") for one in range(number)]


def test_of_many_names_everything_goes_where_a_tree_is_as_dear_as_that() -> None:
    keys = [*many(purge.ZONES + 1), names.to_key("deep.n0.example")]
    (made,) = purge.commands(point(), keys)
    assert made.words == ("flush_zone", ".")
    assert set(made.keys) == set(keys)


def test_as_many_names_as_a_resolver_bears_go_by_themselves() -> None:
    keys = [*many(purge.ZONES), names.to_key("deep.n0.example")]
    assert names.ROOT not in {names.to_key(one.words[1]) for one in purge.commands(point(), keys)}


def test_names_apart_have_a_command_each_as_long_as_the_resolver_bears_it() -> None:
    few = [*many(3), names.to_key("deep.n0.example")]
    assert [one.keys for one in purge.apart(point(), few)] == [(key,) for key in few]
    assert [one.words[1] for one in purge.apart(point(), many(purge.ZONES + 1))] == ["."]
    assert len(purge.apart(point("powerdns", "rpz"), many(purge.ZONES + 1))) == purge.ZONES + 1


def test_names_below_others_need_no_command_of_their_own() -> None:
    found = ("www.a.example", "a.example", "b.example", "a.example", "xa.example")
    made = purge.commands(point(), map(names.to_key, found))
    assert [one.words for one in made] == [
        ("flush_zone", "a.example"),
        ("flush_zone", "b.example"),
        ("flush_zone", "xa.example"),
    ]
    assert made[0].keys == (names.to_key("a.example"), names.to_key("www.a.example"))


def test_everything_lies_below_the_root() -> None:
    made = purge.commands(point("powerdns", "rpz"), [names.to_key("a.example"), names.ROOT])
    assert [one.words for one in made] == [("wipe-cache", ".$")]


def test_a_name_that_begins_with_a_hyphen_is_no_option() -> None:
    (made,) = purge.commands(point("bind", "rpz"), [names.to_key("-x.example")])
    assert made.words == ("flushtree", r"\045x.example")


def test_what_is_in_force_depends_on_time_region_and_the_operator(tmp_path: Path) -> None:
    store(
        tmp_path,
        block("a.example", start=T0, until=T0 + 10, ident="court/a"),
        block("b.example", start=T0, until=T0 + 10, ident="court/b", regions=("GB",)),
        block("c.example", start=T0, until=T0 + 10, ident="court/c"),
    )
    withhold(tmp_path, Withheld(reason="mistaken", at=0.0, by="noc"), "court/c")
    with Reader(tmp_path).snapshot() as policy:
        here, there = purge.force(policy, "ID"), purge.force(policy, "GB")
    refs = [
        {ref for ref, _ in found}
        for found in (
            purge.changed({}, T0, here, T0 - 1),
            purge.changed({}, T0, here, T0),
            purge.changed({}, T0, there, T0 + 9),
            purge.changed({}, T0, there, T0 + 10),
            purge.changed(here, T0, here, T0 + 10),
            purge.fresh(here, since=T0 + 1, now=T0 + 5),
            purge.fresh(here, since=T0 - 1, now=T0 + 5),
        )
    ]
    assert refs == [set(), {"court/a/d"}, {"court/b/d"}, set(), {"court/a/d"}, set(), {"court/a/d"}]


def test_what_was_withheld_lately_is_told_by_region(tmp_path: Path) -> None:
    store(tmp_path, block("a.example", ident="court/a"), block("b.example", ident="court/b"))
    withhold(tmp_path, Withheld(reason="mistaken", at=T0, by="noc"), "court/a")
    with Reader(tmp_path).snapshot() as policy:
        asked = [("ID", T0 - 1), ("GB", T0 - 1), ("ID", T0)]
        found = [[ref for ref, _ in purge.let_go(policy, region, since)] for region, since in asked]
    assert found == [["court/a/d"], [], []]


WINDOWS = [
    ("in force before and after", ((0, None),), ((0, None),), False),
    ("begins within the time", (), ((150, None),), True),
    ("begins after the time", (), ((300, None),), False),
    ("ended before", ((0, 100),), (), False),
    ("ends within the time", ((0, None),), ((0, 150),), True),
    ("ends after the time", ((0, None),), ((0, 250),), False),
    ("resumes earlier than was known", ((0, 50), (180, None)), ((0, 50), (120, None)), True),
]


@pytest.mark.parametrize(
    ("was", "now_is", "differs"), [row[1:] for row in WINDOWS], ids=[row[0] for row in WINDOWS]
)
def test_what_a_cache_may_keep_too_long_differs_within_the_time_it_may_keep_it(
    was: tuple[Window, ...], now_is: tuple[Window, ...], differs: bool
) -> None:
    known = ("court/a/d", "digest")
    assert bool(purge.differing({known: was}, {known: now_is}, 100.0, 100.0)) is differs


def test_the_names_of_a_directive_come_whole_up_to_the_most_that_is_purged(tmp_path: Path) -> None:
    subjects = [f"n{number}.example" for number in range(purge.NAMES + 7)]
    store(
        tmp_path,
        block(*subjects[:500], ident="court/b", excepts=("www.n0.example",)),
        block(*subjects, ident="court/a"),
        block(*(f"m{number}.example" for number in range(purge.NAMES + 8)), ident="court/c"),
    )
    with Reader(tmp_path).snapshot() as policy:
        force = purge.force(policy, "ID")
        long, middling, longest = sorted(force)  # by their refs
        found, more = purge.of_directives(policy, [middling], 0.0)
        assert {names.to_text(key) for key in found} == set(subjects[:500])
        assert more == 0
        found, more = purge.of_directives(policy, [long], 0.0)
        assert (len(set(found)), more) == (purge.NAMES, 7)
        found, more = purge.of_directives(policy, [long, middling, longest], 0.0)
        assert (len(found), more) == (purge.NAMES, 500 + purge.NAMES + 15)
        # The short list is whole, whatever the other's order is called.
        assert {names.to_text(key) for key in found[:500]} == set(subjects[:500])


def test_what_the_policy_has_not_got_any_more_can_be_anything(tmp_path: Path) -> None:
    store(tmp_path, block("a.example"))
    with Reader(tmp_path).snapshot() as policy:
        assert purge.of_directives(policy, [("court/gone/d", "digest")], 0.0) == ([names.ROOT], 0)


def test_no_name_of_a_sealed_order_is_a_word_of_a_command(tmp_path: Path) -> None:
    """Everybody on the machine sees them: all is forgotten instead, and nothing where nothing leaks."""
    sealed = replace(block("hush.example", ident="court/b"), publication=Publication.SEALED)
    store(tmp_path, block("a.example", ident="court/a"), sealed)
    with Reader(tmp_path).snapshot() as policy:
        every = purge.force(policy, "ID").keys()
        assert purge.of_directives(policy, every, 0.0) == ([names.ROOT], 0)
        found, _ = purge.of_directives(policy, every, 0.0, is_leaky=False)
        assert [names.to_text(key) for key in found] == ["a.example"]
