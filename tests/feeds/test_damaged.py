"""Documents that are damaged, hostile or suspicious: nothing is lifted, nothing is added, and it is said
why."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocker.feeds import contract, formats
from blocker.feeds.contract import FEED_CHECKS, Feed
from blocker.feeds.difference import Difference, difference
from blocker.feeds.extract import Damaged
from blocker.orders.model import Authority, Match, Publication
from tests.feeds.samples import (
    LATER,
    MAKERS,
    NAMES,
    OTHERS,
    REGISTER,
    adm,
    certpl,
    cncpo,
    entry,
    hazard,
    hosts,
    lines,
    position,
    zone,
)

if TYPE_CHECKING:
    from tests.feeds.conftest import Fed

PAGE = (
    "<!DOCTYPE html>\n<html><head><title>502 Bad Gateway</title></head><body>casino-0.example</body></html>\n"
)
LONG = "a" * 60 + "." + "b" * 200 + ".example"


class Bad(NamedTuple):
    """A document after the good one; `said` is its complaint behind the path."""

    format: str
    what: str
    document: str | bytes
    said: str


def bomb(levels: int) -> str:
    """The billion laughs, of so many levels."""
    entities = '<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{at} "{f"&a{at - 1};" * 10}">' for at in range(1, levels)
    )
    text = hazard(NAMES).replace("?>\n", f"?>\n<!DOCTYPE Rejestr [{entities}]>\n", 1)
    return text.replace("casino-0.example", f"&a{levels - 1};")


DOCTYPE = (
    ":2:1 feed-doctype: the document declares a document type, which the register never has and attacks "
    "need; fetch it anew."
)
PAGE_SAID = (
    ":1:1 feed-html: a web page came instead of the list, as errors and logins do; open its address in a "
    "browser."
)
EMPTY_SAID = " feed-empty: the document is empty; fetch it anew."
TOO_MUCH = (
    " feed-changed-too-much: 10 names are new at once and the feed allows 1 of 10; look at the document, or "
    "raise "
    "'max_change'."
)
EVERY = [
    bad
    for name, make in MAKERS.items()
    for bad in (
        Bad(name, "a page", PAGE, PAGE_SAID),
        Bad(name, "nothing", "", EMPTY_SAID),
        Bad(name, "blank", "\ufeff \r\n\n", EMPTY_SAID),
        Bad(name, "another list of equal length", make(OTHERS), TOO_MUCH),
        Bad(
            name,
            "UTF-16",
            make(NAMES).encode("utf-16"),
            " feed-charset: the document is UTF-16, not UTF-8; fetch it anew, or convert it.",
        ),
        Bad(
            name,
            "NUL",
            make(LATER).replace("casino-1", "casino\0-1"),
            "feed-binary: the octet 0x00 has no place in a list; fetch it anew.",
        ),
        Bad(
            name,
            "a name too long",
            make(NAMES).replace("casino-1.example", LONG),
            f"feed-row-unreadable: {LONG[:60]!r}",
        ),
        Bad(
            name,
            "too few",
            make(NAMES[:2]),
            " feed-too-few: the document lists 2 names and the feed promises 5; fetch it anew, or lower "
            "'minimum' "
            "if the list is that short.",
        ),
    )
]

OWN = [
    Bad("pl-hazard", "an entity bomb", bomb(2), DOCTYPE),
    Bad("pl-hazard", "a billion laughs", bomb(10), DOCTYPE),
    Bad(
        "pl-hazard",
        "an external entity",
        hazard(NAMES).replace("?>\n", '?>\n<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>\n', 1),
        DOCTYPE,
    ),
    Bad(
        "pl-hazard",
        "deep",
        hazard(NAMES).replace("casino-0.example", "<a>" * 100_000),
        "feed-format: 'a' has no place here; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "another namespace",
        hazard(NAMES).replace("2017/03/21", "2027/01/01"),
        ":2:1 feed-namespace: the namespace is 'http://www.hazard.mf.gov.pl/2027/01/01/', not "
        f"'{REGISTER}': the register's form may have changed. Have the importer changed before these names "
        "are.",
    ),
    Bad(
        "pl-hazard",
        "a page that is XML",
        '<?xml version="1.0"?>\n<html xmlns="http://www.w3.org/1999/xhtml"><body/></html>\n',
        ":2:1 feed-html: a web page came instead of the register; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "another charset",
        hazard(NAMES).replace('"utf-8"', '"iso-8859-2"'),
        ":1:1 feed-charset: the document is 'iso-8859-2', not UTF-8; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "Latin octets",
        hazard(NAMES).replace("casino-0", "bücher").encode("iso-8859-2"),
        "feed-charset: the document is not UTF-8; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "another root",
        hazard(NAMES).replace("Rejestr>", "Lista>").replace("<Rejestr", "<Lista"),
        "feed-header: the root is 'Lista', not 'Rejestr'; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "no entry",
        hazard([]),
        " feed-empty: the register has no entry; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "the day first",
        hazard(NAMES).replace("2026-01-01T12", "01-01-2026T12", 1),
        "feed-date: 'DataWpisu' of the entry 1 is '01-01-2026T12:00:00', not a time such as "
        "2026-01-10T12:00:00; "
        "fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "a thirteenth month",
        hazard(NAMES).replace("2026-01-01T12", "2026-13-01T12", 1),
        "feed-date: 'DataWpisu' of the entry 1 is '2026-13-01T12:00:00'",
    ),
    Bad(
        "pl-hazard",
        "out before in",
        hazard(NAMES).replace(
            "</DataWpisu>", "</DataWpisu><DataWykreslenia>2025-01-01T00:00:00</DataWykreslenia>", 1
        ),
        ":3:1 feed-dates-contradict: 'casino-0.example' ends before it begins, so the document may be "
        "damaged; fetch it anew, or ask its authority.",
    ),
    Bad(
        "pl-hazard",
        "one number twice",
        hazard(NAMES).replace('Lp="2"', 'Lp="1"'),
        "feed-row-twice: two entries have the number 1; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "a number that is none",
        hazard(NAMES).replace('Lp="2"', 'Lp="x"'),
        "feed-format: an entry has the number 'x'; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "an entry without a name",
        hazard(NAMES).replace("<AdresDomeny>casino-3.example</AdresDomeny>", ""),
        "feed-format: the entry 4 has no address or no date; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "two names in an entry",
        hazard(NAMES).replace("</AdresDomeny>", "</AdresDomeny><AdresDomeny>x.example</AdresDomeny>", 1),
        "feed-format: an entry has 'AdresDomeny' twice; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "a name without end",
        hazard(NAMES).replace("casino-0", "x" * 5000),
        "feed-format: 'AdresDomeny' is longer than 4096; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "text between entries",
        hazard(NAMES).replace("</Rejestr>", "error</Rejestr>"),
        "feed-format: 'error' stands outside of entries; fetch it anew.",
    ),
    Bad(
        "pl-hazard",
        "nested in a name",
        hazard(NAMES).replace("casino-0.example", "<a><b/></a>"),
        "feed-format: 'a' has no place here; fetch it anew.",
    ),
    Bad("pl-hazard", "JSON", "[1]", "feed-format: the document is not XML ("),
    Bad(
        "pl-hazard",
        "an entry of tomorrow's tomorrow",
        hazard(LATER).replace("2026-01-01", "2026-12-24", 1),
        " feed-ahead: the document has the date 2026-12-24T12:00:00+01:00, which is yet to come, by more "
        "than clocks differ; ask its authority.",
    ),
    Bad(
        "cert-pl",
        "a name that leaves later",
        certpl(LATER).replace("2026-01-02T12:00:00+01:00", "2027-01-02T12:00:00+01:00"),
        " feed-ahead: the document has the date 2027-01-02T12:00:00+01:00, which is yet to come",
    ),
    Bad(
        "it-adm",
        "a day that is yet to come",
        adm(LATER, 2).replace("2025", "2027"),
        " feed-ahead: the document has the date 2027-08-29, serial 2, which is yet to come",
    ),
    Bad(
        "pl-hazard",
        "an older state",
        hazard(NAMES, 1).replace("2026-01-01", "2025-12-31"),
        " feed-older: the document is of 2025-12-31T12:00:00+01:00 and the last one of "
        "2026-01-01T12:00:00+01:00; "
        "fetch it anew.",
    ),
    Bad(
        "cert-pl",
        "deep",
        "[" * 100_000,
        " feed-too-deep: the list is nested deeper than its two levels; fetch it anew.",
    ),
    Bad("cert-pl", "an object", "{}", " feed-header: the document is not a list of entries; fetch it anew."),
    Bad("cert-pl", "an empty list", "[]", " feed-empty: the list has no entry; fetch it anew."),
    Bad(
        "cert-pl",
        "a word",
        json.dumps(["x"]),
        " feed-format: the entry at place 1 does not have RegisterPositionId, DomainAddress, InsertDate as "
        "the list "
        "has them; fetch it anew.",
    ),
    Bad(
        "cert-pl",
        "a number for a name",
        json.dumps([{**position(1, "x", "2026-01-01T00:00:00"), "DomainAddress": 7}]),
        " feed-format: the entry at place 1 does not have RegisterPositionId",
    ),
    Bad(
        "cert-pl",
        "deleted before inserted",
        json.dumps([position(7, NAMES[0], "2026-01-02T00:00:00", "2026-01-01T00:00:00")]),
        ":7:1 feed-dates-contradict: 'casino-0.example' ends before it begins, so the document may be ",
    ),
    Bad(
        "cert-pl",
        "the day first",
        json.dumps([position(7, NAMES[0], "02-01-2026T00:00:00")]),
        " feed-date: 'InsertDate' of the entry 7 is '02-01-2026T00:00:00', not a time such as "
        "2026-01-10T12:00:00; "
        "fetch the list anew.",
    ),
    Bad(
        "cert-pl",
        "a number for a date",
        json.dumps([position(7, NAMES[0], "2026-01-02T00:00:00") | {"DeleteDate": 5}]),
        " feed-date: 'DeleteDate' of the entry 7 is '5', not",
    ),
    Bad(
        "cert-pl",
        "one number twice",
        json.dumps([position(7, name, "2026-01-02T00:00:00") for name in NAMES]),
        " feed-row-twice: two entries have the number 7; fetch the list anew.",
    ),
    Bad(
        "cert-pl",
        "a key twice",
        certpl(NAMES).replace('"DomainAddress"', '"InsertDate"', 1),
        " feed-format: the list is not what CERT Polska writes (a key twice in one entry); fetch it anew.",
    ),
    Bad(
        "cert-pl",
        "no number of JSON",
        certpl(NAMES).replace("null", "NaN", 1),
        " feed-format: the list is not what CERT Polska writes (NaN in it); fetch it anew.",
    ),
    Bad(
        "cert-pl",
        "a number without end",
        certpl(NAMES).replace(": 1,", f": {'1' * 5000},", 1),
        " feed-format: the list is not what CERT Polska writes (",
    ),
    Bad("cert-pl", "not JSON", certpl(NAMES).replace(":", ";"), "feed-format: the list is not JSON ("),
    Bad(
        "cert-pl",
        "Latin octets",
        certpl(NAMES).replace("casino-0", "bücher").encode("iso-8859-2"),
        "feed-charset: the list is not UTF-8; fetch it anew.",
    ),
    Bad(
        "it-adm",
        "the month before the day",
        adm(NAMES, 2).replace("2025.29.08", "2025.08.29"),
        ":1:1 feed-date: '0000002_2025.08.29' has no date in it: after the year come the day and the month; "
        "fetch "
        "it anew.",
    ),
    Bad(
        "it-adm",
        "no head",
        lines(NAMES),
        ":1:1 feed-header: 'casino-0.example' is not the head of the list, such as 0000350_2025.29.08; "
        "fetch it "
        "anew.",
    ),
    Bad(
        "it-adm",
        "an older serial",
        adm(LATER, 0),
        " feed-older: the document is of 2025-08-29, serial 0 and the last one of 2025-08-29, serial 1; "
        "fetch it "
        "anew.",
    ),
    Bad(
        "it-adm",
        "an older year",
        adm(LATER, 9).replace("2025", "2024"),
        " feed-older: the document is of 2024-08-29, serial 9 and the last one of 2025-08-29, serial 1",
    ),
    Bad(
        "it-adm",
        "another name under the same number",
        adm(LATER, 1),
        " feed-same-edition: the document is of 2025-08-29, serial 1, as the last one is, but lists other "
        "names; fetch it anew, or ask its authority.",
    ),
    Bad(
        "rpz",
        "another name under the same serial",
        zone(LATER, 1),
        " feed-same-edition: the document is of serial 1, as the last one is, but lists other names; ",
    ),
    Bad(
        "it-cncpo",
        "no columns",
        lines(NAMES),
        ":1:1 feed-format: 'casino-0.example' has no ';' between columns; fetch the list anew.",
    ),
    Bad(
        "names",
        "a tail cut off at a line's end",
        lines(NAMES[:-1]),
        " feed-tail-missing: 'casino-9.example', with which the last document ended, is gone, as when a "
        "list is cut "
        "off; fetch it anew.",
    ),
    Bad(
        "names",
        "a line without end",
        lines(NAMES) + "x" * 5000 + "\n",
        ":11:1 feed-format: the line has more than 4096 octets; fetch it anew.",
    ),
    Bad(
        "names",
        "Latin octets",
        (lines(NAMES) + "bücher.example\n").encode("latin-1"),
        ":11:1 feed-charset: the line is not UTF-8; fetch it anew, or convert it.",
    ),
    Bad(
        "names",
        "an error in words",
        "Service temporarily unavailable\n",
        ":1:1 feed-row-unreadable: 'Service temporarily unavailable' is neither a name nor a URL nor an "
        "address, so "
        "the document may be damaged; fetch it anew, or ask its authority.",
    ),
    Bad(
        "names",
        "two names become one",
        lines(NAMES).replace("casino-1.example\ncasino-2", "casino-1.example casino-2"),
        ":2:1 feed-row-unreadable: 'casino-1.example casino-2.example' is neither",
    ),
    Bad(
        "names",
        "half of it another format",
        lines([*NAMES, *(f"a..{name}" for name in NAMES)]),
        ":11:1 feed-row-unreadable: 'a..casino-0.example' and 9 more is neither a name nor",
    ),
    Bad(
        "names",
        "markup among the names",
        lines([*NAMES, *(f"n{at}.example" for at in range(100)), "<p>x.example</p>"]),
        ":111:1 feed-row-unreadable: '<p>x.example</p>' is neither a name nor",
    ),
    Bad(
        "hosts",
        "a line without an address",
        hosts(NAMES) + "casino-0.example\n",
        ":13:1 feed-row-unreadable: 'casino-0.example' is neither",
    ),
    Bad(
        "rpz",
        "an older serial",
        zone(LATER, 2**31 + 2),
        " feed-older: the document is of serial 2147483650 and the last one of serial 1; fetch it anew.",
    ),
    Bad(
        "rpz",
        "no SOA record",
        "casino-0.example CNAME .\n",
        ":1:1 feed-header: the zone does not begin with its SOA record; fetch it anew.",
    ),
    Bad("rpz", "comments alone", "; nothing\n", " feed-empty: the zone has no record; fetch it anew."),
    Bad(
        "rpz",
        "no rule",
        zone([], 2),
        " feed-empty: the document lists no name, and would lift all that the feed's orders block; fetch it "
        "anew.",
    ),
    Bad(
        "rpz",
        "a generator",
        zone(NAMES) + "$GENERATE 1-1000000000 a$ CNAME .\n",
        ":27:1 feed-format: '$GENERATE' is not allowed in a list; write its records out.",
    ),
    Bad(
        "rpz",
        "another file",
        zone(NAMES) + "$INCLUDE /etc/passwd\n",
        ":27:1 feed-format: '$INCLUDE' is not allowed in a list; write its records out.",
    ),
    Bad(
        "rpz",
        "a name of another zone",
        zone(NAMES) + "x.example. CNAME .\n",
        ":27:1 feed-format: 'x.example.' is not in the zone 'rpz.example.'; fetch it anew.",
    ),
    Bad(
        "rpz",
        "an exception",
        zone(NAMES) + "free.casino-0.example CNAME rpz-passthru.\n",
        ":27:1 feed-exception: the zone exempts 'free.casino-0.example' below 'casino-0.example', which an "
        "order "
        "made of a list can't say; write the order by hand, with an 'except'.",
    ),
    Bad("rpz", "everything", zone(NAMES) + "* CNAME .\n", ":27:1 feed-row-unreadable: '*' is neither"),
    Bad(
        "rpz",
        "no record",
        zone(NAMES) + "x.example NAPTR 1\n",
        ":27:1 feed-format: 'x.example NAPTR 1' is no record; fetch the zone anew.",
    ),
    Bad(
        "rpz",
        "a TTL twice",
        zone(NAMES) + "x.example 1 IN 1 A 192.0.2.1\n",
        ":27:1 feed-format: 'x.example 1 IN 1 A 192.0.2.1' is no record; fetch the zone anew.",
    ),
    Bad(
        "rpz",
        "open parentheses",
        zone(NAMES) + "x.example TXT (\n",
        ":27:1 feed-cut-off: the zone ends within parentheses; fetch it anew.",
    ),
    Bad(
        "rpz",
        "parentheses that close nothing",
        zone(NAMES) + "x.example TXT )\n",
        ":27:1 feed-format: the parentheses are not balanced; fetch the zone anew.",
    ),
    Bad(
        "rpz",
        "another SOA record",
        zone(NAMES) + "@ SOA a. b. 9 1 1 1 1\n",
        ":27:1 feed-format: a second SOA record is another one; fetch the zone anew.",
    ),
    Bad(
        "rpz",
        "a record without end",
        zone(NAMES) + f"x.example TXT {'x' * 9000}\n",
        ":27:1 feed-format: the line has more than 8192 octets; fetch it anew.",
    ),
    Bad(
        "rpz",
        "an origin without end",
        "$ORIGIN a.example.\n" + f"$ORIGIN {'b' * 1100}\n" + zone(NAMES),
        ":2:1 feed-format: a name is longer than 255 octets; fetch the zone anew.",
    ),
    Bad(
        "rpz",
        "Latin octets",
        zone(NAMES).replace("casino-0", "bücher").encode("latin-1"),
        "feed-charset: the line is not ASCII; fetch it anew, or convert it.",
    ),
]
TABLE = EVERY + OWN


@pytest.mark.parametrize("bad", TABLE, ids=[f"{bad.format}: {bad.what}" for bad in TABLE])
def test_a_damaged_document_changes_nothing_and_is_told_in_this_sentence(fed: Fed, bad: Bad) -> None:
    fed.feed(bad.format, minimum=5)
    assert fed.take(MAKERS[bad.format](NAMES)).code == 0
    before = fed.orders
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.take(bad.document)
    assert (ran.code, fed.orders) == (2, before)
    assert bad.said in ran.err.replace(str(fed.folder / "list"), "")


BY_ITSELF = [
    bad
    for bad in TABLE
    if not any(
        id_ in bad.said
        for id_ in ("feed-changed-too-much", "feed-older", "feed-same-edition", "feed-tail-missing")
    )
]


@pytest.mark.parametrize("bad", BY_ITSELF, ids=[f"{bad.format}: {bad.what}" for bad in BY_ITSELF])
def test_a_damaged_document_is_not_the_first_one_either(fed: Fed, bad: Bad) -> None:
    fed.feed(bad.format, minimum=5)
    assert fed.take(bad.document).code == 2
    assert fed.orders == {}


@pytest.mark.parametrize("format_", MAKERS)
@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_document_cut_off_at_a_quarter_changes_nothing(fed: Fed, format_: str, quarter: int) -> None:
    fed.feed(format_, minimum=1, more="    max_change: 1\n")
    fed.take(MAKERS[format_](NAMES))
    before = fed.orders
    text = MAKERS[format_](NAMES)
    ran = fed.take(text[: len(text) * quarter // 4])
    assert (ran.code, fed.orders) == (2, before)


def test_what_a_document_is_refused_for_is_in_the_table() -> None:
    elsewhere = {  # feeds.yaml, the orders there are, the server
        "feed-unknown", "feed-source-invalid", "feed-format-unknown", "feed-absence-unknown",
        "feed-end-unclear", "duplicate-feed", "feed-name-invalid", "feed-too-large", "feed-order-ended",
        "feed-orders-broken", "feed-absent-kept", "feed-removed-by-order", "feed-order-exists",
        "feed-accept-other", "feed-order-ahead",
        "feed-order-wrong", "feed-envelope-changed", "feed-left-behind", "feed-last-unknown",
        "feed-cuts-others", "feed-later",
    }  # fmt: skip
    told = " ".join(bad.said for bad in TABLE)
    assert {id_ for id_ in FEED_CHECKS if f"{id_}:" not in told} == elsewhere


def feed(format_: str) -> Feed:
    """A feed that promises as little as can be."""
    return Feed(
        name="list",
        format=format_,
        source="https://list.example/",
        folder="reg",
        authority=Authority(name="a", jurisdiction="ID", contact="tel:1"),
        legal_basis=("act",),
        publication=Publication.PUBLIC,
        regions=("ID",),
        review_after=1,
        minimum=1,
        max_change=1.0,
        keeps_absent=not formats.FORMATS[format_].absence_lifts,
    )


def taken(format_: str, before: bytes, document: bytes) -> Difference:
    """What a document changes after another one; nothing if it is refused."""
    last = formats.read(format_, before, Match.SUBTREE)
    try:
        extract = formats.read(format_, document, Match.SUBTREE)
    except Damaged:
        return Difference()
    one = feed(format_)
    change = difference(last.names.keys(), extract, keeps_absent=one.keeps_absent)
    wrong = contract.judge(
        one, extract, change, last, len(last.names), at=2e9, has_end=formats.FORMATS[format_].has_end
    )
    return Difference() if wrong else change


SOME = st.lists(
    st.from_regex(r"[a-z]{1,8}[0-9]{1,3}\.(example|test|invalid)", fullmatch=True), unique=True, min_size=1
)


@given(format_=st.sampled_from(list(MAKERS)), listed=SOME, more=SOME, data=st.data())
@settings(max_examples=300)
def test_no_beginning_of_a_document_lifts_a_name_or_adds_one_that_is_not_in_it(
    format_: str, listed: list[str], more: list[str], data: st.DataObject
) -> None:
    make = MAKERS[format_]
    before, whole = make(listed).encode(), make([*listed, *(set(more) - set(listed))], 2).encode()
    cut = whole[: data.draw(st.integers(0, len(whole) - 1))]
    change = taken(format_, before, cut)
    assert not change.removed
    assert change.added <= formats.read(format_, whole, Match.SUBTREE).names.keys()


@given(format_=st.sampled_from(list(MAKERS)), octets=st.binary(max_size=300))
@settings(max_examples=300)
def test_any_octets_are_read_or_refused_in_a_sentence(format_: str, octets: bytes) -> None:
    make = MAKERS[format_](NAMES).encode()
    for document in (octets, make[:100] + octets + make[100:], make + octets):
        try:
            found = formats.read(format_, document, Match.SUBTREE)
        except Damaged as damaged:
            said = damaged.id
        else:
            said = ""
            assert all(name == name.lower() and name.isascii() for name in found.names)
        assert not said or said in FEED_CHECKS


def test_an_entry_that_stands_alone_is_what_the_samples_say() -> None:
    assert entry(1, "x.example") in hazard(["x.example"]).replace("01-01T12", "01-10T12")
    assert cncpo(NAMES).count(";") == 22
