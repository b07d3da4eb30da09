from __future__ import annotations

import hashlib
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import yamltext
from blocker.yamltext import Mapping, Mark, Scalar, Sequence, place, read


def ids(octets: bytes) -> list[str]:
    return [problem.id for problem in read(octets, "x.yaml")[1]]


def test_scalars_stay_text_whatever_yaml_makes_of_them() -> None:
    root, problems = read(b"[NO, 010, 1.0, 2026-01-10, yes, '~', 0x10]", "x.yaml")
    assert problems == []
    assert isinstance(root, Sequence)
    texts = [item.text for item in root.items if isinstance(item, Scalar)]
    assert texts == ["NO", "010", "1.0", "2026-01-10", "yes", "~", "0x10"]


@pytest.mark.parametrize("written", [b"a:", b"a: ~", b"a: null", b"a: ''", b"a: NULL"])
def test_nothing_is_seen_as_nothing(written: bytes) -> None:
    root, _ = read(written, "x.yaml")
    assert isinstance(root, Mapping)
    value = root.get("a")
    assert isinstance(value, Scalar)
    assert value.is_empty


def test_a_quoted_null_is_a_text() -> None:
    root, _ = read(b"a: 'null'", "x.yaml")
    assert isinstance(root, Mapping)
    value = root.get("a")
    assert isinstance(value, Scalar)
    assert not value.is_empty
    assert not value.is_plain


def test_places_count_characters_from_one_and_fall_back_to_what_is_there() -> None:
    root, _ = read("é: {ö: [a, b]}\n".encode(), "x.yaml")
    assert place(root, "é", "ö", 1) == Mark(1, 12)
    assert place(root, "é", "ö", 7, "x") == Mark(1, 8)
    assert place(root, "nothing") == Mark(1, 1)
    assert place(None, "nothing") == Mark(0, 0)


def test_a_byte_order_mark_and_cr_lf_change_nothing() -> None:
    plain = b"a: [b]\nc: d\n"
    windows = b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n")
    assert read(plain, "x.yaml") == read(windows, "x.yaml")
    assert hashlib.sha256(yamltext.normal(windows)).digest() == hashlib.sha256(plain).digest()


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        (b"", ["file-empty"]),
        (b"a: 1\na: 2\na: 3\n", ["duplicate-key", "duplicate-key"]),
        (b"a: &x 1", ["yaml-alias"]),
        (b"a: *x", ["yaml-alias"]),
        (b"a: !!str 1", ["yaml-tag"]),
        (b"a: ! 1", ["yaml-tag"]),
        (b"a: !!python/object/apply:os.system [id]", ["yaml-tag"]),
        (b"a: 1\n---\nb: 2\n", ["yaml-documents"]),
        (b"%TAG ! tag:x,2000:\n--- a", ["yaml-directive"]),
        (b"\xff\xfea\x00", ["not-utf-8"]),
        (b"a: \x1b[31m", ["binary-file"]),
        # What YAML takes for the end of a line and an editor may not: the rest of a comment becomes a key.
        ("a: 1  # so\u2028b: 2".encode(), ["binary-file"]),
        ("a: 1  # so\u2029b: 2".encode(), ["binary-file"]),
        ("a: 1  # so\u0085b: 2".encode(), ["binary-file"]),
        (b"a: 1  # so\rb: 2", ["binary-file"]),
        (b"a: 1  # so\r\r\nb: 2", ["binary-file"]),
        (b"a: 1  # so\r\nb: 2\r\n", []),
        # So does what an escape stands for: it reaches terminals and pages.
        (b'a: "\\u2028"', ["binary-file"]),
        (b'a: "\\e[2J"', ["binary-file"]),
        (b'a: "\\n\\t\\u00e9"', []),
        ("a: \u202eb".encode(), ["binary-file"]),
        ("a: \u2066b".encode(), ["binary-file"]),
        ("a: \u05d0\u200fb".encode(), []),
        (b"a: 1\n<<<<<<< ours\nb: 2\n=======\nb: 3\n>>>>>>> theirs\n", ["yaml-syntax"]),
        (b"a: b: c", ["yaml-syntax"]),
        (b"<<: {a: 1}", []),
    ],
)
def test_what_hides_its_meaning_is_refused(octets: bytes, expected: list[str]) -> None:
    assert ids(octets) == expected


def test_an_odd_end_of_a_line_is_told_as_one() -> None:
    (problem,) = read("a: 1\nb: 2  # so\u2028c: 3\n".encode(), "x.yaml")[1]
    assert str(problem) == (
        "x.yaml:2:11 binary-file: the character U+2028 ends a line for YAML and not for everyone who reads; "
        "end lines with LF or CR LF alone."
    )


@pytest.mark.parametrize("text", ["a: [::1]", "listen: [[::1]:53]", "a: {b: [2001:db8::]}", "a: b:: c: d"])
def test_a_syntax_error_near_two_colons_says_to_quote_it(text: str) -> None:
    (problem,) = read(text.encode(), "x.yaml")[1]
    assert problem.id == "yaml-syntax"
    assert "quote text with '::'" in problem.message


HOSTILE = {
    "100,000 nested lists": b"[" * 100_000,
    "100,000 nested mappings": b"{a: " * 100_000,
    "100,000 block lists": b"- " * 100_000,
    "100,000 keys of keys": b"? " * 100_000,
    "a line of 10 MB": b"a: " + b"x" * 10_000_000,
    "an anchor of 1 MB": b"&" + b"a" * 1_000_000,
    "many directives": b"".join(b"%%TAG !%d! x\n" % number for number in range(60_000)),
    "many duplicate keys": b"a:\n" * 50_000,
    "a million empty lines": b"\n" * 1_000_000,
    "half a million commas": b"[" + b"a," * 500_000 + b"]",
}


@pytest.mark.parametrize("octets", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_ends_in_few_problems_and_little_work(octets: bytes) -> None:
    before = time.process_time()
    _, problems = read(octets, "x.yaml")
    assert 1 <= len(problems) <= yamltext.MAX_PROBLEMS
    # No stopwatch: seconds of room around milliseconds of work; unbounded, these take minutes or crash.
    assert time.process_time() - before < 5


@pytest.mark.parametrize("count", range(98, 103))
def test_a_syntax_error_after_many_problems_is_no_exception(count: int) -> None:
    _, problems = read(b"a: 1\n" * count + b"a: [", "x.yaml")
    assert len(problems) <= yamltext.MAX_PROBLEMS
    assert problems[-1].id in ("yaml-syntax", "more-problems")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_any_octets_end_in_a_tree_or_a_problem(octets: bytes) -> None:
    root, problems = read(octets, "x.yaml")
    assert (root is not None) or problems
