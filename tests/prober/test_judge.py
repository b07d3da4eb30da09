"""Every rule of the judge, as one table: what was expected, what came, what is known, what it means."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import ip_address
from typing import Any

import pytest

from blocker.names import to_wire
from blocker.orders.model import Form
from blocker.prober.expect import Expectation, Why
from blocker.prober.judge import (
    BAD,
    RULES,
    Controls,
    Evidence,
    Kind,
    controls_of,
    in_part,
    judge,
    wants_more,
)
from blocker.prober.observe import (
    CNAME,
    NOERROR,
    NXDOMAIN,
    PLAIN,
    REFUSED,
    SERVFAIL,
    A,
    Arrival,
    Extended,
    Observation,
    Outcome,
    Record,
    Reply,
)
from blocker.prober.profile import of
from tests.prober.world import AAAA, T, key

NAME = key("secret-name.example")
REAL, FORGED, OTHER = (ip_address(text).packed for text in ("198.51.100.7", "192.0.2.1", "203.0.113.9"))


EDGE, NOWHERE = ip_address("93.184.216.34").packed, ip_address("0.0.0.0").packed


def expected(form: Form | None, why: Why = Why.SUBJECT, **more: Any) -> Expectation:
    values: dict[str, Any] = {
        "point": "p1",
        "region": "ID",
        "name": NAME,
        "qtype": A,
        "why": why,
        "ref": "court/o1/d",
        "order": "court/o1",
        "form": form,
        "since": T - 100,
        "until": T + 100,
    }
    return Expectation(**{**values, **more})


def reply(rcode: int, *data: bytes, ede: tuple[int, ...] = (), alias: str = "", flags: int = 0x8180) -> Reply:
    records = [Record(owner=NAME, rtype=A, ttl=60, data=one) for one in data]
    if alias:
        wire = b"".join(bytes([len(label)]) + label.encode() for label in alias.split(".")) + b"\0"
        records.insert(0, Record(owner=NAME, rtype=CNAME, ttl=60, data=wire))
    extended = tuple(Extended(code=code) for code in ede)
    return Reply(rcode=rcode, flags=flags, answers=tuple(records), extended=extended)


def saw(what: Reply | str | None, *, at: float = T, took: float = 0.01, **more: Any) -> Observation:
    """A sample that was answered, met a trouble, or met silence."""
    if isinstance(what, str):
        return saw(None, at=at, outcome=Outcome.UNREACHABLE, trouble=what, **more)
    values: dict[str, Any] = {
        "point": "p1",
        "variant": PLAIN,
        "name": NAME,
        "qtype": A,
        "sent": at,
        "outcome": Outcome.SILENT if what is None else Outcome.ANSWERED,
        "received": None if what is None else at + took,
        "reply": what,
    }
    return Observation(**{**values, **more})


EXISTS, NOTHING, EMPTY, BROKEN = reply(0, REAL), reply(NXDOMAIN), reply(0), reply(SERVFAIL)
FINE = Evidence(controls=Controls.PASS, reference=EXISTS)


def known(**more: Any) -> Evidence:
    return replace(FINE, **more)


BLOCK = reply(NXDOMAIN, ede=(16,))
MARKED = replace(
    reply(NXDOMAIN), additional_soa=Record(owner=key("id.rpz.isp.example"), rtype=6, ttl=5, data=b"")
)
PROFILE = of(MARKED)
TARGET = key("target.example")
LED = frozenset({TARGET})
LEADING = Reply(
    rcode=NOERROR,
    answers=(
        Record(owner=NAME, rtype=CNAME, ttl=1, data=to_wire(TARGET)),
        Record(owner=TARGET, rtype=A, ttl=1, data=REAL),
    ),
)

NX, NODATA, REFUSE = expected(Form.NXDOMAIN), expected(Form.NODATA), expected(Form.REFUSED)
REDIRECT = expected(Form.REDIRECT, addresses=(ip_address("192.0.2.1"), ip_address("2001:db8::1")))
FREE, CANARY = expected(None, Why.PARENT), expected(None, Why.CANARY)
COMING, ENDED = expected(None, Why.COMING), expected(None, Why.ENDED)

TABLE: list[tuple[str, Expectation, Reply | str | None, Evidence, Kind, str]] = [
    # What must be blocked, and says itself that it is.
    ("nxdomain", NX, reply(NXDOMAIN, ede=(16,)), FINE, Kind.OK, "blocked-with-attribution"),
    ("nodata", NODATA, reply(0, ede=(16,)), FINE, Kind.OK, "blocked-with-attribution"),
    ("refused", REFUSE, reply(REFUSED, ede=(16,)), FINE, Kind.OK, "blocked-with-attribution"),
    ("redirect", REDIRECT, reply(0, FORGED, ede=(16, 4)), FINE, Kind.OK, "blocked-with-attribution"),
    (
        "attributed though controls fail",
        NX,
        reply(NXDOMAIN, ede=(16,)),
        Evidence(controls=Controls.FAIL),
        Kind.OK,
        "blocked-with-attribution",
    ),
    ("nodata for nx", NX, reply(0, ede=(16,)), FINE, Kind.WRONG_FORM, "attributed-wrong-form"),
    ("nx for nodata", NODATA, reply(NXDOMAIN, ede=(16,)), FINE, Kind.WRONG_FORM, "attributed-wrong-form"),
    ("refused for nx", NX, reply(REFUSED, ede=(16,)), FINE, Kind.WRONG_FORM, "attributed-wrong-form"),
    (
        "other address",
        REDIRECT,
        reply(0, OTHER, ede=(16, 4)),
        FINE,
        Kind.WRONG_FORM,
        "attributed-wrong-form",
    ),
    (
        "one address too many",
        REDIRECT,
        reply(0, FORGED, OTHER, ede=(16, 4)),
        FINE,
        Kind.WRONG_FORM,
        "attributed-wrong-form",
    ),
    # What must be blocked, unattributed.
    ("unblocked", NX, EXISTS, FINE, Kind.UNDERBLOCK, "resolves-though-blocked"),
    (
        "a declared limit",
        replace(NX, declared="any"),
        EXISTS,
        FINE,
        Kind.MOOT,
        "declared-limit",
    ),
    (
        "a declared limit that holds",
        replace(NX, declared="any"),
        BLOCK,
        FINE,
        Kind.OK,
        "blocked-with-attribution",
    ),
    ("marked", NX, MARKED, Evidence(profile=PROFILE), Kind.OK, "blocked-like-canary"),
    (
        "marked in another form",
        NODATA,
        MARKED,
        Evidence(profile=PROFILE),
        Kind.WRONG_FORM,
        "attributed-wrong-form",
    ),
    ("not marked", NX, reply(NXDOMAIN), Evidence(profile=PROFILE), Kind.INSUFFICIENT, "no-reference"),
    (
        "nothing to mark",
        NX,
        reply(NXDOMAIN),
        Evidence(profile=of(reply(NXDOMAIN))),
        Kind.INSUFFICIENT,
        "no-reference",
    ),
    ("drifted", NX, BLOCK, known(drift="soa"), Kind.WRONG_FORM, "canary-drifted"),
    (
        "drifted to nothing",
        NX,
        NOTHING,
        known(drift="soa", reference=NOTHING),
        Kind.WRONG_FORM,
        "canary-drifted",
    ),
    (
        "unblocked in part",
        NX,
        EXISTS,
        known(is_blocked_otherwise=True),
        Kind.PARTIAL,
        "blocked-in-part",
    ),
    ("unblocked, no reference", NX, EXISTS, Evidence(), Kind.UNDERBLOCK, "resolves-though-blocked"),
    (
        "redirected anywhere",
        REDIRECT,
        reply(0, OTHER),
        Evidence(),
        Kind.UNDERBLOCK,
        "resolves-though-blocked",
    ),
    (
        "redirected elsewhere, by the reference",
        REDIRECT,
        reply(0, OTHER),
        FINE,
        Kind.WRONG_FORM,
        "redirected-elsewhere",
    ),
    ("not redirected", REDIRECT, EXISTS, FINE, Kind.UNDERBLOCK, "resolves-though-blocked"),
    ("plain redirect", REDIRECT, reply(0, FORGED), FINE, Kind.OK, "redirected-as-ordered"),
    ("plain nx", NX, reply(NXDOMAIN), FINE, Kind.OK, "blocked-against-reference"),
    (
        "plain nx, no canaries",
        NX,
        reply(NXDOMAIN),
        known(controls=Controls.NONE),
        Kind.OK,
        "blocked-against-reference",
    ),
    ("plain nodata for nx", NX, reply(0), FINE, Kind.WRONG_FORM, "unattributed-wrong-form"),
    ("nx that never was", NX, reply(NXDOMAIN), known(reference=NOTHING), Kind.MOOT, "nothing-there"),
    ("no address there", NODATA, reply(0), known(reference=EMPTY), Kind.MOOT, "nothing-there"),
    ("nx, nobody to ask", NX, reply(NXDOMAIN), known(reference=None), Kind.INSUFFICIENT, "no-reference"),
    ("nx, reference fails", NX, reply(NXDOMAIN), known(reference=BROKEN), Kind.INSUFFICIENT, "no-reference"),
    (
        "nx, reference filtered",
        NX,
        reply(NXDOMAIN),
        known(reference=reply(NXDOMAIN, ede=(16,))),
        Kind.INSUFFICIENT,
        "no-reference",
    ),
    (
        "nx, resolved before",
        NX,
        reply(NXDOMAIN),
        known(reference=None, was_resolved=True),
        Kind.OK,
        "blocked-against-baseline",
    ),
    (
        "nx, controls fail",
        NX,
        reply(NXDOMAIN),
        known(controls=Controls.FAIL),
        Kind.INSUFFICIENT,
        "controls-failed",
    ),
    ("failure for nx", NX, BROKEN, FINE, Kind.INSUFFICIENT, "failure-proves-nothing"),
    ("refusal for nx", NX, reply(REFUSED), FINE, Kind.INSUFFICIENT, "failure-proves-nothing"),
    ("plain refusal", REFUSE, reply(REFUSED), FINE, Kind.OK, "refused-as-ordered"),
    (
        "refusal, controls fail",
        REFUSE,
        reply(REFUSED),
        known(controls=Controls.FAIL),
        Kind.INSUFFICIENT,
        "controls-failed",
    ),
    ("failure for refusal", REFUSE, BROKEN, FINE, Kind.WRONG_FORM, "failing-instead-of-refused"),
    ("silence for refusal", REFUSE, None, FINE, Kind.WRONG_FORM, "failing-instead-of-refused"),
    ("silence for nx", NX, None, FINE, Kind.INSUFFICIENT, "target-silent"),
    ("all silent", NX, None, known(controls=Controls.SILENT), Kind.UNREACHABLE, "point-silent"),
    ("silent, no canaries", NX, None, known(controls=Controls.NONE), Kind.UNREACHABLE, "point-silent"),
    ("silent, controls fail", NX, None, known(controls=Controls.FAIL), Kind.INSUFFICIENT, "controls-failed"),
    (
        "refuses us",
        NX,
        reply(REFUSED),
        known(controls=Controls.REFUSED),
        Kind.UNREACHABLE,
        "point-refuses-us",
    ),
    (
        "refuses us, too",
        FREE,
        reply(REFUSED),
        known(controls=Controls.REFUSED),
        Kind.UNREACHABLE,
        "point-refuses-us",
    ),
    ("cut off", NX, reply(0, flags=0x8380), FINE, Kind.INSUFFICIENT, "truncated"),
    # What must pass.
    ("passes", FREE, EXISTS, FINE, Kind.OK, "passes"),
    ("passes with other addresses", FREE, reply(0, EDGE), FINE, Kind.OK, "passes"),
    ("nowhere", FREE, reply(0, NOWHERE), FINE, Kind.OVERBLOCK, "nowhere-though-free"),
    ("lingers nowhere", ENDED, reply(0, OTHER), FINE, Kind.LINGERING, "nowhere-though-free"),
    ("nowhere at all", FREE, reply(0, NOWHERE), known(reference=reply(0, NOWHERE)), Kind.OK, "passes"),
    ("nowhere, and nobody knows", FREE, reply(0, NOWHERE), Evidence(), Kind.OK, "passes"),
    ("marked though free", FREE, MARKED, known(profile=PROFILE), Kind.OVERBLOCK, "blocked-though-free"),
    ("marked after its end", ENDED, MARKED, known(profile=PROFILE), Kind.LINGERING, "blocked-though-free"),
    ("alias denied whole", FREE, reply(NXDOMAIN), known(blocked_aliases=LED), Kind.OK, "alias-of-blocked"),
    (
        "alias redirected",
        FREE,
        reply(0, FORGED),
        known(forged=frozenset({FORGED}), blocked_aliases=LED),
        Kind.OK,
        "alias-of-blocked",
    ),
    ("alias leaks", FREE, LEADING, known(blocked_aliases=LED), Kind.UNDERBLOCK, "alias-leaks"),
    (
        "alias leaks, as declared",
        replace(FREE, misses_aliases=True),
        LEADING,
        known(blocked_aliases=LED),
        Kind.MOOT,
        "declared-limit",
    ),
    ("another alias here", FREE, EXISTS, known(blocked_aliases=LED), Kind.OK, "passes"),
    (
        "attributed and real",
        NX,
        reply(0, REAL, ede=(16,)),
        FINE,
        Kind.UNDERBLOCK,
        "resolves-though-blocked",
    ),
    ("redirected to an edge", REDIRECT, reply(0, EDGE), FINE, Kind.UNDERBLOCK, "resolves-though-blocked"),
    ("canary", CANARY, EXISTS, Evidence(), Kind.OK, "passes"),
    ("over-wide", FREE, reply(NXDOMAIN, ede=(16,)), FINE, Kind.OVERBLOCK, "blocked-though-free"),
    ("canary blocked", CANARY, reply(NXDOMAIN, ede=(16,)), FINE, Kind.OVERBLOCK, "blocked-though-free"),
    ("early", COMING, reply(NXDOMAIN, ede=(16,)), FINE, Kind.EARLY, "blocked-though-free"),
    ("lingering", ENDED, reply(NXDOMAIN, ede=(16,)), FINE, Kind.LINGERING, "blocked-though-free"),
    (
        "attributed redirect lingers",
        ENDED,
        reply(0, FORGED, ede=(16, 4)),
        FINE,
        Kind.LINGERING,
        "blocked-though-free",
    ),
    (
        "alias",
        FREE,
        reply(NXDOMAIN, ede=(16,), alias="bad.example"),
        known(blocked_aliases=frozenset({key("bad.example")})),
        Kind.OK,
        "alias-of-blocked",
    ),
    (
        "alias to a free name",
        FREE,
        reply(NXDOMAIN, ede=(16,), alias="good.example"),
        FINE,
        Kind.OVERBLOCK,
        "blocked-though-free",
    ),
    (
        "forged",
        FREE,
        reply(0, FORGED),
        known(forged=frozenset({FORGED})),
        Kind.OVERBLOCK,
        "forged-though-free",
    ),
    (
        "forged lingers",
        ENDED,
        reply(0, FORGED),
        known(forged=frozenset({FORGED})),
        Kind.LINGERING,
        "forged-though-free",
    ),
    (
        "really there",
        FREE,
        reply(0, FORGED),
        known(forged=frozenset({FORGED}), reference=reply(0, FORGED)),
        Kind.OK,
        "passes",
    ),
    ("denied", FREE, reply(NXDOMAIN), FINE, Kind.OVERBLOCK, "denied-though-free"),
    ("denied early", COMING, reply(0), FINE, Kind.EARLY, "denied-though-free"),
    ("denied, still", ENDED, reply(NXDOMAIN), FINE, Kind.LINGERING, "denied-though-free"),
    (
        "denied, controls fail",
        FREE,
        reply(NXDOMAIN),
        known(controls=Controls.FAIL),
        Kind.INSUFFICIENT,
        "controls-failed",
    ),
    ("never was", FREE, reply(NXDOMAIN), known(reference=NOTHING), Kind.MOOT, "nothing-there"),
    ("not yet, never was", COMING, reply(NXDOMAIN), known(reference=NOTHING), Kind.MOOT, "nothing-there"),
    ("no such records", FREE, reply(0), known(reference=EMPTY), Kind.OK, "denied-like-reference"),
    (
        "denied, nobody to ask",
        FREE,
        reply(NXDOMAIN),
        known(reference=None),
        Kind.INSUFFICIENT,
        "no-reference",
    ),
    (
        "lift of a name that never was",
        ENDED,
        reply(NXDOMAIN),
        known(reference=NOTHING),
        Kind.MOOT,
        "nothing-there",
    ),
    (
        "lift seen by attribution",
        ENDED,
        reply(NXDOMAIN),
        known(reference=NOTHING, was_attributed=True),
        Kind.OK,
        "attribution-gone",
    ),
    (
        "a cached denial of a name that exists is no lift",
        ENDED,
        reply(NXDOMAIN),
        known(was_attributed=True),
        Kind.LINGERING,
        "denied-though-free",
    ),
    (
        "nor is an empty answer for it",
        ENDED,
        reply(0),
        known(was_attributed=True),
        Kind.LINGERING,
        "denied-though-free",
    ),
    (
        "nor a denial of a name with other records",
        ENDED,
        reply(NXDOMAIN),
        known(reference=EMPTY, was_attributed=True),
        Kind.LINGERING,
        "denied-though-free",
    ),
    (
        "a denial that the controls share",
        ENDED,
        reply(NXDOMAIN),
        known(controls=Controls.FAIL, was_attributed=True),
        Kind.INSUFFICIENT,
        "controls-failed",
    ),
    (
        "lift seen by attribution alone",
        ENDED,
        reply(NXDOMAIN),
        known(reference=NOTHING, was_attributed=True),
        Kind.OK,
        "attribution-gone",
    ),
    (
        "no lift without a reference",
        ENDED,
        reply(NXDOMAIN),
        known(reference=None, was_attributed=True),
        Kind.INSUFFICIENT,
        "no-reference",
    ),
    (
        "no lift where controls fail",
        ENDED,
        reply(NXDOMAIN),
        known(reference=NOTHING, was_attributed=True, controls=Controls.FAIL),
        Kind.MOOT,
        "nothing-there",
    ),
    (
        "no lift of what resolved here before",
        ENDED,
        reply(NXDOMAIN),
        known(reference=NOTHING, was_attributed=True, was_resolved=True),
        Kind.MOOT,
        "nothing-there",
    ),
    (
        "lift seen by attribution, no such records",
        ENDED,
        reply(0),
        known(reference=EMPTY, was_attributed=True),
        Kind.OK,
        "attribution-gone",
    ),
    (
        "a failure lifts nothing",
        ENDED,
        BROKEN,
        known(was_attributed=True),
        Kind.INSUFFICIENT,
        "failure-proves-nothing",
    ),
    ("refused", FREE, reply(REFUSED), FINE, Kind.OVERBLOCK, "refused-though-free"),
    ("refused, still", ENDED, reply(REFUSED), known(reference=None), Kind.LINGERING, "refused-though-free"),
    (
        "refused there too",
        FREE,
        reply(REFUSED),
        known(reference=reply(REFUSED)),
        Kind.INSUFFICIENT,
        "failure-proves-nothing",
    ),
    (
        "refused, controls fail",
        FREE,
        reply(REFUSED),
        known(controls=Controls.FAIL),
        Kind.INSUFFICIENT,
        "controls-failed",
    ),
    ("fails", FREE, BROKEN, FINE, Kind.INSUFFICIENT, "failure-proves-nothing"),
    ("silent", FREE, None, FINE, Kind.INSUFFICIENT, "target-silent"),
    # No way to ask. What comes before the question is the point's fault, whatever the controls met:
    # of two instances one may have the old certificate.
    *(
        (
            f"{trouble}, {met}",
            asked,
            trouble,
            known(controls=met),
            Kind.UNREACHABLE,
            trouble,
        )
        for asked, met in ((NX, Controls.SILENT), (REFUSE, Controls.PASS), (FREE, Controls.FAIL))
        for trouble in (
            "not-connected",
            "certificate-wrong-name",
            "certificate-expired",
            "certificate-untrusted",
            "certificate-refused",
            "tls-failed",
        )
    ),
    # What comes after the question may be the name's, and the controls tell.
    *(
        (f"{trouble}, {label}", asked, trouble, known(controls=controls), kind, rule or trouble)
        for trouble in ("http-failed", "http-status", "not-dns-message")
        for label, asked, controls, kind, rule in (
            ("always", NX, Controls.SILENT, Kind.UNREACHABLE, ""),
            ("now and then", NX, Controls.FAIL, Kind.UNREACHABLE, ""),
            ("no canaries", NX, Controls.NONE, Kind.UNREACHABLE, ""),
            ("for a blocked name", NX, Controls.PASS, Kind.INSUFFICIENT, "target-silent"),
            ("for a free name", FREE, Controls.PASS, Kind.INSUFFICIENT, "target-silent"),
            ("for refused", REFUSE, Controls.PASS, Kind.WRONG_FORM, "failing-instead-of-refused"),
        )
    ),
    (
        "our own fault",
        NX,
        "ca-unreadable",
        known(controls=Controls.SILENT),
        Kind.INSUFFICIENT,
        "ca-unreadable",
    ),
    ("an unknown word", NX, "gremlins", known(controls=Controls.SILENT), Kind.UNREACHABLE, "point-silent"),
]


@pytest.mark.parametrize(
    ("expectation", "came", "evidence", "kind", "rule"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_two_samples_alike_mean(
    expectation: Expectation, came: Reply | str | None, evidence: Evidence, kind: Kind, rule: str
) -> None:
    finding = judge(expectation, [saw(came), saw(came, at=T + 1)], evidence)
    assert finding is not None
    assert (finding.kind, finding.rule) == (kind, rule)
    assert (finding.point, finding.order, finding.ref) == ("p1", "court/o1", "court/o1/d")


@pytest.mark.parametrize(
    ("expectation", "came", "evidence", "kind", "rule"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_one_sample_never_says_anything_bad(
    expectation: Expectation, came: Reply | str | None, evidence: Evidence, kind: Kind, rule: str
) -> None:
    finding = judge(expectation, [saw(came)], evidence)
    assert finding is not None
    if kind in BAD:
        assert (finding.kind, finding.rule) == (Kind.INSUFFICIENT, "second-sample-pending")
        assert rule in finding.detail
    else:
        assert (finding.kind, finding.rule) == (kind, rule)


def test_the_table_has_every_rule_and_every_kind() -> None:
    of_two_samples = {"samples-disagree", "second-sample-pending", "answers-differ", "second-origin"}
    of_two_samples.add("one-instance")
    assert {row[5] for row in TABLE} == set(RULES) - of_two_samples
    assert {row[4] for row in TABLE} == set(Kind) - {Kind.CONFLICT, Kind.INJECTED}


def test_every_rule_is_a_sentence() -> None:
    assert all(text[0].isupper() and text.endswith(".") for text in RULES.values())


@pytest.mark.parametrize("row", TABLE, ids=[row[0] for row in TABLE])
def test_details_hold_no_names(row: tuple[str, Expectation, Reply | str | None, Evidence, Kind, str]) -> None:
    finding = judge(row[1], [saw(row[2])], row[3])
    assert finding is not None
    assert "secret-name" not in finding.detail
    assert "example" not in finding.detail


def of_instances(*seen: tuple[bytes, Reply]) -> list[Observation]:
    """Samples, one a second, each by the instance with this NSID."""
    return [saw(replace(what, nsid=nsid), at=T + at) for at, (nsid, what) in enumerate(seen)]


def test_an_instance_that_answers_otherwise_twice_is_told() -> None:
    leak, block = (b"r1", EXISTS), (b"r1", BLOCK)
    finding = judge(NX, of_instances(leak, (b"r2", BLOCK), leak), FINE)
    assert finding is not None
    assert (finding.kind, finding.rule) == (Kind.PARTIAL, "one-instance")
    finding = judge(FREE, of_instances(block, (b"r2", EXISTS), block), FINE)
    assert finding is not None
    assert (finding.kind, finding.rule) == (Kind.OVERBLOCK, "one-instance")


def test_more_samples_are_wanted_while_instances_disagree_and_none_was_seen_twice() -> None:
    samples = of_instances((b"r1", EXISTS), (b"r2", BLOCK))
    assert wants_more(judge(NX, samples, FINE), samples)
    alike = of_instances((b"r1", EXISTS), (b"r1", BLOCK))
    assert not wants_more(judge(NX, alike, FINE), alike)
    assert not wants_more(None, [])


def test_a_name_that_is_known_to_be_blocked_otherwise_leaks_in_part() -> None:
    finding = judge(NX, [saw(EXISTS), saw(EXISTS, at=T + 1)], FINE)
    assert finding is not None
    assert (in_part(finding).kind, in_part(finding).rule) == (Kind.PARTIAL, "blocked-in-part")
    fine = judge(NX, [saw(BLOCK)], FINE)
    assert fine is not None
    assert in_part(fine) is fine


@pytest.mark.parametrize("controls", [Controls.PASS, Controls.SILENT])
def test_a_trouble_is_told_whatever_the_rule(controls: Controls) -> None:
    finding = judge(NX, [saw("http-status"), saw("http-status", at=T + 1)], known(controls=controls))
    assert finding is not None
    assert finding.detail.endswith("the point can't be reached: http-status")


@pytest.mark.parametrize("other", ["tls-failed", "not-connected", "silence"])
@pytest.mark.parametrize("first", [True, False])
def test_a_bad_certificate_seen_once_tells_more_than_a_connection_that_broke(
    other: str,
    first: bool,  # whether the certificate was seen first
) -> None:
    came = ["certificate-expired", None if other == "silence" else other]
    samples = [saw(one, at=T + at) for at, one in enumerate(came if first else reversed(came))]
    finding = judge(NX, samples, known(controls=Controls.SILENT))
    assert finding is not None
    assert (finding.kind, finding.rule) == (Kind.UNREACHABLE, "certificate-expired")


def test_two_samples_that_disagree_prove_nothing() -> None:
    finding = judge(NX, [saw(EXISTS), saw(reply(NXDOMAIN, ede=(16,)), at=T + 1)], FINE)
    assert finding is not None
    assert (finding.kind, finding.rule) == (Kind.INSUFFICIENT, "samples-disagree")


def test_a_lost_datagram_contradicts_nothing() -> None:
    finding = judge(NX, [saw(None), saw(reply(NXDOMAIN, ede=(16,)), at=T + 1)], FINE)
    assert finding is not None
    assert finding.kind is Kind.OK


def test_a_lost_second_sample_leaves_the_bad_one_alone() -> None:
    finding = judge(NX, [saw(EXISTS), saw(None, at=T + 1)], FINE)
    assert finding is not None
    assert finding.rule == "second-sample-pending"


def arrived(what: Reply, ip_ttl: int | None = 64) -> Arrival:
    return Arrival(reply=what, octets=b"", latency=0.1, ip_ttl=ip_ttl)


ORIGINS = [
    ("alike", [arrived(EXISTS), arrived(NOTHING)], Kind.CONFLICT),
    ("told nothing", [arrived(EXISTS, None), arrived(NOTHING)], Kind.CONFLICT),
    ("unknown", [], Kind.CONFLICT),
    ("another distance", [arrived(EXISTS), arrived(NOTHING, 61)], Kind.INJECTED),
    ("a repetition from afar is none", [arrived(EXISTS), arrived(EXISTS, 61), arrived(EMPTY)], Kind.CONFLICT),
    ("one attributed", [arrived(EXISTS), arrived(BLOCK)], Kind.INJECTED),
    ("another instance", [arrived(replace(EXISTS, nsid=b"r1")), arrived(NOTHING)], Kind.INJECTED),
]


@pytest.mark.parametrize(("arrivals", "kind"), [row[1:] for row in ORIGINS], ids=[row[0] for row in ORIGINS])
def test_contradicting_answers_to_one_query_are_told_apart_by_their_marks(
    arrivals: list[Arrival], kind: Kind
) -> None:
    sample = saw(EXISTS, differing=1, arrivals=tuple(arrivals))
    pending = judge(NX, [sample], FINE)
    assert pending is not None
    assert (pending.kind, pending.rule) == (Kind.INSUFFICIENT, "second-sample-pending")
    for samples in ([sample, saw(BLOCK, at=T + 1)], [saw(EXISTS), sample]):
        finding = judge(NX, samples, FINE)
        assert finding is not None
        assert finding.kind is kind


@pytest.mark.parametrize(
    ("at", "took"),
    [(T - 101, 2.0), (T + 99, 2.0), (T - 200, 1.0), (T + 100, 0.1), (T + 50, 60.0), (T + 50, -3000.0)],
    ids=["over the start", "over the end", "before", "after", "slow", "clock stepped back"],
)
def test_an_answer_under_way_at_a_transition_is_not_judged(at: float, took: float) -> None:
    assert judge(NX, [saw(EXISTS, at=at, took=took)], FINE) is None


def test_an_open_stretch_has_no_end() -> None:
    assert judge(expected(Form.NXDOMAIN, until=None), [saw(EXISTS, at=T + 10**6)], FINE) is not None


def test_only_the_sample_within_the_stretch_is_judged() -> None:
    block = reply(NXDOMAIN, ede=(16,))
    finding = judge(NX, [saw(EXISTS, at=T - 101, took=2.0), saw(block)], FINE)
    assert finding is not None
    assert finding.kind is Kind.OK


@pytest.mark.parametrize(
    ("qtype", "data", "kind"),
    [(A, FORGED, Kind.OK), (AAAA, ip_address("2001:db8::1").packed, Kind.OK), (15, None, Kind.OK)],
)
def test_a_redirect_answers_each_type_with_its_own_family(qtype: int, data: bytes | None, kind: Kind) -> None:
    records = () if data is None else (Record(owner=NAME, rtype=qtype, ttl=1, data=data),)
    came = Reply(rcode=NOERROR, answers=records, extended=(Extended(code=16),))
    finding = judge(replace(REDIRECT, qtype=qtype), [saw(came, qtype=qtype)], FINE)
    assert finding is not None
    assert finding.kind is kind


def test_a_second_family_leaking_real_addresses_is_not_ok() -> None:
    real = Record(owner=NAME, rtype=AAAA, ttl=1, data=ip_address("2001:db8::7").packed)
    came = Reply(rcode=NOERROR, answers=(real,))
    samples = [saw(came, qtype=AAAA), saw(came, qtype=AAAA, at=T + 1)]
    finding = judge(replace(NX, qtype=AAAA), samples, FINE)
    assert finding is not None
    assert finding.kind is Kind.UNDERBLOCK


@pytest.mark.parametrize(
    ("replies", "mark"),
    [
        ([], Controls.NONE),
        ([EXISTS, EXISTS], Controls.PASS),
        ([EXISTS, NOTHING], Controls.PASS),
        ([EXISTS, None], Controls.FAIL),
        ([None, None], Controls.SILENT),
        ([reply(REFUSED), reply(REFUSED)], Controls.REFUSED),
        ([EXISTS, reply(REFUSED)], Controls.FAIL),
        ([BROKEN, BROKEN], Controls.FAIL),
        ([EXISTS, reply(NXDOMAIN, ede=(16,))], Controls.FAIL),
    ],
)
def test_controls_pass_only_together(replies: list[Reply | None], mark: Controls) -> None:
    assert controls_of([saw(one) for one in replies]) is mark


def test_an_unreachable_point_is_said_to_be_so() -> None:
    gone = saw(None, outcome=Outcome.UNREACHABLE)
    finding = judge(NX, [gone, gone], known(controls=Controls.SILENT))
    assert finding is not None
    assert finding.kind is Kind.UNREACHABLE
    assert "can't be reached" in finding.detail
