from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders import suffixes
from blocker.orders.model import Match
from blocker.policy import lists, radius, warninglists
from blocker.policy.lists import CDNS
from blocker.policy.radius import REASONS, SHOWN, Found, Radius, judge

if TYPE_CHECKING:
    from blocker.names import Key

SUBTREE, EXACT, BELOW = Match.SUBTREE, Match.EXACT, Match.BELOW


def key(name: str) -> Key:
    return names.to_key(name)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return warninglists.files()


REAL = [
    # What went wrong elsewhere: Denmark 2012, France 2016, Italy 2024.
    ("google.com", SUBTREE, "registrable", {"popular", "shared-hosting"}),
    ("google.fr", SUBTREE, "registrable", {"popular"}),
    ("wikipedia.org", SUBTREE, "registrable", {"popular"}),
    ("fr.wikipedia.org", SUBTREE, "deeper", {"popular"}),
    ("drive.usercontent.google.com", SUBTREE, "deeper", {"popular"}),
    ("drive.usercontent.google.com", EXACT, "deeper", {"popular"}),
    ("never-heard-of-this-host.google.com", SUBTREE, "deeper", {"popular"}),
    # Parents that many publish under, and what is one of them's own.
    ("github.io", SUBTREE, "suffix", {"public-suffix-private", "popular", "shared-hosting"}),
    ("github.io", BELOW, "suffix", {"public-suffix-private", "popular", "shared-hosting"}),
    ("some-pirate-or-other.github.io", SUBTREE, "registrable", set()),
    ("amazonaws.com", SUBTREE, "registrable", {"public-suffix-private", "popular", "shared-hosting"}),
    ("some-pirate-or-other.s3.amazonaws.com", SUBTREE, "registrable", set()),
    ("wordpress.com", SUBTREE, "registrable", {"popular", "shared-hosting"}),
    ("some-pirate-or-other.wordpress.com", SUBTREE, "deeper", set()),
    ("duckdns.org", SUBTREE, "suffix", {"public-suffix-private", "popular", "shared-hosting"}),
    # A bank, a university, a government, where certificates are checked, a delivery network.
    ("deutsche-bank.de", SUBTREE, "registrable", {"bank", "popular"}),
    ("some-branch-or-other.deutsche-bank.de", SUBTREE, "deeper", {"bank"}),
    ("mit.edu", SUBTREE, "registrable", {"university", "popular"}),
    ("some-group-or-other.stanford.edu", EXACT, "deeper", {"university", "popular"}),
    ("ocsp.digicert.com", SUBTREE, "deeper", {"ocsp-crl", "popular"}),
    ("digicert.com", SUBTREE, "registrable", {"ocsp-crl", "popular"}),
    ("ocsp2.some-small-ca.net", SUBTREE, "deeper", {"ocsp-crl"}),
    ("crl.some-small-ca.co.uk", EXACT, "deeper", {"ocsp-crl"}),
    ("some-small-ministry.go.id", SUBTREE, "registrable", {"government"}),
    ("www.some-small-office.gov", SUBTREE, "deeper", {"government"}),
    ("some-small-form.service.gov.uk", SUBTREE, "registrable", {"government"}),
    ("unpkg.com", SUBTREE, "registrable", {"cdn", "popular"}),
    # What orders are mostly about.
    ("an-ordinary-name-that-few-know.com", SUBTREE, "registrable", set()),
    ("www.an-ordinary-name-that-few-know.com", SUBTREE, "deeper", set()),
    ("an-ordinary-name-that-few-know.co.uk", SUBTREE, "registrable", set()),
    ("www.an-ordinary-name-that-few-know.co.uk", SUBTREE, "deeper", set()),
    ("an-ordinary-name-that-few-know.example", SUBTREE, "registrable", set()),
    ("some-village.gorizia.it", SUBTREE, "registrable", set()),
    ("some-village.go.it", SUBTREE, "registrable", set()),
    ("ocsp.co.uk", SUBTREE, "registrable", set()),
    ("ocspy.an-ordinary-name-that-few-know.com", SUBTREE, "deeper", set()),
]


@pytest.mark.parametrize(("name", "match", "depth", "reasons"), REAL)
def test_a_name_is_held_for_what_it_stands_for_and_an_ordinary_one_is_not(
    files: dict[str, bytes], name: str, match: Match, depth: str, reasons: set[str]
) -> None:
    one = key(name)
    found = judge([(match, [one])], lists.part(files, [one]), others=lambda _key: 0)
    assert set(found.counts) == reasons
    assert {at for at, count in found.depths.items() if count} == {depth}
    assert all(kept == (Found(one, match, kept[0].via),) for kept in found.first.values())


def listed(**categories: list[str]) -> dict[Key, int]:
    table: dict[Key, int] = {}
    for category, written in categories.items():
        source = lists.Source("", category.replace("_", "-"), has_hosts=category != "shared_hosting")
        lists._add(table, map(key, written), *lists._bits(source))
    return table


KNOWN = listed(
    popular=["big.example", "www.seen.example", "many.example"],
    bank=["bank.big.example", "bank.co.uk"],
    shared_hosting=["many.example", "blogs.big.example"],
)


@pytest.mark.parametrize(
    ("name", "match", "reasons", "text"),
    [
        ("big.example", EXACT, {"popular"}, "big.example (this name alone)"),
        ("big.example", BELOW, {"popular", "bank", "shared-hosting"}, "*.big.example"),
        ("seen.example", SUBTREE, {"popular"}, "seen.example"),
        ("seen.example", EXACT, set(), ""),
        ("seen.example", BELOW, {"popular"}, "*.seen.example"),
        ("host.big.example", SUBTREE, {"popular"}, "host.big.example (a host of big.example)"),
        (
            "i.bank.big.example",
            SUBTREE,
            {"popular", "bank"},
            "i.bank.big.example (a host of bank.big.example)",
        ),
        ("bank.big.example", SUBTREE, {"popular", "bank"}, "bank.big.example (a host of big.example)"),
        ("x.blogs.big.example", SUBTREE, set(), ""),
        ("x.many.example", SUBTREE, set(), ""),
        ("www.bank.co.uk", SUBTREE, {"bank"}, "www.bank.co.uk (a host of bank.co.uk)"),
        ("github.io", EXACT, set(), ""),
        ("github.io", BELOW, {"public-suffix-private"}, "*.github.io"),
    ],
)
def test_an_exact_subject_is_judged_for_itself_and_a_host_by_the_site_it_belongs_to(
    name: str, match: Match, reasons: set[str], text: str
) -> None:
    found = judge([(match, [key(name)])], KNOWN)
    assert set(found.counts) == reasons
    assert {str(one) for kept in found.first.values() for one in kept} == ({text} if text else set())


@pytest.mark.parametrize(
    ("covered", "match", "reasons", "covers"),
    [
        (0, SUBTREE, set(), 0),
        (9, SUBTREE, set(), 9),
        (10, BELOW, {"covers-ordered"}, 10),
        (10, EXACT, set(), 0),
    ],
)
def test_a_name_is_held_when_many_names_of_other_orders_hang_below_it_and_fewer_are_shown(
    covered: int, match: Match, reasons: set[str], covers: int
) -> None:
    found = judge([(match, [key("parent.example")])], {}, others=lambda _key: covered)
    assert set(found.counts) == reasons
    assert [count for _, count in found.covers] == ([covers] if covers else [])


def test_all_names_are_counted_and_the_first_are_kept() -> None:
    wide = [key(f"h{number}.big.example") for number in range(SHOWN + 5)]
    found = judge([(SUBTREE, wide)], KNOWN, others=lambda _key: 1)
    assert found.counts == {"popular": SHOWN + 5}
    assert [one.key for one in found.first["popular"]] == wide[:SHOWN]
    assert len(found.covers) == SHOWN


def test_every_reason_has_words() -> None:
    assert set(lists.CATEGORIES) < set(REASONS)


PIECES = ["a", "b", "www", "ocsp", "crl2", "cab", "big", "many", "blogs", "bank", "seen"]
ENDS = [
    "example", "big.example", "nosuchtld", "com", "co.uk", "uk", "gov", "gov.uk", "service.gov.uk", "go.id",
    "go.it", "go.gov.br", "github.io", "io", "jp", "kawasaki.jp", "city.kawasaki.jp", "ck", "www.ck",
    "s3.amazonaws.com", "amazonaws.com", "compute.amazonaws.com", "akadns.net", *CDNS[:3],
]  # fmt: skip
NAMES = st.builds(
    lambda labels, end: ".".join([*labels, end]),
    st.lists(st.sampled_from(PIECES), min_size=1, max_size=3),
    st.sampled_from(ENDS),
)


@given(st.lists(st.tuples(st.sampled_from(Match), NAMES), max_size=12))
def test_a_list_judged_in_one_is_its_names_judged_one_by_one(given_: list[tuple[Match, str]]) -> None:
    given_ = [(match, name) for match, name in given_ if not suffixes.rules().cover(key(name))]
    groups = [(match, [key(name) for other, name in given_ if other is match]) for match in Match]
    whole = judge(groups, KNOWN)
    alone = [
        judge([(match, [one])], KNOWN, others=lambda _key: 0) for match, listed_ in groups for one in listed_
    ]
    assert whole == _sum(alone)


def _sum(found: list[Radius]) -> Radius:
    reasons = dict.fromkeys(reason for one in found for reason in one.counts)
    return Radius(
        depths={at: sum(one.depths[at] for one in found) for at in radius.DEPTHS},
        counts={reason: sum(one.counts.get(reason, 0) for one in found) for reason in reasons},
        first={
            reason: tuple(one for each in found for one in each.first.get(reason, ())) for reason in reasons
        },
    )
