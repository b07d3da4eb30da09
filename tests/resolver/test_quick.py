"""What is said again without the engine is what the engine would say, octet by octet."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.message
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blocker.orders.model import Form, Match
from blocker.resolver import quick
from blocker.resolver.engine import Answer, Drop, Engine, Forward, Outcome
from blocker.resolver.quick import Quick
from blocker.site import LOOPBACK
from tests import fuzz_packets
from tests.resolver.world import T0, Block, ask, block, engine, policy, upstream

if TYPE_CHECKING:
    from blocker.policy.index import Index

ME = b"\x7f\0\0\1"
GROK = block("grok.example", "blocked.example", ident="court/grok")


def swept(
    mind: Engine,
    index: Index,
    *packets: bytes,
    t: float = T0,
    now: float = T0,
    client: bytes = ME,
) -> list[bytes | None]:
    """The answers given without the engine; None where it has to be asked."""
    batch = Block(*((packet, client) for packet in packets))
    left, counted, faults = mind.sweep(batch, batch.sizes, index, t, now)
    assert faults == []
    found = [batch.answer(slot) for slot in range(len(packets))]
    assert left == [slot for slot, octets in enumerate(found) if octets is None]
    assert sum(number for _, _, number in counted) == len(packets) - len(left)
    return found


def said(
    mind: Engine, index: Index, packet: bytes, t: float = T0, now: float = T0, client: str = "127.0.0.1"
) -> bytes:
    """The engine's own answer, upstream being asked if it must."""
    made = mind.handle(packet, client, index, t, now)
    if isinstance(made, Forward):
        made = mind.finish(made, upstream(packet, *SCRIPT), index, t, now)
    assert isinstance(made, Answer)
    return made.octets


SCRIPT = ("free.example 300 IN A 192.0.2.9", "free.example 60 IN A 192.0.2.10")


# What is known


def test_a_list_is_answered_by_one_template_for_each_length_of_its_names() -> None:
    mind, index = engine(), policy(GROK, block("othr.example", ident="court/o2"))
    said(mind, index, ask("a.grok.example"))
    alike = [ask(name) for name in ("b.grok.example", "C.gROk.example", "d.grok.example")]
    assert swept(mind, index, *alike) == [said(engine(), index, packet) for packet in alike]
    assert swept(mind, index, ask("bb.grok.example")) == [None]
    assert swept(mind, index, ask("b.grok.example", "AAAA")) == [None]
    assert swept(mind, index, ask("b.grok.example", use_edns=0)) == [None]
    assert swept(mind, index, ask("a.othr.example")) == [None]


def test_the_case_and_the_id_are_the_querys_own() -> None:
    mind, index = engine(), policy(GROK)
    said(mind, index, ask("www.grok.example", id=1))
    packet = ask("WwW.gROk.eXample", id=0xABCD)
    (found,) = swept(mind, index, packet)
    assert found == said(engine(), index, packet)
    assert found is not None
    assert (found[:2], found[12:30]) == (packet[:2], packet[12:30])


def test_what_an_answer_does_not_hang_on_needs_no_second_look() -> None:
    mind, index = engine(), policy(GROK)
    for number in range(2):
        packet = ask(
            "grok.example", use_edns=0, payload=4000 + number, options=[cookie(bytes((number,)) * 8)]
        )
        said(mind, index, packet)
        assert swept(mind, index, packet) == [said(engine(), index, packet)]
    (known,) = mind._quick._regions.values()
    assert len(known.templates) == 1


def cookie(octets: bytes) -> dns.edns.GenericOption:
    return dns.edns.GenericOption(dns.edns.OptionType.COOKIE, octets)


def test_a_cookie_that_is_another_each_time_is_no_reason_to_ask_the_engine() -> None:
    mind, index = engine(), policy(GROK)
    said(mind, index, ask("grok.example", use_edns=0, options=[cookie(b"\1" * 8)]))
    packet = ask("GROK.example", use_edns=0, options=[cookie(b"\x7f" * 8)])
    assert swept(mind, index, packet) == [said(engine(), index, packet)]
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    for options in ([cookie(b"\1" * 16)], [cookie(b"\1" * 8), nsid], [cookie(b"\0\3" * 4), nsid]):
        packet = ask("grok.example", use_edns=0, options=options)
        assert swept(mind, index, packet)[0] in (said(engine(), index, packet), None)


@pytest.mark.parametrize(
    "data", [b"\0\x0a\0\x08" + b"\1" * 7, b"\0\x0a\0\x08" + b"\1" * 9, b"\0\x0a\xff\xff\1"]
)
def test_an_option_that_is_cut_off_is_malformed_however_often_it_is_asked(data: bytes) -> None:
    mind, index = engine(), policy(GROK)
    whole = ask("grok.example", use_edns=0, options=[cookie(b"\1" * 8)])
    said(mind, index, whole)
    packet = whole[:-14] + len(data).to_bytes(2, "big") + data
    for _ in range(2):
        assert said(mind, index, packet)[3] & 15 == 1
        assert swept(mind, index, packet) == [None]


def test_many_shapes_that_come_to_the_same_cost_no_template(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick, "_MOST_SHAPES", 10)
    mind, index = engine(), policy(GROK)
    for number in range(30):
        said(mind, index, ask("grok.example", use_edns=0, payload=2000 + number))
    (known,) = mind._quick._regions.values()
    assert len(known.templates) == 1
    assert len(mind._quick._shapes) <= 10


def test_a_passing_answer_counts_down_to_its_end() -> None:
    mind, other, index = engine(), engine(), policy()
    packet, shouted = (ask(name, use_edns=0, id=7) for name in ("free.example", "FREE.example"))
    for one in (mind, other):
        said(one, index, packet)
    assert swept(mind, index, packet) == [None]
    said(mind, index, packet)
    for seconds in (0, 0.5, 1, 2.25, 59.9):
        now = T0 + seconds
        assert swept(mind, index, packet, shouted, t=now, now=now) == [
            said(other, index, packet, now, now),
            said(other, index, shouted, now, now),
        ]
    assert swept(mind, index, packet, t=T0 + 60, now=T0 + 60) == [None]


def test_what_is_said_before_a_start_ends_with_it() -> None:
    mind, other = engine(), engine()
    index = policy(block("free.example", start=T0 + 30, until=T0 + 60))
    packet = ask("free.example", use_edns=0)
    said(mind, index, packet)
    for moment in (T0 + 0.25 + half / 2 for half in range(180)):
        expected = said(other, index, packet, moment, T0)
        said(mind, index, packet, moment, T0)
        assert swept(mind, index, packet, t=moment, now=T0) == [expected]
        assert swept(mind, index, packet, t=moment + 0.125, now=T0) == [expected]


def test_a_new_policy_and_a_transition_are_obeyed_at_once() -> None:
    mind, packet = engine(), ask("grok.example")
    index = policy(block("grok.example", until=T0 + 100))
    assert said(mind, index, packet) == swept(mind, index, packet)[0]
    assert swept(mind, index, packet, t=T0 + 99)[0] is None  # Its TTL is another by now.
    assert swept(mind, index, packet, t=T0 + 100)[0] is None
    assert swept(mind, policy(GROK), packet) == [None]


def test_each_region_has_its_own() -> None:
    mind, index = engine(), policy(GROK, default_region="GB")
    packet = ask("grok.example")
    said(mind, index, packet)
    assert swept(mind, index, packet)[0] is not None
    for client in (b"\x7f\0\0\2", b"\x7f\0\0\x09", b"\0" * 15 + b"\1"):
        found = swept(mind, index, packet, client=client)[0]
        assert (found is not None) == (client == b"\0" * 15 + b"\1")


STRANGER = b"\xc0\0\2\1"


def test_a_stranger_is_refused_by_one_template_for_each_length_whatever_the_name() -> None:
    mind, index = engine(), policy(GROK, default_region="ID")
    alike = [ask(name) for name in ("grok.example", "free.example", "FREE.exampel", "fr.ee.exampl")]
    assert swept(mind, index, alike[0], client=STRANGER) == [None]
    said(mind, index, alike[0], client="192.0.2.1")
    expected = [said(engine(), index, packet, client="192.0.2.1") for packet in alike]
    assert swept(mind, index, *alike, client=STRANGER) == expected
    assert {octets[3] & 15 for octets in expected} == {5}
    for other in (ask("longer.example"), ask("grok.example", "AAAA"), ask("grok.example", use_edns=0)):
        assert swept(mind, index, other, client=STRANGER) == [None]
    assert swept(mind, index, *alike) == [None] * 4
    assert not mind._quick._strangers.memo


def test_a_stranger_who_asks_for_what_is_no_name_is_left_to_the_engine() -> None:
    mind, index = engine(), policy(GROK)
    packet = ask("grok.example")
    said(mind, index, packet, client="192.0.2.1")
    for name in (
        b"\x04grok\x08example",
        b"\x05grok\x07example"[:13],
        b"\x40" + b"x" * 12,
        b"\x0d" + b"x" * 12,
    ):
        odd = packet[:12] + name + packet[25:]
        assert len(name) == 13
        made = mind.handle(odd, "192.0.2.1", index, T0, T0)
        assert isinstance(made, Answer)
        assert made.octets[3] & 15 == 1
        assert swept(mind, index, odd, client=STRANGER) == [None]


def test_a_stranger_is_told_apart_over_tcp_and_by_an_edns_version_we_do_not_know() -> None:
    mind, index = engine(), policy(GROK)
    mind.handle(ask("grok.example"), "192.0.2.1", index, T0, T0, tcp=True)
    said(mind, index, ask("grok.example", use_edns=1), client="192.0.2.1")
    for packet in (ask("grok.example"), ask("grok.example", use_edns=1)):
        assert swept(mind, index, packet, client=STRANGER) == [None]


def test_answers_are_counted_by_what_became_of_them() -> None:
    mind, index = engine(), policy(GROK)
    long = [f"{'x' * 60}.{'y' * 60}.{'z' * 60}.{one * 40}.grok.example" for one in "ab"]
    packets = [ask("a.grok.example"), ask("free.example"), *(ask(name) for name in long)]
    for packet in packets:
        said(mind, index, packet)
        said(mind, index, packet)
    batch = Block(*((packet, ME) for packet in packets))
    left, counted, _ = mind.sweep(batch, batch.sizes, index, T0, T0)
    assert left == []
    assert counted == [(Outcome.BLOCKED, False, 3), (Outcome.CACHED, False, 1)]


# What is not


def test_names_that_mean_something_by_their_place_are_left_to_the_engine() -> None:
    mind, index = engine(), policy(GROK)
    packet = ask("grok.example", use_edns=0)
    end = 12 + len("grok.example") + 2 + 4
    pointing = packet[:end] + b"\xc0" + bytes((end - 5,)) + packet[end + 1 :]  # to the root of the question
    doubled = packet[:11] + b"\2" + packet[12:] + b"\0\0\1\0\1\0\0\0\0\0\0"
    for odd in (pointing, doubled):
        for client, number, rcode in (("127.0.0.1", ME, 3), ("192.0.2.1", STRANGER, 5)):
            assert said(mind, index, odd, client=client)[3] & 15 == rcode
            assert swept(mind, index, odd, client=number) == [None]


@pytest.mark.parametrize("qname", [".", "a.b.c.d.example"])
def test_names_without_a_known_parent_are_left_to_the_engine(qname: str) -> None:
    mind, index = engine(), policy()
    said(mind, index, ask("grok.example"))
    for _ in range(2):
        assert swept(mind, index, ask(qname)) == [None]


def test_a_zero_octet_within_a_label_ends_no_name() -> None:
    mind, index = engine(), policy(GROK)
    plain, odd = ask("a.b.grok.example"), ask(r"a\000b.grok.example")
    assert len(plain) == len(odd)
    for packet in (plain, odd, ask(r"x.a\000b.grok.example")):
        expected = said(mind, index, packet)
        found = swept(mind, index, packet)[0]
        assert found in (expected, None)


@pytest.mark.parametrize(
    "label",
    [b"\x40" + b"x" * 64, b"\x7f" + b"x" * 127, b"\x03ab", b"\x02a\x40" + b"x" * 64, b"\xc0\x0c"],
    ids=["64 octets", "127 octets", "cut off", "64 octets further down", "a pointer"],
)
def test_octets_that_are_no_name_are_left_to_the_engine(label: bytes) -> None:
    mind, index = engine(), policy(GROK)
    for size in range(1, 220):  # A template for every length there is.
        labels = [b"x" * min(63, size - at) for at in range(0, size, 64)]
        packet = ask("grok.example")
        said(
            mind,
            index,
            packet[:12] + b"".join(bytes((len(one),)) + one for one in labels if one) + packet[12:],
        )
    for parent in (b"\x04grok\x07example\0", b"\x01w\x04grok\x07example\0", b"\0"):
        packet = ask("grok.example")[:12] + label + parent + b"\0\1\0\1"
        assert swept(mind, index, packet) == [None]


def test_what_is_asked_once_in_a_crowd_is_answered_and_seldom_remembered() -> None:
    mind, index = engine(), policy(GROK)
    packets = [ask(f"{letter}.grok.example") for letter in "abcdefghijkl"]
    said(mind, index, packets[0])
    assert swept(mind, index, *packets) == [said(engine(), index, packet) for packet in packets]
    (known,) = mind._quick._regions.values()
    assert 0 < len(known.memo) < len(packets)


def test_a_large_query_is_answered_and_not_remembered() -> None:
    mind, index = engine(), policy(GROK)
    padding = dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"\0" * 600)
    packet = ask("grok.example", use_edns=0, options=[padding])
    said(mind, index, packet)
    assert swept(mind, index, packet) == [None]


def test_a_bug_is_told_and_leaves_the_query_to_the_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    mind, index = engine(), policy(GROK)
    packet, good = ask("grok.example"), ask("www.grok.example")
    for one in (packet, good):
        said(mind, index, one)
    assert None not in swept(mind, index, good)
    monkeypatch.setattr(Quick, "_remember", lambda *_: (_ for _ in ()).throw(TypeError))
    batch = Block((packet, ME), (good, ME))
    left, _, faults = mind.sweep(batch, batch.sizes, index, T0, T0)
    assert left == [0]
    assert [type(fault) for fault in faults] == [TypeError]
    assert batch.octets[batch.packets[0] :][: len(packet)] == packet


# Bounds


def test_all_that_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    for bound in ("_MOST_CLIENTS", "_MOST_ABOVE", "_MOST_SHAPES", "_MOST_TEMPLATES"):
        monkeypatch.setattr(quick, bound, 10)
    mind, index = Engine(node="n", allow=LOOPBACK, memo=10), policy(GROK)
    mine: Any = mind._quick
    for number in range(60):
        name = f"{'x' * (1 + number % 30)}.n{number}.grok.example"
        packet = ask(name, f"TYPE{300 + number}", id=number)
        said(mind, index, packet)
        client = bytes((127, 0, 0, 1))
        (found,) = swept(mind, index, packet, client=client)
        assert found == said(engine(), index, packet)
        swept(mind, index, packet, client=bytes((127, 1, 0, number)))
        for kept in (mine._clients, mine._above, mine._shapes, mine._alike):
            assert len(kept) <= 10
        assert all(len(one.memo) <= 10 and len(one.templates) <= 10 for one in mine._regions.values())


# The law

NAMES = (
    "grok.example", "www.grok.example", "GROK.example", "free.example", "a.free.example", "x.y.free.example",
    "alias.example", "exact.example", "sub.exact.example", "redirect.example", "refused.example", ".",
    "example", "other.test", "soon.example", "b.grok.example", "ok.grok.example", "in.ok.grok.example",
    r"w\000w.grok.example", "a." * 60 + "grok.example", "id.server",
)  # fmt: skip
CLIENTS = {
    "127.0.0.1": ME,
    "127.0.0.2": b"\x7f\0\0\2",
    "127.0.0.3": b"\x7f\0\0\3",
    "192.0.2.1": b"\xc0\0\2\1",
}


def world(chance: random.Random) -> Index:
    return policy(
        block("grok.example", ident="court/o1", excepts=("ok.grok.example",)),
        block("exact.example", ident="court/o2", match=Match.EXACT, until=T0 + chance.randrange(5, 40)),
        block("redirect.example", ident="court/o3", form=Form.REDIRECT, addresses=("192.0.2.1",)),
        block("refused.example", ident="court/o4", form=Form.REFUSED, regions=("GB",)),
        block("soon.example", "free.example", ident="court/o5", start=T0 + chance.randrange(60)),
        ttl=chance.choice((5, 30)),
        default_region=chance.choice((None, "ID")),
    )


def query(chance: random.Random) -> bytes:
    options = [dns.edns.GenericOption(dns.edns.OptionType.COOKIE, chance.randbytes(8))]
    options += [dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")]
    edns: dict[str, Any] = {
        "use_edns": 0,
        "payload": chance.choice((0, 512, 1232, 4096)),
        "want_dnssec": chance.random() < 0.3,
        "options": chance.sample(options, chance.choice((0, 0, 1, 2))),
    }
    packet = ask(
        chance.choice(NAMES),
        chance.choice(("A", "A", "AAAA", "DS", "ANY", "HTTPS", "AXFR")),
        id=chance.randrange(65536),
        **(edns if chance.random() < 0.6 else {}),
    )
    if chance.random() < 0.2:
        packet = (
            packet[:2]
            + bytes((packet[2] ^ chance.choice((0, 1)), chance.choice((0, 0x10, 0x20))))
            + packet[4:]
        )
    return fuzz_packets.mutated(packet, chance, [packet]) if chance.random() < 0.15 else packet


def upstreams_answer(packet: bytes) -> bytes | None:
    try:
        name = dns.message.from_wire(packet).question[0].name.to_text()
    except Exception:  # noqa: BLE001 - mutated; the engine has seen a question in it all the same
        return None
    if name.lower() == "alias.example.":
        return upstream(packet, f"{name} 30 IN CNAME soon.example.", "soon.example 20 IN A 192.0.2.66")
    if name.lower().startswith("a."):
        return upstream(
            packet, authority=("example 900 IN SOA ns.example. host.example. 1 2 3 4 60",), rcode=3
        )
    return upstream(
        packet,
        f"{name} 25 IN A 192.0.2.9",
        f"{name} 40 IN RRSIG A 8 2 300 20300101000000 20200101000000 1 example. AAAA",
    )


@settings(max_examples=40)
@given(seed=st.integers(0, 2**32))
def test_what_is_answered_without_the_engine_is_what_the_engine_answers(seed: int) -> None:
    chance = random.Random(seed)
    mind, reference = engine(), engine()
    index = world(chance)
    t, now = float(T0), 1000.0
    kinds = [query(chance) for _ in range(30)]
    for _ in range(60):
        step = chance.choice((0, 0, 0.25, 1, 3.5))
        t, now = t + step + chance.choice((0, 0, 0, -2)), now + step
        if chance.random() < 0.03:
            index = world(chance)
        client = chance.choice((*CLIENTS, "127.0.0.1", "127.0.0.1"))
        packets = [chance.randbytes(2) + chance.choice(kinds)[2:] for _ in range(chance.randint(1, 6))]
        found = swept(mind, index, *packets, t=t, now=now, client=CLIENTS[client])
        for packet, octets in zip(packets, found, strict=True):
            expected = reference.handle(packet, client, index, t, now)
            made = (
                mind.handle(packet, client, index, t, now) if octets is None else Answer(octets, Outcome.OWN)
            )
            if isinstance(expected, Forward):
                assert isinstance(made, Forward)
                message = upstreams_answer(packet)
                expected = reference.finish(expected, message, index, t, now)
                made = mind.finish(made, message, index, t, now)
            if isinstance(expected, Drop):
                assert isinstance(made, Drop)
            else:
                assert isinstance(made, Answer)
                assert made.octets == expected.octets
