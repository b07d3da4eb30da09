from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import Action, Form, Match, Order, Publication
from blocker.orders.schedule import schedule
from blocker.policy.decide import Verdict, decide
from blocker.policy.index import Index
from blocker.rpz import zone
from blocker.rpz.zone import Entry
from tests.policy.strategies import (
    ASKED_NAMES,
    EPOCH,
    REGIONS,
    directive,
    key,
    order,
    orders,
    read,
)
from tests.policy.test_decide import INSTANT, LAW, index_of, withholdings
from tests.rpz import resolvers

ORIGIN = "id.rpz"
ASKED = [*ASKED_NAMES, *(f"y.x.{name}" for name in ASKED_NAMES)]


def rendered(*directives: object, region: str = "ID", t: float = EPOCH) -> list[str]:
    """The zone's records as text, of one order with these directives."""
    index = Index(schedule([order("x/b", directives=directives)]), read)
    return "".join(map(zone.lines, zone.entries(index, ORIGIN, region, t))).splitlines()


def rule_of(verdict: Verdict) -> str | None:
    """What a zone says of a verdict, from the table of forms alone."""
    form = verdict.form_for(1)
    if form is None or verdict.action is None:
        return None
    if form is Form.REDIRECT:
        return " ".join(map(str, verdict.action.addresses))
    return "." if form is Form.NXDOMAIN else "*."


@LAW
@given(found=orders(publications=tuple(Publication)), second=INSTANT, data=st.data())
@pytest.mark.parametrize("reading", [resolvers.strict, resolvers.lax])
def test_whichever_way_a_resolver_reads_the_zone_it_says_what_decide_says(
    reading: object, found: list[Order], second: int, data: st.DataObject
) -> None:
    index = index_of(found, data.draw(st.one_of(st.just(frozenset[str]()), withholdings(found))))
    region = data.draw(st.sampled_from(REGIONS))
    held = resolvers.zone(zone.entries(index, ORIGIN, region, EPOCH + second))
    for name in ASKED:
        said = rule_of(decide(index, key(name), region, EPOCH + second))
        assert reading(held, name) == said, name  # type: ignore[operator]  # one of two functions


@LAW
@given(found=orders(), second=INSTANT, region=st.sampled_from(REGIONS))
def test_entries_come_in_order_and_none_at_the_apex(found: list[Order], second: int, region: str) -> None:
    entries = list(zone.entries(index_of(found), ORIGIN, region, EPOCH + second))
    assert all(one.owner < other.owner for one, other in pairwise(entries))
    assert all(len(one.owner) > len(zone.STAR) for one in entries)
    assert all(resolvers.is_rule(one.rule) for one in entries)


@LAW
@given(found=orders(), second=INSTANT, region=st.sampled_from(REGIONS))
def test_nothing_is_said_of_what_passes_where_nothing_above_blocks(
    found: list[Order], second: int, region: str
) -> None:
    held = resolvers.zone(zone.entries(index_of(found), ORIGIN, region, EPOCH + second))
    for owner, rule in held.items():
        if rule == zone.PASSTHRU:
            above = owner.removeprefix("*.").split(".")
            wilds = ("*." + ".".join(above[at:]) for at in range(1, len(above)))
            assert any(held.get(wild, zone.PASSTHRU) != zone.PASSTHRU for wild in wilds), owner


@LAW
@given(found=orders(), second=INSTANT, region=st.sampled_from(REGIONS))
def test_the_text_of_a_zone_reads_back_as_its_entries(found: list[Order], second: int, region: str) -> None:
    entries = list(zone.entries(index_of(found), ORIGIN, region, EPOCH + second))
    assert list(zone.parse("".join(map(zone.lines, entries)).splitlines(keepends=True))) == entries


def test_several_addresses_of_one_owner_read_back_as_one_entry() -> None:
    found = [Entry(key("a.example"), "192.0.2.1 2001:db8::1"), Entry(key("b.example"), ".")]
    assert list(zone.parse("".join(map(zone.lines, found)).splitlines(keepends=True))) == found


@pytest.mark.parametrize(
    ("directives", "records"),
    [
        ([directive("d", "a.example")], ["a.example CNAME .", "*.a.example CNAME ."]),
        ([directive("d", "*.a.example")], ["*.a.example CNAME ."]),
        # Exactly a.example: NXDOMAIN would deny what is below.
        ([directive("d", "a.example", match=Match.EXACT)], ["a.example CNAME *."]),
        (
            [directive("d", "a.example", excepts=["y.x.a.example"])],
            [
                "a.example CNAME *.",
                "*.a.example CNAME .",
                "x.a.example CNAME *.",
                "*.x.a.example CNAME .",
                "y.x.a.example CNAME rpz-passthru.",
                "*.y.x.a.example CNAME rpz-passthru.",
            ],
        ),
        # Said by a.example already.
        ([directive("d", "a.example", "b.a.example")], ["a.example CNAME .", "*.a.example CNAME ."]),
        (
            [
                directive("d", "a.example"),
                directive("e", "b.c.a.example", action=Action(form=Form.NODATA), match=Match.EXACT),
            ],
            [
                "a.example CNAME .",
                "*.a.example CNAME .",
                "c.a.example CNAME .",
                "*.c.a.example CNAME .",
                "b.c.a.example CNAME *.",
                "*.b.c.a.example CNAME .",
            ],
        ),
        (
            [
                directive(
                    "d",
                    "a.example",
                    action=Action(
                        form=Form.REDIRECT,
                        addresses=tuple(
                            map(ip_address, ("2001:db8::1", "192.0.2.2", "192.0.2.1", "192.0.2.2"))
                        ),
                    ),
                )
            ],
            [
                f"{owner} {record}"
                for owner in ("a.example", "*.a.example")
                for record in ("A 192.0.2.1", "A 192.0.2.2", "AAAA 2001:db8::1")
            ],
        ),
        ([directive("d", "a.example", regions=("GB",))], []),
        ([directive("d", "a.example", start=1)], []),
        # Nobody may see from the zone that an order of later speaks of b.a.example.
        (
            [directive("d", "a.example"), directive("e", "b.a.example", start=1)],
            ["a.example CNAME .", "*.a.example CNAME ."],
        ),
        # Plan refuses this one; a block in another form is nearer to it than none.
        (
            [directive("d", "a.example", action=Action(form=Form.REFUSED))],
            ["a.example CNAME *.", "*.a.example CNAME *."],
        ),
    ],
)
def test_the_records_of_a_directive(directives: list[object], records: list[str]) -> None:
    assert rendered(*directives) == records


LONG = ".".join(["a" * 63, "b" * 63, "c" * 63])


@pytest.mark.parametrize(
    ("name", "is_sayable"),
    [
        ("a.example", True),
        # An owner has 255 octets with its root: 192 of LONG, 8 of the zone, 2 of the wildcard, 53 left.
        (f"{'d' * 52}.{LONG}", True),
        (f"{'d' * 53}.{LONG}", False),
        ("32.1.2.0.192.rpz-ip", False),
        ("a.example.rpz-nsdname", False),
        ("24.0.2.0.192.rpz-client-ip", False),
        ("24.0.2.0.192.rpz-nsip", False),
        ("rpz-ip.example", True),
    ],
)
def test_names_that_a_zone_cannot_say_are_named_and_left_out(name: str, is_sayable: bool) -> None:
    assert (zone.unsayable_name(key(name), ORIGIN) is None) == is_sayable
    assert bool(rendered(directive("d", name))) == is_sayable


def test_names_that_are_left_out_are_counted_while_they_say_something() -> None:
    names_ = ("a.example", f"{'d' * 53}.{LONG}", "a.rpz-ip")
    index = Index(schedule([order("x/b", directives=[directive("d", *names_, start=10, until=20)])]), read)
    for t, count in ((EPOCH, 0), (EPOCH + 10, 2), (EPOCH + 20, 0)):
        unsaid = zone.Unsaid()
        assert len(list(zone.entries(index, ORIGIN, "ID", t, unsaid=unsaid))) == (2 if count else 0)
        assert unsaid.count == count
        assert unsaid.sentence(ORIGIN).startswith(f"{ORIGIN} can't speak of 2 names" if count else "")
        assert bool(unsaid.sentence(ORIGIN)) == bool(count)


def test_what_fits_the_longest_owner_has_room_for_its_wildcard() -> None:
    wild = f"*.{'d' * 52}.{LONG}.{ORIGIN}"
    assert len(names.to_wire(names.to_key(wild))) == 255


@pytest.mark.parametrize(
    ("action", "why"),
    [
        (Action(form=Form.NXDOMAIN), None),
        (Action(form=Form.NODATA), None),
        (Action(form=Form.REFUSED), "can't say REFUSED"),
        (Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"),) * 100), None),
        (Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"),) * 101), "101 addresses"),
    ],
)
def test_actions_that_a_zone_cannot_say_are_named(action: Action, why: str | None) -> None:
    found = zone.unsayable(action)
    assert found == why if why is None else why in str(found)


def test_a_memo_that_is_full_forgets_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    directives = [directive(f"d{number}", f"n{number}.example") for number in range(5)]
    whole = rendered(*directives)
    monkeypatch.setattr(zone, "_MEMO", 2)
    assert rendered(*directives) == whole


@pytest.mark.parametrize("line", ["a.example TXT x", "a.example CNAME", "a.example A 192.0.2.300", ""])
def test_lines_that_are_none_of_ours_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        list(zone.parse([line]))


def test_the_head_is_that_of_a_zone() -> None:
    assert zone.header("id.rpz", serial=7, ttl=30, comment="ours").splitlines() == [
        "; ours",
        "$ORIGIN id.rpz.",
        "$TTL 30",
        "@ SOA localhost. nobody.invalid. 7 30 5 2592000 30",
        "@ NS localhost.",
    ]


@pytest.mark.parametrize(
    ("serial", "t", "following"),
    [
        (5, 1_800_000_000.9, 1_800_000_000),
        (1_800_000_000, 1_800_000_000, 1_800_000_001),
        (1_800_000_007, 1_800_000_000, 1_800_000_008),
        # A serial of the form of a date is ahead of the clock.
        (2026112200, 1_800_000_000, 2026112201),
        # RFC 1982 §3.2: half the circle ahead is behind.
        (4_000_000_000, 1_800_000_000, 1_800_000_000),
        (0xFFFFFFFF, 2**31 - 1 + 0x7FFFFFFF, 0),
    ],
)
def test_serials_follow_the_clock_and_never_stand_or_go_back(serial: int, t: float, following: int) -> None:
    assert zone.successor(serial, t) == following
    assert 0 < (following - serial) & 0xFFFFFFFF < 1 << 31


def test_an_entry_is_its_owner_and_its_rule() -> None:
    assert Entry(key("a.example"), ".") < Entry(names.Key(key("a.example") + zone.STAR), ".")
