"""One observed answer against what must come back: row by row, aspect by aspect.

A cell is one aspect of one row on one engine. The aspects are what an answer has to get right, apart from
each other because engines fail at them apart: the answer itself, that it says it is blocked, on whose
behalf, and how long it may be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING

from blocker.orders.model import Form
from tests.conformance import authority
from tests.conformance.cases import INFO
from tests.conformance.meaning import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from blocker.capabilities import Capability
    from tests.conformance.cases import Ask, Expected
    from tests.conformance.seen import Seen

_RCODES = {None: "NOERROR", Form.REFUSED: "REFUSED", Form.NXDOMAIN: "NXDOMAIN"}
_MOST_KEPT = 30  # seconds: answers.ttl
_MOST_REFS = 3
_UPSTREAM = authority.TTL
_DATA = {f"{qtype} {authority.shown(qtype)}" for qtype in authority.RECORDS}


class Outcome(StrEnum):
    """What became of a cell. A limit that is declared and not met is told as `works`: it may be no limit."""

    PASSED = "passed"
    FAILED = "failed"
    DECLARED = "declared"
    REFUSED = "refused"
    WORKS = "works"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """`limit` is the id of the limit that was declared for it, or the form that was refused."""

    case: str
    ask: Ask
    aspect: str
    outcome: Outcome
    limit: str = ""
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.case}: {self.ask}: {self.aspect}: {self.detail}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Aspect:
    """`detail` is what is wrong, empty if nothing is. `limits` are those that it may meet, each with whether
    what is wrong is just what the limit says.
    """

    name: str
    detail: str
    limits: Mapping[str, bool] = field(default_factory=dict)


def cells(
    case: str,
    ask: Ask,
    expected: Expected,
    seen: Seen,
    aliases: Mapping[str, str],
    can: Capability,
) -> list[Cell]:
    """Every aspect of one row.

    A limit excuses what it says and nothing else: an answer that is wrong in another way has failed. What may
    be the right answer and an excused one (a name without data, blocked or not) is taken for what it is
    without fault.
    """
    if ask.qclass != "IN":
        return [_cell(case, ask, _astray(ask, seen), can)]
    if ask.is_iterative and _tells_nothing(expected, seen):
        return [_cell(case, ask, _Aspect(name="unasked", detail="" if seen.rcode else str(seen)), can)]
    instead = {limit: others for limit, others in expected.instead.items() if limit in can.reach}
    others = [one for limit in sorted(instead) for one in instead[limit]]
    readings = [one for one in (expected, *others) if _fits(ask, one, seen)] or [expected]
    found = [
        [
            _cell(case, ask, aspect, can)
            for aspect in _aspects(ask, expected, one, seen, _chain(ask, one, aliases))
        ]
        for one in readings
    ]
    return next((one for one in found if all(cell.outcome is not Outcome.FAILED for cell in one)), found[0])


def _astray(ask: Ask, seen: Seen) -> _Aspect:
    """Whether an answer to a question that is not of class IN leads astray.

    Orders are about names of class IN. What these names have must not come by asking for every class (255),
    and what a server says of itself (CH, RFC 4892) is not theirs to block.
    """
    leaks = bool(_DATA & seen.records)
    blocks = ask.qclass == "CH" and bool({4, 16} & {code for code, _ in seen.edes})
    return _Aspect(
        name="class",
        detail=str(seen) if leaks or blocks or not seen.rcode else "",
        limits={"every-class": leaks} if ask.qclass == "ANY" else {},
    )


def _tells_nothing(expected: Expected, seen: Seen) -> bool:
    """Whether what came to who did not desire recursion is no answer of the policy's: nobody is told of a
    block, and a blocked name was refused, or leads elsewhere because nothing is known here (RFC 1034 §4.3.1).
    What is said of a passing name is each server's own affair.
    """
    if {4, 16} & {code for code, _ in seen.edes}:
        return False
    leads_on = seen.rcode == "NOERROR" and seen.keeps is None
    return expected.form is None or ((seen.rcode == "REFUSED" or leads_on) and not seen.records)


def _cell(case: str, ask: Ask, aspect: _Aspect, can: Capability) -> Cell:
    met = {limit: explains for limit, explains in aspect.limits.items() if limit in can.reach}
    if not aspect.detail:
        outcome, limits = Outcome.WORKS if met else Outcome.PASSED, sorted(met)
    else:
        limits = sorted(limit for limit, explains in met.items() if explains)
        outcome = Outcome.DECLARED if limits else Outcome.FAILED
    return Cell(
        case=case,
        ask=ask,
        aspect=aspect.name,
        outcome=outcome,
        limit=" or ".join(limits),
        detail=aspect.detail,
    )


def _aspects(
    ask: Ask, expected: Expected, taken: Expected, seen: Seen, chain: tuple[str, ...]
) -> Iterator[_Aspect]:
    """All that can be told of an answer that is `taken` for one: what it says must be true of that one."""
    fits = _fits(ask, taken, seen)
    yield _Aspect(
        name="answer",
        detail="" if fits and taken == expected else f"{seen}, and not {_shown(ask, expected)}",
        limits={limit: fits and taken in others for limit, others in expected.instead.items()},
    )
    if fits and not taken.rcode:
        # What nobody ordered to be blocked has no reason that could be told.
        is_nobodys = expected.form is None and taken in expected.instead.get("excepted-aliases", ())
        yield from _further(ask, taken, seen, chain, {"ede", "excepted-aliases"} if is_nobodys else {"ede"})


def _further(
    ask: Ask, expected: Expected, seen: Seen, chain: tuple[str, ...], silent: Iterable[str]
) -> Iterator[_Aspect]:
    """The aspects of an answer with the rcode and records that are expected; limits `silent` say nothing."""
    if chain or seen.chain:
        yield _Aspect(
            name="chain",
            detail="" if seen.chain == chain else f"by way of {seen.chain}, and not {chain}",
            limits={"alias-form": not seen.chain} if expected.at else {},
        )
    codes = [code for code, _ in seen.edes]
    if expected.form is None:
        said = bool({4, 16} & set(codes))
        yield _Aspect(name="unsaid", detail=f"it passes and says EDE {codes}" if said else "")
        limits = {"shaping", "aliases"} if chain else {"shaping"}
        yield from _shaped(expected, seen, limits, _UPSTREAM)
        return
    if not ask.is_plain:
        yield from _said(expected, seen, codes, silent)
    if expected.form in (Form.NXDOMAIN, Form.NODATA) or (expected.form is Form.REDIRECT and not seen.records):
        kept = "no SOA" if seen.keeps is None else f"kept for {seen.keeps} s"
        yield _Aspect(
            name="kept",
            detail=kept if seen.keeps is None or seen.keeps > _MOST_KEPT else "",
            limits={"negative-ttl": seen.keeps is None},
        )
    # The links of a chain are true before the end of the order and after it.
    yield from _shaped(expected, seen, {"lift-shaping"}, _UPSTREAM if seen.chain else _MOST_KEPT)


def _said(expected: Expected, seen: Seen, codes: Sequence[int], silent: Iterable[str]) -> Iterator[_Aspect]:
    """What a blocked answer says of itself."""
    yield _Aspect(
        name="said",
        detail="" if 16 in codes else f"EDE {codes}, not 16",
        limits=dict.fromkeys(silent, not codes),
    )
    if 16 not in codes:
        return
    text = " ".join(text for code, text in seen.edes if code == 16)
    wanted = " ".join([*expected.public[:_MOST_REFS], INFO])
    yield _Aspect(
        name="reason",
        detail="" if text == wanted else f"says {text!r}, not {wanted!r}",
        limits={"reason": text == INFO},
    )
    if any(record.startswith(("A ", "AAAA ")) for record in seen.records):
        yield _Aspect(
            name="forged",
            detail="" if 4 in codes else "a made-up address without EDE 4",
            limits={"forged": True},
        )


def _shaped(expected: Expected, seen: Seen, limits: Iterable[str], most_kept: int) -> Iterator[_Aspect]:
    """Whether caches below may keep the answer past a change that may be known, if one is near.

    Without shaping it is kept for its TTL, which is `most_kept`.
    """
    most = _UPSTREAM if expected.until is None else max(0, math.floor(expected.until - seen.asked) - 1)
    if most < _UPSTREAM:
        kept = max(seen.ttl, seen.keeps or 0)
        yield _Aspect(
            name="shaped",
            detail=f"kept for {kept} s, {most} are left" if kept > most else "",
            limits=dict.fromkeys(limits, kept <= most_kept),
        )


def _chain(ask: Ask, expected: Expected, aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The chain that there must be."""
    chain = [one.lower() for one in chain_of(ask.name, ask.qtype, aliases)[1:]]
    return tuple(chain if expected.form is None else chain[: expected.at])


def _fits(ask: Ask, expected: Expected, seen: Seen) -> bool:
    return (seen.rcode, seen.records) == _rcode_and_records(ask, expected)


def _shown(ask: Ask, expected: Expected) -> str:
    rcode, records = _rcode_and_records(ask, expected)
    return " ".join([rcode, *sorted(records)])


def _rcode_and_records(ask: Ask, expected: Expected) -> tuple[str, frozenset[str]]:
    """The two without which an answer is another one."""
    records = frozenset({f"{ask.qtype} {authority.shown(ask.qtype)}"} if authority.has(ask.qtype) else ())
    if expected.form is not None:
        family = {"A": 4, "AAAA": 6}.get(ask.qtype)
        records = frozenset(
            f"{'A' if address.version == 4 else 'AAAA'} {address}"
            for address in map(ip_address, expected.addresses)
            if not expected.rcode and (expected.is_whole or address.version == family)
        )
    return expected.rcode or _RCODES.get(expected.form, "NOERROR"), records
