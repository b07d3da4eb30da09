"""The faults that are planted: what is ordered, what a point does instead, and what must be found.

Values only. A Fault of policy is enforced by a real engine that was given other orders than ours; a Leak is
what a front does between us and an engine that obeys.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import dns.name

from blocker.orders.model import Form, Match
from blocker.prober.judge import Kind
from tests.resolver.world import block

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blocker.orders.model import Order

SINK, SINK_6, OTHER_SINK = "192.0.2.1", "2001:db8::1", "192.0.2.66"
DAY = 86_400.0
NO_HOLES = frozenset({Kind.WRONG_FORM})
"""NXDOMAIN needs that nothing below is free (RFC 8020): who errs about that errs about the form, too."""

ALIAS, CANARY = "lab/alias", "lab/canary"
WAY = "lab/way"
"""The order that fronts play with: `way.example` and all below it."""

ALIASES = {
    "www.alias.example": "x.alias.example",
    "notx.alias.example": "hop.elsewhere.example",
    "hop.elsewhere.example": "www.x.alias.example",
    "notsinkhole.example": "sinkhole.example",
    "own.except.example": "deep.except.example",
    "other.except.example": "x.alias.example",
}
"""What controls around the orders lead to: to a blocked name, over a free one, to a redirect; from an except
to a name that its own order blocks, which passes, and to one that another blocks, which doesn't."""


EXCEPTED = ("free.except.example", "own.except.example", "other.except.example")


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

    def order(*names: str, start: float = began, until: float = ends, **more: Any) -> Order:
        first = names[0].removeprefix("*.").split(".")[-2]
        return block(*names, ident=f"lab/{first}", start=start, until=until, **more)

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
            ordered=order("except.example", excepts=EXCEPTED),
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


def standing_orders(now: float) -> list[Order]:
    """What every engine is told of: WAY, ALIAS, and CANARY, which blocks in every form that each of them can
    say, with and without holes.
    """
    began, ends = now - DAY, now + DAY

    def order(*names: str, ident: str, **more: Any) -> Order:
        return block(*names, ident=ident, start=began, until=ends, **more)

    shapes = [
        order("gone.canaries.example", ident=CANARY),
        order("sink.canaries.example", ident=CANARY, form=Form.REDIRECT, addresses=(SINK, SINK_6)),
        order("empty.canaries.example", ident=CANARY, form=Form.NODATA),
        order("only.canaries.example", ident=CANARY, match=Match.EXACT),
        order("*.under.canaries.example", ident=CANARY),
        order("partly.canaries.example", ident=CANARY, excepts=("open.partly.canaries.example",)),
    ]
    directives = (replace(one.directives[0], id=f"d{at}") for at, one in enumerate(shapes))
    return [
        order("way.example", ident=WAY),
        order("x.alias.example", ident=ALIAS),
        replace(shapes[0], directives=tuple(directives)),
    ]


def few(orders: Iterable[Order]) -> list[Order]:
    """Some of these orders, and of CANARY the directives of two forms: enough for rounds."""
    wanted = (WAY, ALIAS, CANARY)
    return [replace(one, directives=one.directives[:2]) for one in orders if one.id in wanted]


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a front sees of a query for a name below `zone`, or for that name itself."""

    zone: str
    name: dns.name.Name
    qtype: int
    tcp: bool
    do: bool
    cd: bool
    edns: bool

    @property
    def host(self) -> str:
        """The name in lower case, without the zone; empty for the zone itself."""
        return self.name.relativize(dns.name.from_text(self.zone)).to_text().lower().removeprefix("@")

    @property
    def has_capitals(self) -> bool:
        return self.name.to_text() != self.name.to_text().lower()


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """Which queries for the names of an order go past the engine to an unfiltered resolver, and what must be
    found.
    """

    leaks: Callable[[Query], bool]
    kind: Kind = Kind.PARTIAL
    zone: str = "way.example"
    order: str = WAY
    also: frozenset[Kind] = frozenset()


LEAKS: dict[str, Leak] = {
    # What lies below is seldom asked for in another type: it leaks as far as anybody looked.
    "leak-a": Leak(leaks=lambda query: query.qtype == 1, also=frozenset({Kind.UNDERBLOCK})),
    "leak-aaaa": Leak(leaks=lambda query: query.qtype == 28),
    "leak-https": Leak(leaks=lambda query: query.qtype == 65),
    "leak-mx": Leak(leaks=lambda query: query.qtype == 15),
    "leak-do": Leak(leaks=lambda query: query.do),
    "leak-cd": Leak(leaks=lambda query: query.cd),
    "leak-tcp": Leak(leaks=lambda query: query.tcp),
    "leak-udp": Leak(leaks=lambda query: not query.tcp),
    "leak-no-edns": Leak(leaks=lambda query: not query.edns),
    "leak-mixed-case": Leak(leaks=lambda query: query.has_capitals),
    "leak-below": Leak(leaks=lambda query: query.host == "www", kind=Kind.UNDERBLOCK),
    "leak-raw": Leak(leaks=lambda query: "\\" in query.host, kind=Kind.UNDERBLOCK),
    "leak-alias": Leak(
        leaks=lambda query: query.host == "www", kind=Kind.UNDERBLOCK, zone="alias.example", order=ALIAS
    ),
}
"""By the fault's id."""

SELDOM = frozenset({"leak-raw"})
"""What a look at the whole finds, and rounds do not."""


def now() -> float:
    return float(int(time.time()))
