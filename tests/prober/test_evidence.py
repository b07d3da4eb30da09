"""Evidence comes back as it was written, is judged again alike, and nothing in a line is trusted."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields, replace
from ipaddress import ip_address
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import Form
from blocker.policy.chain import START
from blocker.prober import evidence
from blocker.prober.evidence import Opening, Record, Unreadable
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import Controls, Evidence, Kind, controls_of
from blocker.prober.observe import (
    Arrival,
    Extended,
    Observation,
    Outcome,
    Reply,
    Transport,
    Variant,
)
from blocker.prober.observe import Record as Resource
from blocker.prober.profile import Profile
from tests.prober.proof import blocked, expectation, judged, once, reference, seen, twice
from tests.prober.world import AAAA, A, T, answer, key, real

OK = once(expectation(), blocked)
LEAK = twice(expectation(), real)

labels = st.binary(min_size=1, max_size=12).map(bytes.lower)
keys = st.lists(labels, max_size=4).map(lambda found: names.Key(b"".join(bytes([len(x)]) + x for x in found)))
moments = st.floats(0, 4e9)
texts = st.text(max_size=8)
variants = st.builds(
    Variant,
    transport=st.sampled_from(Transport),
    edns=st.booleans(),
    do=st.booleans(),
    cd=st.booleans(),
    mixed=st.booleans(),
    place=st.integers(0, 3),
    outside=st.booleans(),
)
resources = st.builds(
    Resource, owner=keys, rtype=st.integers(1, 255), ttl=st.integers(0, 9999), data=st.binary(max_size=9)
)
replies = st.builds(
    Reply,
    rcode=st.integers(0, 23),
    flags=st.integers(0, 0xFFFF),
    answers=st.lists(resources, max_size=2).map(tuple),
    soa=st.none() | resources,
    additional_soa=st.none() | resources,
    extended=st.lists(st.builds(Extended, code=st.integers(0, 30), text=texts), max_size=2).map(tuple),
    nsid=st.binary(max_size=4),
    edns=st.none() | st.integers(0, 0xFFFF),
)
expectations = st.builds(
    Expectation,
    point=texts,
    region=st.none() | texts,
    name=keys,
    qtype=st.sampled_from([A, AAAA]),
    why=st.sampled_from(Why),
    ref=texts,
    order=texts,
    form=st.none() | st.sampled_from(Form),
    addresses=st.lists(st.sampled_from(["192.0.2.1", "2001:db8::1"]).map(ip_address), max_size=2).map(tuple),
    because=st.lists(texts, max_size=2).map(tuple),
    since=moments,
    until=st.none() | moments,
    started=st.none() | st.integers(-(10**9), 10**10),
    ended=st.none() | st.integers(0, 10**10),
    outside=st.booleans(),
    declared=texts,
)
profiles = st.builds(
    Profile,
    rcode=st.integers(0, 23),
    soa=texts,
    zone=texts,
    is_authoritative=st.booleans(),
    is_recursive=st.booleans(),
    codes=st.lists(st.integers(0, 30), max_size=2).map(tuple),
    ttl=st.integers(0, 9999),
)
knowledge = st.builds(
    Evidence,
    controls=st.sampled_from(Controls),
    reference=st.none() | replies,
    was_attributed=st.booleans(),
    was_resolved=st.booleans(),
    is_blocked_otherwise=st.booleans(),
    profile=st.none() | profiles,
    drift=texts,
    forged=st.frozensets(st.binary(max_size=4), max_size=2),
    blocked_aliases=st.frozensets(keys, max_size=2),
)
scripts = st.lists(st.sampled_from([blocked, real]), max_size=3)


@given(
    expectations,
    knowledge,
    st.tuples(scripts, variants, st.binary(max_size=4)),
    st.tuples(st.sampled_from(Kind), moments, texts),
)
def test_a_record_comes_back_as_it_was_written(
    one: Expectation,
    known: Evidence,
    probe: tuple[list[Any], Variant, bytes],
    said: tuple[Kind, float, str],
) -> None:
    answers, variant, nsid = probe
    kind, at, detail = said
    # dnspython writes no names that are octets at will, so the octets are those of a plain name.
    plain = replace(one, name=key("x.example"))
    sample = seen(plain, *answers, at=at, variant=variant, nsid=nsid)
    finding = replace(
        OK.finding,
        kind=kind,
        point=plain.point,
        order=plain.order,
        ref=plain.ref,
        why=plain.why,
        name=plain.name,
        qtype=plain.qtype,
        variant=variant,
        at=at,
        detail=detail,
    )
    record = Record(samples=(sample,), expectation=plain, evidence=known, finding=finding, policy=detail)
    line = evidence.pack(record, START)
    assert b"\n" not in line
    assert evidence.unpack(line) == record
    assert evidence.prev_of(line) == START
    assert evidence.is_about(line, [plain.order])


@given(expectations)
def test_names_may_hold_any_octets(one: Expectation) -> None:
    silent = replace(seen(expectation()), name=one.name, qtype=one.qtype, point=one.point)
    finding = replace(
        OK.finding, point=one.point, order=one.order, ref=one.ref, why=one.why, name=one.name, qtype=one.qtype
    )
    record = replace(OK, samples=(silent,), expectation=one, finding=finding)
    assert evidence.unpack(evidence.pack(record, START)) == record


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (Observation, 15),
        (Arrival, 4),
        (Variant, 7),
        (Expectation, 19),
        (Evidence, 11),
        (Reply, 8),
        (Resource, 4),
        (Extended, 2),
        (Profile, 7),
    ],
)
def test_what_is_added_to_a_value_is_added_to_its_line(value: Any, kept: int) -> None:
    assert len(fields(value)) == kept, "pack and unpack it, then count it here"


def test_a_record_is_about_its_order_alone() -> None:
    line = evidence.pack(OK, START)
    assert evidence.is_about(line, ["court/o2", "court/o1"])
    assert not evidence.is_about(line, ["court/o", "court/o1/d"])


def test_what_does_not_begin_with_its_hash_has_none() -> None:
    assert evidence.prev_of(b"{}") == ""


def test_an_opening_comes_back_as_it_was_written() -> None:
    opening = Opening(segment=3, before=17, at=T + 0.5, prev="ab" * 32)
    line = evidence.pack_opening(opening)
    assert evidence.unpack_opening(line) == opening
    assert evidence.prev_of(line) == opening.prev


def changed(path: str, value: Any) -> bytes:
    """The line of a good record with one value changed, or taken away (...)."""
    made = json.loads(evidence.pack(LEAK, START))
    *way, last = path.split(".")
    at = made
    for step in way:
        at = at[int(step) if step.isdecimal() else step]
    if value is ...:
        del at[last]
    else:
        at[int(last) if last.isdecimal() else last] = value
    return json.dumps(made).encode()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"\xff", "it is not JSON"),
        (b"[]", "it is no JSON object"),
        (b"{}", "'expectation' is missing"),
        (changed("finding.kind", ...), "'kind' is missing"),
        (changed("finding.kind", "splendid"), "'splendid' is not a valid Kind"),
        (changed("finding", 7), "no record"),
        (changed("samples", {}), "a list is wanted"),
        (changed("samples.0.arrivals", [0] * 5000), "a list is wanted"),
        (changed("samples.0.arrivals.0", ["AA=="]), "no record"),
        (changed("samples.0.arrivals.0.0", "AAAA"), "an answer can't be read: cut off after 3 octets"),
        (changed("samples.0.arrivals.0.0", "!"), "octets that are not base64"),
        (changed("samples.0.query", "AAAA"), "an answer can't be read: another id"),
        (changed("samples.0.sent", True), "a number is wanted"),
        (changed("samples.0.sent", float("nan")), "a number is wanted"),
        (changed("samples.0.mismatched", -1), "a whole number is wanted"),
        (changed("expectation.point", 1), "a text is wanted"),
        (changed("expectation.name", "QGFi"), "a label of an unknown length"),
        (changed("expectation.name", "A2Fi"), "a name that is cut off"),
        (changed("expectation.addresses", ["192.0.2"]), "no record"),
        (changed("expectation.qtype", 0), ""),
    ],
    ids=range(22),
)
def test_a_line_that_is_no_record_is_refused_with_a_sentence(line: bytes, words: str) -> None:
    if not words:  # What is unknown is passed over: a later version may say more.
        assert evidence.unpack(line) == LEAK
        return
    with pytest.raises(Unreadable, match=words):
        evidence.unpack(line)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"{}", "no first line"),
        (b'{"format":9}', "format 9; this version reads 1"),
        (b'{"format":1,"segment":1,"before":0,"at":0,"prev":"xy"}', "no hash"),
    ],
)
def test_a_first_line_that_is_none_is_refused_with_a_sentence(line: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        evidence.unpack_opening(line)


@given(st.binary(max_size=40), st.integers(0, 1 << 20))
def test_no_octets_make_the_reader_raise_anything_else(noise: bytes, place: int) -> None:
    line = evidence.pack(OK, START)
    at = place % len(line)
    for one in (noise, line[:at] + noise, line[:at] + noise + line[at + len(noise) :]):
        with suppress(Unreadable):
            evidence.unpack(one)


def test_of_the_policys_redirects_those_that_were_answered_are_kept() -> None:
    one = expectation(form=None, why=Why.CANARY)
    known = Evidence(controls=Controls.PASS, forged=frozenset({b"\xc6\x33\x64\x07", b"\xc0\x00\x02\x01"}))
    record = judged(one, [seen(one, real), seen(one, real)], known)
    assert record.evidence.forged == {b"\xc6\x33\x64\x07"}
    assert record.finding.rule == "forged-though-free"


def test_of_a_flood_of_answers_the_first_and_those_that_contradict_it_are_kept() -> None:
    one = expectation()
    flood = [blocked] * 30 + [real] * 2
    (sample,) = judged(one, [seen(one, *flood)]).samples
    assert len(sample.arrivals) == 3
    (alike,) = judged(one, [seen(one, *[blocked] * 30)]).samples
    assert len(alike.arrivals) == evidence.MOST_ARRIVALS


def test_instances_are_told_by_what_they_call_themselves() -> None:
    one = expectation()
    found = [seen(one, blocked, nsid=b"r1"), seen(one, blocked, nsid=b"\xff\x00"), seen(one, blocked)]
    assert evidence.instances_of(found) == {"r1", "ff00"}


def test_old_observations_judged_again_by_the_same_rules_change_nothing() -> None:
    assert list(evidence.rejudge([OK, LEAK])) == []


def test_a_newer_rule_that_judges_otherwise_is_shown_with_what_was_said_before() -> None:
    praised = replace(
        LEAK, finding=replace(LEAK.finding, kind=Kind.OK, rule="blocked-with-attribution"), rules=1
    )
    (change,) = evidence.rejudge([OK, praised])
    assert change.record is praised
    assert change.now is not None
    assert (change.now.kind, change.now.rule) == (Kind.UNDERBLOCK, "resolves-though-blocked")
    assert change.is_bad


def test_what_is_said_in_other_words_or_not_at_all_any_more_is_no_accusation() -> None:
    other = replace(LEAK, finding=replace(LEAK.finding, rule="an-older-rule"))
    gone = replace(OK, expectation=replace(OK.expectation, since=T + 5.0))
    renamed, dropped = evidence.rejudge([other, gone])
    assert not renamed.is_bad
    assert (dropped.now, dropped.is_bad) == (None, False)


def test_the_reference_is_kept_as_far_as_the_judge_needs_it() -> None:
    one = expectation()
    record = judged(one, [seen(one, lambda asked: answer(asked, rcode=3))])
    assert record.finding.rule == "blocked-against-reference"
    again = evidence.unpack(evidence.pack(record, START))
    assert again.evidence.reference == reference(one)
    assert list(evidence.rejudge([again])) == []


def test_controls_and_reference_are_kept_with_their_octets_and_times_and_read_anew() -> None:
    one, canary = expectation(), expectation(point="p1", name=key("example.com"))
    before, after = seen(canary, real, at=T - 0.01, nsid=b"r1"), seen(canary, real, at=T + 0.01)
    theirs = seen(expectation(point="192.0.2.53:53"), real, at=T - 9.0)
    known = Evidence(
        controls=Controls.PASS,
        reference=theirs.reply,
        control_samples=(before, after),
        reference_seen=theirs,
    )
    record = judged(one, [seen(one, lambda asked: answer(asked, rcode=3))], known)
    line = evidence.pack(record, START)
    again = evidence.unpack(line)
    assert again == record
    assert [one.received for one in again.evidence.control_samples] == [T - 0.01, T + 0.01]
    assert controls_of(again.evidence.control_samples) is Controls.PASS
    assert again.evidence.reference == theirs.reply
    assert json.loads(line)["known"]["reference"] is None, "it is there but once"
    assert list(evidence.rejudge([again])) == []


def test_a_record_from_before_controls_were_kept_is_read_without_them() -> None:
    made = json.loads(evidence.pack(OK, START))
    del made["known"]["control_samples"], made["known"]["reference_seen"]
    assert evidence.unpack(json.dumps(made).encode()) == OK


def test_of_a_flood_of_answers_to_a_control_some_are_kept() -> None:
    one = expectation()
    flood = seen(one, *[real] * 30)
    known = Evidence(control_samples=(flood,), reference_seen=flood, reference=flood.reply)
    kept = judged(one, [seen(one, blocked)], known).evidence
    assert kept.reference_seen is not None
    sizes = {len(each.arrivals) for each in (*kept.control_samples, kept.reference_seen)}
    assert sizes == {evidence.MOST_ARRIVALS}


def test_silence_is_evidence_too() -> None:
    one = expectation()
    known = Evidence(controls=Controls.SILENT)
    record = judged(one, [seen(one), seen(one)], known)
    assert record.samples[0].outcome is Outcome.SILENT
    assert evidence.unpack(evidence.pack(record, START)) == record
