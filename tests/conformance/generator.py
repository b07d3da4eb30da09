"""Random policies and questions: what nobody thought of when the table was written.

Policies come in pieces below names of their own, crowded so that subjects, excepts, aliases and regions
meet; one policy holds all pieces. The answers are not written here: `meaning` says them. A seed makes the
same again.
"""

from __future__ import annotations

import random
from itertools import product
from typing import TYPE_CHECKING, Any

from blocker.orders.model import Form, Kind, Match, Publication
from tests.conformance.cases import REGIONS, WEEK, Ask, Case, Draft, Expected, act, block, case

if TYPE_CHECKING:
    from collections.abc import Iterator

ASKED = 25
"""Questions of each piece."""

_POOL = ["@", *(f"{'.'.join(labels)}.@" for depth in (1, 2, 3) for labels in product("ab", repeat=depth))]
_FORMS = [*[Form.NXDOMAIN] * 5, *[Form.NODATA] * 2, *[Form.REDIRECT] * 3]
_ADDRESSES = [("192.0.2.200",), ("2001:db8::200",), ("192.0.2.201", "2001:db8::201")]
_PLACES = [*[("ID",)] * 4, ("ID-JK",), ("GB",), ("ID", "GB")]
_QTYPES = {"A": 40, "AAAA": 15, "HTTPS": 10, "TXT": 8, "DS": 10, "SRV": 5, "MX": 4, "DNSKEY": 6, "NS": 2}
_FROM = {"ID": 60, "ID-JK": 15, "GB": 15, None: 10}
assert set(_FROM) == set(REGIONS)


def pieces(number: int, seed: int, now: int) -> list[Case]:
    """So many pieces, in force or not around `now`."""
    chance = random.Random(seed)
    return [_piece(chance, f"g{at}", now) for at in range(number)]


def _piece(chance: random.Random, id_: str, now: int) -> Case:
    aliases = dict(_aliases(chance))
    may_refuse = chance.random() < 0.1
    drafts: list[Draft] = []
    for _ in range(chance.randint(1, 4)):
        drafts.append(_block(chance, now, may_refuse=may_refuse))
        if chance.random() < 0.2:
            drafts.append(_act(chance, len(drafts), now))
    spoken = [
        one.removeprefix("*.")
        for draft in drafts
        for part in ("subjects", "excepts", "remove")
        for one in draft.values.get(part, ())
    ]
    near = [*spoken, *(one.partition(".")[2] for one in spoken if one != "@")]
    asks = [_ask(chance, aliases, near) for _ in range(ASKED)]
    return case(id_, "generated", drafts, asks, aliases=aliases)


def _written(chance: random.Random, most: int, least: int = 0) -> list[str]:
    chosen = chance.sample(_POOL, chance.randint(least, most))
    return [f"*.{one}" if chance.random() < 0.25 else one for one in chosen]


def _block(chance: random.Random, now: int, *, may_refuse: bool) -> Draft:
    subjects = _written(chance, 3, least=1)
    reached = [one.removeprefix("*.") for one in subjects]
    excepts = [
        one
        for one in _written(chance, 2)
        if not any(f".{name}".endswith(f".{one.removeprefix('*.')}") for name in reached)
    ]
    form = Form.REFUSED if may_refuse and chance.random() < 0.5 else chance.choice(_FORMS)
    values: dict[str, Any] = {"to": chance.choice(_ADDRESSES)} if form is Form.REDIRECT else {"form": form}
    start = now + chance.choice([-WEEK] * 9 + [WEEK])
    return block(
        *subjects,
        start=start,
        until=start + chance.choice([2 * WEEK] * 9 + [WEEK // 2]),
        match=chance.choice([Match.SUBTREE] * 3 + [Match.EXACT]),
        excepts=tuple(excepts),
        regions=chance.choice(_PLACES),
        issued=chance.choice([100, 200, 300]),
        publication=chance.choice([Publication.PUBLIC] * 9 + [Publication.SEALED]),
        **values,
    )


def _act(chance: random.Random, of: int, now: int) -> Draft:
    kind = chance.choice([Kind.SUSPEND, Kind.LIFT, Kind.AMEND, Kind.AMEND])
    more = {"remove": tuple(_written(chance, 2, least=1))} if kind is Kind.AMEND else {}
    return act(kind, str(of), now - chance.choice([100, 200, -WEEK]), **more)


def _aliases(chance: random.Random) -> Iterator[tuple[str, str]]:
    """A few aliases among the names of a piece and beside it, without a loop."""
    names = [*chance.sample(_POOL, 8), "out.x@", "far.x@"]
    chance.shuffle(names)
    for at in range(chance.randint(0, 3)):
        yield names[at], chance.choice(names[at + 1 :])


def _ask(chance: random.Random, aliases: dict[str, str], near: list[str]) -> Ask:
    (qtype,) = chance.choices(list(_QTYPES), list(_QTYPES.values()))
    (region,) = chance.choices(list(_FROM), list(_FROM.values()))
    name = chance.choice(chance.choices([list(aliases) or _POOL, near, _POOL], [3, 5, 2])[0])
    if chance.random() < 0.3:
        name = f"{chance.choice(['x', 'a', 'b', 'y.x'])}.{name}"
    if name in aliases and qtype in ("DS", "DNSKEY"):
        qtype = "A"  # Nobody has them beside an alias, and not every resolver would look for them there.
    if chance.random() < 0.2:
        name = "".join(chance.choice([char.upper(), char]) for char in name)
    return Ask(
        name=name,
        qtype=qtype,
        region=region,
        do=chance.random() < 0.25,
        tcp=chance.random() < 0.02,
        is_iterative=chance.random() < 0.05,
        expected=Expected(),
    )
