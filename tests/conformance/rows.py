"""One observed answer against what must come back: row by row, aspect by aspect.

A cell is one aspect of one row on one engine. The aspects are what an answer has to get right, apart from
each other because engines fail at them apart: the answer itself, that it says it is blocked, on whose
behalf, and how long it may be kept.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from blocker.orders.model import Form
from tests.conformance import authority
from tests.conformance.cases import INFO
from tests.conformance.meaning import chain_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from blocker.capabilities import Capability
    from tests.conformance.cases import Ask, Expected
    from tests.conformance.seen import Seen

_RCODES = {None: "NOERROR", Form.REFUSED: "REFUSED", Form.NXDOMAIN: "NXDOMAIN"}
_MOST_KEPT = 30  # seconds: answers.ttl
_MOST_REFS = 3
_UPSTREAM = authority.TTL


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


def cells(
    case: str,
    ask: Ask,
    expected: Expected,
    seen: Seen,
    aliases: Mapping[str, str],
    can: Capability,
) -> Iterator[Cell]:
    """Every aspect of one row."""
    row = expected.needs & set(can.reach)
    for aspect, needs, detail in _aspects(ask, expected, seen, aliases):
        declared = sorted(row | needs & set(can.reach))
        if declared:
            outcome = Outcome.DECLARED if detail else Outcome.WORKS
        else:
            outcome = Outcome.FAILED if detail else Outcome.PASSED
        yield Cell(
            case=case,
            ask=ask,
            aspect=aspect,
            outcome=outcome,
            limit=declared[0] if len(declared) == 1 else " or ".join(declared),
            detail=detail,
        )
        if row:
            return  # What it says about an answer that it is not expected to get right says nothing.


def _aspects(
    ask: Ask, expected: Expected, seen: Seen, aliases: Mapping[str, str]
) -> Iterator[tuple[str, set[str], str]]:
    """Aspect, the limits it may meet by itself, and what is wrong (empty: nothing)."""
    wrong, chain = _wrong(ask, expected, seen, aliases)
    yield "answer", set(), wrong
    if wrong:
        return
    if chain or seen.chain:
        astray = "" if seen.chain == chain else f"by way of {seen.chain}, and not {chain}"
        yield "chain", {"alias-form"} if expected.at else set(), astray
    codes = [code for code, _ in seen.edes]
    if expected.form is None:
        yield "unsaid", set(), f"it passes and says EDE {codes}" if {4, 16} & set(codes) else ""
        yield from _shaped(expected, seen, {"shaping"} | ({"aliases"} if chain else set()))
        return
    if not ask.is_plain:
        yield "said", {"ede"}, "" if 16 in codes else f"EDE {codes}, not 16"
        if 16 in codes:
            yield "reason", {"reason"}, _unreasoned(expected, seen)
        forged = any(record.startswith(("A ", "AAAA ")) for record in seen.records)
        if forged and 16 in codes:
            yield "forged", {"forged"}, "" if 4 in codes else "a made-up address without EDE 4"
    if expected.form in (Form.NXDOMAIN, Form.NODATA) or (expected.form is Form.REDIRECT and not seen.records):
        kept = "no SOA" if seen.keeps is None else f"kept for {seen.keeps} s"
        yield (
            "kept",
            {"negative-ttl"},
            "" if (seen.keeps or 0) <= _MOST_KEPT and seen.keeps is not None else kept,
        )
    yield from _shaped(expected, seen, {"lift-shaping"})


def _wrong(
    ask: Ask, expected: Expected, seen: Seen, aliases: Mapping[str, str]
) -> tuple[str, tuple[str, ...]]:
    """What is wrong with rcode and records, and the chain that there must be."""
    chain = [one.lower() for one in chain_of(ask.name, ask.qtype, aliases)[1:]]
    records = frozenset({f"{ask.qtype} {authority.shown(ask.qtype)}"} if authority.has(ask.qtype) else ())
    if expected.form is not None:
        chain = chain[: expected.at]
        version = {"A": ".", "AAAA": ":"}.get(ask.qtype)
        records = frozenset(
            f"{ask.qtype} {address}" for address in expected.addresses if version and version in address
        )
    rcode = _RCODES.get(expected.form, "NOERROR")
    if (rcode, records) == (seen.rcode, seen.records):
        return "", tuple(chain)
    shown = " ".join([rcode, *(f"→ {one}" for one in chain), *sorted(records)])
    return f"{seen}, and not {shown}", tuple(chain)


def _unreasoned(expected: Expected, seen: Seen) -> str:
    text = " ".join(text for code, text in seen.edes if code == 16)
    wanted = " ".join([*expected.public[:_MOST_REFS], INFO])
    if text != wanted:
        return f"says {text!r}, not {wanted!r}"
    return ""


def _shaped(expected: Expected, seen: Seen, limits: set[str]) -> Iterator[tuple[str, set[str], str]]:
    """Whether caches below may keep the answer past a change that may be known, if one is near."""
    most = _UPSTREAM if expected.until is None else max(0, math.floor(expected.until - seen.asked) - 1)
    if most < _UPSTREAM:
        kept = max(seen.ttl, seen.keeps or 0)
        yield "shaped", limits, f"kept for {kept} s, {most} are left" if kept > most else ""
