"""A zone's document is the same whichever way it came."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import dns.rdata
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.feeds import zonecopy
from blocker.feeds.zonecopy import Base, Edits
from blocker.rpz.increment import Unusable
from blocker.rpz.transfer import FOREIGN, Record
from tests.policy.strategies import key

if TYPE_CHECKING:
    from collections.abc import Iterable

LINES = st.sampled_from([b"%b CNAME ." % owner for owner in (b"a", b"a.b", b"b", b"*.b", b"c")])
ZONES = st.sets(LINES)
ANY = st.one_of(LINES, st.sampled_from([b"a TXT ?", b"b TXT ?"]))


def document(lines: Iterable[bytes], serial: int = 7) -> bytes:
    soa = dns.rdata.from_text("IN", "SOA", f"localhost. nobody.invalid. {serial} 30 5 2592000 30").to_wire()
    assert soa is not None
    return zonecopy.document("id.rpz", soa, 60, lines)


@pytest.mark.parametrize(
    ("record", "line"),
    [
        (Record(key("a.example"), 5, ".", 30), b"a.example CNAME ."),
        (Record(names.Key(key("a.example") + b"\1*"), 5, "*.", 30), b"*.a.example CNAME *."),
        (Record(key("a.example"), 1, "192.0.2.1", 30), b"a.example A 192.0.2.1"),
        (Record(key("a.example"), 28, "2001:db8::1", 30), b"a.example AAAA 2001:db8::1"),
        (Record(key("a.example"), 5, FOREIGN, 30, key("b.example")), b"a.example CNAME b.example."),
        (Record(key("a.example"), 16, FOREIGN, 30), b"a.example TXT ?"),
        (Record(names.Key(b"\3a\n;"), 5, ".", 30), b"a\\010\\059 CNAME ."),
    ],
)
def test_a_record_is_a_line(record: Record, line: bytes) -> None:
    assert zonecopy.line(record) == line


def test_a_document_has_its_head_and_its_records_sorted_each_once() -> None:
    assert document([b"b CNAME .", b"a TXT ?", b"b CNAME .", b"a TXT ?", b"a CNAME ."]) == (
        b"$ORIGIN id.rpz.\n@ 60 IN SOA localhost. nobody.invalid. 7 30 5 2592000 30\n"
        b"a CNAME .\na TXT ?\na TXT ?\nb CNAME .\n"
    )


def test_a_base_is_what_the_document_says() -> None:
    octets = document([b"b CNAME .", b"a CNAME ."], serial=4_294_967_295)
    base = Base.of(octets)
    assert (base.serial, base.octets, base.lines) == (
        4_294_967_295,
        len(octets),
        [b"a CNAME .", b"b CNAME ."],
    )
    assert Base.of(document([])).lines == []


@given(versions=st.lists(ZONES, min_size=2, max_size=5), unread=st.integers(0, 3))
def test_differences_from_version_to_version_make_the_document_of_the_last(
    versions: list[set[bytes]], unread: int
) -> None:
    others = [b"x TXT ?"] * unread
    edits = Edits(Base.of(document([*versions[0], *others])))
    for before, after in pairwise(versions):
        for one in before - after:
            edits.remove(one)
        for one in after - before:
            edits.add(one)
    edits.add(b"x TXT ?")
    assert document(edits.lines()) == document([*versions[-1], *others, b"x TXT ?"])


@given(held=ZONES, steps=st.lists(st.tuples(st.booleans(), ANY), max_size=12))
def test_what_is_removed_was_there_and_what_is_added_was_not(
    held: set[bytes], steps: list[tuple[bool, bytes]]
) -> None:
    edits, there = Edits(Base.of(document(held))), list(held)
    for is_new, one in steps:
        is_wrong = one in there and not one.endswith(b"?") if is_new else one not in there
        try:
            (edits.add if is_new else edits.remove)(one)
        except Unusable:
            assert is_wrong
            return
        assert not is_wrong
        (there.append if is_new else there.remove)(one)
    assert sorted(edits.lines()) == sorted(there)
