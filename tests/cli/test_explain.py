from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Site

STATES = [
    ("2025-12-31", "not yet in force; it starts at 2026-01-01T00:00:00Z"),
    ("2026-01-02", "in force since 2026-01-01T00:00:00Z, until 2026-02-01T00:00:00Z"),
    ("2026-02-02", "suspended since 2026-02-01T00:00:00Z by a/stop"),
    ("2026-03-02", "in force since 2026-03-01T00:00:00Z"),
    ("2026-04-02", "lifted since 2026-04-01T00:00:00Z by a/lift"),
]


@pytest.fixture
def story(site: Site) -> Site:
    site.block("one", "x.example", "y.example")
    site.act("stop", "suspend", "a/one", start="2026-02-01")
    site.act("go-on", "reinstate", "a/one", start="2026-03-01")
    site.act("cut", "amend", "a/one", "remove: [y.example]", start="2026-03-10")
    site.act("lift", "lift", "a/one", start="2026-04-01")
    return site


@pytest.mark.parametrize(("at", "sentence"), STATES)
def test_every_state_has_its_sentence(story: Site, at: str, sentence: str) -> None:
    assert sentence in story.run("explain", "www.x.example", "--at", at).out


@pytest.mark.parametrize(("at", "sentence"), STATES)
def test_the_live_policy_explains_as_the_folder_does(story: Site, at: str, sentence: str) -> None:
    assert story.apply().code == 0
    assert sentence in story.run("explain", "www.x.example", "--at", at, "--live").out


def test_a_removed_name_names_the_amend(story: Site) -> None:
    ran = story.run("explain", "y.example", "--at", "2026-03-20")
    assert "this name was removed since 2026-03-10T00:00:00Z by a/cut" in ran.out


def test_it_names_authority_basis_and_window(story: Site) -> None:
    out = story.run("explain", "x.example", "--at", "2026-01-02").out
    for fact in ("Test Authority (ID)", "Test Act, section 1", "a/one/one", "2026-01-01T00:00:00+00:00"):
        assert fact in out


def test_another_region_is_said_to_be_one(story: Site) -> None:
    out = story.run("explain", "x.example", "--at", "2026-01-02", "--region", "GB").out
    assert "x.example is not blocked in GB" in out
    assert "it holds in ID only" in out


def test_a_nested_region_is_covered(story: Site) -> None:
    assert story.is_blocked("x.example", live=False, at="2026-01-02", region="ID-JK")


def test_json_has_the_documented_shape(story: Site) -> None:
    found = json.loads(story.run("explain", "x.example", "--at", "2026-01-02", "--json").out)
    assert {
        key: found[key] for key in ("name", "region", "blocked", "action", "answer", "because", "ttl_cap")
    } == {
        "name": "x.example",
        "region": "ID",
        "blocked": True,
        "action": "nxdomain",
        "answer": "nxdomain",
        "because": ["a/one/one"],
        "ttl_cap": 30,
    }


def test_a_type_may_be_written_as_its_number(story: Site) -> None:
    words = ("explain", "x.example", "--at", "2026-01-02", "--type")
    by_name, by_number = story.run(*words, "https"), story.run(*words, "TYPE65")
    assert by_name.code == by_number.code == 0
    assert by_name.out.replace("HTTPS", "TYPE65") == by_number.out


def test_an_unknown_name_type_region_and_time_are_usage_errors(story: Site) -> None:
    for words in (
        ("explain", "https://x.example/"),
        ("explain", "x.example", "--type", "NONSENSE"),
        ("explain", "x.example", "--region", "MARS"),
        ("explain", "x.example", "--at", "2026-01-02T00:00:00"),
        ("explain", "x.example", "--at", "yesterday"),
    ):
        ran = story.run(*words)
        assert ran.code == 2, words
        assert "Error:" in ran.err, words


def test_the_timeline_lists_every_change_of_force(story: Site) -> None:
    events = json.loads(story.run("timeline", "--json").out)
    assert [(one["at"][:10], one["event"]) for one in events] == [
        ("2026-01-01", "starts"),
        ("2026-02-01", "suspended"),
        ("2026-03-01", "resumed"),
        ("2026-03-10", "removes"),
        ("2026-04-01", "ends"),
    ]


def test_a_renewal_is_named_as_the_reason_with_its_basis(site: Site) -> None:
    site.block("one", "x.example", until="2026-06-01")
    site.act("renewal", "amend", "a/one", "until: 2026-09-01", start="2026-05-01")
    out = site.run("explain", "x.example", "--at", "2026-07-01").out
    assert "until 2026-09-01T00:00:00Z, renewed by a/renewal" in out
    assert "the amend    a/renewal" in out
    assert "renewed" not in site.run("explain", "x.example", "--at", "2026-04-01").out
    assert "ended at 2026-09-01T00:00:00Z, as a/renewal says" in (
        site.run("explain", "x.example", "--at", "2026-10-01").out
    )


def test_a_suspension_from_before_the_start_is_named(site: Site) -> None:
    site.block("one", "x.example", start="2026-03-01")
    site.act("stop", "suspend", "a/one", start="2026-02-01")
    assert "suspended since 2026-02-01T00:00:00Z by a/stop" in (
        site.run("explain", "x.example", "--at", "2026-04-01").out
    )
    assert "not yet in force" not in site.run("explain", "x.example", "--at", "2026-04-01").out


def test_the_folder_speaks_of_the_applied_form_of_a_file_that_is_gone(site: Site) -> None:
    site.block("one", "x.example")
    site.apply()
    site.path("one").unlink()
    ran = site.run("explain", "x.example", "--at", "2026-04-01")
    assert "x.example is BLOCKED in ID" in ran.out
    assert "applied-order-missing" in ran.err


def test_a_list_whose_file_is_gone_is_read_from_the_archive(site: Site) -> None:
    octets = b"listed.example\n"
    listed = site.folder / "orders" / "a" / "list.txt"
    listed.write_bytes(octets)
    site.block("one", "x.example")
    text = site.path("one").read_text()
    digest = hashlib.sha256(octets).hexdigest()
    site.write("one", text.replace("names: [x.example]", f"names_file: {{file: list.txt, sha256: {digest}}}"))
    assert site.apply().code == 0
    listed.unlink()
    assert "listed.example is BLOCKED" in site.run("explain", "listed.example", "--at", "2026-04-01").out


def test_what_the_folder_says_and_the_applied_policy_does_not_is_told(site: Site) -> None:
    site.block("one", "x.example")
    said = "by what is applied it is not blocked"
    before = site.run("explain", "x.example", "--at", "2026-01-02")
    assert (said in before.err, site.apply().code) == (False, 0)
    assert said not in site.run("explain", "x.example", "--at", "2026-01-02").err
    assert site.run("withhold", "a/one", "--reason", "appeal").code == 0
    ran = site.run("explain", "x.example", "--at", "2026-01-02")
    assert "x.example is BLOCKED in ID" in ran.out
    assert f"the orders folder says; {said}: see --live" in ran.err
    assert site.run("explain", "x.example", "--at", "2026-01-02", "--live").err == ""
