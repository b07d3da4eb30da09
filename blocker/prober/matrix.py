"""In which ways a question is asked: what a block must not depend on.

Pure. Transport, address, DO, CD, EDNS and the letters' case in every combination would be hundreds of queries
for each name, and resolvers leak by single ways that they treat apart. So each way differs from the plain
one in one thing. A look at the whole asks everything that must be blocked in all of them; a round asks it in
the plain way and in one more, another each time, so that a few rounds together have asked in all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from zlib import crc32

from blocker.prober.expect import Expectation, Why
from blocker.prober.observe import ANY, PLAIN, A, Transport, Variant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from blocker.site import Point

OUTSIDE = Variant(outside=True)
_EVERYWHERE = (
    Variant(transport=Transport.TCP),
    Variant(edns=False),
    Variant(mixed=True),
    Variant(cd=True),
    # On BIND a failed query with DO leaves a failure in its cache for a second (facts of ops/docs/bind.md).
    Variant(do=True),
)
_CONTROLS_EVERY = 4  # rounds: what must pass is seldom asked for in another than the plain way


class Probe(NamedTuple):
    """One question in one way."""

    expectation: Expectation
    variant: Variant


def ways(point: Point) -> tuple[Variant, ...]:
    """Every way to ask the point, the plain one first."""
    tls = point.tls
    encrypted = {
        Transport.DOT: tls is not None and tls.dot is not None,
        Transport.DOH: tls is not None and tls.doh is not None,
    }
    return (
        PLAIN,
        *(Variant(place=place) for place in range(1, len(point.addresses))),
        *(Variant(transport=transport) for transport, is_there in encrypted.items() if is_there),
        *_EVERYWHERE,
    )


def probes(
    asked: Iterable[Expectation], points: Mapping[str, Point], *, number: int, whole: bool
) -> list[Probe]:
    """The probes of a round with this number, or of a look at the whole; what is plain comes first."""
    found = []
    for one in asked:
        every = ways(points[one.point])
        if one.outside:
            chosen: tuple[Variant, ...] = (OUTSIDE,)
        elif whole:
            chosen = _whole(one, every)
        else:
            chosen = (PLAIN, *_turn(one, every, number))
        found += [Probe(one, variant) for variant in chosen]
    return sorted(found, key=_rank)


def _rank(probe: Probe) -> int:
    """What is plain first. What may leave its mark on the point's cache is asked when all else is there."""
    if probe.expectation.qtype == ANY:
        return 4  # BIND takes an authority's "nothing of any type" for the whole name's absence.
    return {PLAIN: 0, OUTSIDE: 1}.get(probe.variant, 2 + probe.variant.do)


def _whole(one: Expectation, every: tuple[Variant, ...]) -> tuple[Variant, ...]:
    if one.why is Why.SUBJECT and one.qtype == A:
        return every
    return (PLAIN, Variant(transport=Transport.TCP))


def _turn(one: Expectation, every: tuple[Variant, ...], number: int) -> tuple[Variant, ...]:
    turn = number + crc32(one.name)
    if one.form is None:
        turn, rest = divmod(turn, _CONTROLS_EVERY)
        if rest:
            return ()
    return (every[1 + turn % (len(every) - 1)],)
