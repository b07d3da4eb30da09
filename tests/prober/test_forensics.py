from __future__ import annotations

from typing import Any

import dns.edns
import dns.message
import pytest

from blocker.prober.forensics import Analysis, Checksum, Packet, Sign, Verdict, analyse, ours
from blocker.prober.observe import PLAIN, Observation, Outcome, Transport, Variant, query
from blocker.site import Endpoint
from tests.prober.world import A, T, answer, key, real

POINT, CLIENT, OTHER = Endpoint("192.0.2.53", 53), Endpoint("192.0.2.1", 40000), Endpoint("192.0.2.1", 40001)
NAME, CANARY = key("www.shop.example"), key("canary.example")
RST, SYN, ACK = 0x04, 0x02, 0x10


def observed(name: Any = NAME, ident: int = 7, variant: Variant = PLAIN) -> Observation:
    octets = query(name, A, ident, variant)
    return Observation(
        point="p1", variant=variant, name=name, qtype=A, sent=T, outcome=Outcome.SILENT, query=octets
    )


def sent(one: Observation, client: Endpoint = CLIENT) -> Packet:
    return Packet(at=T, source=client, target=POINT, transport=Transport.UDP, ip_ttl=64, payload=one.query)


def said(
    one: Observation, *, nsid: str = "", edns: int | None = 1232, address: str = "", ede: tuple[int, ...] = ()
) -> bytes:
    """What the point says: the real records, or another address, or a block."""
    asked = dns.message.from_wire(one.query)
    made = answer(asked, addresses=(address,)) if address else real(asked)
    if ede:
        made = answer(asked, rcode=3, ede=ede)
    if edns is None:
        made.use_edns(-1)
    elif edns != 1232 or nsid:
        options: list[dns.edns.Option] = [dns.edns.NSIDOption(nsid.encode())] if nsid else []
        made.use_edns(0, payload=edns, options=options)
    return made.to_wire()


def came(octets: bytes, *, after: float = 0.01, client: Endpoint = CLIENT, **more: Any) -> Packet:
    fields = {"transport": Transport.UDP, "ip_ttl": 60, **more}
    return Packet(at=T + after, source=POINT, target=client, payload=octets, **fields)


SAMPLE, CONTROL = observed(), observed(CANARY, 8)
FORGED = said(SAMPLE, address="203.0.113.66")


def found(*packets: Packet, control: Packet | None = None) -> Analysis:
    """The analysis of these answers, with a control that was answered with this packet."""
    around = [sent(CONTROL, OTHER), control or came(said(CONTROL), client=OTHER)]
    return analyse([sent(SAMPLE), *packets, *around], SAMPLE, [CONTROL], POINT)


def ids(one: Analysis) -> set[str]:
    return {sign.id for sign in one.signs}


def test_one_answer_like_those_of_controls_has_no_sign() -> None:
    one = found(came(said(SAMPLE)))
    assert (one.verdict, one.signs) == (Verdict.SINGLE, ())
    assert one.query == sent(SAMPLE)


def test_no_answer_is_silence_and_no_query_says_nothing() -> None:
    assert found().verdict is Verdict.SILENT
    assert analyse([came(said(SAMPLE))], SAMPLE, [], POINT).verdict is Verdict.UNSEEN
    assert analyse([sent(SAMPLE)], observed(ident=9), [CONTROL], POINT).verdict is Verdict.UNSEEN


@pytest.mark.parametrize(
    ("control", "forged", "sign", "words"),
    [
        ({}, {"ip_ttl": 44}, "ip-ttl", "an IP TTL of 44; answers to controls came with 60"),
        ({}, {"checksum": Checksum.WRONG}, "checksum", "its UDP checksum is wrong"),
    ],
)
def test_a_contradiction_whose_packet_is_marked_is_injected(
    control: dict[str, Any], forged: dict[str, Any], sign: str, words: str
) -> None:
    one = found(came(FORGED, **forged), came(said(SAMPLE), after=0.02))
    assert one.verdict is Verdict.INJECTED
    (told,) = [each for each in one.signs if each.id == sign]
    assert told.answer == 0
    assert words in told.sentence


@pytest.mark.parametrize(
    ("own", "forged", "sign"),
    [
        ({"nsid": "r1"}, {"edns": 1232}, "no-nsid"),
        ({}, {"edns": None}, "no-edns"),
        ({}, {"edns": 4096}, "edns-size"),
    ],
)
def test_a_contradiction_whose_message_is_marked_is_injected(
    own: dict[str, Any], forged: dict[str, Any], sign: str
) -> None:
    one = found(
        came(said(SAMPLE, address="203.0.113.66", **forged)),
        came(said(SAMPLE, **own), after=0.02),
        control=came(said(CONTROL, **own), client=OTHER),
    )
    assert one.verdict is Verdict.INJECTED
    assert ids(one) == {sign, "first"}


def test_a_contradiction_of_which_one_says_who_ordered_it_is_injected() -> None:
    one = found(came(FORGED), came(said(SAMPLE, ede=(16,)), after=0.02))
    assert one.verdict is Verdict.INJECTED
    assert [(sign.id, sign.answer) for sign in one.signs] == [("attribution", 0), ("first", 0)]


def test_a_contradiction_without_a_sign_is_nobodys() -> None:
    one = found(came(FORGED), came(said(SAMPLE), after=0.02))
    assert (one.verdict, ids(one)) == (Verdict.CONTRADICTION, {"first"})
    assert "10.0 ms before" in one.signs[0].sentence


def test_a_sign_that_all_answers_bear_tells_none_of_them_apart() -> None:
    one = found(came(FORGED, ip_ttl=44), came(said(SAMPLE), after=0.02, ip_ttl=44))
    assert (one.verdict, ids(one)) == (Verdict.CONTRADICTION, {"ip-ttl", "first"})


@pytest.mark.parametrize(("ttl", "verdict"), [(44, Verdict.INJECTED), (60, Verdict.CONTRADICTION)])
def test_without_controls_the_answers_are_held_against_each_other(ttl: int, verdict: Verdict) -> None:
    packets = [sent(SAMPLE), came(FORGED, ip_ttl=ttl), came(said(SAMPLE), after=0.02)]
    one = analyse(packets, SAMPLE, [], POINT)
    assert one.verdict is verdict
    assert ("ip-ttls-differ" in ids(one)) == (verdict is Verdict.INJECTED)


def test_the_same_octets_twice_are_one_answer_whatever_way_they_took() -> None:
    one = found(came(said(SAMPLE)), came(said(SAMPLE), after=0.02, ip_ttl=59))
    assert (one.verdict, len(one.answers)) == (Verdict.DUPLICATES, 2)


def test_two_messages_that_say_the_same_are_duplicates_unless_one_took_another_way() -> None:
    other = said(SAMPLE, edns=1400)
    assert found(came(said(SAMPLE)), came(other, after=0.02)).verdict is Verdict.DUPLICATES
    assert found(came(said(SAMPLE)), came(other, after=0.02, ip_ttl=44)).verdict is Verdict.INJECTED


def test_a_single_answer_that_came_another_way_is_a_suspect() -> None:
    assert found(came(FORGED, ip_ttl=44)).verdict is Verdict.SUSPECT
    assert found(came(FORGED, checksum=Checksum.WRONG)).verdict is Verdict.SUSPECT


def test_a_single_answer_that_only_looks_otherwise_is_none() -> None:
    """A filter before the point makes its blocks in its own way."""
    assert found(came(said(SAMPLE, edns=None))).verdict is Verdict.SINGLE


def test_another_instance_of_an_anycast_point_may_be_further_away() -> None:
    control = came(said(CONTROL, nsid="r1"), client=OTHER)
    one = found(came(said(SAMPLE, nsid="r2"), ip_ttl=44), control=control)
    assert (one.verdict, one.signs) == (Verdict.SINGLE, ())
    assert found(came(said(SAMPLE, nsid="r1"), ip_ttl=44), control=control).verdict is Verdict.SUSPECT


@pytest.mark.parametrize(("own", "forged", "words"), [(0, 5, "are zero"), (5, 0, "are not zero")])
def test_an_ip_id_used_otherwise_is_told_and_proves_nothing_alone(own: int, forged: int, words: str) -> None:
    one = found(came(said(SAMPLE), ip_id=forged), control=came(said(CONTROL), client=OTHER, ip_id=own))
    assert (one.verdict, ids(one)) == (Verdict.SINGLE, {"ip-id"})
    assert words in one.signs[0].sentence
    assert found(came(said(SAMPLE), ip_id=9), control=came(said(CONTROL), client=OTHER, ip_id=4)).signs == ()


@pytest.mark.parametrize("octets", [b"noise", said(CONTROL)])
def test_what_does_not_answer_the_query_is_told_and_no_answer(octets: bytes) -> None:
    one = found(came(octets, ip_ttl=44))
    assert (one.verdict, ids(one)) == (Verdict.SILENT, {"stray", "ip-ttl"})
    assert found(came(octets, ip_ttl=44), came(said(SAMPLE), after=0.02)).verdict is Verdict.SINGLE


def test_controls_that_were_not_seen_or_not_answered_say_nothing() -> None:
    packets = [sent(SAMPLE), came(said(SAMPLE), ip_ttl=44), sent(CONTROL, OTHER)]
    assert analyse(packets, SAMPLE, [CONTROL, observed(CANARY, 9)], POINT).verdict is Verdict.SINGLE


def test_controls_with_and_without_edns_make_no_rule_of_it() -> None:
    third = Endpoint("192.0.2.1", 40002)
    control = observed(CANARY, 9)
    packets = [
        *(sent(SAMPLE), came(said(SAMPLE, edns=None))),
        *(sent(CONTROL, OTHER), came(said(CONTROL), client=OTHER)),
        *(sent(control, third), came(said(control, edns=None), client=third)),
    ]
    assert analyse(packets, SAMPLE, [CONTROL, control], POINT).signs == ()


OVER_TCP = Variant(transport=Transport.TCP)
STREAMED = observed(variant=OVER_TCP)


def framed(octets: bytes) -> bytes:
    return len(octets).to_bytes(2, "big") + octets


def segment(octets: bytes, sequence: int = 1, **more: Any) -> Packet:
    fields = {"flags": ACK, "sequence": sequence % (1 << 32), "transport": Transport.TCP, **more}
    return came(octets, **fields)


def over_tcp(*packets: Packet) -> Analysis:
    asked = Packet(
        at=T,
        source=CLIENT,
        target=POINT,
        transport=Transport.TCP,
        ip_ttl=64,
        payload=framed(STREAMED.query),
        flags=ACK,
    )
    return analyse([asked, *packets], STREAMED, [], POINT)


@pytest.mark.parametrize("start", [1, (1 << 32) - 20])
def test_a_message_over_tcp_is_put_together_whatever_the_order_of_its_packets(start: int) -> None:
    octets = framed(said(STREAMED))
    parts = [segment(octets[at : at + 16], start + at) for at in range(0, len(octets), 16)]
    one = over_tcp(*reversed(parts), segment(b""))
    assert one.verdict is Verdict.SINGLE
    assert one.answers[0].octets == said(STREAMED)
    assert one.answers[0].packet == parts[0]


def test_what_tcp_sends_again_is_no_second_answer() -> None:
    octets = framed(said(STREAMED))
    one = over_tcp(segment(octets[:10]), segment(octets[:10]), segment(octets), segment(octets[5:10], 6))
    assert (one.verdict, one.signs, len(one.answers)) == (Verdict.SINGLE, (), 1)


def test_two_messages_in_one_stream_are_two_answers() -> None:
    octets = framed(said(STREAMED)) + framed(said(STREAMED, address="203.0.113.66"))
    one = over_tcp(segment(octets[:30]), segment(octets[30:], 31))
    assert (one.verdict, len(one.answers)) == (Verdict.CONTRADICTION, 2)


def test_a_message_that_is_not_whole_is_none() -> None:
    octets = framed(said(STREAMED))
    assert over_tcp(segment(octets[:-1])).verdict is Verdict.SILENT
    assert over_tcp(segment(octets[:10]), segment(octets[20:], 21)).verdict is Verdict.SILENT


def test_octets_that_would_take_the_place_of_others_in_a_stream_are_injected() -> None:
    forged = segment(framed(said(STREAMED, address="203.0.113.66")))
    one = over_tcp(forged, segment(framed(said(STREAMED)), after=0.02))
    assert one.verdict is Verdict.INJECTED
    assert "tcp-overlap" in ids(one)


@pytest.mark.parametrize(("ttl", "verdict"), [(44, Verdict.INJECTED), (60, Verdict.SINGLE)])
def test_a_reset_from_elsewhere_is_injected(ttl: int, verdict: Verdict) -> None:
    one = over_tcp(segment(framed(said(STREAMED))), segment(b"", 99, ip_ttl=ttl, flags=RST))
    assert one.verdict is verdict
    assert ("tcp-reset" in ids(one)) == (verdict is Verdict.INJECTED)


def test_a_connection_that_is_refused_has_nothing_to_compare() -> None:
    assert over_tcp(segment(b"", flags=RST | ACK)).verdict is Verdict.SILENT


def test_our_queries_are_known_by_their_octets_and_those_of_others_are_not_ours() -> None:
    packets = [sent(SAMPLE), sent(observed(CANARY, 99), OTHER), came(said(SAMPLE))]
    assert ours(packets, [SAMPLE, CONTROL], POINT) == {CLIENT}


def test_encrypted_queries_are_the_connections_that_were_opened() -> None:
    opening = Packet(at=T, source=CLIENT, target=POINT, transport=Transport.TCP, ip_ttl=64, flags=SYN)
    one = observed(variant=Variant(transport=Transport.DOT))
    assert ours([opening, sent(CONTROL, OTHER)], [one], POINT) == {CLIENT}
    assert analyse([opening], one, [], POINT).verdict is Verdict.UNSEEN


def test_a_sign_has_a_meaning() -> None:
    with pytest.raises(ValueError, match="'odd' is no sign"):
        Sign(id="odd", sentence="it is odd")
