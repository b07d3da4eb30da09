"""The engine: what is answered, refused, forwarded, and for how long."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker.orders.model import Form, Match, Publication
from blocker.resolver import chain, wire
from blocker.resolver.engine import Answer, Drop, Forward, Outcome
from tests.resolver.world import (
    INFO,
    T0,
    ask,
    asked,
    block,
    engine,
    handled,
    policy,
    read,
    resolved,
    upstream,
)

GROK = block("grok.example", ident="court/grok")


def edes(message: dns.message.Message) -> list[tuple[int, str | None]]:
    return [
        (int(option.code), option.text)
        for option in message.options
        if isinstance(option, dns.edns.EDEOption)
    ]


def ttls(message: dns.message.Message) -> list[int]:
    return [rrset.ttl for section in (message.answer, message.authority) for rrset in section]


# What a blocked answer carries


@pytest.mark.parametrize(
    ("form", "rcode", "has_soa"),
    [
        (Form.NXDOMAIN, dns.rcode.NXDOMAIN, True),
        (Form.NODATA, dns.rcode.NOERROR, True),
        (Form.REFUSED, dns.rcode.REFUSED, False),
    ],
)
@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS", "MX", "TXT", "ANY", "DS", "CNAME", "TYPE65280"])
def test_every_type_of_a_blocked_name_is_blocked_in_the_form_ordered(
    form: Form, rcode: int, has_soa: bool, qtype: str
) -> None:
    said = handled(
        engine(), ask("www.GROK.example", qtype, use_edns=0), policy(block("grok.example", form=form))
    )
    assert said.rcode() == rcode
    assert not said.answer
    assert [rrset.rdtype for rrset in said.authority] == ([wire.SOA] if has_soa else [])
    assert edes(said) == [(16, f"court/o1/d {INFO}")]
    assert said.question[0].name.to_text() == "www.GROK.example."
    assert said.flags & (dns.flags.AA | dns.flags.AD) == 0
    assert said.flags & dns.flags.RA


def test_the_denials_ttl_is_the_sites_in_both_places() -> None:
    said = handled(engine(), ask("grok.example"), policy(GROK, ttl=17))
    assert said.authority[0].ttl == 17
    assert said.authority[0][0].minimum == 17
    assert said.authority[0].name == said.question[0].name


def test_redirect_gives_its_addresses_by_type_and_says_that_they_are_forged() -> None:
    index = policy(block("grok.example", form=Form.REDIRECT, addresses=("192.0.2.1", "2001:db8::1")))
    said = handled(engine(), ask("grok.example", "A", use_edns=0), index)
    assert [str(rdata) for rdata in said.answer[0]] == ["192.0.2.1"]
    assert [code for code, _ in edes(said)] == [16, 4]
    said = handled(engine(), ask("grok.example", "AAAA", use_edns=0), index)
    assert [str(rdata) for rdata in said.answer[0]] == ["2001:db8::1"]


@pytest.mark.parametrize("qtype", ["HTTPS", "SVCB", "MX", "ANY", "AAAA"])
def test_redirect_answers_types_it_has_no_address_for_with_nodata(qtype: str) -> None:
    index = policy(block("grok.example", form=Form.REDIRECT, addresses=("192.0.2.1",)))
    said = handled(engine(), ask("grok.example", qtype, use_edns=0), index)
    assert said.rcode() == dns.rcode.NOERROR
    assert not said.answer
    assert len(said.authority) == 1
    assert [code for code, _ in edes(said)] == [16]


def test_without_edns_in_the_query_there_is_none_in_the_answer() -> None:
    said = handled(engine(), ask("grok.example", use_edns=False), policy(GROK))
    assert said.edns == -1


def test_a_sealed_orders_ref_is_not_told() -> None:
    index = policy(block("grok.example", publication=Publication.SEALED))
    assert edes(handled(engine(), ask("grok.example", use_edns=0), index)) == [(16, INFO)]


def test_the_text_names_three_public_refs_at_most_the_winner_first() -> None:
    orders = [block("grok.example", ident=f"court/o{n}") for n in range(4)]
    orders.append(block("www.grok.example", ident="court/winner"))
    (found,) = edes(handled(engine(), ask("www.grok.example", use_edns=0), policy(*orders)))
    assert found == (16, f"court/winner/d court/o0/d court/o1/d {INFO}")


def test_text_that_does_not_fit_is_dropped_before_anything_else() -> None:
    orders = [block("grok.example", ident=f"court/{'long' * 50}{n}") for n in range(3)]
    said = handled(engine(), ask("grok.example", use_edns=0, payload=512), policy(*orders))
    assert edes(said) == [(16, None)]
    assert len(said.authority) == 1
    assert not said.flags & dns.flags.TC


def test_where_a_name_below_is_free_nxdomain_becomes_nodata_and_ds_passes() -> None:
    index = policy(block("grok.example", excepts=("status.grok.example",)))
    assert handled(engine(), ask("grok.example"), index).rcode() == dns.rcode.NOERROR
    asked(engine(), ask("grok.example", "DS"), index)
    asked(engine(), ask("grok.example", "DNSKEY"), index)
    asked(engine(), ask("status.grok.example"), index)


def test_a_name_that_only_looks_alike_passes() -> None:
    for qname in ("notgrok.example", "example", ".", "grok.example.org"):
        asked(engine(), ask(qname), policy(GROK))


def test_a_client_is_blocked_by_the_orders_of_its_own_region() -> None:
    mind, index = engine(), policy(GROK)
    assert handled(mind, ask("grok.example"), index).rcode() == dns.rcode.NXDOMAIN
    asked(mind, ask("grok.example"), index, client="127.0.0.2")
    asked(mind, ask("grok.example"), index, client="127.0.0.3")
    assert handled(mind, ask("grok.example"), index, client="::ffff:127.0.0.1").rcode() == dns.rcode.NXDOMAIN


def test_the_same_packet_again_is_answered_the_same_with_its_own_id() -> None:
    mind, index, packet = engine(), policy(GROK), ask("grok.example", use_edns=0)
    first = mind.handle(packet, "127.0.0.1", index, T0, 0)
    other = mind.handle(b"\x12\x34" + packet[2:], "127.0.0.1", index, T0, 0)
    assert isinstance(first, Answer)
    assert isinstance(other, Answer)
    assert other.octets == b"\x12\x34" + first.octets[2:]
    assert other.outcome is Outcome.BLOCKED


def test_a_remembered_answer_is_forgotten_at_the_lift_and_by_a_new_policy() -> None:
    mind, packet = engine(), ask("grok.example")
    index = policy(block("grok.example", until=T0 + 100))
    for t in (T0, T0 + 50, T0 + 99.99):
        assert handled(mind, packet, index, t).rcode() == dns.rcode.NXDOMAIN
    asked(mind, packet, index, T0 + 100)
    assert handled(mind, packet, index, T0).rcode() == dns.rcode.NXDOMAIN
    asked(mind, packet, policy(), T0)


# What is not asked of the policy


@pytest.mark.parametrize(
    "packet",
    [b"", b"\0" * 11, ask("grok.example")[:2] + b"\x80" + ask("grok.example")[3:], b"\xff" * 600],
)
def test_responses_and_stumps_are_dropped(packet: bytes) -> None:
    assert isinstance(engine().handle(packet, "127.0.0.1", policy(GROK), T0, 0), Drop)


def changed(packet: bytes, at: int, octets: bytes) -> bytes:
    return packet[:at] + octets + packet[at + len(octets) :]


PLAIN = ask("grok.example", use_edns=False)
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
MALFORMED = {
    "no question": (changed(PLAIN, 4, b"\0\0"), dns.rcode.FORMERR),
    "two questions": (changed(PLAIN, 4, b"\0\x02"), dns.rcode.FORMERR),
    "cut-off name": (PLAIN[:16], dns.rcode.FORMERR),
    "cut-off question": (PLAIN[:-1], dns.rcode.FORMERR),
    "compressed question": (PLAIN[:12] + b"\xc0\x0c\0\x01\0\x01", dns.rcode.FORMERR),
    "octets after the end": (PLAIN + b"x", dns.rcode.FORMERR),
    "promised record": (changed(PLAIN, 10, b"\0\x01"), dns.rcode.FORMERR),
    "two OPT": (changed(PLAIN, 10, b"\0\x02") + OPT + OPT, dns.rcode.FORMERR),
    "cut-off option": (changed(PLAIN, 10, b"\0\x01") + OPT[:-2] + b"\0\x03\0\x0a\0", dns.rcode.FORMERR),
    "OPT not of the root": (changed(PLAIN, 10, b"\0\x01") + b"\x01x" + OPT, dns.rcode.FORMERR),
    "OPT as type": (ask("grok.example", "OPT", use_edns=False), dns.rcode.FORMERR),
    "EDNS version 1": (changed(PLAIN, 10, b"\0\x01") + changed(OPT, 6, b"\x01"), dns.rcode.BADVERS),
    "NOTIFY": (changed(PLAIN, 2, b"\x20"), dns.rcode.NOTIMP),
    "UPDATE": (changed(PLAIN, 2, b"\x28"), dns.rcode.NOTIMP),
    "opcode 15": (changed(PLAIN, 2, b"\x78"), dns.rcode.NOTIMP),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_malformed_queries_are_told_what_is_wrong(case: str) -> None:
    packet, rcode = MALFORMED[case]
    made = engine().handle(packet, "127.0.0.1", policy(GROK), T0, 0)
    assert isinstance(made, Answer)
    assert made.outcome is Outcome.MALFORMED
    assert made.octets[:2] == packet[:2]
    extended = made.octets[-6] << 4 if rcode > 15 else 0
    assert made.octets[3] & 0xF | extended == rcode
    assert made.octets[2] & 0xF8 == 0x80 | packet[2] & 0x78


def test_a_zero_length_last_option_is_read() -> None:
    packet = changed(PLAIN, 10, b"\0\x01") + OPT[:-2] + b"\0\x04\0\x03\0\0"
    said = handled(engine(), packet, policy(GROK))
    assert b"r1.isp.example" in [option.to_wire() for option in said.options]


@pytest.mark.parametrize("qname", ["grok.example", "free.example"])
@pytest.mark.parametrize("client", ["192.0.2.1", "2001:db8::1"])
def test_strangers_are_refused_whatever_they_ask(qname: str, client: str) -> None:
    said = handled(engine(), ask(qname, use_edns=0), policy(GROK, default_region="ID"), client=client)
    assert said.rcode() == dns.rcode.REFUSED
    assert [code for code, _ in edes(said)] == [18]


@pytest.mark.parametrize("qtype", ["AXFR", "IXFR"])
@pytest.mark.parametrize("qname", ["grok.example", "free.example"])
def test_zone_transfers_are_refused(qname: str, qtype: str) -> None:
    assert handled(engine(), ask(qname, qtype), policy()).rcode() == dns.rcode.REFUSED


def test_chaos_tells_our_name_and_nothing_else() -> None:
    said = handled(engine(), ask("ID.server", "TXT", rdclass="CH"), policy())
    assert said.answer[0].to_text().endswith('0 CH TXT "r1.isp.example"')
    for qname in ("version.bind", "version.server", "hostname.bind"):
        assert handled(engine(), ask(qname, "TXT", rdclass="CH"), policy()).rcode() == dns.rcode.REFUSED
    assert handled(engine(), ask("id.server", "A", rdclass="CH"), policy()).rcode() == dns.rcode.REFUSED


@pytest.mark.parametrize("rdclass", ["HS", "ANY", "NONE"])
def test_other_classes_are_refused(rdclass: str) -> None:
    assert handled(engine(), ask("free.example", rdclass=rdclass), policy()).rcode() == dns.rcode.REFUSED


def test_nsid_is_told_when_asked_for_and_only_then() -> None:
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    for qname in ("grok.example", "free.example"):
        packet = ask(qname, "ANY", use_edns=0, options=[nsid])
        options = handled(engine(), packet, policy(GROK)).options
        assert b"r1.isp.example" in [option.to_wire() for option in options]
    said = handled(engine(), ask("grok.example", use_edns=0), policy(GROK))
    assert [int(option.otype) for option in said.options] == [15]


def test_any_of_a_free_name_is_answered_minimally() -> None:
    said = handled(engine(), ask("free.example", "ANY"), policy(GROK))
    assert said.answer[0].to_text() == 'free.example. 3600 IN HINFO "RFC8482" ""'


def test_our_cache_is_not_read_without_recursion_desired() -> None:
    mind, index, packet = engine(), policy(GROK), ask("free.example")
    resolved(mind, packet, index, upstream(packet, "free.example 300 IN A 192.0.2.9"))
    assert handled(mind, ask("free.example", flags=0), index).rcode() == dns.rcode.REFUSED
    assert handled(mind, ask("grok.example", flags=0), index).rcode() == dns.rcode.NXDOMAIN


# What upstream said


def test_a_passing_answer_comes_back_in_the_clients_own_letters() -> None:
    packet = ask("FrEe.example", use_edns=0)
    forward = asked(engine(), packet, policy())
    assert forward.question == b"\x04free\x07example\0\0\x01\0\x01"
    said = resolved(engine(), packet, policy(), upstream(packet, "free.example 300 IN A 192.0.2.9"))
    assert said.question[0].name.to_text() == "FrEe.example."
    assert said.answer[0].to_text() == "FrEe.example. 300 IN A 192.0.2.9"
    assert said.id == dns.message.from_wire(packet).id


def test_a_kept_answer_counts_down_and_is_never_stale() -> None:
    mind, index, packet = engine(), policy(), ask("free.example")
    resolved(mind, packet, index, upstream(packet, "free.example 300 IN A 192.0.2.9"))
    assert ttls(handled(mind, packet, index, T0 + 100.5)) == [200]
    assert ttls(handled(mind, packet, index, T0 + 299.9)) == [1]
    asked(mind, packet, index, T0 + 300)


def test_upstreams_ad_is_passed_to_who_asked_for_it() -> None:
    cases: list[tuple[dict[str, Any], bool]] = [
        ({}, False),
        ({"want_dnssec": True}, True),
        ({"flags": dns.flags.RD | dns.flags.AD}, True),
    ]
    for options, expected in cases:
        packet = ask("free.example", **options)
        said = resolved(
            engine(), packet, policy(), upstream(packet, "free.example 300 IN A 192.0.2.9", ad=True)
        )
        assert bool(said.flags & dns.flags.AD) is expected


def test_additional_records_are_not_passed_on() -> None:
    packet = ask("free.example", "MX")
    response = dns.message.from_wire(upstream(packet, "free.example 300 IN MX 1 grok.example."))
    response.additional.append(dns.rrset.from_text("grok.example.", 300, "IN", "A", "192.0.2.66"))
    said = resolved(engine(), packet, policy(GROK), response.to_wire())
    assert said.answer
    assert not said.additional


def test_what_does_not_fit_is_truncated_over_udp_and_whole_over_tcp() -> None:
    mind, index = engine(), policy()
    packet = ask("free.example", "TXT", use_edns=0, payload=4096)
    data = " ".join(f'"{"x" * 250}"' for _ in range(8))
    made = mind.finish(
        asked(mind, packet, index), upstream(packet, f"free.example 300 IN TXT {data}"), index, T0, T0
    )
    assert made.is_truncated
    said = read(made.octets)
    assert said.flags & dns.flags.TC
    assert not said.answer
    assert len(handled(mind, packet, index, tcp=True).answer) == 1


@pytest.mark.parametrize("payload", [0, 100, 512, 1232, 4096, 65535])
def test_no_datagram_is_larger_than_the_client_and_1232_octets_allow(payload: int) -> None:
    packet = ask("free.example", "TXT", use_edns=0, payload=payload)
    for size in (400, 480, 500, 1100, 1190, 1200, 1300):
        data = " ".join(f'"{"x" * 99}"' for _ in range(size // 100))
        mind = engine()
        made = mind.finish(
            asked(mind, packet, policy()),
            upstream(packet, f"free.example 300 IN TXT {data}"),
            policy(),
            T0,
            T0,
        )
        assert len(made.octets) <= max(512, min(payload, 1232))


@pytest.mark.parametrize(
    "said",
    [
        None,
        b"",
        b"garbage that is long enough to have a header",
        upstream(ask("other.example"), "other.example 300 IN A 192.0.2.9"),
        ask("free.example"),
        upstream(ask("free.example"), rcode=2),
        upstream(ask("free.example"), rcode=5),
    ],
)
def test_without_a_usable_answer_the_client_gets_servfail_with_a_reason(said: bytes | None) -> None:
    mind, packet, index = engine(), ask("free.example", use_edns=0), policy()
    message = read(mind.finish(asked(mind, packet, index), said, index, T0, T0).octets)
    assert message.rcode() == dns.rcode.SERVFAIL
    assert len(edes(message)) == 1
    asked(mind, packet, index)


NEGATIVE = "example 900 IN SOA ns.example. host.example. 1 2 3 4 60"


@pytest.mark.parametrize("records", [(), ("big.example 300 IN A 192.0.2.9",)])
def test_what_upstream_cut_off_is_told_to_be_cut_off_and_never_kept(records: tuple[str, ...]) -> None:
    mind, index = engine(), policy(GROK)
    packet = ask("big.example")
    said = resolved(mind, packet, index, upstream(packet, *records, tc=True))
    assert said.flags & dns.flags.TC
    assert (said.rcode(), len(said.answer)) == (0, len(records))
    assert len(mind.cache) == 0


def test_a_negative_answer_is_kept_as_long_as_its_soa_says() -> None:
    for rcode in (0, 3):
        mind, packet, index = engine(), ask("free.example"), policy()
        said = resolved(mind, packet, index, upstream(packet, authority=(NEGATIVE,), rcode=rcode))
        assert ttls(said) == [60]
        assert handled(mind, packet, index, T0 + 59).rcode() == rcode
        asked(mind, packet, index, T0 + 60)


def test_a_negative_answer_without_an_soa_is_not_kept() -> None:
    mind, packet, index = engine(), ask("free.example"), policy()
    resolved(mind, packet, index, upstream(packet, rcode=3))
    asked(mind, packet, index)


# Alias chains

CHAIN = (
    "a.example 300 IN CNAME b.example.",
    "b.example 300 IN CNAME grok.example.",
    "grok.example 300 IN A 192.0.2.66",
)


def test_a_chain_is_kept_up_to_the_first_blocked_owner() -> None:
    packet = ask("A.example", use_edns=0)
    said = resolved(engine(), packet, policy(GROK), upstream(packet, *CHAIN))
    assert said.rcode() == dns.rcode.NXDOMAIN
    assert [rrset.to_text() for rrset in said.answer] == [
        "A.example. 300 IN CNAME b.example.",
        "b.example. 300 IN CNAME grok.example.",
    ]
    assert said.authority[0].name.to_text() == "grok.example."
    assert edes(said) == [(16, f"court/grok/d {INFO}")]


def test_records_in_any_order_make_the_same_chain() -> None:
    packet = ask("a.example")
    said = resolved(engine(), packet, policy(GROK), upstream(packet, *reversed(CHAIN)))
    assert said.rcode() == dns.rcode.NXDOMAIN
    assert len(said.answer) == 2


def test_a_chain_to_a_redirect_ends_in_its_addresses() -> None:
    index = policy(block("grok.example", form=Form.REDIRECT, addresses=("192.0.2.1",)))
    packet = ask("a.example")
    said = resolved(engine(), packet, index, upstream(packet, *CHAIN))
    assert said.answer[-1].to_text() == "grok.example. 30 IN A 192.0.2.1"


def test_a_dname_leads_to_the_blocked_name_with_and_without_its_cname() -> None:
    packet = ask("www.old.example")
    dname, cname = "old.example 300 IN DNAME grok.example.", "www.old.example 300 IN CNAME www.grok.example."
    last = "www.grok.example 300 IN A 192.0.2.66"
    for records in ((dname, cname, last), (dname, last), (dname,), (dname, cname)):
        said = resolved(engine(), packet, policy(GROK), upstream(packet, *records))
        assert said.rcode() == dns.rcode.NXDOMAIN
        assert said.authority[0].name.to_text() == "www.grok.example."
        assert said.answer[0].to_text() == "old.example. 300 IN DNAME grok.example."


def test_an_exact_directive_for_a_dnames_owner_leaves_the_names_below_free() -> None:
    packet = ask("www.old.example")
    index = policy(block("old.example", match=Match.EXACT))
    said = resolved(
        engine(),
        packet,
        index,
        upstream(packet, "old.example 300 IN DNAME new.example.", "www.new.example 300 IN A 192.0.2.9"),
    )
    assert said.rcode() == dns.rcode.NOERROR


def test_a_chain_without_its_end_is_blocked_at_its_target() -> None:
    packet = ask("a.example")
    assert (
        resolved(engine(), packet, policy(GROK), upstream(packet, *CHAIN[:2])).rcode() == dns.rcode.NXDOMAIN
    )


def test_asking_for_the_alias_itself_shows_it() -> None:
    packet = ask("a.example", "CNAME")
    said = resolved(engine(), packet, policy(block("b.example")), upstream(packet, CHAIN[0]))
    assert said.answer[0].to_text() == "a.example. 300 IN CNAME b.example."


def test_a_chain_from_a_directives_except_is_not_blocked_by_that_directive_but_by_others() -> None:
    own = block("grok.example", excepts=("status.grok.example",), ident="court/o1")
    packet = ask("status.grok.example")
    chain = ("status.grok.example 300 IN CNAME cdn.grok.example.", "cdn.grok.example 300 IN A 192.0.2.9")
    said = resolved(engine(), packet, policy(own), upstream(packet, *chain))
    assert said.rcode() == dns.rcode.NOERROR
    assert len(said.answer) == 2
    other = block("cdn.grok.example", ident="court/o2")
    said = resolved(engine(), packet, policy(own, other), upstream(packet, *chain))
    assert said.rcode() == dns.rcode.NXDOMAIN


def test_a_blocked_name_outside_the_chain_makes_the_answer_unusable() -> None:
    packet = ask("free.example")
    said = upstream(packet, "free.example 300 IN A 192.0.2.9", "grok.example 300 IN A 192.0.2.66")
    assert resolved(engine(), packet, policy(GROK), said).rcode() == dns.rcode.SERVFAIL


@pytest.mark.parametrize("length", [17, 40])
def test_an_endless_chain_is_a_failure(length: int) -> None:
    packet = ask("c0.example")
    records = [f"c{n}.example 300 IN CNAME c{n + 1}.example." for n in range(length)]
    assert resolved(engine(), packet, policy(GROK), upstream(packet, *records)).rcode() == dns.rcode.SERVFAIL


def test_a_chain_that_loops_is_a_failure() -> None:
    packet = ask("a.example")
    records = ("a.example 300 IN CNAME b.example.", "b.example 300 IN CNAME a.example.")
    assert resolved(engine(), packet, policy(), upstream(packet, *records)).rcode() == dns.rcode.SERVFAIL


def test_a_kept_chain_is_decided_anew_at_every_transition_and_apply() -> None:
    mind, packet = engine(), ask("a.example")
    index = policy(block("grok.example", start=T0 + 100, until=T0 + 200))
    resolved(mind, packet, index, upstream(packet, *CHAIN))
    assert handled(mind, packet, index, T0 + 99).rcode() == dns.rcode.NOERROR
    assert handled(mind, packet, index, T0 + 100).rcode() == dns.rcode.NXDOMAIN
    assert handled(mind, packet, index, T0 + 200).rcode() == dns.rcode.NOERROR
    assert handled(mind, packet, policy(GROK), T0 + 201).rcode() == dns.rcode.NXDOMAIN
    assert handled(mind, packet, policy(), T0 + 202).rcode() == dns.rcode.NOERROR


def test_a_kept_chain_is_decided_for_each_clients_region() -> None:
    mind, packet, index = engine(), ask("a.example"), policy(GROK)
    resolved(mind, packet, index, upstream(packet, *CHAIN))
    assert handled(mind, packet, index, client="127.0.0.2").rcode() == dns.rcode.NOERROR
    assert handled(mind, packet, index, client="127.0.0.1").rcode() == dns.rcode.NXDOMAIN


def test_an_order_that_begins_while_upstream_is_asked_is_obeyed() -> None:
    mind, packet, index = engine(), ask("grok.example"), policy(block("grok.example", start=T0 + 1))
    forward = asked(mind, packet, index, T0 + 0.5)
    said = upstream(packet, "grok.example 300 IN A 192.0.2.66")
    assert read(mind.finish(forward, said, index, T0 + 1, T0 + 1).octets).rcode() == dns.rcode.NXDOMAIN


# TTL shaping


def test_the_shaped_ttl_ends_before_a_coming_start_wherever_it_is_in_the_chain() -> None:
    index, packet = policy(block("grok.example", start=T0 + 100)), ask("a.example")
    mind = engine()
    said = resolved(mind, packet, index, upstream(packet, *CHAIN))
    assert ttls(said) == [99, 99, 99]
    assert ttls(handled(mind, packet, index, T0 + 60.5)) == [38, 38, 38]
    assert ttls(handled(mind, packet, index, T0 + 99.5)) == [0, 0, 0]


def test_negative_answers_are_shaped_too() -> None:
    index, packet = policy(block("grok.example", start=T0 + 10)), ask("grok.example")
    said = resolved(engine(), packet, index, upstream(packet, authority=(NEGATIVE,), rcode=3))
    assert ttls(said) == [9]


def test_any_is_shaped_too() -> None:
    index = policy(block("grok.example", start=T0 + 10))
    assert ttls(handled(engine(), ask("grok.example", "ANY"), index)) == [9]


def test_a_blocked_answer_ends_before_its_lift() -> None:
    index, packet = policy(block("grok.example", until=T0 + 100)), ask("grok.example")
    mind = engine()
    for t, expected in ((T0, 30), (T0 + 68.9, 30), (T0 + 75.5, 23), (T0 + 98.5, 0), (T0 + 99.9, 0)):
        said = handled(mind, packet, index, t)
        assert ttls(said) == [expected]
        assert said.authority[0][0].minimum == expected


def test_a_blocked_chain_ends_before_any_change_in_it() -> None:
    index = policy(block("grok.example", until=T0 + 50), block("b.example", start=T0 + 20, ident="court/o2"))
    packet = ask("a.example")
    said = resolved(engine(), packet, index, upstream(packet, *CHAIN))
    assert said.rcode() == dns.rcode.NXDOMAIN
    assert ttls(said) == [19, 19, 19]


def test_a_sealed_start_is_not_shaped_but_kept_to_the_instant() -> None:
    for publication in (Publication.SEALED, Publication.SEALED_UNTIL_EFFECTIVE):
        index, packet = (
            policy(block("grok.example", start=T0 + 100, publication=publication)),
            ask("grok.example"),
        )
        mind = engine()
        said = resolved(mind, packet, index, upstream(packet, "grok.example 300 IN A 192.0.2.66"))
        assert ttls(said) == [300]
        assert handled(mind, packet, index, T0 + 100).rcode() == dns.rcode.NXDOMAIN


def test_every_passing_ttl_is_capped_by_the_site() -> None:
    packet = ask("free.example")
    said = resolved(
        engine(), packet, policy(max_ttl=60), upstream(packet, "free.example 86400 IN A 192.0.2.9")
    )
    assert ttls(said) == [60]


@given(
    left=st.floats(0.01, 5000),
    ttl=st.integers(0, 2**31 - 1),
    elapsed=st.floats(0, 4000),
    most=st.integers(1, 86400),
)
def test_no_ttl_outlives_the_coming_start_the_kept_answer_or_the_sites_cap(
    left: float, ttl: int, elapsed: float, most: int
) -> None:
    start = T0 + 5000
    index = policy(block("grok.example", start=start), max_ttl=most)
    mind, packet, t = engine(), ask("a.example"), start - left
    said = upstream(packet, f"a.example {ttl} IN CNAME grok.example.", f"grok.example {ttl} IN A 192.0.2.66")
    mind.finish(asked(mind, packet, index, t), said, index, t, t)
    t += elapsed
    made = mind.handle(packet, "127.0.0.1", index, t, t)
    if isinstance(made, Forward):
        assert elapsed >= min(ttl, 86400) - 1
        return
    assert isinstance(made, Answer)
    if t < start:
        assert max(ttls(read(made.octets))) <= max(0, min(most, start - t - 1, ttl - int(elapsed)))
    else:
        assert read(made.octets).rcode() == dns.rcode.NXDOMAIN


QNAMES = st.lists(st.binary(min_size=1, max_size=20), min_size=0, max_size=8).map(
    lambda labels: b"".join(bytes((len(label),)) + label for label in labels) + b"\0"
)


@given(
    qname=QNAMES,
    qtype=st.integers(0, 65535),
    qclass=st.sampled_from([1, 1, 1, 3, 255]),
    ident=st.integers(0, 65535),
)
def test_the_answers_question_and_id_are_the_querys(
    qname: bytes, qtype: int, qclass: int, ident: int
) -> None:
    question = qname + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")
    packet = wire.pack_header(ident, wire.RD, (1, 0, 0, 0)) + question
    mind, index = engine(), policy(GROK)
    made = mind.handle(packet, "127.0.0.1", index, T0, 0)
    if isinstance(made, Forward):
        made = mind.finish(made, None, index, T0, 0)
    assert isinstance(made, Answer)
    assert made.octets[:2] == packet[:2]
    assert made.octets[12 : 12 + len(question)] == question


def test_a_bug_is_answered_with_servfail_and_a_response_is_not() -> None:
    packet = ask("grok.example", use_edns=0)
    made = engine().broken(packet)
    assert isinstance(made, Answer)
    assert read(made.octets).rcode() == dns.rcode.SERVFAIL
    assert isinstance(engine().broken(packet[:2] + b"\x80" + packet[3:]), Drop)
    assert isinstance(engine().broken(b""), Drop)
    assert isinstance(engine().broken(PLAIN[:16]), Answer)


# Bounds


def test_what_is_remembered_of_clients_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.resolver.engine._MOST_CLIENTS", 10)
    mind, index = engine(), policy(GROK)
    for number in range(50):
        asked(mind, ask("free.example"), index, client=f"127.0.0.{number + 2}")
        assert len(mind._clients) <= 10


def test_an_entry_remembers_its_judgement_for_so_many_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blocker.resolver.engine._MOST_REGIONS", 1)
    mind, packet, index = engine(), ask("a.example"), policy(GROK)
    resolved(mind, packet, index, upstream(packet, *CHAIN))
    for client, rcode in (("127.0.0.2", 0), ("127.0.0.1", 3), ("127.0.0.2", 0)):
        assert handled(mind, packet, index, client=client).rcode() == rcode


def test_a_kept_answer_is_kept_once_for_merged_queries() -> None:
    mind, packet, index = engine(), ask("free.example"), policy()
    forward = asked(mind, packet, index)
    said = chain.receive(upstream(packet, "free.example 300 IN A 192.0.2.9"), forward.question)
    for _ in range(3):
        assert read(mind.finish(forward, said, index, T0, T0).octets).rcode() == 0
    assert len(mind.cache) == 1


def test_a_blocked_chain_that_does_not_fit_is_truncated_and_still_says_why() -> None:
    names = [f"{'x' * 60}{n}.{'y' * 60}.{'z' * 60}.example" for n in range(10)] + ["grok.example"]
    links = [f"{one} 300 IN CNAME {other}." for one, other in pairwise(names)]
    packet = ask(names[0], use_edns=0)
    said = resolved(engine(), packet, policy(GROK), upstream(packet, *links))
    assert said.flags & dns.flags.TC
    assert edes(said) == [(16, None)]
    assert said.rcode() == dns.rcode.NXDOMAIN


def test_a_refused_chain_keeps_its_links() -> None:
    index = policy(block("grok.example", form=Form.REFUSED))
    packet = ask("a.example")
    said = resolved(engine(), packet, index, upstream(packet, *CHAIN))
    assert said.rcode() == dns.rcode.REFUSED
    assert len(said.answer) == 2


def test_a_withheld_directive_does_not_block() -> None:
    index = policy(GROK)
    index.withheld = {"court/grok/d": "contested"}
    asked(engine(), ask("grok.example"), index)


# The clock


@pytest.mark.parametrize("step", [-3600, 3600])
def test_a_stepped_wall_clock_moves_verdicts_and_leaves_the_cache_alone(step: int) -> None:
    index = policy(block("grok.example", start=T0 - 600, until=T0 + 600))
    mind, packet, free = engine(), ask("grok.example"), ask("free.example")
    resolved(mind, free, index, upstream(free, "free.example 300 IN A 192.0.2.9"))
    assert handled(mind, packet, index).rcode() == dns.rcode.NXDOMAIN
    now = T0 + 1.0
    assert isinstance(mind.handle(packet, "127.0.0.1", index, T0 + step, now), Forward)
    kept = mind.handle(free, "127.0.0.1", index, T0 + step, now)
    assert isinstance(kept, Answer)
    assert ttls(read(kept.octets)) == [299]
    back = mind.handle(packet, "127.0.0.1", index, T0 + 2, now)
    assert isinstance(back, Answer)
    assert back.outcome is Outcome.BLOCKED


def test_upstreams_explanation_is_passed_on_and_dropped_before_any_record() -> None:
    for size, expected in ((50, [(3, "y" * 200)]), (1000, [])):
        packet = ask("free.example", "TXT", use_edns=0)
        text = " ".join(f'"{"x" * 99}"' for _ in range(size // 100 or 1))
        message = dns.message.from_wire(upstream(packet, f"free.example 300 IN TXT {text}"))
        message.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode(3), "y" * 200)])
        said = resolved(engine(), packet, policy(), message.to_wire(max_size=65535))
        assert edes(said) == expected
        assert not said.flags & dns.flags.TC


def test_a_free_name_outside_the_chain_passes_once_and_shapes_while_its_start_is_to_come() -> None:
    mind, packet, index = engine(), ask("free.example"), policy(block("grok.example", start=T0 + 50))
    said = upstream(packet, "free.example 300 IN A 192.0.2.9", "grok.example 300 IN A 192.0.2.66")
    assert ttls(resolved(mind, packet, index, said)) == [49, 49]
    asked(mind, packet, index)
