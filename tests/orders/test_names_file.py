from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.fields import Rejected
from blocker.orders import check, names_file, subjects
from blocker.orders.model import Directive, Match, NameList, NamesFile, Subject


def key(name: str) -> names.Key:
    return names.to_key(name)


def parsed(text: str) -> names_file.Listing:
    listing, problems = names_file.parse(text.encode(), "list.txt")
    assert problems == []
    return listing


def test_names_comments_blank_lines_and_wildcards_are_read_with_their_lines() -> None:
    listing = parsed(
        "\ufeff# list\r\n\r\nOne.example  # first\r\n*.two.example\r\nb\u00fccher.example.\r\none.EXAMPLE"
    )
    assert listing.names == NameList(
        keys=(key("one.example"), key("xn--bcher-kva.example")), below=(key("two.example"),)
    )
    assert list(listing.lines) == [3, 5, 4]


def test_a_name_and_all_below_it_are_two_entries() -> None:
    assert len(parsed("x.example\n*.x.example\n*.X.example\n").names) == 2


@pytest.mark.parametrize(
    ("line", "id_"),
    [
        (b"com", "bare-tld"),
        (b"co.uk", "public-suffix"),
        (b"any.kawasaki.jp", "public-suffix"),
        (b"192.0.2.1", "ip-not-a-name"),
        (b"https://x.example/", "url-not-a-name"),
        (b"one.example two.example", "whitespace-in-name"),
        (b"0.0.0.0 one.example", "whitespace-in-name"),
        (b"\xff.example", "not-utf-8"),
        (b"x" * 2000, "line-too-long"),
        (b"a.t.example" + b" " * 10_000_000 + b"b.t.example https://x", "line-too-long"),
        (b" " * 10_000 + b"b.t.example", "line-too-long"),
        (b"0x7f.0.0.0x1", "ip-not-a-name"),
        (b"a" * 64 + b".example", "name-invalid"),
        (b".".join([b"a" * 60] * 5), "name-invalid"),
        (b"\1.example", "name-invalid"),
        (b"x.example#foo", "name-invalid"),
        (b"x.example# a note", "whitespace-in-name"),
        (b"x.example#foo # a note", "name-invalid"),
        (b"https://x.example/#foo", "url-not-a-name"),
    ],
)
def test_a_bad_line_is_told_with_its_number_and_the_rest_is_read(line: bytes, id_: str) -> None:
    listing, (problem,) = names_file.parse(b"one.example\n" + line + b"\ntwo.example\n", "list.txt")
    assert (problem.id, problem.line, problem.column) == (id_, 2, 1)
    assert list(listing.names.keys) == [key("one.example"), key("two.example")]


def test_a_hash_within_a_row_is_told_as_what_it_is_and_one_after_a_blank_begins_a_comment() -> None:
    _, (problem,) = names_file.parse(b"x.example#foo\n", "list.txt")
    assert problem.message == (
        "'x.example#foo' is not a domain name: '#' is not a letter, digit, hyphen or underscore; write the "
        "name as the order has it."
    )
    listing = parsed("x.example #foo\ny.example\t#\n  # z.example#z\n#\n")
    assert list(listing.names.keys) == [key("x.example"), key("y.example")]


def test_problems_are_counted_beyond_the_first_hundred() -> None:
    _, problems = names_file.parse(b"com\n" * 1_234, "list.txt")
    assert len(problems) == 101
    assert str(problems[-1]) == "list.txt more-problems: and 1,134 more problems; mend the ones above first."


written = st.sampled_from(
    [
        "one.example",
        "*.one.example",
        "ONE.example.",
        "co.uk",
        "com",
        "www.ck",
        "x.ck",
        "",
        "#",
        "x.example#y",
        "x.example\t#y",
        "x.1",
        "1.x",
        "0x7f.0X1",
        "0x.1x",
        "b\u00fc.example",
    ]
) | st.text("abc.*-_ #:/@19\u00e9", max_size=20)


@given(st.lists(written, max_size=12))
def test_the_short_path_for_plain_names_agrees_with_reading_each_line(lines: list[str]) -> None:
    listing, problems = names_file.parse("\n".join(lines).encode(), "list.txt")
    keys: dict[names.Key, int] = {}
    below: dict[names.Key, int] = {}
    wrong = []
    for number, line in enumerate(lines, start=1):
        text = re.split(r"(?:^|\s)#", line, maxsplit=1)[0].strip()
        if not text:
            continue
        try:
            subject = subjects.parse(text.lower())
        except Rejected as rejected:
            wrong.append((number, rejected.id))
        else:
            (below if subject.match is Match.BELOW else keys).setdefault(subject.key, number)
    assert listing.names == NameList(keys=tuple(keys), below=tuple(below))
    assert list(listing.lines) == [found[one] for found in (keys, below) for one in sorted(found)]
    told = [(one.line, one.id) for one in problems if one.id != "names-file-empty"]
    assert told == wrong


names_of_tree = st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(
    lambda labels: key(".".join([*labels, "example"]))
)


@given(
    st.lists(names_of_tree, max_size=5, unique=True),
    st.lists(names_of_tree, max_size=3, unique=True),
    st.frozensets(names_of_tree, max_size=3),
    st.lists(
        st.builds(Subject, key=names_of_tree, match=st.sampled_from([Match.SUBTREE, Match.BELOW])), max_size=2
    ),
    st.sampled_from([Match.SUBTREE, Match.EXACT]),
)
def test_a_list_is_checked_as_its_names_would_be_one_by_one(
    keys: list[names.Key],
    below: list[names.Key],
    protected: frozenset[names.Key],
    excepts: list[Subject],
    match: Match,
) -> None:
    directive = Directive(
        id="one",
        subjects=(),
        names_file=NamesFile(file="x", sha256="x"),
        match=match,
        excepts=tuple(excepts),
        regions=("ID",),
        start=datetime(2026, 1, 1, tzinfo=UTC),
        review_by=datetime(2026, 2, 1, tzinfo=UTC),
    )
    listed = NameList(keys=tuple(keys), below=tuple(below))
    found = [
        (position, id_)
        for position, id_, _ in check.check_list(listed, directive, check.Facts(protected=protected))
    ]
    protection, cut, expected = check.Protection(protected), check.Cover(excepts), []
    each = [(one, match) for one in sorted(keys)] + [(one, Match.BELOW) for one in sorted(below)]
    for position, one in enumerate(each):
        if protection.blocked_by(*one, cut) is not None:
            expected.append((position, "protected-name"))
        elif cut.has(Subject(key=one[0], match=one[1])):
            expected.append((position, "under-own-except"))
    assert found == expected


def test_a_name_listed_again_and_again_stands_once_at_its_first_line() -> None:
    listing = parsed("b.example\n" * 300 + "a.example\n" * 300 + "B.example\n")
    assert list(listing.names.keys) == [key("a.example"), key("b.example")]
    assert list(listing.lines) == [301, 1]


@pytest.mark.parametrize("count", [255, 256, 257, 70_000])
def test_of_any_number_of_names_each_is_there_with_its_line(count: int) -> None:
    listed = [f"{number * 7919 % count}.of.n{number * 7919 % count}.example" for number in range(count)]
    listing = parsed("\n".join(listed))
    expected = sorted((key(name), line) for line, name in enumerate(listed, start=1))
    assert list(zip(listing.names.keys, listing.lines, strict=True)) == expected


def test_lines_are_cut_alike_wherever_a_long_list_is_cut_into_pieces() -> None:
    filler = "#" + "x" * 1000 + "\n"
    text = (
        filler * 262 + "#" * 300_000 + "\nlate.example\n" + "y" * 300_000 + "\nlast.example\n" + "z" * 300_000
    )
    listing, problems = names_file.parse(text.encode(), "list.txt")
    assert list(zip(listing.names.keys, listing.lines, strict=True)) == [
        (key("last.example"), 266),
        (key("late.example"), 264),
    ]
    assert [(one.id, one.line) for one in problems] == [("line-too-long", 265), ("line-too-long", 267)]


def test_a_long_list_reports_its_progress() -> None:
    told: list[tuple[int, int]] = []
    octets = b"\n" * 600_000 + b"".join(b"n%d.example\n" % number for number in range(140_000))
    names_file.parse(octets, "list.txt", progress=lambda done, size: told.append((done, size)))
    done = [done for done, _ in told]
    assert done[:2] == [262_144, 524_288]
    assert done == sorted(set(done))
    assert len([one for one in done if one > len(octets)]) == 2
    assert {size for _, size in told} == {2 * len(octets)}
