"""The wire peek: what is known again by its octets is what the judge says of the answer as it is read."""

from __future__ import annotations

import struct
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import Form
from blocker.prober import observe, profile
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import Controls, Evidence, Kind, judge
from blocker.prober.observe import AAAA, CNAME, SOA, A, Arrival, Observation, Outcome
from blocker.sweep import peek
from blocker.sweep.peek import Known, Mark, Memory

if TYPE_CHECKING:
    from blocker.names import Key

ADDRESS = ip_address("192.0.2.1")
SENT = 1000.0
WHOLE = b"\xc0\x0c"

labels = st.binary(min_size=1, max_size=63)
keys = st.lists(labels, min_size=1, max_size=4).map(
    lambda found: names.Key(b"".join(bytes([len(one)]) + one for one in found).lower())
)


def record(owner: bytes, rtype: int, data: bytes, *, ttl: int = 30, rclass: int = 1) -> bytes:
    return owner + struct.pack("!HHIH", rtype, rclass, ttl, len(data)) + data


def opt(*codes: int, high: int = 0) -> bytes:
    data = b"".join(struct.pack("!HHH", 15, 2, code) for code in codes)
    return record(b"\0", 41, data, ttl=high << 24, rclass=1232)


owners = st.sampled_from(
    [
        WHOLE,
        b"\xc0\x0d",
        b"\xc0\x10",
        b"\xc0\x20",
        b"\0",
        b"\x03com\0",
        b"\x01a" + WHOLE,
        b"\x3f" + b"x" * 63 + WHOLE,
    ]
)
answers = st.builds(
    record,
    owners,
    st.sampled_from([A, AAAA, CNAME, SOA, 65]),
    st.sampled_from([ADDRESS.packed, b"\x05\x06\x07\x08", b"\1b\0", WHOLE, b""]),
)
opts = st.lists(st.sampled_from([16, 4, 15]), max_size=2).map(lambda codes: opt(*codes))


@st.composite
def around(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """What stands before and after the question of an answer."""
    sections = [draw(st.lists(answers, max_size=2)) for _ in range(2)]
    sections.append(draw(st.lists(st.one_of(opts, answers), max_size=2)))
    flags = draw(st.sampled_from([0x8180, 0x8183, 0x8185, 0x8182, 0x8380, 0x0100, 0x8583, 0x9180]))
    counts = [len(one) for one in sections]
    if draw(st.booleans()):
        counts[draw(st.integers(0, 2))] += draw(st.integers(-1, 1))
    head = struct.pack("!5H", flags, draw(st.sampled_from([1, 1, 1, 0])), *(max(0, one) for one in counts))
    tail = b"".join(one for section in sections for one in section)
    return head, tail[: draw(st.integers(0, len(tail)))] if draw(st.booleans()) else tail


def expectation(form: Form | None, qtype: int = A, *, why: Why = Why.SUBJECT) -> Expectation:
    addresses = (ADDRESS,) if form is Form.REDIRECT else ()
    return Expectation(
        point="p",
        region="ID",
        name=names.ROOT,
        qtype=qtype,
        why=why,
        form=form,
        addresses=addresses,
        until=SENT + 9,
    )


def observed(name: Key, qtype: int, body: bytes) -> Observation | None:
    """The answer as it is read; None if it is none."""
    try:
        reply = observe.read(b"\1\2" + body, ident=0x0102, name=name, qtype=qtype)
    except (observe.Malformed, observe.Mismatched):
        return None
    return Observation(
        point="p",
        name=name,
        qtype=qtype,
        sent=SENT,
        received=SENT + 0.1,
        outcome=Outcome.ANSWERED,
        reply=reply,
        arrivals=(Arrival(reply=reply, octets=b"\1\2" + body, latency=0.1),),
    )


forms = st.sampled_from([None, *Form])
ATTRIBUTED = (struct.pack("!5H", 0x8183, 1, 0, 1, 1), record(WHOLE, SOA, b"\0") + opt(16))
FORGED = (struct.pack("!5H", 0x8180, 1, 1, 0, 0), record(WHOLE, A, ADDRESS.packed))
MARKED = (struct.pack("!5H", 0x8183, 1, 0, 0, 1), record(WHOLE, SOA, b"\0"))
LONG = names.Key(b"".join(b"\x3e" + b"y" * 62 for _ in range(3)) + b"\x30" + b"z" * 48)


def profile_of(octets: tuple[bytes, bytes]) -> profile.Profile | None:
    """What a block looks like where this answer is one."""
    name = names.to_key("canary.example")
    seen = observed(name, A, octets[0] + peek.question(name, A) + octets[1])
    return profile.of(seen.reply) if seen is not None and seen.reply is not None else None


@given(around(), st.tuples(keys, keys), forms, st.sampled_from([A, AAAA]), st.sampled_from(list(Controls)))
@example(
    ATTRIBUTED, (names.to_key("a.example"), names.to_key("b.c.example")), Form.NXDOMAIN, A, Controls.NONE
)
@example(FORGED, (names.to_key("a.example"), names.to_key("b.c.example")), Form.REDIRECT, A, Controls.PASS)
@example(MARKED, (names.to_key("canary.example"), names.to_key("a.example")), Form.NXDOMAIN, A, Controls.NONE)
@example(
    (ATTRIBUTED[0], record(b"\x3f" + b"x" * 63 + WHOLE, SOA, b"\0") + opt(16)),
    (names.to_key("a.example"), LONG),
    Form.NXDOMAIN,
    A,
    Controls.PASS,
)
def test_what_one_name_taught_is_what_the_judge_says_of_another(
    octets: tuple[bytes, bytes],
    two: tuple[Key, Key],
    form: Form | None,
    qtype: int,
    controls: Controls,
) -> None:
    head, tail = octets
    looks = profile_of(octets)
    known = Known(controls=controls, profile=looks, marks={})
    first, second = (head + peek.question(name, qtype) + tail for name in two)
    wanted = expectation(form, qtype)
    seen = observed(two[0], qtype, first)
    if seen is not None:
        known.mark(replace(wanted, name=two[0]), seen)
    before, _, after = second.partition(peek.question(two[1], qtype))
    mark = known.marks.get((before, after))
    if mark is None:
        return
    again = observed(two[1], qtype, second)
    assert again is not None
    finding = judge(replace(wanted, name=two[1]), [again], Evidence(controls=controls, profile=looks))
    assert finding is not None
    assert (finding.kind is Kind.OK) == (mark is Mark.OK)
    assert Known(controls=controls, profile=looks, marks={}).mark(replace(wanted, name=two[1]), again) is mark


@pytest.mark.parametrize("octets", [ATTRIBUTED, FORGED])
def test_a_usual_answer_is_read_once(octets: tuple[bytes, bytes]) -> None:
    known = Known(marks={})
    form = Form.NXDOMAIN if octets is ATTRIBUTED else Form.REDIRECT
    name = names.to_key("a.example")
    seen = observed(name, A, octets[0] + peek.question(name, A) + octets[1])
    assert seen is not None
    assert known.mark(expectation(form), seen) is Mark.OK
    assert known.marks == {octets: Mark.OK}


@pytest.mark.parametrize(
    ("tail", "why"),
    [
        (record(b"\xc0\x0e", SOA, b"\0") + opt(16), "the owner is somewhere in the question"),
        (record(b"\x01a" + WHOLE, SOA, b"\0") + opt(16), "an owner below the question may be too long"),
    ],
)
def test_what_hangs_on_the_name_is_read_each_time(tail: bytes, why: str) -> None:
    known = Known(marks={})
    name = names.to_key("a.example")
    seen = observed(name, A, ATTRIBUTED[0] + peek.question(name, A) + tail)
    assert seen is not None
    assert known.mark(expectation(Form.NXDOMAIN), seen) is Mark.OK
    assert not known.marks, why


@pytest.mark.parametrize(("owner", "marks"), [(WHOLE, 0), (b"\3rpz\0", 1)])
def test_an_soa_in_additional_is_a_mark_if_it_is_not_the_names_own(owner: bytes, marks: int) -> None:
    name = names.to_key("a.example")
    body = struct.pack("!5H", 0x8183, 1, 0, 0, 1) + peek.question(name, A) + record(owner, SOA, b"\0")
    seen = observed(name, A, body)
    assert seen is not None
    assert seen.reply is not None
    known = Known(profile=profile.of(seen.reply), marks={})
    assert known.mark(expectation(Form.NXDOMAIN), seen) is Mark.OK
    assert len(known.marks) == marks


def test_an_alias_is_read_each_time() -> None:
    known = Known(marks={})
    name = names.to_key("a.example")
    head = struct.pack("!5H", 0x8183, 1, 1, 0, 1)
    seen = observed(name, A, head + peek.question(name, A) + record(WHOLE, CNAME, b"\1b\0") + opt(16))
    assert seen is not None
    assert known.mark(expectation(Form.NXDOMAIN), seen) is Mark.OK
    assert not known.marks


def marked(form: Form | None, body: tuple[bytes, bytes], controls: Controls = Controls.PASS) -> Mark:
    name = names.to_key("a.example")
    seen = observed(name, A, body[0] + peek.question(name, A) + body[1])
    assert seen is not None
    return Known(controls=controls, forged=frozenset({ADDRESS.packed}), marks={}).mark(
        expectation(form), seen
    )


DENIED = (struct.pack("!5H", 0x8183, 1, 0, 0, 0), b"")
REFUSED = (struct.pack("!5H", 0x8185, 1, 0, 0, 0), b"")
RESOLVED = (struct.pack("!5H", 0x8180, 1, 1, 0, 0), record(WHOLE, A, b"\5\6\7\x08"))


@pytest.mark.parametrize(
    ("form", "body", "controls", "mark"),
    [
        (Form.NXDOMAIN, DENIED, Controls.PASS, Mark.FORMED),
        (Form.NODATA, DENIED, Controls.PASS, Mark.ODD),
        (Form.NXDOMAIN, RESOLVED, Controls.PASS, Mark.ODD),
        (Form.REFUSED, REFUSED, Controls.PASS, Mark.OK),
        (Form.REFUSED, REFUSED, Controls.NONE, Mark.FORMED),
        (None, RESOLVED, Controls.PASS, Mark.OK),
        (None, ATTRIBUTED, Controls.PASS, Mark.ODD),
        (None, FORGED, Controls.PASS, Mark.ODD),
        (None, DENIED, Controls.PASS, Mark.ODD),
    ],
)
def test_the_marks(form: Form | None, body: tuple[bytes, bytes], controls: Controls, mark: Mark) -> None:
    assert marked(form, body, controls) is mark


def test_an_answer_from_another_stretch_of_time_is_void_and_not_remembered() -> None:
    known = Known(marks={})
    name = names.to_key("a.example")
    seen = observed(name, A, ATTRIBUTED[0] + peek.question(name, A) + ATTRIBUTED[1])
    assert seen is not None
    assert known.mark(replace(expectation(Form.NXDOMAIN), until=SENT), seen) is Mark.VOID
    assert not known.marks


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peek, "_MOST", 1)
    memory, name = Memory(Controls.NONE), names.to_key("a.example")
    known = memory.of(expectation(Form.NXDOMAIN), frozenset())
    for ttl in (1, 2):
        tail = record(WHOLE, SOA, b"\0", ttl=ttl) + opt(16)
        seen = observed(name, A, ATTRIBUTED[0] + peek.question(name, A) + tail)
        assert seen is not None
        assert known.mark(expectation(Form.NXDOMAIN), seen) is Mark.OK
    assert len(known.marks) == 1
    assert memory.of(expectation(Form.NXDOMAIN), frozenset()) is known
    assert memory.of(expectation(Form.NODATA), frozenset()) is not known
    assert memory.of(expectation(Form.NXDOMAIN), frozenset()) is not known


@given(keys, st.sampled_from([A, AAAA]))
def test_a_bulk_query_is_that_of_any_plain_probe(name: Key, qtype: int) -> None:
    assert b"\1\2" + peek.HEAD + peek.question(name, qtype) + peek.TAIL == observe.query(name, qtype, 0x0102)
