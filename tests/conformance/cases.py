"""What a case of the conformance table is: orders, then questions, each with the answer that it must get.

Every case has names of its own, below `<case>.example` (written `@`), so one policy holds all cases and one
load of an engine serves all of them. Values only. `Draft`s are orders not yet given ids: the orders of a
case are numbered from 1, and `because` names them by number, the winner first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from blocker import names
from blocker.orders.model import (
    Action,
    Authority,
    Directive,
    Form,
    Kind,
    Match,
    Order,
    Publication,
    Subject,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUFFIX = "example"
INFO = "https://isp.example/blocked"
WEEK = 7 * 86400

REGIONS: Mapping[str | None, str] = {
    "ID": "127.0.0.1",
    "ID-JK": "127.0.0.2",
    "GB": "127.0.0.3",
    None: "127.0.0.4",
}
"""The address from which a client of the region asks; None is in no region."""

_AUTHORITY = Authority(name="Lab Authority", jurisdiction="ID", contact="mailto:contest@authority.example")


class Phase(StrEnum):
    """When a question is put: while all stands as it is, around the one instant of the turning cases, or
    around an apply.
    """

    STANDING = "standing"
    BEFORE = "before"
    AFTER = "after"
    UNAPPLIED = "unapplied"
    UNPURGED = "applied, not purged"
    APPLIED = "applied"


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must come back. `form` is that of the answer as sent, None passes.

    `because` are refs, the winner first; `public` those of them that may be told. The blocked owner is
    number `at` of the alias chain. Not written in the table but found by `meaning`: `until`, the next
    instant of which TTLs may tell, and `instead`, by the id of a limit (capabilities.REACH) all that an
    engine with this limit may answer in its place. Only there: `is_whole`, a redirect's addresses of both
    families, and `rcode`, an error in the place of an answer.
    """

    form: Form | None = None
    addresses: tuple[str, ...] = ()
    because: tuple[str, ...] = ()
    public: tuple[str, ...] = ()
    at: int = 0
    is_whole: bool = False
    rcode: str = ""
    until: int | None = field(default=None, compare=False)
    instead: Mapping[str, tuple[Expected, ...]] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """One question and its answer. `is_plain` asks without EDNS, `is_iterative` without recursion desired.

    In another class than IN the policy says nothing; see rows.
    """

    name: str
    qtype: str = "A"
    qclass: str = "IN"
    region: str | None = "ID"
    do: bool = False
    tcp: bool = False
    is_plain: bool = False
    is_iterative: bool = False
    phase: Phase = Phase.STANDING
    expected: Expected

    def __str__(self) -> str:
        more = [f"class {self.qclass}"] if self.qclass != "IN" else []
        more += [f"from {self.region or 'no region'}"] if self.region != "ID" else []
        marks = {"DO": self.do, "TCP": self.tcp, "no EDNS": self.is_plain, "RD=0": self.is_iterative}
        more += [word for word, on in marks.items() if on]
        more += [self.phase] if self.phase is not Phase.STANDING else []
        shown = self.name if len(self.name) < 60 else f"{self.name[:57]}…"
        return " ".join([shown, self.qtype, *(f"({word})" for word in more)])


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """Orders, what the operator withholds, the aliases of the world outside (`*.name` is a DNAME), and the
    questions.
    """

    id: str
    says: str
    orders: tuple[Order, ...] = ()
    withheld: tuple[str, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    asks: tuple[Ask, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An order without its id."""

    kind: Kind = Kind.BLOCK
    of: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


def when(t: float) -> datetime:
    return datetime.fromtimestamp(t, UTC)


def begins(order: Order) -> float:
    """The instant at which an order of the table takes effect."""
    start = order.start or min(directive.start for directive in order.directives)
    return start.timestamp()


def block(*subjects: str, start: float, until: float | None, **values: Any) -> Draft:
    """A block of these names (`*.name` is all below it); `form`, `match`, `to` (addresses), `excepts`,
    `regions`, `issued` (seconds before the start) and `publication` as wanted.
    """
    return Draft(values={"subjects": subjects, "start": start, "until": until, **values})


def act(kind: Kind, of: str, start: float, **values: Any) -> Draft:
    """Another kind of order; `of` is the number of an order of the case, or `number/d`."""
    return Draft(kind=kind, of=of, values={"start": start, **values})


def passes(name: str, qtype: str = "A", **values: Any) -> Ask:
    return Ask(name=name, qtype=qtype, expected=Expected(), **values)


def blocked(
    name: str, qtype: str = "A", form: Form = Form.NXDOMAIN, because: Sequence[str] = ("1",), **values: Any
) -> Ask:
    """`because` are numbers of orders; `sealed` those of them that must not be told."""
    sealed = values.pop("sealed", ())
    expected = Expected(
        form=form,
        addresses=values.pop("to", ()),
        because=tuple(because),
        public=tuple(one for one in because if one not in sealed),
        at=values.pop("at", 0),
    )
    return Ask(name=name, qtype=qtype, expected=expected, **values)


def case(
    id_: str,
    says: str,
    orders: Sequence[Draft],
    asks: Sequence[Ask],
    *,
    withheld: Sequence[str] = (),
    aliases: Mapping[str, str] | None = None,
) -> Case:
    """A case with its names and refs filled in."""
    here = f"{id_}.{SUFFIX}"
    filled = [
        replace(
            ask,
            name=ask.name.replace("@", here),
            expected=replace(
                ask.expected,
                because=tuple(ref(id_, number) for number in ask.expected.because),
                public=tuple(ref(id_, number) for number in ask.expected.public),
            ),
        )
        for ask in asks
    ]
    return Case(
        id=id_,
        says=says,
        orders=tuple(_order(id_, number, draft) for number, draft in enumerate(orders, 1)),
        withheld=tuple(ref(id_, one) if one.endswith("/d") else _order_id(id_, one) for one in withheld),
        aliases={
            owner.replace("@", here): target.replace("@", here) for owner, target in (aliases or {}).items()
        },
        asks=tuple(filled),
    )


def _order_id(case_id: str, number: str) -> str:
    return f"lab/{case_id}-{number.removesuffix('/d')}"


def ref(case_id: str, number: str) -> str:
    """The ref of the one directive of an order of a case."""
    return f"{_order_id(case_id, number)}/d"


def _order(case_id: str, number: int, draft: Draft) -> Order:
    values = dict(draft.values)
    here = f"{case_id}.{SUFFIX}"
    start, until = values.pop("start"), values.pop("until", None)
    changes: dict[str, Any] = {}
    if "subjects" in values:
        changes["directives"] = (_directive(here, values, start, until),)
    if draft.kind is not Kind.BLOCK:
        changes["of"] = ref(case_id, draft.of) if draft.of.endswith("/d") else _order_id(case_id, draft.of)
        changes["start"] = when(start)
        if until is not None and "directives" not in changes:
            changes["until"] = when(until)
        changes["remove"] = tuple(subject(one.replace("@", here)) for one in values.pop("remove", ()))
    made = Order(
        id=_order_id(case_id, str(number)),
        kind=draft.kind,
        authority=_AUTHORITY,
        legal_basis=("Lab Act, section 1",),
        issued=when(start - values.pop("issued", 86400)),
        publication=values.pop("publication", Publication.PUBLIC),
        digest="",
        **changes,
    )
    assert not values, f"{case_id}: what is {', '.join(values)}?"
    return replace(made, digest=hashlib.sha256(repr(made).encode()).hexdigest())


def _directive(here: str, values: dict[str, Any], start: float, until: float | None) -> Directive:
    match = values.pop("match", Match.SUBTREE)
    addresses = tuple(ip_address(one) for one in values.pop("to", ()))
    form = values.pop("form", Form.REDIRECT if addresses else Form.NXDOMAIN)
    return Directive(
        id="d",
        subjects=tuple(subject(one.replace("@", here), match) for one in values.pop("subjects")),
        match=match,
        excepts=tuple(subject(one.replace("@", here)) for one in values.pop("excepts", ())),
        regions=tuple(values.pop("regions", ("ID",))),
        action=Action(form=form, addresses=addresses),
        start=when(start),
        until=None if until is None else when(until),
        review_by=when(start + 52 * WEEK),
    )


def subject(written: str, match: Match = Match.SUBTREE) -> Subject:
    """A subject as an order writes it: `*.name` is all below the name."""
    if written.startswith("*."):
        return Subject(key=names.to_key(names.canonical(written[2:])), match=Match.BELOW)
    return Subject(key=names.to_key(names.canonical(written)), match=match)
