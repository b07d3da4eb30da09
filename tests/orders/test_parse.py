from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.fields import Rejected, moment
from blocker.orders import parse, subjects
from blocker.orders.model import (
    Action,
    Authority,
    Directive,
    Document,
    Form,
    Kind,
    Match,
    NamesFile,
    Publication,
    Subject,
)
from tests.orders.texts import BLOCK, act

WIB = timezone(timedelta(hours=7))
DIGEST = "ab" * 32

FULL = f"""\
order: id-komdigi/2026-01-10-grok
kind: block
authority: {{name: "Kementerian", jurisdiction: ID, contact: "mailto:aduan@komdigi.example"}}
legal_basis: ["Law 1", "Rule 2"]
reference: "B-1/2026"
issued: 2026-01-10
received: 2026-01-10T09:12:00+07:00
deadline: 24h
publication: sealed-until-effective
document: {{file: grok.pdf, sha256: "{DIGEST.upper()}"}}
directives:
  - id: grok
    names: [grok.com, "*.grok.example", "bücher.example"]
    names_file: {{file: grok.txt, sha256: {DIGEST}}}
    match: exact
    except: [status.grok.com, "*.api.grok.com"]
    regions: [ID, "NO"]
    action: {{redirect: [192.0.2.1, "2001:db8::1"]}}
    from: 2026-01-10T12:00:00+07:00
    until: 2026-04-10T00:00:00+07:00
  - {{id: other, names: [other.example], regions: [NO], action: refused, from: 2026-01-10, review_by: 2026-04-10}}
"""  # noqa: E501  # One directive on one line, as people write them.


def key(name: str) -> names.Key:
    return names.to_key(name)


def read(text: str, id_: str = "a/b") -> parse.Filed:
    filed, problems = parse.read(text.encode(), path="x.yaml", id_=id_)
    assert problems == []
    assert filed is not None
    return filed


def problems(text: str) -> list[str]:
    filed, found = parse.read(text.encode(), path="x.yaml", id_="a/b")
    assert filed is None
    return [problem.id for problem in found]


def test_a_block_with_everything_is_read_whole() -> None:
    order = read(FULL).order
    assert (order.id, order.kind) == ("id-komdigi/2026-01-10-grok", Kind.BLOCK)
    assert order.authority == Authority(
        name="Kementerian", jurisdiction="ID", contact="mailto:aduan@komdigi.example"
    )
    assert (order.legal_basis, order.reference) == (("Law 1", "Rule 2"), "B-1/2026")
    assert order.issued == datetime(2026, 1, 10, tzinfo=UTC)
    assert order.received == datetime(2026, 1, 10, 9, 12, tzinfo=WIB)
    assert order.deadline == timedelta(hours=24)
    assert order.publication is Publication.SEALED_UNTIL_EFFECTIVE
    assert order.document == Document(file="grok.pdf", sha256=DIGEST)
    first, second = order.directives
    assert first == Directive(
        id="grok",
        subjects=(
            Subject(key=key("grok.com"), match=Match.EXACT),
            Subject(key=key("grok.example"), match=Match.BELOW),
            Subject(key=key("xn--bcher-kva.example"), match=Match.EXACT),
        ),
        names_file=NamesFile(file="grok.txt", sha256=DIGEST),
        match=Match.EXACT,
        excepts=(
            Subject(key=key("status.grok.com")),
            Subject(key=key("api.grok.com"), match=Match.BELOW),
        ),
        regions=("ID", "NO"),
        action=Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"), ip_address("2001:db8::1"))),
        start=datetime(2026, 1, 10, 12, tzinfo=WIB),
        until=datetime(2026, 4, 10, tzinfo=WIB),
    )
    assert second.action == Action(form=Form.REFUSED)
    assert (second.until, second.review_by) == (None, datetime(2026, 4, 10, tzinfo=UTC))


@pytest.mark.parametrize("kind", ["suspend", "reinstate", "lift"])
def test_an_order_about_another_says_of_what_and_from_when(kind: str) -> None:
    order = read(act("a/c", kind, "a/b/one")).order
    assert (order.kind, order.of, order.directives) == (Kind(kind), "a/b/one", ())
    assert order.start == datetime(2026, 2, 1, tzinfo=UTC)


def test_a_suspend_may_end_by_itself() -> None:
    assert read(act("a/c", "suspend", "a/b", "until: 2026-03-01")).order.until == datetime(
        2026, 3, 1, tzinfo=UTC
    )


def test_an_amend_adds_removes_and_renews() -> None:
    order = read(
        act(
            "a/c",
            "amend",
            "a/b",
            "add:",
            "  - {id: two, names: [two.example], regions: [ID], from: 2026-02-01, until: 2026-03-01}",
            'remove: [free.blocked.example, "*.open.example"]',
            f"remove_file: {{file: free.txt, sha256: {DIGEST}}}",
            "until: 2026-06-01",
            "review_by: 2026-05-01",
        )
    ).order
    assert [directive.id for directive in order.directives] == ["two"]
    assert order.remove == (
        Subject(key=key("free.blocked.example")),
        Subject(key=key("open.example"), match=Match.BELOW),
    )
    assert order.remove_file == NamesFile(file="free.txt", sha256=DIGEST)
    assert (order.until, order.review_by) == (
        datetime(2026, 6, 1, tzinfo=UTC),
        datetime(2026, 5, 1, tzinfo=UTC),
    )


def test_places_lead_to_each_value_of_the_file() -> None:
    filed = read(FULL)
    assert filed.place("directives", 0, "names", 1) == (13, 23)
    assert filed.place("directives", 0, "regions", 1) == (17, 19)
    assert filed.place("of") == (1, 1)
    assert filed.directives_key == "directives"


def test_the_digest_ignores_a_byte_order_mark_and_windows_line_ends() -> None:
    windows = b"\xef\xbb\xbf" + BLOCK.replace("\n", "\r\n").encode()
    assert parse.digest(windows) == parse.digest(BLOCK.encode())
    filed, found = parse.read(windows, path="x.yaml", id_="a/b")
    assert found == []
    assert filed is not None
    assert filed == read(BLOCK)


def test_all_problems_of_a_file_are_said_at_once_in_their_order() -> None:
    text = BLOCK.replace("kind: block", "kind: block\ncolour: red").replace("publication: public\n", "")
    text = text.replace("[blocked.example]", "[192.0.2.1, com]").replace("24h", "soon").replace("+07:00", "")
    assert problems(text) == [
        "missing-publication",
        "unknown-key",
        "time-without-zone",
        "duration-invalid",
        "ip-not-a-name",
        "bare-tld",
        "time-without-zone",
    ]


def test_a_redirect_may_have_sixteen_addresses_of_each_family() -> None:
    addresses = [address for at in range(1, 17) for address in (f"192.0.2.{at}", f'"2001:db8::{at}"')]
    text = BLOCK.replace("    until:", f"    action: {{redirect: [{', '.join(addresses)}]}}\n    until:")
    assert len(read(text).order.directives[0].action.addresses) == 32


@pytest.mark.parametrize(
    ("old", "new", "id_"),
    [
        ("[blocked.example]", "[]", "value-empty"),
        ("[blocked.example]", "[~]", "value-empty"),
        ("[blocked.example]", "[[blocked.example]]", "not-text"),
        ("    until:", "    action: {redirect: [0.0.0.0]}\n    until:", "redirect-address-invalid"),
        ("    until:", '    action: {redirect: ["ff02::1"]}\n    until:', "redirect-address-invalid"),
        ("    until:", "    action: {drop: [192.0.2.1]}\n    until:", "unknown-key"),
        ("    until:", "    action: {redirect: []}\n    until:", "value-empty"),
        ("24h", "0h", "duration-invalid"),
        ("directives:\n", "directives:\n  - blocked.example\n", "not-a-mapping"),
        ("order: a/b", "order: a/../b", "order-id-invalid"),
        ("order: a/b", "order: a/.b", "order-id-invalid"),
        ("order: a/b", "order: a/b/c", "order-id-invalid"),
        ('contact: "mailto:court@court.example"', 'contact: "http://court.example"', "contact-invalid"),
    ],
)
def test_a_value_of_the_wrong_sort_is_a_problem(old: str, new: str, id_: str) -> None:
    assert old in BLOCK
    assert id_ in problems(BLOCK.replace(old, new))


@pytest.mark.parametrize(
    ("start", "until", "expected"),
    [
        ("2026-01-20", "2026-02-01", ["empty-window"]),
        ("2026-01-20", "2026-02-02", []),
        ("2026-02-10", "2026-02-11", []),
        ("2026-01-20", "2026-01-19", ["empty-window"]),
    ],
)
def test_what_an_amend_adds_outlives_its_own_start(start: str, until: str, expected: list[str]) -> None:
    add = f"  - {{id: two, names: [two.example], regions: [ID], from: {start}, until: {until}}}"
    text = act("a/c", "amend", "a/b", "add:", add, start="2026-02-01")
    assert [one.id for one in parse.read(text.encode(), path="x.yaml", id_="a/c")[1]] == expected


def test_what_an_amend_adds_and_ends_before_it_is_told_why() -> None:
    add = "  - {id: two, names: [two.example], regions: [ID], from: 2026-01-20, until: 2026-01-31}"
    text = act("a/c", "amend", "a/b", "add:", add, start="2026-02-01")
    (problem,) = parse.read(text.encode(), path="x.yaml", id_="a/c")[1]
    assert str(problem) == (
        "x.yaml:10:77 empty-window: 'until' (2026-01-31T00:00:00+00:00) is not after the amend's own 'from' "
        "(2026-02-01T00:00:00+00:00), before which nothing is added."
    )


@pytest.mark.parametrize("text", ["", "a", "[]", "{}", "- - -", "order:", "kind: {}\norder: []"])
def test_a_file_that_is_no_order_at_all_is_problems(text: str) -> None:
    assert problems(text)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-01-10", datetime(2026, 1, 10, tzinfo=UTC)),
        ("2026-01-10T12:00:00+07:00", datetime(2026, 1, 10, 12, tzinfo=WIB)),
        ("2026-01-10 12:00+07:00", datetime(2026, 1, 10, 12, tzinfo=WIB)),
        ("2026-01-10T05:00:00Z", datetime(2026, 1, 10, 5, tzinfo=UTC)),
        ("2026-01-10T19:00:00+14:00", datetime(2026, 1, 10, 19, tzinfo=timezone(timedelta(hours=14)))),
        ("2026-01-10T10:45:00+05:45", datetime(2026, 1, 10, 10, 45, tzinfo=timezone(timedelta(minutes=345)))),
    ],
)
def test_a_time_keeps_its_zone_and_a_date_is_midnight_utc(written: str, expected: datetime) -> None:
    assert moment(written) == expected
    assert moment(written).utcoffset() == expected.utcoffset()


@pytest.mark.parametrize(
    ("written", "id_"),
    [
        ("2026-01-10T12:00:00", "time-without-zone"),
        ("2026-01-10 12:00", "time-without-zone"),
        ("2026-01-10T12:00:00.000Z", "time-with-fraction"),
        ("2026-01-10T12:00:00,5", "time-with-fraction"),
        ("2026-13-01", "time-invalid"),
        ("2026-01-10T12:00:60Z", "time-invalid"),
        ("2026-01-10T25:00Z", "time-invalid"),
        ("2026-01-10T12:00:00+07:60", "time-invalid"),
        ("2026-01-10T12:00:00+24:00", "time-invalid"),
        ("2026-01-10T12:00:00+15:00", "time-invalid"),
        ("2026-01-10T12:00:00-7:00", "time-invalid"),
        ("0026-01-10", "time-invalid"),
        ("9999-01-10", "time-invalid"),
        ("10.01.2026", "time-invalid"),
        ("20260110", "time-invalid"),
        ("tomorrow", "time-invalid"),
        ("2026-01-10\n", "time-invalid"),
        ("٢٠٢٦-01-10", "time-invalid"),
    ],
)
def test_a_time_that_could_mean_two_things_is_refused(written: str, id_: str) -> None:
    with pytest.raises(Rejected) as caught:
        moment(written)
    assert caught.value.id == id_


@pytest.mark.parametrize(
    ("written", "id_"),
    [
        ("https://x.com/i/grok", "url-not-a-name"),
        ("HTTP://x.com", "url-not-a-name"),
        ("ftp://x.com", "url-not-a-name"),
        ("x.com/", "path-not-a-name"),
        ("//x.com", "path-not-a-name"),
        ("x.com:443", "port-not-a-name"),
        ("mailto:a@x.com", "email-not-a-name"),
        ("a@x.com", "email-not-a-name"),
        ("192.0.2.1:80", "ip-not-a-name"),
        ("[2001:db8::1]:80", "ip-not-a-name"),
        ("2001:db8::1", "ip-not-a-name"),
        ("[2001:db8::1]", "ip-not-a-name"),
        ("::ffff:192.0.2.1", "ip-not-a-name"),
        ("192.0.2", "ip-not-a-name"),
        ("10.0.0.300", "ip-not-a-name"),
        # What inet_aton reads as an address, in hex and octal.
        ("0x7f.0.0.0x1", "ip-not-a-name"),
        ("0X7F.1", "ip-not-a-name"),
        ("0177.0.0.01", "ip-not-a-name"),
        ("0x7f000001", "ip-not-a-name"),
        ("2130706433", "ip-not-a-name"),
        ("0x7f.example", ""),
        ("x.0xyz", ""),
        ("192.0.2.0/24", "network-not-a-name"),
        ("2001:db8::/32", "network-not-a-name"),
        ("x .com", "whitespace-in-name"),
        (" x.com", "whitespace-in-name"),
        ("x.com\u00a0", "whitespace-in-name"),
        ("*", "wildcard-in-name"),
        ("*.*.com", "wildcard-in-name"),
        ("x*.com", "wildcard-in-name"),
        ("www.*", "wildcard-in-name"),
        ("*.com", "bare-tld"),
        ("com.", "bare-tld"),
        ("localhost", "bare-tld"),
        ("co.uk", "public-suffix"),
        ("*.CO.UK.", "public-suffix"),
        ("city.kawasaki.jp", ""),
        ("any.kawasaki.jp", "public-suffix"),
        ("xn--55qx5d.cn", "public-suffix"),
        ("公司.cn", "public-suffix"),
        ("github.io", ""),
        ("x.co.uk", ""),
        ("*.", "name-invalid"),
        (".x.com", "name-invalid"),
        ("x..com", "name-invalid"),
        ("x\uff0ecom\uff0fpath", "name-invalid"),
        ("\u202ex.com", "name-invalid"),
        ("a" * 64 + ".com", "name-invalid"),
    ],
)
def test_what_is_no_single_operators_name_is_refused_for_its_own_reason(written: str, id_: str) -> None:
    if not id_:
        assert subjects.parse(written)
        return
    with pytest.raises(Rejected) as caught:
        subjects.parse(written)
    assert caught.value.id == id_


label = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=20)
subject = st.builds(
    Subject,
    key=st.lists(label, min_size=1, max_size=4).map(
        lambda parts: names.to_key(".".join([*parts, "example"]))
    ),
    match=st.sampled_from([Match.SUBTREE, Match.BELOW]),
)


@given(subject)
def test_a_subject_read_from_its_print_is_itself(one: Subject) -> None:
    assert subjects.parse(str(one)) == one
    assert subjects.parse(str(one).upper() + ".") == one


@given(subject)
def test_match_holds_for_plain_names_alone(one: Subject) -> None:
    read_exactly = subjects.parse(str(one), Match.EXACT)
    assert read_exactly.match is (Match.BELOW if one.match is Match.BELOW else Match.EXACT)


@given(st.text(max_size=80))
def test_any_text_is_a_subject_or_rejected(text: str) -> None:
    try:
        one = subjects.parse(text)
    except Rejected:
        return
    assert names.canonical(names.to_text(one.key)) == names.to_text(one.key)
