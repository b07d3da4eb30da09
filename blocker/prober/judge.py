"""What observations mean: expectation, samples and evidence in, one Finding out.

Pure, and the only place that interprets. The rules of honest probing (design: probe, finding):

- NXDOMAIN of a name that never existed proves nothing. A block counts when the answer attributes itself
  (EDE 16), or when the reference, or this point before, says that the name exists.
- SERVFAIL, REFUSED and silence count as a block only if `refused` was ordered and the controls pass.
- What can't be told is `insufficient`; it is never shown as fine.
- Nothing bad is said on one sample; lost datagrams alone contradict nothing.
- An observation under way while the policy changed is not judged: its grace is its own time of travel.

Details say what was seen and hold no domain names, for findings of sealed orders travel too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING

from blocker.orders.model import Form
from blocker.prober import profile
from blocker.prober.expect import Why
from blocker.prober.observe import (
    AAAA,
    ANY,
    NOERROR,
    NXDOMAIN,
    REFUSED,
    TROUBLES,
    A,
    Observation,
    Outcome,
    Reply,
    Variant,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocker.names import Key
    from blocker.prober.expect import Expectation
    from blocker.prober.profile import Profile


class Kind(StrEnum):
    """The judgements."""

    OK = "ok"
    UNDERBLOCK = "underblock"
    OVERBLOCK = "overblock"
    EARLY = "early"
    LINGERING = "lingering"
    WRONG_FORM = "wrong-form"
    PARTIAL = "partial"
    INJECTED = "injected"
    CONFLICT = "conflict"
    MOOT = "moot"
    UNREACHABLE = "unreachable"
    INSUFFICIENT = "insufficient"


BAD = frozenset(Kind) - {Kind.OK, Kind.MOOT, Kind.INSUFFICIENT}

VERSION = 4
"""Of the rules: it grows with each change of what one of them says. Evidence keeps it beside each finding."""

RULES: dict[str, str] = {
    "blocked-with-attribution": "The answer has the ordered form and says itself that it was required.",
    "blocked-against-reference": "The answer has the ordered form, and the reference says the name exists.",
    "blocked-against-baseline": "The answer has the ordered form, and the name resolved here before.",
    "blocked-like-canary": "The answer has the ordered form, and the mark of the canary order's blocks here.",
    "refused-as-ordered": "The point refuses this name and answers its controls.",
    "redirected-as-ordered": "The answer carries exactly the ordered addresses.",
    "passes": "The name resolves, as it must.",
    "denied-like-reference": "The name has no such records here nor at the reference.",
    "attribution-gone": "The point said that it blocks this directive's names, and no longer does; "
    "nothing says that the name exists.",
    "alias-of-blocked": "The name passes, and its alias leads to a name that is blocked.",
    "alias-leaks": "An alias of a name that must be blocked is answered with where it leads.",
    "nowhere-though-free": "A name that no order blocks is answered with addresses that lead nowhere, "
    "and not at the reference.",
    "resolves-though-blocked": "A name that must be blocked resolves.",
    "declared-limit": "The point is declared not to reach this, so nothing else could be expected.",
    "one-instance": "One instance of the point answers otherwise than another.",
    "canary-drifted": "The canary order's block has another form than the point's blocks had before.",
    "blocked-in-part": "A name resolves that is blocked when it is asked for in another way.",
    "redirected-elsewhere": "A name that must be redirected has addresses that lead nowhere, and not the "
    "ordered ones.",
    "attributed-wrong-form": "The block is attributed, but its form is not the ordered one.",
    "unattributed-wrong-form": "An existing name is denied in another form than the ordered one.",
    "failing-instead-of-refused": "The name must be refused, and it fails or is met with silence.",
    "blocked-though-free": "A name that no order in force blocks is answered as blocked.",
    "forged-though-free": "A name that no order in force blocks is answered with a redirect's address.",
    "denied-though-free": "A name that exists at the reference and that no order blocks is denied.",
    "refused-though-free": "A name that no order blocks is refused, while the controls pass.",
    "nothing-there": "The name does not exist at the reference, so its absence proves nothing.",
    "point-silent": "The point answers neither the probe nor its controls.",
    "point-refuses-us": "The point refuses the probe and its controls alike.",
    "target-silent": "The point is silent about this name but answers its controls.",
    "controls-failed": "The controls around the probe did not pass.",
    "no-reference": "The answer is not attributed, and no reference says whether the name exists.",
    "failure-proves-nothing": "A failure is no block unless refusal was ordered.",
    "truncated": "The answer was cut off before its answer section.",
    "second-origin": "Two contradicting answers came to one query, and their marks (IP TTL, NSID, "
    "attribution) show that they are not of one origin.",
    "answers-differ": "Two contradicting answers came to one query.",
    "samples-disagree": "Two samples in a row were judged differently.",
    "second-sample-pending": "One sample looks bad; nothing bad is said before the second.",
    **TROUBLES,
}

_OURS = frozenset({"ca-unreadable"})
_PERHAPS_OF_THE_NAME = frozenset({"http-failed", "http-status", "not-dns-message"})
"""They come after the question: only the controls tell whether they are the point's trouble or the name's."""


class Controls(StrEnum):
    """How the controls before and after the probe fared; NONE if there were none."""

    PASS = "pass"  # noqa: S105  # a judgement, not a password
    FAIL = "fail"
    REFUSED = "refused"
    SILENT = "silent"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known beside the samples.

    `reference` is an unfiltered resolver's reply to the same question. `was_attributed`: this point was seen
    to attribute its blocks of this directive. `was_resolved`: this very name resolved here earlier.
    `is_blocked_otherwise`: since the last transition it was seen blocked here when asked in another way.
    `profile` is what the point's blocks look like, and `drift` in what those of the canary order now differ
    from it, if this is a question about that order. `forged` holds the RDATA of every redirect address of
    the policy. `blocked_aliases` are names that some order in force blocks, for the targets of aliases.
    `control_samples` and `reference_seen` are what `controls` and `reference` were made from, where that is
    known: no rule of today asks for them.
    """

    controls: Controls = Controls.NONE
    reference: Reply | None = None
    was_attributed: bool = False
    was_resolved: bool = False
    is_blocked_otherwise: bool = False
    profile: Profile | None = None
    drift: str = ""
    forged: frozenset[bytes] = frozenset()
    blocked_aliases: frozenset[Key] = frozenset()
    control_samples: tuple[Observation, ...] = ()
    reference_seen: Observation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One judgement. `at` is when the judged answer came (epoch seconds); `detail` holds no names."""

    kind: Kind
    rule: str
    point: str
    order: str
    ref: str
    why: Why
    name: Key
    qtype: int
    variant: Variant
    at: float
    detail: str


def controls_of(observations: Sequence[Observation]) -> Controls:
    """How controls fared together: all must have been answered, none with a refusal or a block."""
    if not observations:
        return Controls.NONE
    replies = [one.reply for one in observations]
    if all(reply is None for reply in replies):
        return Controls.SILENT
    if all(reply is not None and reply.rcode == REFUSED for reply in replies):
        return Controls.REFUSED
    if all(
        reply is not None and reply.rcode in (NOERROR, NXDOMAIN) and not reply.is_attributed
        for reply in replies
    ):
        return Controls.PASS
    return Controls.FAIL


def judge(expectation: Expectation, samples: Sequence[Observation], evidence: Evidence) -> Finding | None:
    """The judgement on one or two samples in the order they were taken.

    None if the policy changed while all of them were under way.
    """
    judged = [(one, one.reply) for one in samples if one.reply is not None and _is_within(expectation, one)]
    lost = [one for one in samples if one.reply is None]
    if not judged and not lost:
        return None
    contradicted = [one for one, _ in judged if one.differing]
    if contradicted:  # It proves itself, so that it need not come twice; but it is asked for twice.
        kind, rule = max(map(_contradicted, contradicted))
        if len(samples) < 2:
            return _finding(expectation, contradicted[-1], Kind.INSUFFICIENT, "second-sample-pending", rule)
        return _finding(expectation, contradicted[-1], kind, rule)
    marks = [(one, *_mark(expectation, reply, evidence)) for one, reply in judged]
    if not marks:
        # What is wrong with a certificate was seen; a connection that broke may break for anything.
        lost.sort(key=lambda one: one.trouble.startswith("certificate-"))
        marks = [(one, *_mark_silence(expectation, one, evidence)) for one in lost]
    # What was cut off said nothing, once it was asked for again.
    marks = [mark for mark in marks if mark[2] != "truncated"] or marks
    kinds = {kind for _, kind, _ in marks}
    sample, kind, rule = marks[-1]
    if kinds & BAD:
        if len(marks) < 2:
            return _finding(expectation, sample, Kind.INSUFFICIENT, "second-sample-pending", rule)
        if len(kinds) > 1:
            return _of_instances(expectation, marks)
    else:
        rank = [Kind.OK, Kind.MOOT, Kind.INSUFFICIENT]
        sample, kind, rule = min(reversed(marks), key=lambda mark: rank.index(mark[1]))
    return _finding(expectation, sample, kind, rule)


_Mark = tuple[Observation, Kind, str]


def _of_instances(expectation: Expectation, marks: Sequence[_Mark]) -> Finding:
    """Samples that disagree prove nothing, unless one instance was seen twice to do what others don't."""
    by_instance: dict[bytes, list[_Mark]] = {}
    for mark in marks:
        by_instance.setdefault(mark[0].reply.nsid if mark[0].reply else b"", []).append(mark)
    for own in by_instance.values() if len(by_instance) > 1 else ():
        kinds = {kind for _, kind, _ in own}
        sample, kind, rule = own[-1]
        if len(own) > 1 and len(kinds) == 1 and kind in BAD:
            is_part = kind is Kind.UNDERBLOCK
            return _finding(expectation, sample, Kind.PARTIAL if is_part else kind, "one-instance", rule)
    sample, _, rule = marks[-1]
    return _finding(expectation, sample, Kind.INSUFFICIENT, "samples-disagree", rule)


def wants_more(finding: Finding | None, samples: Sequence[Observation]) -> bool:
    """Whether more samples could tell: instances disagree and none of them was seen twice, or what looks bad
    was seen once only, for the rest was cut off.
    """
    if finding is None or finding.rule not in ("samples-disagree", "second-sample-pending"):
        return False
    if finding.rule == "second-sample-pending":
        return any(one.reply is not None and one.reply.is_truncated for one in samples)
    return len({one.reply.nsid for one in samples if one.reply is not None}) > 1


def in_part(finding: Finding) -> Finding:
    """A finding that a name resolves, once it is known to be blocked in other ways."""
    if finding.kind is not Kind.UNDERBLOCK:
        return finding
    return replace(finding, kind=Kind.PARTIAL, rule="blocked-in-part")


def _contradicted(one: Observation) -> tuple[Kind, str]:
    """Whether the answers are of one origin, as far as their marks tell."""
    for other in one.contradicting:
        first = one.arrivals[0]
        ttls = {first.ip_ttl, other.ip_ttl}
        if (
            (len(ttls) > 1 and None not in ttls)
            or first.reply.nsid != other.reply.nsid
            or first.reply.is_attributed != other.reply.is_attributed
        ):
            return Kind.INJECTED, "second-origin"
    return Kind.CONFLICT, "answers-differ"


def _is_within(expectation: Expectation, one: Observation) -> bool:
    """Whether no transition fell into the time between sending and receiving."""
    received = one.sent if one.received is None else one.received
    # A stepped clock may put the answer before the question.
    return min(one.sent, received) >= expectation.since and (
        expectation.until is None or max(one.sent, received) < expectation.until
    )


def _mark(expectation: Expectation, reply: Reply, evidence: Evidence) -> tuple[Kind, str]:
    kind, rule = _marked(expectation, reply, evidence)
    if expectation.declared and kind is not Kind.OK:
        return Kind.MOOT, "declared-limit"
    if evidence.drift and kind in (Kind.OK, Kind.MOOT):
        return Kind.WRONG_FORM, "canary-drifted"
    return kind, rule


def _marked(expectation: Expectation, reply: Reply, evidence: Evidence) -> tuple[Kind, str]:
    if reply.is_truncated and not reply.is_attributed and not reply.answers:
        return Kind.INSUFFICIENT, "truncated"
    if reply.rcode == REFUSED and not reply.is_attributed and evidence.controls is Controls.REFUSED:
        return Kind.UNREACHABLE, "point-refuses-us"
    if expectation.form is None:
        return _must_pass(expectation, reply, evidence)
    return _must_block(expectation, expectation.form, reply, evidence)


def _mark_silence(expectation: Expectation, lost: Observation, evidence: Evidence) -> tuple[Kind, str]:
    if lost.trouble in _OURS:
        return Kind.INSUFFICIENT, lost.trouble
    if lost.trouble in TROUBLES and (
        lost.trouble not in _PERHAPS_OF_THE_NAME or evidence.controls is not Controls.PASS
    ):
        return Kind.UNREACHABLE, lost.trouble
    if evidence.controls is Controls.PASS:
        if expectation.form is Form.REFUSED:
            return Kind.WRONG_FORM, "failing-instead-of-refused"
        return Kind.INSUFFICIENT, "target-silent"
    if evidence.controls in (Controls.SILENT, Controls.NONE):
        return Kind.UNREACHABLE, "point-silent"
    return Kind.INSUFFICIENT, "controls-failed"


def _must_block(expectation: Expectation, form: Form, reply: Reply, evidence: Evidence) -> tuple[Kind, str]:
    has_form = _has_form(expectation, form, reply)
    real = evidence.reference.data_of(expectation.qtype) if evidence.reference else frozenset()
    if reply.is_attributed and (has_form or real.isdisjoint(reply.data_of(expectation.qtype))):
        return (
            (Kind.OK, "blocked-with-attribution") if has_form else (Kind.WRONG_FORM, "attributed-wrong-form")
        )
    if reply.data_of(expectation.qtype):
        if form is Form.REDIRECT and has_form:
            return Kind.OK, "redirected-as-ordered"
        if form is Form.REDIRECT and addresses_of(expectation) and _leads_elsewhere(expectation, reply, real):
            return Kind.WRONG_FORM, "redirected-elsewhere"
        if evidence.is_blocked_otherwise:
            return Kind.PARTIAL, "blocked-in-part"
        return Kind.UNDERBLOCK, "resolves-though-blocked"
    if reply.rcode in (NOERROR, NXDOMAIN):
        return _denied(expectation, reply, evidence)
    if form is not Form.REFUSED:
        return Kind.INSUFFICIENT, "failure-proves-nothing"
    if evidence.controls is not Controls.PASS:
        return Kind.INSUFFICIENT, "controls-failed"
    return (Kind.OK, "refused-as-ordered") if has_form else (Kind.WRONG_FORM, "failing-instead-of-refused")


def _leads_elsewhere(expectation: Expectation, reply: Reply, real: frozenset[bytes]) -> bool:
    """Whether the addresses are surely not the service's: it may have others than the reference was told."""
    data = reply.data_of(expectation.qtype)
    return bool(real) and real.isdisjoint(data) and leads_nowhere(reply, expectation.qtype)


def _denied(expectation: Expectation, reply: Reply, evidence: Evidence) -> tuple[Kind, str]:
    """NXDOMAIN or NODATA, without attribution, for a name that must be blocked."""
    if _is_marked(reply, evidence):
        has_form = looks_ordered(expectation, reply)
        return (Kind.OK, "blocked-like-canary") if has_form else (Kind.WRONG_FORM, "attributed-wrong-form")
    exists = _exists(expectation.qtype, evidence.reference)
    if exists is False:
        return Kind.MOOT, "nothing-there"
    if exists is None and not evidence.was_resolved:
        return Kind.INSUFFICIENT, "no-reference"
    if evidence.controls in (Controls.FAIL, Controls.SILENT):
        return Kind.INSUFFICIENT, "controls-failed"
    if not looks_ordered(expectation, reply):
        return Kind.WRONG_FORM, "unattributed-wrong-form"
    return Kind.OK, "blocked-against-reference" if exists else "blocked-against-baseline"


def _must_pass(expectation: Expectation, reply: Reply, evidence: Evidence) -> tuple[Kind, str]:
    bad = {Why.COMING: Kind.EARLY, Why.ENDED: Kind.LINGERING}.get(expectation.why, Kind.OVERBLOCK)
    data = reply.data_of(expectation.qtype)
    is_made_up = _is_made_up(expectation, reply, evidence)
    if evidence.blocked_aliases:
        if reply.is_attributed or is_made_up or not data:
            return Kind.OK, "alias-of-blocked"
        if not evidence.blocked_aliases.isdisjoint(reply.targets):
            return (
                (Kind.MOOT, "declared-limit")
                if expectation.misses_aliases
                else (Kind.UNDERBLOCK, "alias-leaks")
            )
    if reply.is_attributed or _is_marked(reply, evidence):
        return bad, "blocked-though-free"
    if is_made_up:
        return bad, is_made_up
    if data:
        return Kind.OK, "passes"
    if reply.rcode in (NOERROR, NXDOMAIN):
        return _free_but_denied(expectation, bad, reply, evidence)
    if reply.rcode != REFUSED or (evidence.reference and evidence.reference.rcode == REFUSED):
        return Kind.INSUFFICIENT, "failure-proves-nothing"
    if evidence.controls is not Controls.PASS:
        return Kind.INSUFFICIENT, "controls-failed"
    return bad, "refused-though-free"


def _is_marked(reply: Reply, evidence: Evidence) -> bool:
    """Whether the answer has the mark of the point's blocks."""
    mark = evidence.profile.mark if evidence.profile else None
    return mark is not None and mark == profile.of(reply).mark


def _is_made_up(expectation: Expectation, reply: Reply, evidence: Evidence) -> str:
    """The rule by which the addresses are none of the name's; empty if nothing says so."""
    data = reply.data_of(expectation.qtype)
    real = evidence.reference.data_of(expectation.qtype) if evidence.reference else frozenset()
    if not data or not data.isdisjoint(real):
        return ""
    if not data.isdisjoint(evidence.forged):
        return "forged-though-free"
    return "nowhere-though-free" if real and leads_nowhere(reply, expectation.qtype) else ""


def leads_nowhere(reply: Reply, qtype: int) -> bool:
    """Whether all addresses of the answer are for special use (RFC 6890): no service has such a one."""
    data = reply.data_of(qtype)
    return qtype in (A, AAAA) and bool(data) and not any(ip_address(one).is_global for one in _sound(data))


def _sound(data: Iterable[bytes]) -> list[bytes]:
    return [one for one in data if len(one) in (4, 16)]


def _free_but_denied(
    expectation: Expectation, bad: Kind, reply: Reply, evidence: Evidence
) -> tuple[Kind, str]:
    """NXDOMAIN or NODATA, without attribution, for a name that must pass."""
    exists = _exists(expectation.qtype, evidence.reference)
    if expectation.why is Why.ENDED:
        # A denial without attribution is what a cache keeps of a block: it is no lift of a name that exists,
        # be it with other records only.
        if exists is False and evidence.reference is not None and reply.rcode == NXDOMAIN:
            exists = evidence.reference.rcode == NOERROR
        are_fine = evidence.controls in (Controls.PASS, Controls.NONE)
        is_gone = exists is False and not evidence.was_resolved and are_fine
        if evidence.was_attributed and is_gone:
            return Kind.OK, "attribution-gone"
    if exists is None:
        return Kind.INSUFFICIENT, "no-reference"
    if exists:
        if evidence.controls in (Controls.FAIL, Controls.SILENT):
            return Kind.INSUFFICIENT, "controls-failed"
        return bad, "denied-though-free"
    if evidence.reference is not None and evidence.reference.rcode == reply.rcode == NOERROR:
        return Kind.OK, "denied-like-reference"
    return Kind.MOOT, "nothing-there"


def _exists(qtype: int, reference: Reply | None) -> bool | None:
    """Whether the reference has such records; None if it can't tell, or is filtered itself."""
    if reference is None or reference.is_attributed or reference.rcode not in (NOERROR, NXDOMAIN):
        return None
    return bool(reference.data_of(qtype))


def looks_ordered(expectation: Expectation, reply: Reply) -> bool:
    """Whether a name that must be blocked is answered in the ordered form, whatever else the answer says."""
    return expectation.form is not None and _has_form(expectation, expectation.form, reply)


def _has_form(expectation: Expectation, form: Form, reply: Reply) -> bool:
    """Whether the answer looks as ordered, whatever else it says."""
    data = reply.data_of(expectation.qtype)
    if form is Form.REDIRECT and expectation.qtype == ANY:  # RFC 8482 §4.1: any of what there is, or nothing
        return reply.rcode == NOERROR and data <= {one.packed for one in expectation.addresses}
    if form is Form.REDIRECT:
        return reply.rcode == NOERROR and data == addresses_of(expectation)
    if form is Form.NODATA:
        return reply.rcode == NOERROR and not data
    return not data and reply.rcode == {Form.NXDOMAIN: NXDOMAIN, Form.REFUSED: REFUSED}[form]


def addresses_of(expectation: Expectation) -> frozenset[bytes]:
    """The RDATA a redirect must answer to this type: its addresses of the family, else none."""
    version = {A: 4, AAAA: 6}.get(expectation.qtype)
    return frozenset(one.packed for one in expectation.addresses if one.version == version)


def _finding(
    expectation: Expectation, sample: Observation, kind: Kind, rule: str, suspicion: str = ""
) -> Finding:
    wanted = f"{expectation.form} wanted" if expectation.form else "must pass"
    seen = _seen(sample)
    hint = f" ({suspicion})" if suspicion else ""
    return Finding(
        kind=kind,
        rule=rule,
        point=expectation.point,
        order=expectation.order,
        ref=expectation.ref,
        why=expectation.why,
        name=expectation.name,
        qtype=expectation.qtype,
        variant=sample.variant,
        at=sample.sent if sample.received is None else sample.received,
        detail=f"{expectation.why}: {wanted}, {seen}{hint}",
    )


def _seen(sample: Observation) -> str:
    reply = sample.reply
    if reply is None:
        seen = {Outcome.SILENT: "no answer in time"}.get(sample.outcome, "the point can't be reached")
        return f"{seen}: {sample.trouble}" if sample.trouble in TROUBLES else seen
    rcode = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
    said = rcode.get(reply.rcode, f"rcode {reply.rcode}")
    codes = "".join(f", EDE {one.code}" for one in reply.extended)
    return f"answered {said} with {len(reply.data_of(sample.qtype))} records{codes}"
