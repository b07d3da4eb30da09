from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders import suffixes
from blocker.policy import lists, warninglists
from blocker.policy.lists import ABOVE, AT, CATEGORIES, CDNS, SOURCES, UNDER, Edition

if TYPE_CHECKING:
    from blocker.names import Key


def octets(*entries: str, version: int = 7) -> bytes:
    """A list as the package writes it."""
    value = {
        "description": "x.example and others",
        "list": entries,
        "matching_attributes": ["domain"],
        "type": "hostname",
        "version": version,
    }
    return json.dumps(value, indent=2).encode()


def key(name: str) -> Key:
    return names.to_key(name)


def said(table: dict[Key, int], name: str) -> set[str]:
    """What the table says of a name, as people would."""
    bits = table.get(key(name), 0)
    ways = {"at": AT, "above": ABOVE, "under": UNDER}
    return {
        f"{way} {category}"
        for way, shift in ways.items()
        for number, category in enumerate(CATEGORIES)
        if bits >> shift + number & 1
    }


FILES = {
    "tranco": octets("shop.example", "www.news.example.co.uk", "many.example", "co.uk", "single"),
    "tranco10k": octets("many.example"),
    "bank-website": octets(".bank.example", ".www.savings.example"),
    "dynamic-dns": octets(".many.example"),
    "cisco_top20k": octets("ocsp.ca.example", "www.ca.example", "crl3.pki.other.example"),
    "nobody-knows": octets("elsewhere.example"),
}

TABLE = [
    ("shop.example", {"at popular"}),
    ("www.shop.example", set()),
    ("notshop.example", set()),
    ("www.news.example.co.uk", {"at popular"}),
    ("news.example.co.uk", {"above popular"}),
    ("example.co.uk", {"above popular"}),
    ("co.uk", {"at popular"}),
    ("many.example", {"at popular", "under popular", "at shared-hosting"}),
    ("bank.example", {"at bank", "under bank"}),
    ("savings.example", {"above bank"}),
    ("ca.example", {"above popular", "above ocsp-crl"}),
    ("ocsp.ca.example", {"at popular", "at ocsp-crl"}),
    ("www.ca.example", {"at popular"}),
    ("other.example", {"above popular", "above ocsp-crl"}),
    ("elsewhere.example", set()),
    ("unpkg.com", {"at cdn"}),
    ("example", set()),
]


@pytest.mark.parametrize(("name", "expected"), TABLE)
def test_the_table_says_what_the_lists_say(name: str, expected: set[str]) -> None:
    assert said(lists.whole(FILES), name) == expected


@pytest.mark.parametrize(("name", "expected"), [row for row in TABLE if row[0] != "co.uk"])
def test_a_part_of_the_table_says_the_same(name: str, expected: set[str]) -> None:
    assert said(lists.part(FILES, [key(name)]), name) == expected
    assert said(lists.chosen(FILES, [key(name)]), name) == expected


LABELS = st.sampled_from(["a", "b", "ocsp", "crl1", "notb", "uk", "co", "com", "github", "io", "example"])
NAMES = st.lists(LABELS, min_size=2, max_size=4).map(".".join)
ENTRIES = st.builds("{}{}".format, st.sampled_from(["", "", "."]), NAMES)
ODD = st.sampled_from(["single", "..", "a..b", "ü.example", "", ".", f"{'a' * 300}.example"])


@given(
    st.dictionaries(
        st.sampled_from(sorted({one.folder for one in SOURCES})),
        st.lists(st.one_of(ENTRIES, ENTRIES, ODD), max_size=6),
        max_size=4,
    ),
    st.lists(st.one_of(NAMES, st.sampled_from(CDNS)), min_size=1, max_size=4),
)
def test_any_part_of_the_table_is_what_the_whole_has_there(
    written: dict[str, list[str]], asked: list[str]
) -> None:
    files = {folder: octets(*entries) for folder, entries in written.items()}
    whole, part = lists.whole(files), lists.part(files, map(key, asked))
    icann = suffixes.rules()
    wanted = {
        above
        for name in asked
        for above in names.ancestry(key(name))
        if "." in names.to_text(above) and not icann.cover(above)
    }
    assert part == {one: whole[one] for one in wanted if one in whole}
    assert lists.chosen(files, map(key, asked)) == part


def test_a_list_that_holds_something_else_than_texts_is_read_for_its_texts() -> None:
    strange = json.dumps({"list": ["shop.example", 7, None, ["x.example"]], "version": "x"}).encode()
    assert said(lists.whole({"tranco": strange}), "shop.example") == {"at popular"}
    for odd in ("bücher.example", "." * 3, "x" * 300 + ".example"):
        assert set(lists.whole({"tranco": octets("shop.example", odd)})) == set(
            lists.whole({"tranco": strange})
        )
    assert lists.edition("tranco", strange) == Edition(name="tranco", version="unknown")


def test_an_edition_is_the_version_that_the_list_gives_itself() -> None:
    assert lists.edition("tranco", octets("a.example", version=20250115)).version == "20250115"


def test_every_list_of_the_table_is_in_the_package() -> None:
    found = warninglists.files()
    assert set(found) == {one.folder for one in SOURCES}
    assert all(lists.edition(*one).version != "unknown" for one in found.items())


def test_names_are_in_lower_case_whoever_wrote_the_list() -> None:
    names = [entry for octets in warninglists.files().values() for entry in json.loads(octets)["list"]]
    assert len(names) > 1_000_000
    assert not [name for name in names if name != name.lower()]


def test_what_the_lists_know_of_names_is_the_same_whether_they_are_few_many_or_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(warninglists, "files", lambda: FILES)
    few = warninglists.known_of({key("shop.example")})
    assert set(few.table) == {key("shop.example")}
    assert few.table == lists.part(FILES, {key("shop.example")})
    others = {key(f"n{number}.example") for number in range(warninglists.FEW)}
    assert warninglists.known_of({key("shop.example"), *others}).table == few.table
    assert warninglists.known_of(None).table == lists.whole(FILES)
    assert [one.name for one in few.editions] == sorted(FILES)


def test_without_the_package_nothing_is_known_but_our_own_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warninglists, "find_spec", lambda _name: None)
    known = warninglists.known_of({key("google.com"), key("unpkg.com")})
    assert (known.package, known.editions, set(known.table)) == ("", (), {key("unpkg.com")})
