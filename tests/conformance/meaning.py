"""What `decide` says of a question, walked along its alias chain: the meaning that engines are held to.

It is also the first runner of the table, so the table's own words hold `decide`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import dns.name
import dns.rdatatype

from blocker import names
from blocker.orders.model import Form
from blocker.policy.decide import decide
from tests.conformance.cases import Expected

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from blocker.policy.decide import Policy, Verdict
    from tests.conformance.cases import Ask

_NO_HOLE = int(dns.rdatatype.TXT)  # A type that passes nowhere where the name is blocked.


def key_of(name: str) -> names.Key:
    """The key of a name as a question has it: any octets, any case."""
    made = dns.name.from_text(name).to_wire()
    assert made is not None
    return names.from_wire(made)


def chain_of(name: str, qtype: str, aliases: Mapping[str, str]) -> list[str]:
    """The name, and where its aliases lead."""
    found = [name]
    while qtype != "CNAME" and (target := _target(found[-1].lower(), aliases)) is not None:
        found.append(target)
    return found


def _target(name: str, aliases: Mapping[str, str]) -> str | None:
    """Where an alias leads, its own or by the DNAME above it, which is written `*.owner`."""
    labels = name.split(".")
    for at in range(1, len(labels)):
        into = aliases.get(".".join(["*", *labels[at:]]))
        if into is not None:
            return ".".join([*labels[:at], into])
    return aliases.get(name)


def meaning(policy: Policy, ask: Ask, aliases: Mapping[str, str], t: float) -> Expected:
    """What must come back at `t`, and what may come instead from an engine with a limit."""
    qtype = int(dns.rdatatype.from_text(ask.qtype))
    chain = chain_of(ask.name, ask.qtype, aliases)
    plain = [decide(policy, key_of(one), ask.region, t) for one in chain]
    after = [decide(policy, key_of(one), ask.region, t, exempt=plain[0].exempt) for one in chain[1:]]
    until = None
    hole: Expected | None = None
    for at, verdict in enumerate([plain[0], *after]):
        if verdict.until is not None:
            until = verdict.until if until is None else min(until, verdict.until)
        if verdict.form_for(qtype) is not None:
            found = _blocked(verdict, qtype, at, until)
            break
        if verdict.is_blocked and hole is None:
            hole = _blocked(verdict, _NO_HOLE, at, until)
    else:
        found, at = Expected(until=until), len(chain)
    instead: dict[str, tuple[Expected, ...]] = {}
    if found.form is not None and at:
        instead["aliases"] = instead["cached-aliases"] = (Expected(until=until),)
    if found.form is Form.REDIRECT and at:
        instead["alias-addresses"] = (replace(found, addresses=()),)
    if found.form is not None and ask.qtype == "ANY":
        instead["any"] = (replace(found, is_whole=True), replace(found, rcode="SERVFAIL"))
    if hole is not None:
        instead["holes"] = (hole,)
    if plain[0].exempt and at and any(one.is_blocked for one in plain[1:]):
        instead["excepted-aliases"] = (Expected(until=until), *_unexempted(plain, qtype, until))
    return replace(found, instead=instead)


def _unexempted(chain: Sequence[Verdict], qtype: int, until: int | None) -> list[Expected]:
    """What comes of a chain where its start's excepts count for nothing: the block at its first blocked
    owner, if there is one, or of a redirect behind the first link its want of addresses.
    """
    for at, verdict in enumerate(chain):
        if verdict.form_for(qtype) is not None:
            found = _blocked(verdict, qtype, at, until)
            bare = [replace(found, addresses=())] if at and found.form is Form.REDIRECT else []
            return [found, *bare]
    return []


def _blocked(verdict: Verdict, qtype: int, at: int, until: int | None) -> Expected:
    """The answer at the blocked owner."""
    form = verdict.form_for(qtype)
    addresses = verdict.action.addresses if verdict.action is not None and form is Form.REDIRECT else ()
    return Expected(
        form=form,
        addresses=tuple(map(str, addresses)),
        because=verdict.because,
        public=verdict.public,
        at=at,
        until=until,
    )
