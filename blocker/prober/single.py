"""What a point must answer to one question that a person asks, of any name.

Pure. A round derives its questions from the orders; here the question comes first, and the directive that
speaks of it is looked for: one that blocks the name, else one whose except frees it, else one that did, will
or would block it. Of a name that no order speaks of it is only known that it must pass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.policy import decide
from blocker.policy.directives import Role
from blocker.prober import expect
from blocker.prober.expect import Expectation, Why

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.names import Key
    from blocker.orders.timetable import Scheduled
    from blocker.prober.expect import Source
    from blocker.prober.observe import Variant
    from blocker.site import Point

_RANK = {Why.WITHHELD: 0, Why.ENDED: 1, Why.COMING: 2, Why.ELSEWHERE: 3}


class Expected(NamedTuple):
    """`is_secret`: a sealed order speaks of the name, so that nobody but the point is asked."""

    expectation: Expectation
    is_secret: bool


def expected(policy: Source, point: Point, question: tuple[Key, int], variant: Variant, t: float) -> Expected:
    """What the point must answer to (name, qtype) at `t`, asked in this way."""
    name, qtype = question
    region: str | None = point.region
    if variant.outside and point.outside is not None:
        region = policy.enforcement.region_of(point.outside.client)
    verdict = decide.decide(policy, name, region, t)
    speaking = list(_speaking(policy, name))
    sealed = {one.ref: one for one in speaking if one.is_sealed(t)}

    def asked(one: Scheduled | None, why: Why) -> list[Expectation]:
        seed = Expectation(
            point=point.name,
            region=region,
            name=name,
            qtype=qtype,
            why=Why.OUTSIDE if variant.outside else why,
            outside=variant.outside,
            is_sealed=bool(sealed),
            ref=one.ref if one else "",
            order=one.order if one else "",
        )
        return expect.renew(policy, [point], [seed], t)[0]

    if verdict.is_blocked:
        found = [
            each for one in speaking if one.ref == verdict.because[0] for each in asked(one, Why.SUBJECT)
        ]
    elif verdict.exempt:
        found = [each for one in speaking if one.ref in verdict.exempt for each in asked(one, Why.EXCEPT)]
    else:
        told = (one for one in speaking if one.ref not in sealed or _has_begun(one, t))
        found = [each for one in told for each in asked(one, Why.SUBJECT)]
    # Without a directive nothing is looked up, so that there always is this one.
    (plain,) = asked(None, Why.ASKED)
    return Expected(min(found, key=lambda one: _RANK.get(one.why, 0), default=plain), bool(sealed))


def _has_begun(one: Scheduled, t: float) -> bool:
    return bool(one.windows) and one.windows[0][0] <= t


def _speaking(policy: decide.Policy, name: Key) -> Iterator[Scheduled]:
    """The directives that have the name or one above it for a subject."""
    seen = set()
    for above in names.ancestry(name):
        set_id = policy.set_of(above)
        for number, role in policy.pairs(set_id) if set_id is not None else ():
            reaches = {Role.SUBTREE: True, Role.EXACT: above == name, Role.BELOW: above != name}
            if reaches.get(role, False) and number not in seen:
                seen.add(number)
                yield policy.directives[number]
