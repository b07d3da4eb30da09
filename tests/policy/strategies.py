"""Random valid orders of all kinds, crowded into few names, regions and instants so that they meet."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from itertools import product
from typing import Any

from hypothesis import strategies as st

from blocker import names
from blocker.orders.model import (
    Action,
    Authority,
    Directive,
    Form,
    Kind,
    Match,
    NameList,
    NamesFile,
    Order,
    Publication,
    Subject,
)
from tests.policy import naive

EPOCH = 1_800_000_000
INSTANTS = range(9)
ACTIONS = [
    Action(form=Form.NXDOMAIN),
    Action(form=Form.NXDOMAIN),
    Action(form=Form.NODATA),
    Action(form=Form.REFUSED),
    Action(form=Form.REDIRECT, addresses=(ip_address("192.0.2.1"),)),
    Action(form=Form.REDIRECT, addresses=(ip_address("2001:db8::1"),)),
]
REGIONS = ["ID", "ID-JK", "GB", "ID-JK-01", "I"]
PUBLIC = [Publication.PUBLIC]
ALL_PUBLICATIONS = list(Publication)
AUTHORITY = Authority(name="An Authority", jurisdiction="ID", contact="mailto:court@example")

SUBJECT_NAMES = [
    ".".join((*labels, "example")) for depth in (1, 2, 3) for labels in product("ab", repeat=depth)
]
ASKED_NAMES = [
    "example",
    "c.other",
    *SUBJECT_NAMES,
    *(f"x.{name}" for name in SUBJECT_NAMES if name.count(".") > 1),
]
LISTS = {
    "1" * 64: NameList(
        keys=(names.to_key("a.a.example"), names.to_key("b.example")), below=(names.to_key("b.b.example"),)
    ),
    "2" * 64: NameList(keys=(names.to_key("b.a.example"),), below=(names.to_key("a.example"),)),
}


def read(file: NamesFile) -> NameList:
    return LISTS[file.sha256]


def at(second: int) -> datetime:
    return datetime.fromtimestamp(EPOCH + second, UTC)


def key(name: str) -> names.Key:
    return names.to_key(name)


def subject(written: str, match: Match = Match.SUBTREE) -> Subject:
    """`*.name` is below, another name as `match` says."""
    if written.startswith("*."):
        return Subject(key=key(written[2:]), match=Match.BELOW)
    return Subject(key=key(written), match=match)


def directive(id_: str, *written: str, **changes: Any) -> Directive:
    """A directive from 0 until 8 of ID's, `excepts` written as text and times as seconds after EPOCH."""
    match = changes.pop("match", Match.SUBTREE)
    return Directive(
        id=id_,
        subjects=tuple(subject(one, match) for one in written),
        match=match,
        excepts=tuple(subject(one) for one in changes.pop("excepts", ())),
        regions=changes.pop("regions", ("ID",)),
        start=at(changes.pop("start", 0)),
        until=None if (until := changes.pop("until", 8)) is None else at(until),
        review_by=changes.pop("review_by", at(1000)),
        **changes,
    )


def order(id_: str, kind: Kind = Kind.BLOCK, **changes: Any) -> Order:
    """An order whose times are seconds after EPOCH and whose digest is a function of all it says."""
    for name in ("start", "until", "review_by"):
        if changes.get(name) is not None:
            changes[name] = at(changes[name])
    changes["remove"] = tuple(subject(one) for one in changes.pop("remove", ()))
    made = Order(
        id=id_,
        kind=kind,
        authority=AUTHORITY,
        legal_basis=("a law",),
        issued=at(changes.pop("issued", -100)),
        publication=changes.pop("publication", Publication.PUBLIC),
        digest="",
        **changes,
    )
    return replace(made, digest=hashlib.sha256(repr(made).encode()).hexdigest())


@st.composite
def written_names(draw: st.DrawFn, least: int = 1) -> list[str]:
    plain = st.sampled_from(SUBJECT_NAMES)
    return draw(st.lists(st.one_of(plain, plain, plain.map("*.{}".format)), min_size=least, max_size=3))


@st.composite
def directives(draw: st.DrawFn, id_: str) -> Directive:
    start = draw(st.integers(0, 7))
    match = draw(st.sampled_from([Match.SUBTREE, Match.SUBTREE, Match.EXACT]))
    from_file = draw(st.sampled_from([None, None, None, *LISTS]))
    subjects = draw(written_names(0 if from_file else 1))
    reached = {one.removeprefix("*.") for one in subjects}
    if from_file:
        reached |= {names.to_text(one) for one in (*LISTS[from_file].keys, *LISTS[from_file].below)}
    excepts = [
        one
        for one in draw(written_names(0))
        if not any(name == one.removeprefix("*.") or naive.below(name, one) for name in reached)
    ]
    return directive(
        id_,
        *subjects,
        match=match,
        names_file=NamesFile(file="names.txt", sha256=from_file) if from_file else None,
        excepts=excepts,
        regions=tuple(draw(st.sets(st.sampled_from(REGIONS[:3]), min_size=1, max_size=2))),
        action=draw(st.sampled_from(ACTIONS)),
        start=start,
        until=draw(st.one_of(st.none(), st.integers(start + 1, 9))),
        review_by=at(draw(st.sampled_from([1000, 1000, 2, 5]))),
    )


@st.composite
def orders(
    draw: st.DrawFn, most: int = 8, publications: tuple[Publication, ...] = (Publication.PUBLIC,)
) -> list[Order]:
    """A set of orders in which nothing names nothing, or something that has ended."""
    found: list[Order] = []
    for number in range(draw(st.one_of(st.integers(1, most), st.just(most)))):
        # The letter makes the order of ids another than that of writing.
        id_ = f"{draw(st.sampled_from('xyz'))}/{number}"
        kinds = [Kind.BLOCK] if not found else [*Kind, Kind.AMEND, Kind.LIFT]
        kind = draw(st.sampled_from(kinds))
        changes: dict[str, Any] = {
            "issued": draw(st.integers(-2, 0)),
            "publication": draw(st.sampled_from(publications)),
        }
        if draw(st.booleans()):
            changes |= {"received": at(-50), "deadline": timedelta(minutes=1)}
        if kind is Kind.BLOCK:
            changes["directives"] = tuple(
                draw(directives(f"d{count}")) for count in range(draw(st.integers(1, 2)))
            )
        else:
            changes["of"] = draw(st.sampled_from(_worth_naming(kind, found) or refs_of(found)))
            start = changes["start"] = draw(st.integers(0, 7))
            if kind in (Kind.SUSPEND, Kind.AMEND):
                changes["until"] = draw(st.one_of(st.none(), st.integers(start + 1, 9)))
            if kind is Kind.AMEND:
                changes["review_by"] = draw(st.sampled_from([None, None, 1, 4, 7]))
                changes["directives"] = tuple(
                    draw(directives(f"d{count}")) for count in range(draw(st.integers(0, 2)))
                )
                changes["directives"] = tuple(
                    replace(one, continues=draw(st.sampled_from(["", "", *refs_of(found)])))
                    for one in changes["directives"]
                )
                changes["remove"] = draw(written_names(0))
                listed = draw(st.sampled_from([None, None, None, *LISTS]))
                changes["remove_file"] = NamesFile(file="cut.txt", sha256=listed) if listed else None
        made = order(id_, kind, **changes)
        if naive.is_valid([*found, made]):
            found.append(made)
    if not found:
        found.append(order("x/0", directives=(directive("d0", "a.example"),)))
    return found


def _worth_naming(kind: Kind, found: list[Order]) -> list[str]:
    """What an order of this kind can be of: invalid choices only cost time."""
    if kind is Kind.REINSTATE:
        return [one.of for one in found if one.kind is Kind.SUSPEND]
    acts = [one.id for one in found if one.kind in (Kind.AMEND, Kind.SUSPEND, Kind.LIFT)]
    wholes = [one.id for one in found if one.directives]
    parts = refs_of(found)
    return [*wholes, *parts, *acts, *acts] if kind is Kind.LIFT else [*wholes, *parts]


def refs_of(given: list[Order]) -> list[str]:
    return [f"{one.id}/{own.id}" for one in given for own in one.directives]
