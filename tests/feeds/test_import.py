"""From a list to what is blocked: the whole way of each format, and what an order made of a list says."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from blocker.feeds import formats
from blocker.orders import filing, parse
from blocker.orders.model import Match
from tests.feeds.samples import (
    ADDRESS,
    LATER,
    MAKERS,
    NAMES,
    OTHERS,
    URL,
    adm,
    entry,
    hazard,
    hosts,
    lines,
    position,
    zone,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.feeds.conftest import Fed

WITH_OTHERS = [name for name in MAKERS if name != "rpz"]


def blocked(fed: Fed, *names: str) -> set[str]:
    return {name for name in names if fed.is_blocked(name, at="2026-12-15")}


@pytest.mark.parametrize("format_", MAKERS)
def test_a_list_becomes_an_order_that_blocks_and_the_next_one_an_amend(fed: Fed, format_: str) -> None:
    make = MAKERS[format_]
    fed.feed(format_, more="    max_change: 0.2\n")
    first = fed.take(make(NAMES))
    assert (first.code, first.err) == (0, "not applied: see `blocker plan`, then `blocker apply`\n")
    ran = fed.run("check")
    assert (ran.code, ran.out) == (0, "")
    assert fed.run("apply", "--yes").code == 0
    every = (*NAMES, "newcomer.example")
    assert blocked(fed, *every, "www.casino-4.example", "notcasino-4.example") == {
        *NAMES,
        "www.casino-4.example",
    }

    before = fed.orders
    fed.at("2026-11-29T12:00:00+00:00")
    said = fed.taken(make(LATER, edition=2))
    gone, new = (f"reg/2026-11-29-list-120000{end}" for end in ("", "-new"))
    assert (said["orders"], said["added"], said["removed"]) == ([gone, new], 1, 1)
    assert {name: octets for name, octets in fed.orders.items() if name in before} == before
    ran = fed.run("check")
    assert (ran.code, ran.out) == (0, "")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *every, "www.casino-4.example") == set(LATER)


@pytest.mark.parametrize("format_", MAKERS)
def test_the_same_list_again_changes_nothing(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    fed.take(MAKERS[format_](NAMES))
    before = fed.orders
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.take(MAKERS[format_](NAMES))
    assert (ran.code, ran.err) == (0, "list: nothing changed\n")
    assert fed.orders == before


@pytest.mark.parametrize("format_", MAKERS)
def test_the_same_list_at_the_same_time_makes_the_same_octets(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    fed.take(MAKERS[format_](NAMES))
    before = fed.orders
    for path in (fed.folder / "orders" / "reg").iterdir():
        path.unlink()
    fed.take(MAKERS[format_](NAMES))
    assert fed.orders == before


@pytest.mark.parametrize("format_", WITH_OTHERS)
def test_urls_and_addresses_are_told_with_their_lines_and_never_widened(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    said = fed.taken(MAKERS[format_]((*NAMES, URL, ADDRESS, "198.51.100.0/24", "shop.example/path", "co.uk")))
    assert said["skipped"] == {"url": 2, "address": 2, "refused": 1}
    assert [row["text"] for row in said["not_names"]] == [
        URL,
        ADDRESS,
        "198.51.100.0/24",
        "shop.example/path",
        "co.uk",
    ]
    assert all(row["line"] for row in said["not_names"])
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, "shop.example", "casino-0.example") == {"casino-0.example"}


@pytest.mark.parametrize("format_", MAKERS)
def test_names_are_one_however_they_are_written(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    text = MAKERS[format_](NAMES)
    fed.take(text)
    before = fed.orders
    for octets in (
        text.replace("casino-1.example", "Casino-1.EXAMPLE"),
        "\ufeff" + text,
        text.replace("\r\n", "\n").replace("\n", "\r\n"),
    ):
        ran = fed.take(octets)
        assert (ran.code, ran.err) == (0, "list: nothing changed\n")
    assert fed.orders == before


def test_a_final_dot_a_second_time_and_another_script_make_no_other_names(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines([*NAMES, "bücher.example"]))
    ran = fed.take(lines(["casino-0.example.", *NAMES, *NAMES, "xn--bcher-kva.example", "BÜCHER.example"]))
    assert (ran.code, ran.err) == (0, "list: nothing changed\n")


def test_the_order_says_where_it_is_from_when_it_came_and_that_no_date_is_known(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines([*NAMES, URL]))
    octets = fed.orders["2026-11-28-list.yaml"]
    digest = hashlib.sha256(lines([*NAMES, URL]).encode()).hexdigest()
    text = octets.decode()
    assert "# Made by `blocker import list` (names) from " in text
    assert f"# Retrieved at 2026-11-28T12:00:00Z: 198 octets, SHA-256 {digest}." in text
    assert "# Not names, and not blocked: 1 url." in text
    filed, problems = parse.read(octets, path="x", id_="reg/2026-11-28-list")
    assert filed is not None
    assert not problems
    order = filed.order
    assert order.reference == "Register of domains, date unknown"
    assert order.document is not None
    assert order.document.sha256 == digest
    assert fed.orders[order.document.file] == lines([*NAMES, URL]).encode()
    listed = fed.orders["2026-11-28-list.listed.txt"].decode().splitlines()
    assert listed[:3] == [
        "# reg/2026-11-28-list: 10 names, listed",
        "# date unknown: the document has none",
        "casino-0.example",
    ]


def test_dates_of_entry_are_kept_with_their_zone(fed: Fed) -> None:
    fed.feed("pl-hazard")
    fed.take(MAKERS["pl-hazard"](NAMES))
    assert (
        b"# entered 2026-01-01T12:00:00+01:00\ncasino-0.example\n" in fed.orders["2026-11-28-list.listed.txt"]
    )
    assert (
        b'reference: "Register of domains, 2026-01-01T12:00:00+01:00"' in fed.orders["2026-11-28-list.yaml"]
    )


def test_a_long_document_is_kept_compressed_and_read_again(fed: Fed) -> None:
    fed.feed("names")
    padding = "# " + "x" * 4000 + "\n"
    fed.take(padding * 300 + lines(NAMES))
    assert "2026-11-28-list.source.txt.gz" in fed.orders
    assert fed.run("check").out == ""
    ran = fed.take(lines(NAMES[:-1]))
    assert "feed-tail-missing" in ran.err


def test_a_dry_run_says_what_it_would_write_and_writes_nothing(fed: Fed) -> None:
    fed.feed("names")
    ran = fed.take(lines(NAMES), "--dry-run")
    assert ran.code == 0
    assert (
        "would write: reg/2026-11-28-list.source.txt, reg/2026-11-28-list.listed.txt, "
        "reg/2026-11-28-list.yaml" in ran.out
    )
    assert fed.orders == {}


def test_another_source_and_another_folder_may_be_given(fed: Fed) -> None:
    fed.feed("names")
    (fed.folder / "here").write_text(lines(NAMES))
    out = fed.folder / "orders" / "elsewhere"
    assert fed.run("import", "list", str(fed.folder / "here"), "--out", str(out)).code == 0
    assert (out / "2026-11-28-list.yaml").exists()
    assert fed.run("import", "list", "--out", str(fed.folder)).code == 2


def test_what_was_written_in_the_same_second_is_not_written_over(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(NAMES))
    fed.take(lines(("new-1.example", *NAMES)))
    before = fed.orders
    ran = fed.take(lines(("new-2.example", *NAMES)))
    assert ran.code == 2
    assert "feed-order-exists: the order is there already; import again a second later." in ran.err
    assert fed.orders == before


def test_a_zone_tells_a_name_from_what_is_below_it(fed: Fed) -> None:
    fed.feed("rpz", more="    max_change: 1\n")
    text = (
        zone([])
        + "alone.example CNAME .\n*.below.example CNAME *.\nboth.example A 192.0.2.1\n"
        + "*.both.example CNAME x.\n"
    )
    assert fed.take(text).code == 0
    assert fed.run("apply", "--yes").code == 0
    every = [f"{at}{name}.example" for name in ("alone", "below", "both") for at in ("", "www.")]
    assert blocked(fed, *every) == {
        "alone.example",
        "www.below.example",
        "both.example",
        "www.both.example",
    }
    fed.at("2026-11-29T12:00:00+00:00")
    text = zone([], 2) + "*.alone.example CNAME .\nbelow.example CNAME .\nboth.example CNAME .\n"
    assert fed.take(text).code == 0
    assert fed.run("check").out == ""
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *every) == {"www.alone.example", "below.example", "both.example"}


@pytest.mark.parametrize(
    "row",
    [
        "self.example CNAME rpz-passthru.",
        "self.example CNAME self.example.",
        "Self.example 60 IN CNAME SELF.example.",
        "self.example CNAME self.example",
        "self.example CNAME ( self.example. )",
        "self.example.rpz.example. CNAME self.example.",
        "*.self.example CNAME *.self.example.",
        "$ORIGIN example.rpz.example.\nself CNAME self.example.",
        "$ORIGIN .\nself.example.rpz.example CNAME self.example",
        "$ORIGIN .\nself.example.rpz.example CNAME rpz-passthru",
    ],
)
def test_what_a_zone_exempts_in_any_form_is_not_blocked(fed: Fed, row: str) -> None:
    fed.feed("rpz")
    said = fed.taken(f"{zone(NAMES)}{row}\n")
    assert (said["names"], said["problems"]) == (len(NAMES), [])
    assert b"self" not in fed.orders["2026-11-28-list.listed.txt"]


def test_an_alias_to_another_name_blocks_and_one_to_itself_in_a_transfer_exempts() -> None:
    head = "$ORIGIN rpz.example.\n@ 30 IN SOA a. b. 1 60 60 60 60\n"
    found = formats.read(
        "axfr",
        f"{head}landing.example CNAME wall.example.\nself.example CNAME self.example.\n".encode(),
        Match.SUBTREE,
    )
    assert set(found.names) == {b"=landing.example"}


def test_a_zone_whose_names_are_relative_to_the_root_is_the_same_zone(fed: Fed) -> None:
    fed.feed("rpz")
    fed.take(zone(NAMES))
    text = (
        "$ORIGIN .\n$TTL 60\nrpz.example IN SOA localhost. root.localhost. 1 60 60 60 60\n"
        + "".join(f"{name}.rpz.example CNAME .\n*.{name}.rpz.example CNAME .\n" for name in NAMES[:5])
        + "$ORIGIN rpz.example.\n"
        + "".join(f"{name} CNAME .\n*.{name} CNAME .\n" for name in NAMES[5:])
    )
    ran = fed.take(text)
    assert (ran.code, ran.err) == (0, "list: nothing changed\n")


ODD = [
    "foo..odd.example",
    ".foo.odd.example",
    "x@odd.example",
    "a" * 64 + ".odd.example",
    "\N{GRINNING FACE}.odd.example",
    "p\N{CYRILLIC SMALL LETTER A}y.odd.example",
    "*x.odd.example",
    "\N{FULLWIDTH LATIN SMALL LETTER G}oogle.com",
    "goo\N{SOFT HYPHEN}gle.com",
    "goo\N{ZERO WIDTH SPACE}gle.com",
    "goo\N{ZERO WIDTH SPACE}gle.b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example",
    "google\N{IDEOGRAPHIC FULL STOP}com",
]
MANY = (*NAMES, *(f"more-{number}.example" for number in range(20)))


@pytest.mark.parametrize("odd", ODD)
@pytest.mark.parametrize("format_", WITH_OTHERS)
def test_one_odd_row_is_left_out_and_told_and_the_rest_is_taken(fed: Fed, format_: str, odd: str) -> None:
    fed.feed(format_)
    fed.take(MAKERS[format_](MANY))
    fed.at("2026-11-29T12:00:00+00:00")
    said = fed.taken(MAKERS[format_](("new.example", odd, *MANY), 2))
    assert (said["added"], said["removed"], said["skipped"]) == (1, 0, {"unreadable": 1})
    assert [row["text"] for row in said["not_names"]] == [odd]
    assert [one["id"] for one in said["problems"] if one["severity"] == "error"] == ["feed-row-unreadable"]
    assert b"\nnew.example\n" in fed.orders["2026-11-29-list-120000.added.txt"]
    ran = fed.take(MAKERS[format_](("new.example", odd, *MANY), 2))
    assert ran.code == 2
    assert "is neither a name nor a URL nor an address; it is left out, and the rest is taken." in ran.err


def test_letters_of_another_script_are_read_in_either_case_and_composed_or_not(fed: Fed) -> None:
    fed.feed("names")
    said = fed.taken(
        lines([*NAMES, "*.B\u00dcCHER.example.", "bu\u0308ro.example", "www.xn--bcher-kva.example"])
    )
    assert (said["names"], said["problems"]) == (len(NAMES) + 3, [])


def test_an_entry_whose_dates_contradict_leaves_its_name_as_it_is(fed: Fed) -> None:
    for format_ in ("cert-pl", "pl-hazard"):
        fed.feed(format_)
        fed.folder.joinpath("feeds.yaml").write_text(
            fed.folder.joinpath("feeds.yaml").read_text().replace("folder: reg", f"folder: {format_}")
        )
        first = dated(format_, [(name, "2026-01-01T12:00:00", "") for name in MANY])
        assert fed.take(first).code == 0
        fed.at("2026-11-29T12:00:00+00:00")
        wrong = ("2026-01-03T12:00:00", "2026-01-02T12:00:00")
        rest = [(name, "2026-01-01T12:00:00", "") for name in MANY[1:]]
        said = fed.taken(dated(format_, [(MANY[0], *wrong), *rest]))
        assert (said["added"], said["removed"], said["skipped"]) == (0, 0, {"contradicting": 1})
        said = fed.taken(dated(format_, [("new.example", *wrong), *rest, ("n.example", wrong[1], "")]))
        assert (said["added"], said["skipped"]) == (1, {"contradicting": 1})
        assert "feed-dates-contradict" in [one["id"] for one in said["problems"]]
        fed.at("2026-11-28T12:00:00+00:00")


def dated(format_: str, entries: list[tuple[str, str, str]]) -> str:
    """A document whose entries have these names, beginnings and ends."""
    if format_ == "cert-pl":
        return json.dumps([position(at, *one[:2], one[2] or None) for at, one in enumerate(entries, 1)])
    rows = "".join(
        entry(at, name, f"<DataWykreslenia>{until}</DataWykreslenia>" if until else "", since)
        for at, (name, since, until) in enumerate(entries, 1)
    )
    return hazard([]).replace("</Rejestr>", f"{rows}</Rejestr>")


@pytest.mark.parametrize("format_", ["cert-pl", "pl-hazard"])
def test_an_end_in_the_hour_that_comes_twice_is_no_contradiction(format_: str) -> None:
    document = dated(format_, [("x.example", "2026-10-25T02:50:00", "2026-10-25T02:10:00")])
    found = formats.read(format_, document.encode(), Match.SUBTREE)
    assert set(found.ended) == {b"x.example"}
    assert not found.counts


def test_a_deletion_below_a_name_that_stays_is_not_undone_when_that_goes_too(fed: Fed) -> None:
    fed.feed("cert-pl", more="    max_change: 1\n")
    since, until = "2026-01-01T12:00:00", "2026-02-01T12:00:00"
    rest = [(name, since, "") for name in NAMES]
    fed.take(dated("cert-pl", [*rest, ("p.example", since, ""), ("a.p.example", since, "")]))
    fed.apply()
    every = ["p.example", "a.p.example", "b.p.example"]
    fed.at("2026-11-29T12:00:00+00:00")
    second = dated("cert-pl", [*rest, ("p.example", since, ""), ("a.p.example", since, until)])
    assert fed.take(second).code == 0
    ran = fed.run("check")
    assert (ran.code, ran.out) == (0, "")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *every) == set(every)
    assert fed.take(second).err == "list: nothing changed\n"
    fed.at("2026-11-30T12:00:00+00:00")
    assert fed.take(dated("cert-pl", [*rest, ("p.example", since, until)])).code == 0
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *every, NAMES[0]) == {NAMES[0]}


@pytest.mark.parametrize("format_", ["cert-pl", "pl-hazard"])
def test_a_date_does_nothing_before_its_time(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    kept = [(name, "2026-01-01T12:00:00", "") for name in NAMES[1:]]
    fed.take(dated(format_, [(NAMES[0], "2026-01-01T12:00:00", ""), *kept]))
    before = fed.orders
    document = dated(
        format_,
        [
            (NAMES[0], "2026-01-01T12:00:00", "2026-11-29T10:00:00"),
            ("new.example", "2026-11-29T10:00:00", ""),
            *kept,
        ],
    )
    ran = fed.take(document)
    assert (ran.code, fed.orders) == (0, before)
    assert (
        " feed-later: 'casino-0.example' and 1 more has a date yet to come, which does nothing until then; "
        "import the document again at that time.\n" in ran.err
    )
    fed.at("2026-11-29T09:00:00+00:00")
    said = fed.taken(document)
    assert (said["added"], said["removed"], said["problems"]) == (1, 1, [])


def test_exact_is_what_the_feeds_policy_says(fed: Fed) -> None:
    fed.feed("hosts", more="    match: exact\n")
    fed.take(hosts(NAMES))
    fed.run("apply", "--yes")
    assert blocked(fed, "casino-0.example", "www.casino-0.example") == {"casino-0.example"}


def test_the_names_of_the_host_itself_are_not_part_of_a_hosts_file(fed: Fed) -> None:
    fed.feed("hosts")
    ran = fed.take(hosts(NAMES) + "127.0.1.1 localhost router.example\n")
    assert "own-host" in ran.out + ran.err
    fed.run("apply", "--yes")
    assert blocked(fed, *NAMES, "router.example") == {*NAMES}


def test_a_name_that_goes_takes_none_along_that_stays(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(["casino.example", "www.casino.example", "*.x.casino.example", *NAMES]))
    fed.apply()
    fed.at("2026-11-29T12:00:00+00:00")
    assert fed.take(lines(["www.casino.example", "*.x.casino.example", *NAMES])).code == 0
    assert fed.run("check").out == ""
    fed.run("apply", "--yes")
    every = [
        "casino.example",
        "a.casino.example",
        "www.casino.example",
        "a.x.casino.example",
        "x.casino.example",
    ]
    assert blocked(fed, *every) == {"www.casino.example", "a.x.casino.example"}
    fed.at("2026-11-30T12:00:00+00:00")
    assert (
        fed.take(lines(["www.casino.example", "*.x.casino.example", *NAMES])).err == "list: nothing changed\n"
    )


def test_a_name_that_goes_is_not_freed_below_one_that_stays(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(["casino.example", "www.casino.example", *NAMES]))
    fed.at("2026-11-29T12:00:00+00:00")
    assert fed.take(lines(["casino.example", *NAMES])).err == "list: nothing changed\n"
    fed.run("apply", "--yes")
    assert blocked(fed, "www.casino.example") == {"www.casino.example"}


def test_a_name_may_come_and_go_and_come_again(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    for day, listed in enumerate([NAMES, LATER, NAMES, LATER, NAMES], 1):
        fed.at(f"2026-11-{day:02}T12:00:00+00:00")
        assert fed.take(lines(listed)).code == 0
        assert fed.run("apply", "--yes").code == 0
        assert blocked(fed, *NAMES, "newcomer.example") == set(listed)


def test_what_another_order_removed_or_lifted_stays_out_and_is_told(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(NAMES))
    fed.at("2026-11-29T12:00:00+00:00")
    fed.take(lines((*NAMES, "new.example")))
    fed.act(
        "court",
        "amend",
        "reg/2026-11-28-list",
        "remove: [casino-1.example, '*.casino-2.example']",
        start="2026-11-30",
    )
    fed.act("court-2", "lift", "reg/2026-11-29-list-120000/added", start="2026-11-30")
    fed.at("2026-12-01T12:00:00+00:00")
    ran = fed.take(lines((*NAMES, "new.example", "www.casino-1.example")))
    assert ran.code == 0
    assert (
        "list feed-removed-by-order: still listed, though another order removed or lifted them, and left "
        "out: "
        "'casino-1.example' and 2 more; ask the authority, or write an amend.\n" in ran.err
    )
    fed.run("apply", "--yes")
    assert blocked(fed, *NAMES, "new.example") == {*NAMES} - {"casino-1.example"}


def test_what_a_court_removes_from_a_later_date_on_is_the_list_s_until_then(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 1\n")
    fed.take(lines(NAMES))
    removed = "remove: [casino-1.example, casino-2.example, www.wide.example]"
    fed.act("court", "amend", "reg/2026-11-28-list", removed, start="2026-12-10")
    fed.at("2026-12-01T12:00:00+00:00")
    kept = [name for name in NAMES if name != "casino-1.example"]
    ran = fed.take(lines(["wide.example", *kept]))
    assert (ran.code, "feed-removed-by-order" in ran.err) == (0, False)
    assert fed.run("apply", "--yes").code == 0
    every = (*NAMES, "wide.example", "www.wide.example")

    def at(day: str) -> set[str]:
        return {name for name in every if fed.is_blocked(name, at=day)}

    assert at("2026-12-05") == {*kept, "wide.example", "www.wide.example"}
    assert at("2026-12-15") == {*kept, "wide.example"} - {"casino-2.example"}
    fed.at("2026-12-10T00:00:00+00:00")
    ran = fed.take(lines(["wide.example", *NAMES]))
    assert (ran.code, "feed-removed-by-order: still listed" in ran.err) == (0, True)
    fed.run("apply", "--yes")
    assert at("2026-12-15") == {*kept, "wide.example"} - {"casino-2.example"}


def test_what_a_court_adds_from_a_later_date_on_bars_nothing_that_goes_before(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 1\n")
    fed.take(lines(NAMES))
    added = (
        "add: [{id: x, names: [www.casino-1.example], regions: [ID], from: 2026-12-10, until: 2027-02-01}]"
    )
    fed.act("court", "amend", "reg/2026-11-28-list", added, start="2026-12-10")
    fed.at("2026-12-01T12:00:00+00:00")
    assert fed.take(lines([name for name in NAMES if name != "casino-1.example"])).code == 0
    assert fed.run("apply", "--yes").code == 0
    assert not fed.is_blocked("www.casino-1.example", at="2026-12-05")
    assert fed.is_blocked("www.casino-1.example", at="2026-12-15")


def test_what_a_court_freed_below_a_name_stays_free_when_that_comes_or_comes_again(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 1\n")
    first = ["top.example", "shop.top.example", "b.a.top.example", "www.late.example", "last.example"]
    fed.take(lines(first))
    removed = "remove: [www.shop.top.example, a.top.example, www.late.example, '*.last.example']"
    fed.act("court", "amend", "reg/2026-11-28-list", removed, start="2026-11-29")
    free = ["www.shop.top.example", "b.a.top.example", "www.late.example", "a.last.example"]
    fed.at("2026-11-30T12:00:00+00:00")
    fed.take(lines(["shop.top.example", "b.a.top.example", "late.example", "last.example"]))
    assert 'except: ["www.late.example", "www.shop.top.example"]' in (
        fed.orders["2026-11-30-list-120000.yaml"].decode()
    )
    ran = fed.run("check")
    assert (ran.code, ran.out) == (0, "")
    assert fed.run("apply", "--yes").code == 0
    still = {"shop.top.example", "late.example", "last.example"}
    assert blocked(fed, *free, *still, "top.example") == still
    fed.at("2026-12-01T12:00:00+00:00")
    fed.take(lines(["late.example", "last.example"]))
    fed.at("2026-12-02T12:00:00+00:00")
    fed.take(lines(["top.example", "late.example", "last.example"]))
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *free, "top.example", "shop.top.example", "a.top.example") == {
        "top.example",
        "shop.top.example",
    }


@pytest.mark.parametrize("added", ["mirror.casino-1.example", "casino-1.example", "above"])
def test_a_name_that_goes_does_not_take_along_what_another_amend_added(fed: Fed, added: str) -> None:
    fed.feed("names", more="    max_change: 1\n")
    fed.take(lines(["sub.above.example", *NAMES[:-1], "z.example"]))
    name = added.replace("above", "above.example")
    window = "from: 2026-11-29, until: 2027-02-01"
    fed.act(
        "court",
        "amend",
        "reg/2026-11-28-list",
        f"add: [{{id: x, names: [{name}], regions: [ID], {window}}}]",
        start="2026-11-29",
    )
    before = fed.orders
    fed.at("2026-11-30T12:00:00+00:00")
    gone = ["casino-1.example", "sub.above.example"]
    kept = [one for one in ["sub.above.example", *NAMES[:-1], "z.example"] if one not in gone]
    ran = fed.take(lines(kept))
    assert (ran.code, fed.orders) == (2, before)
    assert f" feed-cuts-others: '{name}' would no longer be blocked with what is gone, though" in ran.err
    fed.act("court-2", "lift", "a/court", start="2026-11-30")
    assert fed.take(lines(kept)).code == 0


@pytest.mark.parametrize("last", ["www.casino-0.example", "removed.example"])
def test_a_list_cut_off_is_noticed_though_its_last_name_says_nothing_more(fed: Fed, last: str) -> None:
    fed.feed("names", more="    max_change: 1\n")
    fed.take(lines([*NAMES, last]))
    fed.act("court", "amend", "reg/2026-11-28-list", "remove: [removed.example]", start="2026-11-29")
    before = fed.orders
    fed.at("2026-11-30T12:00:00+00:00")
    ran = fed.take(lines(NAMES[:-1]))
    assert (ran.code, fed.orders) == (2, before)
    assert f" feed-tail-missing: '{last}', with which the last document ended, is gone" in ran.err


@pytest.mark.parametrize("format_", ["names", "hosts", "rpz"])
def test_a_list_cut_off_is_noticed_though_its_last_name_stands_in_it_twice(fed: Fed, format_: str) -> None:
    fed.feed(format_, more="    max_change: 1\n")
    fed.take(MAKERS[format_]([*NAMES, NAMES[0]]))
    before = fed.orders
    fed.at("2026-11-30T12:00:00+00:00")
    ran = fed.take(MAKERS[format_](NAMES[:-1], 2))
    assert (ran.code, fed.orders) == (2, before)
    assert f" feed-tail-missing: '{NAMES[-1]}', with which" in ran.err


def test_a_person_may_let_another_document_of_the_same_number_past(fed: Fed) -> None:
    fed.feed("it-adm", more="    max_change: 1\n")
    fed.take(adm(NAMES))
    fed.at("2026-11-30T12:00:00+00:00")
    document = adm(LATER)
    digest = hashlib.sha256(document.encode()).hexdigest()
    assert fed.take(document, "--accept", digest, "--reason", "asked the authority").code == 0


def test_without_the_last_document_nothing_is_lifted_until_a_person_says_so(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 1\n")
    fed.take(lines(NAMES))
    (fed.folder / "orders" / "reg" / "2026-11-28-list.source.txt").unlink()
    before = fed.orders
    fed.at("2026-11-30T12:00:00+00:00")
    ran = fed.take(lines(NAMES[:-1]))
    assert (ran.code, fed.orders) == (2, before)
    assert " feed-last-unknown: the document of the feed's last order is gone or can't be read" in ran.err


@pytest.mark.parametrize("row", ["bank.example#/casino", "bank.example#x"])
def test_what_stands_before_a_fragment_is_not_widened_to_a_host(fed: Fed, row: str) -> None:
    fed.feed("names")
    said = fed.taken(lines([*NAMES, row, "other.example # a comment"]))
    assert (said["added"], said["skipped"]) == (len(NAMES) + 1, {"url": 1})
    assert b"bank.example" not in fed.orders["2026-11-28-list.listed.txt"]


def test_an_amend_that_is_cancelled_is_as_if_it_had_not_been(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(NAMES))
    fed.at("2026-11-29T12:00:00+00:00")
    fed.take(lines(LATER))
    fed.act("court", "lift", "reg/2026-11-29-list-120000", start="2026-11-30")
    fed.act("court-2", "lift", "reg/2026-11-29-list-120000-new", start="2026-11-30")
    fed.at("2026-12-01T12:00:00+00:00")
    said = fed.taken(lines(LATER))
    assert (said["added"], said["removed"]) == (0, 1)
    fed.run("apply", "--yes")
    assert blocked(fed, *NAMES, "newcomer.example") == set(LATER) - {"newcomer.example"}


def test_a_feed_whose_order_was_lifted_starts_no_new_one(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    fed.act("court", "lift", "reg/2026-11-28-list", start="2026-11-30")
    fed.at("2026-12-01T12:00:00+00:00")
    ran = fed.take(lines((*NAMES, "new.example")))
    assert ran.code == 2
    assert "list feed-order-ended: 'reg/2026-11-28-list' has ended, so nothing can be added to it." in ran.err


def test_a_feed_whose_order_is_broken_waits_until_it_is_mended(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    (fed.folder / "orders" / "reg" / "2026-11-28-list.listed.txt").write_text("other.example\n")
    fed.at("2026-12-01T12:00:00+00:00")
    ran = fed.take(lines((*NAMES, "new.example")))
    assert ran.code == 2
    assert (
        "list feed-orders-broken: 'reg/2026-11-28-list', which an import of this feed made, has problems"
        in ran.err
    )


def test_a_protected_name_is_left_out_and_told_and_the_others_are_imported(fed: Fed) -> None:
    fed.feed("names")
    ran = fed.take(lines((*NAMES, "kept.example")))
    assert ran.code == 2
    assert (
        "list protected-name: 'kept.example' would block 'kept.example', which this site protects; it is "
        "left out. "
        "Take it off the protected list if a person so decides.\n" in ran.err
    )
    assert fed.run("check").out == ""
    fed.run("apply", "--yes")
    assert blocked(fed, "kept.example", *NAMES) == {*NAMES}


def test_a_person_may_let_a_great_change_past_and_the_order_says_why(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    fed.at("2026-11-29T12:00:00+00:00")
    text = lines(OTHERS)
    digest = hashlib.sha256(text.encode()).hexdigest()
    refused = fed.take(text)
    assert (
        f"If a person found it right: `blocker import list --accept {digest} --reason TEXT`." in refused.err
    )
    assert fed.take(text, "--accept", digest).code == 2
    assert "feed-accept-other" in fed.take(text, "--accept", "0" * 64, "--reason", "r").err
    assert fed.take(text, "--accept", digest, "--reason", "letter 7/2026:\nall of them").code == 0
    assert (
        "# Accepted though feed-tail-missing, feed-changed-too-much, feed-changed-too-much: letter "
        "7/2026:\\u000aall" in fed.orders["2026-11-29-list-120000.yaml"].decode()
    )
    fed.run("apply", "--yes")
    assert blocked(fed, *NAMES, *OTHERS) == {*OTHERS}


@pytest.mark.parametrize(
    ("format_", "empty"),
    [
        ("rpz", zone([], 2)),
        ("names", "# nothing any more\n"),
        ("hosts", "127.0.0.1 localhost\n"),
        ("cert-pl", json.dumps([position(1, "x.example", "2026-01-01T12:00:00", "2026-03-01T00:00:00")])),
    ],
)
def test_a_document_without_a_name_is_acceptable_by_nobody(fed: Fed, format_: str, empty: str) -> None:
    fed.feed(format_, minimum=1, more="    max_change: 1\n")
    fed.take(MAKERS[format_](NAMES))
    fed.run("apply", "--yes")
    before = fed.orders
    fed.at("2026-11-29T12:00:00+00:00")
    digest = hashlib.sha256(empty.encode()).hexdigest()
    for words in ((), ("--accept", digest, "--reason", "it is empty indeed")):
        ran = fed.take(empty, *words)
        assert ran.code == 2
        assert "feed-empty: the document lists no name" in ran.err
        assert "`blocker new --kind lift --of ORDER`" in ran.err
        assert "--accept" not in ran.err
    assert (fed.orders, blocked(fed, *NAMES)) == (before, {*NAMES})


def test_the_way_past_a_check_is_not_shown_where_another_bars_it(fed: Fed) -> None:
    fed.feed("names", minimum=5)
    ran = fed.take(lines([*NAMES[:2], "not a name"]))
    assert "feed-too-few: " in ran.err
    assert "feed-row-unreadable: " in ran.err
    assert "--accept" not in ran.err


def test_an_unknown_feed_a_site_without_feeds_and_words_that_dont_fit_are_refused(fed: Fed) -> None:
    assert "site.yaml" not in fed.run("import").out
    fed.feed("names")
    ran = fed.run("import", "other")
    assert ran.code == 2
    assert "feed-unknown: no feed is called 'other' (there are: list); add it, or mend its name." in ran.err
    assert fed.run("import", "--poll", "--dry-run").code == 2
    assert fed.run("import").code == 2
    site = fed.folder / "site.yaml"
    site.write_text(site.read_text().replace("feeds: feeds.yaml\n", ""))
    assert "site.yaml has no 'feeds'" in fed.run("import", "list").err


@pytest.mark.parametrize("what", ["gone", "changed"])
def test_a_feed_whose_applied_order_is_gone_or_changed_waits_too(fed: Fed, what: str) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    fed.run("apply", "--yes")
    path = fed.folder / "orders" / "reg" / "2026-11-28-list.yaml"
    if what == "gone":
        path.unlink()
    else:
        path.write_text(path.read_text().replace("180d", "90d") + "# changed\n")
    fed.at("2026-12-01T12:00:00+00:00")
    ran = fed.take(lines(("new.example", *NAMES)))
    assert ran.code == 2
    assert "list feed-orders-broken: 'reg/2026-11-28-list'" in ran.err


def test_an_order_that_would_be_over_at_once_is_not_made(fed: Fed) -> None:
    fed.feed("names")
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("review_after: 180d", "until: 2026-11-28T12:00:00Z"))
    ran = fed.take(lines(NAMES))
    assert (ran.code, fed.orders) == (2, {})
    assert "list feed-order-ended: its 'until' is over" in ran.err
    path.write_text(path.read_text().replace("28T12:00:00Z", "28T12:00:01Z"))
    assert fed.take(lines(NAMES)).code == 0
    assert b"until: 2026-11-28T12:00:01+00:00" in fed.orders["2026-11-28-list.yaml"]
    assert fed.run("check").out == ""


@pytest.mark.parametrize("files", [0, 1, 2])
def test_a_crash_while_writing_leaves_no_half_of_an_order(
    fed: Fed, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(NAMES))
    fed.run("apply", "--yes")
    fed.at("2026-11-29T12:00:00+00:00")
    write, count = filing._write, iter(range(9))

    def dying(path: Path, octets: bytes, mode: int) -> None:
        if next(count) == files:
            raise OSError(28, "No space left on device")
        write(path, octets, mode)

    monkeypatch.setattr(filing, "_write", dying)
    ran = fed.take(lines(LATER))
    assert ran.code == 4
    assert "reg: the order can't be written: No space left on device" in ran.err
    assert not any(name.startswith(".") or name == "2026-11-29-list-120000.yaml" for name in fed.orders)
    assert fed.run("check").out == ""
    monkeypatch.setattr(filing, "_write", write)
    assert fed.take(lines(LATER)).code == 0
    assert fed.run("check").out == ""


def test_what_an_interrupted_import_left_of_another_document_gives_way_to_the_next(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines((*NAMES, "new.example")))
    (fed.folder / "orders" / "reg" / "2026-11-28-list.yaml").unlink()
    assert fed.take(lines(NAMES)).code == 0
    assert fed.run("check").out == ""
    assert b"new.example" not in fed.orders["2026-11-28-list.listed.txt"]


def test_a_file_that_an_order_names_is_not_written_over(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines((*NAMES, "new.example")))
    folder = fed.folder / "orders" / "reg"
    (folder / "2026-11-28-list.yaml").rename(folder / "other.yaml")
    before = fed.orders
    ran = fed.take(lines(NAMES))
    assert (ran.code, fed.orders) == (2, before)
    assert "duplicate-order-id: another file is there" in ran.err


def test_an_import_does_not_write_into_a_folder_that_leads_out_of_the_orders(fed: Fed) -> None:
    fed.feed("names")
    (fed.folder / "outside").mkdir()
    (fed.folder / "orders").mkdir(exist_ok=True)
    (fed.folder / "orders" / "reg").symlink_to(fed.folder / "outside")
    ran = fed.take(lines(NAMES))
    assert (ran.code, list((fed.folder / "outside").iterdir())) == (2, [])


def test_the_files_of_an_import_are_for_their_group_alone(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    made = (fed.folder / "orders" / "reg").iterdir()
    assert {path.stat().st_mode & 0o137 for path in made} == {0}


def test_what_the_operator_writes_about_a_feed_can_t_break_the_order(fed: Fed) -> None:
    fed.feed("names")
    path = fed.folder / "feeds.yaml"
    odd = r'"a \"b\" \\u0041 \u00e9 \U0001F600 # {x: y}"'
    path.write_text(path.read_text().replace('"Register of domains"', odd).replace("[ID]", '[ID, "GB"]'))
    assert fed.take(lines(NAMES)).code == 0
    assert fed.run("check").out == ""
    filed, _ = parse.read(fed.orders["2026-11-28-list.yaml"], path="x", id_="reg/2026-11-28-list")
    assert filed is not None
    assert filed.order.reference == 'a "b" \\u0041 \u00e9 \U0001f600 # {x: y}, date unknown'
    assert filed.order.directives[0].regions == ("ID", "GB")


def test_the_envelope_is_the_feeds_policy(fed: Fed) -> None:
    fed.feed("names", more="    deadline: 2d\n    action: {redirect: [192.0.2.80, '2001:db8::80']}\n")
    fed.take(lines(NAMES))
    assert fed.run("check").out == ""
    filed, _ = parse.read(fed.orders["2026-11-28-list.yaml"], path="x", id_="reg/2026-11-28-list")
    assert filed is not None
    order = filed.order
    assert (order.deadline, order.received) == (timedelta(days=2), datetime(2026, 11, 28, 12, tzinfo=UTC))
    assert str(order.directives[0].action) == "redirect to 192.0.2.80, 2001:db8::80"
    assert order.directives[0].review_by == datetime(2027, 5, 27, 12, tzinfo=UTC)


def test_absence_from_a_list_that_says_itself_what_is_lifted_keeps_a_name(fed: Fed) -> None:
    fed.feed("cert-pl", more="    max_change: 0.5\n")
    fed.take(MAKERS["cert-pl"](NAMES))
    fed.at("2026-11-29T12:00:00+00:00")
    text = json.dumps(json.loads(MAKERS["cert-pl"](NAMES))[:8])
    ran = fed.take(text)
    assert ran.code == 0
    assert (
        "list feed-absent-kept: absent from the document, which doesn't say that they are lifted, and kept: "
        "'casino-8.example' and 1 more; ask the authority, or write an amend.\n" in ran.err
    )
    assert len(fed.orders) == 3


def test_a_row_that_leaves_a_register_with_a_date_is_lifted(fed: Fed) -> None:
    fed.feed("pl-hazard", more="    max_change: 0.5\n")
    fed.take(MAKERS["pl-hazard"](NAMES))
    fed.at("2026-11-29T12:00:00+00:00")
    text = MAKERS["pl-hazard"](NAMES).replace(
        "</DataWpisu>", "</DataWpisu><DataWykreslenia>2026-02-01T00:00:00.5</DataWykreslenia>", 1
    )
    said = fed.taken(text)
    assert (said["removed"], said["edition"]) == (1, "2026-02-01T00:00:00+01:00")


def test_zones_are_read_as_they_are_written(fed: Fed) -> None:
    fed.feed("rpz")
    text = (
        "@ 30 IN SOA a. b. 7 1 1 1 1\n"
        "one.example 1h IN CNAME .\n"
        "two.example IN 1h CNAME *.\n"
        "three.example 60 A 192.0.2.1 ; here\n"
        "\tAAAA 2001:db8::1\n"
        "four.example. CNAME rpz-drop.\n"
        'five.example TXT ( "a;b" ; not a comment\n "c(d" )\n'
        "six.example CNAME rpz-passthru.\n"
        "*.six.example CNAME rpz-tcp-only.\n"
        "24.0.2.0.192.rpz-ip CNAME .\n"
        "ns.example.rpz-nsdname CNAME .\n"
        "$TTL 60\n"
        "@ 30 IN SOA a. b. 7 1 1 1 1\n"
    )
    said = fed.taken(text)
    assert said["problems"] == []
    listed = fed.orders["2026-11-28-list.listed-alone.txt"].decode().splitlines()[2:]
    assert listed == ["four.example", "one.example", "three.example", "two.example"]
    assert said["skipped"] == {"trigger": 2, "address": 1}
    assert said["edition"] == "serial 7"


def test_a_name_that_is_there_twice_has_its_first_date(fed: Fed) -> None:
    fed.feed("pl-hazard")
    twice = hazard(NAMES).replace("</Rejestr>", entry(99, "Casino-0.example", since="2025-01-01T00:00:00"))
    assert fed.take(twice + "</Rejestr>").code == 0
    listed = fed.orders["2026-11-28-list.listed.txt"].decode()
    assert listed.startswith(
        "# reg/2026-11-28-list: 10 names, listed\n# entered 2025-01-01T00:00:00+01:00\ncasino-0."
    )


def test_of_many_rows_that_are_no_names_the_first_thousand_are_shown_and_all_are_counted(fed: Fed) -> None:
    fed.feed("names")
    said = fed.taken(lines([*NAMES, *(f"https://x.example/{at}" for at in range(1005))]))
    assert (said["skipped"], len(said["not_names"])) == ({"url": 1005}, 1000)


def test_a_name_with_all_below_it_says_what_its_wildcard_says(fed: Fed) -> None:
    fed.feed("names")
    said = fed.taken(lines(["*.casino-0.example", *NAMES]))
    assert said["names"] == 10
    assert fed.take(lines(NAMES)).err == "list: nothing changed\n"


@pytest.mark.parametrize("format_", ["pl-hazard", "cert-pl"])
def test_a_url_that_is_no_longer_listed_is_nothing_to_lift(fed: Fed, format_: str) -> None:
    fed.feed(format_)
    ended = {
        "pl-hazard": entry(99, URL, "<DataWykreslenia>2026-02-01T00:00:00</DataWykreslenia>"),
        "cert-pl": json.dumps(position(99, URL, "2026-01-01T00:00:00", "2026-01-02T00:00:00Z")),
    }[format_]
    text = MAKERS[format_](NAMES)
    text = (
        text.replace("</Rejestr>", f"{ended}</Rejestr>")
        if format_ == "pl-hazard"
        else text[:-1] + f",{ended}]"
    )
    said = fed.taken(text)
    assert (said["names"], said["skipped"]) == (10, {"url": 1})


AHEAD = "2036-01-01T12:00:00+00:00"


@pytest.mark.parametrize("is_applied", [False, True])
@pytest.mark.parametrize("is_first", [False, True])
def test_an_order_made_while_the_clock_was_ahead_stops_imports_until_it_is_gone(
    fed: Fed, is_applied: bool, is_first: bool
) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    if not is_first:
        fed.take(lines(NAMES))
        fed.run("apply", "--yes")
    fed.at(AHEAD)
    assert fed.take(lines(("wrong.example", *NAMES))).code == 0
    id_ = "reg/2036-01-01-list" if is_first else "reg/2036-01-01-list-120000"
    if is_applied:
        fed.run("apply", "--yes")
    before = fed.orders
    fed.at("2026-11-29T12:00:00+00:00")
    for listed in ((*NAMES, "wrong.example"), NAMES):
        ran = fed.take(lines(listed))
        assert (ran.code, fed.orders) == (2, before)
        assert f"{id_}.yaml feed-order-ahead: this order of 'list' is yet to begin (2036-01-01T12:" in ran.err
    if is_applied:
        assert f"`blocker new --kind lift --of {id_}`" in ran.err
        fed.act("mend", "lift", id_, start="2026-11-29")
    else:
        assert "remove that file" in ran.err
        (fed.folder / "orders" / f"{id_}.yaml").unlink()
    assert fed.run("check").code == 0
    ran = fed.take(lines(("right.example", *NAMES)))
    assert (ran.code, ran.err) == (0, "not applied: see `blocker plan`, then `blocker apply`\n")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *NAMES, "right.example", "wrong.example") == {*NAMES, "right.example"}
    assert not fed.is_blocked("wrong.example", at="2036-06-01")


def test_a_name_of_an_order_that_was_lifted_before_it_began_may_come(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    fed.take(lines(NAMES))
    fed.at(AHEAD)
    fed.take(lines(("new.example", *NAMES)))
    fed.act("mend", "lift", "reg/2036-01-01-list-120000", start="2026-11-29")
    fed.at("2026-11-29T12:00:00+00:00")
    assert fed.taken(lines(("new.example", *NAMES)))["added"] == 1


def test_the_way_past_a_check_has_the_document_that_was_given(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES), "--out", str(fed.folder / "orders" / "other"))
    fed.at("2026-11-29T12:00:00+00:00")
    given = fed.folder / "of today"
    given.write_text(lines(NAMES[:4]))
    ran = fed.run("import", "list", str(given), "--out", str(fed.folder / "orders" / "other"))
    assert ran.code == 2
    words = shlex.split(ran.err.partition("`blocker ")[2].partition("`")[0])
    assert words[:5] == ["import", "list", str(given), "--out", str(fed.folder / "orders" / "other")]
    assert fed.run(*words).code == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("authority", '{name: "Other", jurisdiction: ID, contact: "tel:1"}'),
        ("legal_basis", "[Other Act]"),
        ("reference", "Other"),
        ("deadline", "2d"),
        ("publication", "sealed"),
        ("regions", "[GB]"),
        ("action", "{redirect: [192.0.2.9]}"),
        ("review_after", "90d"),
        ("until", "2030-01-01"),
    ],
)
def test_another_envelope_in_feeds_yaml_than_the_block_has_is_told(fed: Fed, key: str, value: str) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    path = fed.folder / "feeds.yaml"
    kept = [
        line
        for line in path.read_text().splitlines()
        if not line.startswith((f"    {key}:", "    review_after:" if key == "until" else f"    {key}:"))
    ]
    path.write_text("\n".join([*kept, f"    {key}: {value}", ""]))
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.take(lines(NAMES))
    assert ran.code == 0
    assert f"list feed-envelope-changed: feeds.yaml has another {key}" in ran.err
    assert "than 'reg/2026-11-28-list', which keeps its own" in ran.err


def test_a_feed_that_was_renamed_is_told_that_its_first_block_stands(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    own = (fed.folder / "orders" / "reg" / "2026-11-28-list.yaml").read_text()
    written = own.partition("\n")[2].replace("2026-11-28-list\n", "2026-11-27-written\n")
    (fed.folder / "orders" / "reg" / "2026-11-27-written.yaml").write_text(written)
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("name: list", "name: renamed"))
    ran = fed.run("import", "renamed")
    assert ran.code == 0
    assert "renamed feed-left-behind: 'reg/2026-11-28-list' is of no feed in feeds.yaml" in ran.err
    assert "written" not in ran.err
    (fed.folder / "orders" / "reg" / "2026-11-28-renamed.yaml").unlink()
    fed.act("mend", "lift", "reg/2026-11-28-list", start="2026-11-29")
    fed.at("2026-11-30T12:00:00+00:00")
    assert "feed-left-behind" not in fed.run("import", "renamed").err


def test_an_order_that_check_would_refuse_is_not_written(fed: Fed) -> None:
    fed.feed("names")
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("regions: [ID]", "regions: [QQ]"))
    ran = fed.take(lines(NAMES))
    assert (ran.code, fed.orders) == (2, {})
    assert "list feed-order-wrong: the order that it makes would be refused: unknown-region: 'QQ'" in ran.err


@pytest.mark.parametrize("deadline", ["400d", "9000h", "90m", "61s"])
def test_a_deadline_of_any_length_is_written_so_that_it_can_be_read(fed: Fed, deadline: str) -> None:
    fed.feed("names", more=f"    deadline: {deadline}\n")
    assert fed.take(lines(NAMES)).code == 0
    assert fed.run("check").out == ""


def test_a_block_that_was_lifted_as_of_a_date_before_it_began_is_not_begun_anew(fed: Fed) -> None:
    fed.feed("names")
    fed.take(lines(NAMES))
    fed.act("court", "lift", "reg/2026-11-28-list", start="2026-11-28")
    fed.at("2026-12-01T12:00:00+00:00")
    ran = fed.take(lines(NAMES))
    assert (ran.code, "feed-order-ended" in ran.err) == (2, True)


def test_a_block_that_was_lifted_before_it_began_stays_out_when_its_date_comes(fed: Fed) -> None:
    fed.feed("names")
    fed.at("2026-12-05T12:00:00+00:00")
    fed.take(lines(NAMES))
    fed.act("mend", "lift", "reg/2026-12-05-list", start="2026-11-29")
    fed.at("2026-11-29T12:00:00+00:00")
    assert fed.taken(lines(NAMES))["orders"] == ["reg/2026-11-29-list"]
    fed.at("2026-12-09T12:00:00+00:00")
    assert fed.taken(lines(("new.example", *NAMES)))["added"] == 1


SHOP = ("shop.example", "www.shop.example")


def begun(fed: Fed, *days: tuple[str, ...]) -> None:
    """One list after another is imported and applied, from 1 February on."""
    fed.feed("names", more="    max_change: 0.5\n")
    for day, listed in enumerate(days, 1):
        dropped(fed, listed, f"2026-02-{day:02}")


def dropped(fed: Fed, listed: tuple[str, ...], day: str) -> None:
    fed.at(f"{day}T12:00:00+00:00")
    assert fed.take(lines([*listed, *NAMES])).code == 0
    assert fed.run("apply", "--yes").code == 0


def directives(fed: Fed, order: str) -> dict[str, str]:
    """The directives of an import's orders, each as text."""
    text = "".join(fed.orders.get(f"{order}{end}.yaml", b"").decode() for end in ("", "-new"))
    return {part.partition("\n")[0]: part for part in re.split(r"  - id: ", text)[1:]}


def test_a_name_that_stays_below_one_that_goes_goes_on_as_it_was_ordered(fed: Fed) -> None:
    begun(fed, SHOP)
    (fed.folder / "feeds.yaml").write_text(
        (fed.folder / "feeds.yaml")
        .read_text()
        .replace("review_after: 180d", "review_after: 1d\n    action: nodata")
    )
    dropped(fed, (SHOP[1], "new.example"), "2026-02-03")
    added = directives(fed, "2026-02-03-list-120000")
    assert sorted(added) == ["added", "again"]
    assert "continues: reg/2026-02-01-list/listed" in added["again"]
    assert "action: nxdomain" in added["again"]
    assert "review_by: 2026-07-31T12:00:00+00:00" in added["again"], "180 days after the first import"
    assert ("continues" in added["added"], "action: nodata" in added["added"]) == (False, True)
    assert blocked(fed, *SHOP, "new.example") == {SHOP[1], "new.example"}


def test_names_of_several_orders_go_on_each_as_its_own_was(fed: Fed) -> None:
    begun(fed, SHOP, (*SHOP, "late.example", "www.late.example"))
    dropped(fed, (SHOP[1], "www.late.example"), "2026-02-03")
    added = directives(fed, "2026-02-03-list-120000")
    assert "continues: reg/2026-02-01-list/listed" in added["again-1"]
    assert "continues: reg/2026-02-02-list-120000/added" in added["again-2"]
    assert blocked(fed, *SHOP, "late.example", "www.late.example") == {SHOP[1], "www.late.example"}
    dropped(fed, ("x.www.shop.example", "y.example"), "2026-02-04")
    begun_again = directives(fed, "2026-02-04-list-120000")
    assert sorted(begun_again) == ["added"], "what was never listed is new"


def test_an_import_blocks_nothing_again_that_a_court_suspended(fed: Fed) -> None:
    begun(fed, SHOP)
    fed.act("pause", "suspend", "reg/2026-02-01-list/listed", start="2026-02-02")
    fed.act("pause-more", "suspend", "reg/2026-02-01-list/listed", start="2026-02-05")
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert blocked(fed, *SHOP, *NAMES) == set()
    fed.act("on", "reinstate", "reg/2026-02-01-list/listed", start="2026-03-01")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *SHOP, *NAMES) == {SHOP[1], *NAMES}


def test_an_import_blocks_nothing_again_that_was_rolled_back_or_withheld(fed: Fed) -> None:
    begun(fed, (), SHOP)
    assert fed.run("rollback", "1", "--reason", "the letter was wrong").code == 0
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert blocked(fed, *SHOP, *NAMES) == {*NAMES}
    assert fed.run("release", "--rollback", "1").code == 0
    assert blocked(fed, *SHOP, *NAMES) == {SHOP[1], *NAMES}


def test_an_import_is_no_review_of_what_was_ordered_before(fed: Fed) -> None:
    site = fed.folder / "site.yaml"
    site.write_text(f"{site.read_text()}review: {{overdue: lapse}}\n")
    fed.feed("names", more="    max_change: 0.5\n")
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("180d", "1d"))
    dropped(fed, SHOP, "2026-02-01")
    path.write_text(path.read_text().replace("review_after: 1d", "review_after: 1000d"))
    dropped(fed, (SHOP[1],), "2026-02-04")
    assert blocked(fed, *SHOP, *NAMES) == set()


def test_a_renewal_of_what_was_ordered_before_holds_for_what_goes_on(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("review_after: 180d", "until: 2026-06-01T00:00:00Z"))
    dropped(fed, SHOP, "2026-02-01")
    fed.act("renewal", "amend", "reg/2026-02-01-list/listed", "until: 2026-09-01", start="2026-02-02")
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert "until: 2026-06-01T00:00:00+00:00" in directives(fed, "2026-02-03-list-120000")["again"]
    assert fed.is_blocked(SHOP[1], at="2026-08-31")
    fed.act("renewal-2", "amend", "reg/2026-02-01-list/listed", "until: 2026-12-01", start="2026-02-04")
    assert fed.run("apply", "--yes").code == 0
    assert fed.is_blocked(SHOP[1], at="2026-11-30")
    assert not fed.is_blocked(SHOP[1], at="2026-12-01")


def test_what_a_court_says_of_an_earlier_time_holds_for_what_goes_on_since_then(fed: Fed) -> None:
    begun(fed, SHOP)
    dropped(fed, (SHOP[1],), "2026-02-03")
    dropped(fed, ("x.www.shop.example",), "2026-02-04")
    fed.act("late", "amend", "reg/2026-02-01-list", "remove: [a.www.shop.example]", start="2026-02-02")
    fed.act("late-too", "amend", "reg/2026-02-01-list", "review_by: 2026-12-24", start="2026-02-02")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, "x.www.shop.example", *SHOP) == {"x.www.shop.example"}
    fed.at("2026-02-05T12:00:00+00:00")
    assert fed.take(lines(["www.shop.example", *NAMES])).code == 0


def test_a_court_s_late_removal_below_what_goes_on_frees_that_too(fed: Fed) -> None:
    begun(fed, SHOP)
    dropped(fed, (SHOP[1],), "2026-02-03")
    removed = "remove: [a.www.shop.example, a.casino-1.example]"
    fed.act("late", "amend", "reg/2026-02-01-list", removed, start="2026-02-02")
    assert fed.run("apply", "--yes").code == 0
    every = ("a.www.shop.example", "b.www.shop.example", "a.casino-1.example")
    assert blocked(fed, *every) == {"b.www.shop.example"}


def test_a_renewal_that_is_cancelled_is_so_for_what_goes_on(fed: Fed) -> None:
    fed.feed("names", more="    max_change: 0.5\n")
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("review_after: 180d", "until: 2026-02-10T00:00:00Z"))
    dropped(fed, SHOP, "2026-02-01")
    fed.act("renewal", "amend", "reg/2026-02-01-list", "until: 2026-12-24", start="2026-02-02")
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert blocked(fed, *SHOP, *NAMES) == {SHOP[1], *NAMES}
    fed.act("cancelled", "lift", "a/renewal", start="2026-02-04")
    assert fed.run("apply", "--yes").code == 0
    assert blocked(fed, *SHOP, *NAMES) == set()


def test_what_an_import_orders_anew_is_ordered_though_that_import_is_lifted(fed: Fed) -> None:
    begun(fed, SHOP)
    dropped(fed, (SHOP[1],), "2026-02-03")
    fed.act("undone", "lift", "reg/2026-02-03-list-120000", start="2026-02-04")
    dropped(fed, (SHOP[1],), "2026-02-05")
    assert blocked(fed, *SHOP, *NAMES) == {SHOP[1], *NAMES}


@pytest.mark.parametrize("match", ["subtree", "exact"])
def test_nothing_that_was_listed_is_freed_while_what_comes_below_it_is_held(fed: Fed, match: str) -> None:
    begun(fed, SHOP)
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("    source:", f"    match: {match}\n    source:"))
    site = fed.folder / "site.yaml"
    site.write_text(site.read_text().replace("limits: {", "limits: {max_added_per_order: 1, "))
    fed.at("2026-02-03T12:00:00+00:00")
    come = ["only.shop.example", "n1.example", "n2.example"] if match == "subtree" else [*SHOP]
    fed.run("import", "list")
    ran = fed.take(lines([*come, *NAMES]))
    digests = re.findall(r"--accept ([0-9a-f]{64})", ran.err)
    if digests:
        assert fed.take(lines([*come, *NAMES]), "--accept", digests[0], "--reason", "x").code == 0
    fed.run("apply", "--yes")
    assert fed.is_blocked("only.shop.example" if match == "subtree" else SHOP[0], at="2026-12-15")


def test_a_rollback_of_an_import_frees_nothing_that_was_listed_before(fed: Fed) -> None:
    begun(fed, SHOP)
    dropped(fed, (SHOP[1], "wrong.example"), "2026-02-02")
    ran = fed.run("rollback", "1", "--reason", "wrong.example was a slip")
    again, listed = "reg/2026-02-02-list-120000/again", "reg/2026-02-01-list/listed"
    assert ran.out.splitlines()[:2] == [
        "withheld: reg/2026-02-02-list-120000-new",
        f"stays: {again}, which goes on with names of {listed}, as generation 1 has them",
    ]
    assert ran.code == 0
    assert blocked(fed, *SHOP, "wrong.example", *NAMES) == {SHOP[1], *NAMES}
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert blocked(fed, *SHOP, "wrong.example", *NAMES) == {SHOP[1], *NAMES}


@pytest.mark.parametrize("source", ["http://127.0.0.1/x", "ftp://list.example/x", "HTTPS://list.example/x"])
def test_of_urls_those_of_https_alone_are_fetched(fed: Fed, source: str) -> None:
    fed.feed("names")
    ran = fed.run("import", "list", source)
    assert (ran.code, fed.orders) == (2, {})
    assert f"'{source}': only https URLs are fetched; name one, or the path of a file" in " ".join(
        ran.err.split()
    )


def test_a_rollback_withholds_what_only_says_that_it_goes_on(fed: Fed) -> None:
    begun(fed, SHOP)
    window = "regions: [ID], from: 2026-02-02, until: 2099-01-01"
    names = "[innocent.example, '*.shop.example']"
    added = f"{{id: more, names: {names}, {window}, continues: reg/2026-02-01-list/listed}}"
    fed.act("more", "amend", "reg/2026-02-01-list", f"add: [{added}]", start="2026-02-02")
    assert fed.run("apply", "--yes").code == 0
    for _ in range(2):
        ran = fed.run("rollback", "1", "--reason", "a mistake")
        assert (ran.code, "stays" in ran.out) == (0, False)
    assert blocked(fed, "innocent.example", "a.shop.example", *SHOP) == {"a.shop.example", *SHOP}


def test_a_rollback_that_is_said_again_says_the_same_of_what_is_free(fed: Fed) -> None:
    begun(fed, SHOP)
    fed.act("cut", "amend", "reg/2026-02-01-list", "remove: [shop.example]", start="2026-02-02")
    fed.block("anew", "www.shop.example")
    assert fed.run("apply", "--yes").code == 0
    for _ in range(2):
        ran = fed.run("rollback", "1", "--reason", "a mistake")
        assert (ran.code, "freed: at least 1 name of a/anew/one" in ran.out) == (3, True)


def test_what_goes_does_not_wait_for_what_is_held(fed: Fed) -> None:
    begun(fed, ())
    fed.at("2026-02-02T12:00:00+00:00")
    assert fed.take(lines(["github.io", *NAMES[1:]])).code == 0
    ran = fed.run("apply", "--yes")
    assert (ran.code, "HELD  reg/2026-02-02-list-120000-new" in ran.out) == (3, True)
    assert blocked(fed, "github.io", *NAMES) == {*NAMES[1:]}
    fed.at("2026-02-03T12:00:00+00:00")
    assert fed.take(lines(["late.example", *NAMES[1:]])).code == 0
    assert fed.run("apply", "--yes").code == 3
    assert blocked(fed, "github.io", "late.example", *NAMES) == {"late.example", *NAMES[1:]}


def test_the_orders_of_one_import_share_the_document_and_are_both_made_or_the_next_import_makes_them(
    fed: Fed,
) -> None:
    begun(fed, ())
    fed.at("2026-02-02T12:00:00+00:00")
    assert fed.take(lines(["casino-0.example.net", "www.casino-0.example", *NAMES[1:]])).code == 0
    made = [name for name in fed.orders if name.startswith("2026-02-02")]
    assert made == [
        "2026-02-02-list-120000-new.added.txt",
        "2026-02-02-list-120000-new.yaml",
        "2026-02-02-list-120000.added.txt",
        "2026-02-02-list-120000.removed.txt",
        "2026-02-02-list-120000.source.txt",
        "2026-02-02-list-120000.yaml",
    ]
    (fed.folder / "orders" / "reg" / "2026-02-02-list-120000-new.yaml").unlink()
    fed.at("2026-02-02T13:00:00+00:00")
    said = fed.taken((fed.folder / "list").read_text())
    assert (said["added"], said["removed"]) == (1, 0), "what lies below what goes came with that"
    assert fed.run("apply", "--yes").code == 0
    every = ("casino-0.example", "www.casino-0.example", "casino-0.example.net")
    assert blocked(fed, *every) == {*every[1:]}


def sealed(fed: Fed, slug: str, kind: str, *said: str) -> None:
    """An act on the feed's block that nobody may know of."""
    fed.act(slug, kind, "reg/2026-02-01-list", *said, start="2026-02-02")
    path = fed.folder / "orders" / "a" / f"{slug}.yaml"
    path.write_text(path.read_text().replace("publication: public", "publication: sealed"))


def test_a_poll_tells_nothing_of_what_a_sealed_order_did_to_the_feeds_own(fed: Fed) -> None:
    begun(fed, ())
    window = "regions: [ID], from: 2026-02-02, until: 2099-01-01"
    added = f"add: [{{id: x, names: [hush.casino-2.example], {window}}}]"
    sealed(fed, "hush", "amend", "remove: [casino-1.example]", added)
    assert fed.run("apply", "--yes").code == 0
    for day, listed in enumerate((NAMES, tuple(name for name in NAMES if name != "casino-2.example")), 10):
        (fed.folder / "list").write_text(lines(listed))
        fed.at(f"2026-02-{day}T12:00:00+00:00")
        ran = fed.run("import", "--poll")
        assert "it is about orders that others wrote; `blocker import list --dry-run` says more" in ran.err
        assert not any(secret in ran.out + ran.err for secret in ("casino-1", "casino-2", "hush"))
    shown = fed.run("import", "list", "--dry-run")
    assert "hush.casino-2.example" in shown.err
    sealed(fed, "over", "lift")
    fed.at("2026-02-20T12:00:00+00:00")
    ran = fed.run("import", "--poll")
    assert (ran.code, "has ended" in ran.err, "feed-order-ended" in ran.err) == (2, False, True)


def test_a_report_tells_nothing_of_what_goes_on_with_something_sealed(fed: Fed) -> None:
    begun(fed, ())
    path = fed.folder / "feeds.yaml"
    public = path.read_text()
    path.write_text(public.replace("publication: public", "publication: sealed"))
    dropped(fed, SHOP, "2026-02-02")
    path.write_text(public)
    dropped(fed, (SHOP[1],), "2026-02-03")
    assert fed.is_blocked(SHOP[1], at="2026-12-15")
    report = json.loads(fed.run("report", "reg/2026-02-01-list", "--json").out)
    assert (report["acts"], len(report["directives"])) == ([], 1)
    assert "2026-02-03" not in json.dumps([report["directives"], report["confirmations"], report["summary"]])
