from __future__ import annotations

from typing import TYPE_CHECKING

import dns.message
import dns.opcode
import dns.rdatatype
import dns.update
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.rpz import update, zone
from blocker.rpz.delta import Edit
from tests.policy.strategies import key

if TYPE_CHECKING:
    from blocker.names import Key

RULES = [".", "*.", "rpz-passthru.", "192.0.2.1", "192.0.2.1 192.0.2.2 2001:db8::1"]
BEFORE, AFTER = (update.soa(zone.soa(serial, 30)) for serial in (7, 8))


def read(edits: list[Edit]) -> dns.update.UpdateMessage:
    wire = update.message(zone="id.rpz", before=BEFORE, after=AFTER, edits=edits, ttl=30, number=4711)
    found = dns.message.from_wire(wire)
    assert isinstance(found, dns.update.UpdateMessage)
    return found


def test_an_update_is_of_the_zone_as_it_was_seen_and_gives_it_the_next_serial() -> None:
    found = read([])
    assert (found.id, found.opcode()) == (4711, dns.opcode.UPDATE)
    assert [(str(one.name), one.rdtype) for one in found.zone] == [("id.rpz.", dns.rdatatype.SOA)]
    assert [str(one) for one in found.prerequisite] == [
        "id.rpz. 0 IN SOA localhost. nobody.invalid. 7 30 5 2592000 30"
    ]
    assert [str(one) for one in found.update] == [
        "id.rpz. 30 IN SOA localhost. nobody.invalid. 8 30 5 2592000 30"
    ]


@pytest.mark.parametrize(
    ("edit", "records"),
    [
        (Edit(key("a.example"), None, "."), ["a.example.id.rpz. 30 IN CNAME ."]),
        (Edit(key("a.example"), ".", None), ["a.example.id.rpz. 0 ANY ANY"]),
        (
            Edit(names.Key(key("a.example") + zone.STAR), "192.0.2.1", "rpz-passthru."),
            ["*.a.example.id.rpz. 0 ANY ANY", "*.a.example.id.rpz. 30 IN CNAME rpz-passthru."],
        ),
        (
            Edit(key("a.example"), None, "192.0.2.1 2001:db8::1"),
            ["a.example.id.rpz. 30 IN A 192.0.2.1", "a.example.id.rpz. 30 IN AAAA 2001:db8::1"],
        ),
        (Edit(names.ROOT, "?", None), ["id.rpz. 0 ANY ANY"]),
    ],
)
def test_the_records_of_an_edit(edit: Edit, records: list[str]) -> None:
    found = read([edit]).update[:-1]
    said = [
        f"{one.name} 0 ANY ANY" if one.rdtype == dns.rdatatype.ANY else line
        for one in found
        for line in (str(one).splitlines() or [""])
    ]
    assert said == records


KEYS: st.SearchStrategy[Key] = st.lists(
    st.text("abc-_0", min_size=1, max_size=63), min_size=1, max_size=3
).map(lambda labels: names.to_key(".".join(labels)))
RULE = st.sampled_from(RULES)


@given(
    edits=st.lists(st.builds(Edit, KEYS, st.one_of(st.none(), RULE), st.one_of(st.none(), RULE)), max_size=20)
)
def test_edits_never_take_more_octets_than_they_cost(edits: list[Edit]) -> None:
    empty, whole = (
        update.message(zone="id.rpz", before=BEFORE, after=AFTER, edits=one, ttl=30) for one in ([], edits)
    )
    assert len(whole) - len(empty) <= sum(map(update.cost, edits))


def test_the_largest_step_fits_one_message_with_its_signature() -> None:
    """A name and its wildcard go together, and both may change from and to the longest redirect."""
    rule = " ".join(f"2001:db8::{number:x}" for number in range(zone.MOST_ADDRESSES))
    name = names.Key(
        bytes((63,)) + b"a" * 63 + bytes((63,)) + b"b" * 63 + bytes((63,)) + b"c" * 63 + b"\x2d" + b"d" * 45
    )
    edits = [Edit(name, ".", rule), Edit(names.Key(name + zone.STAR), ".", rule)]
    wire = update.message(zone="id.rpz", before=BEFORE, after=AFTER, edits=edits, ttl=30)
    assert len(wire) < 65_535 - 600
    assert update.MOST < 65_535 - 1500
