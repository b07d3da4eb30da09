"""The faults that are planted: what is ordered, what a point does instead, and what must be found.

Values only. A Fault of policy is enforced by a real engine that was given other orders than ours; a Fault of
ways is what a front does between us and an engine that obeys.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.orders.model import Form, Match
from blocker.prober.judge import Kind
from tests.resolver.world import block

if TYPE_CHECKING:
    from collections.abc import Callable

    from blocker.orders.model import Order

SINK, OTHER_SINK = "192.0.2.1", "192.0.2.66"
DAY = 86_400.0
NO_HOLES = frozenset({Kind.WRONG_FORM})
"""NXDOMAIN needs that nothing below is free (RFC 8020): who errs about that errs about the form, too."""

WAY = "lab/way"
"""The order that fronts play with: `way.example` and all below it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is ordered and what is done. `kind` must be found, and `also` may be, for it comes of the fault
    too. With `outside` it shows to clients of another region alone.
    """

    id: str
    ordered: Order
    done: Order | None
    kind: Kind
    also: frozenset[Kind] = frozenset()
    outside: bool = False


def policy_faults(now: float) -> list[Fault]:
    """One order for each."""
    began, ends = now - DAY, now + DAY

    def order(*names: str, start: float = began, until: float = ends, **more: object) -> Order:
        first = names[0].removeprefix("*.").split(".")[-2]
        return block(*names, ident=f"lab/{first}", start=start, until=until, **more)  # type: ignore[arg-type]

    return [
        Fault(id="missing", ordered=order("missing.example"), done=None, kind=Kind.UNDERBLOCK),
        Fault(
            id="missing-subtree",
            ordered=order("subtree.example"),
            done=order("subtree.example", match=Match.EXACT),
            kind=Kind.UNDERBLOCK,
            also=NO_HOLES,
        ),
        Fault(
            id="over-wide",
            ordered=order("x.wide.example"),
            done=order("wide.example"),
            kind=Kind.OVERBLOCK,
        ),
        Fault(
            id="over-wide-wildcard",
            ordered=order("x.wildcard.example"),
            done=order("*.wildcard.example"),
            kind=Kind.OVERBLOCK,
        ),
        Fault(
            id="except-ignored",
            ordered=order("except.example", excepts=("free.except.example",)),
            done=order("except.example"),
            kind=Kind.OVERBLOCK,
            also=NO_HOLES,
        ),
        Fault(
            id="wrong-sinkhole",
            ordered=order("sinkhole.example", form=Form.REDIRECT, addresses=(SINK,)),
            done=order("sinkhole.example", form=Form.REDIRECT, addresses=(OTHER_SINK,)),
            kind=Kind.WRONG_FORM,
        ),
        Fault(
            id="wrong-form",
            ordered=order("form.example"),
            done=order("form.example", form=Form.NODATA),
            kind=Kind.WRONG_FORM,
        ),
        Fault(
            id="not-lifted",
            ordered=order("lifted.example", until=now - 600),
            done=order("lifted.example"),
            kind=Kind.LINGERING,
        ),
        Fault(
            id="early",
            ordered=order("early.example", start=now + DAY / 2),
            done=order("early.example"),
            kind=Kind.EARLY,
        ),
        Fault(
            id="wrong-region",
            ordered=order("region.example"),
            done=order("region.example", regions=("ID", "GB")),
            kind=Kind.OVERBLOCK,
            outside=True,
        ),
    ]


def way_order(now: float) -> Order:
    return block("way.example", ident=WAY, start=now - DAY, until=now + DAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a front sees of a query for a name of WAY."""

    qtype: int
    tcp: bool
    do: bool
    cd: bool
    edns: bool
    has_capitals: bool
    is_below: bool


LEAKS: dict[str, tuple[Callable[[Query], bool], Kind]] = {
    "leak-a": (lambda query: query.qtype == 1, Kind.PARTIAL),
    "leak-aaaa": (lambda query: query.qtype == 28, Kind.PARTIAL),
    "leak-https": (lambda query: query.qtype == 65, Kind.PARTIAL),
    "leak-mx": (lambda query: query.qtype == 15, Kind.PARTIAL),
    "leak-do": (lambda query: query.do, Kind.PARTIAL),
    "leak-cd": (lambda query: query.cd, Kind.PARTIAL),
    "leak-tcp": (lambda query: query.tcp, Kind.PARTIAL),
    "leak-udp": (lambda query: not query.tcp, Kind.PARTIAL),
    "leak-no-edns": (lambda query: not query.edns, Kind.PARTIAL),
    "leak-mixed-case": (lambda query: query.has_capitals, Kind.PARTIAL),
    "leak-below": (lambda query: query.is_below, Kind.UNDERBLOCK),
}
"""What of WAY's names goes past the engine to an unfiltered resolver, by the fault's id."""


def now() -> float:
    return float(int(time.time()))
