from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names

labels = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=63)
texts = st.lists(labels, min_size=1, max_size=6).map(".".join).filter(lambda text: len(text) <= 253)
wires = st.lists(st.binary(min_size=1, max_size=20), max_size=6).map(
    lambda parts: b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
)


@given(texts)
def test_canonical_text_is_its_own_canonical_form(text: str) -> None:
    assert names.canonical(text) == text
    assert names.canonical(text.upper() + ".") == text


@given(texts)
def test_a_name_read_from_its_print_is_itself(text: str) -> None:
    key = names.to_key(text)
    assert names.to_text(key) == text
    assert names.from_wire(names.to_wire(key)) == key


@given(wires)
def test_a_name_from_the_wire_goes_back_to_it_in_lower_case(wire: bytes) -> None:
    assert names.to_wire(names.from_wire(wire)) == wire.lower()


@given(texts, labels)
def test_what_is_below_a_name_has_it_as_ancestor_and_sorts_inside_its_range(text: str, label: str) -> None:
    key, below = names.to_key(text), names.to_key(f"{label}.{text}")
    assert names.is_below(below, key)
    assert not names.is_below(key, below)
    assert not names.is_below(key, key)
    assert key in list(names.ancestry(below))
    assert names.parent(below) == key
    assert key < below < names.Key(key + b"\xff")


@given(texts, texts)
def test_below_means_the_same_for_keys_and_for_labels(one: str, other: str) -> None:
    for left, right in ((one, other), (f"{other}.{one}", one), (f"x{one}", one)):
        expected = left.endswith(f".{right}")
        assert names.is_below(names.to_key(left), names.to_key(right)) == expected


def test_a_name_that_ends_in_the_same_letters_is_not_below() -> None:
    assert not names.is_below(names.to_key("notgrok.com"), names.to_key("grok.com"))


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("GROK.com.", "grok.com"),
        ("r3---sn-x.example", "r3---sn-x.example"),
        ("_dmarc.example.com", "_dmarc.example.com"),
        ("xn--i-7iq.ws", "xn--i-7iq.ws"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("例え。テスト", "xn--r8jz45g.xn--zckzah"),
    ],
)
def test_names_that_live_on_the_internet_are_taken(written: str, expected: str) -> None:
    assert names.canonical(written) == expected


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "it is empty"),
        (".", "it is empty"),
        ("a..b", "it has an empty label"),
        (".a", "it has an empty label"),
        ("a b.c", "' ' is not a letter"),
        ("a/b.c", "'/' is not a letter"),
        ("a" * 64 + ".com", "has 64 octets, 63 is the most"),
        (".".join(["a" * 63] * 4), "it has 255 octets, 253 is the most"),
        ("\u2603.example", "not a valid internationalised name"),
        ("a\n.example", "is not a letter"),
    ],
)
def test_what_is_no_name_says_why(written: str, reason: str) -> None:
    with pytest.raises(names.NameInvalid, match="is not") as caught:
        names.canonical(written)
    assert reason in str(caught.value)


def test_the_root_is_its_own_parent_and_prints_as_a_dot() -> None:
    assert names.parent(names.ROOT) == names.ROOT
    assert names.to_text(names.ROOT) == "."
    assert names.to_key("") == names.ROOT
    assert names.to_wire(names.ROOT) == b"\0"


def test_odd_octets_of_queries_print_escaped() -> None:
    key = names.from_wire(b"\x03a.b\x02\x00\xff\x03com\0")
    assert names.to_text(key) == r"a\046b.\000\255.com"


@pytest.mark.parametrize("text", ["é" * 300 + ".example", ".".join(["é" * 40] * 6)])
def test_a_unicode_name_that_is_too_long_in_any_form_is_refused(text: str) -> None:
    with pytest.raises(names.NameInvalid):
        names.canonical(text)
