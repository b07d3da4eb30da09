"""What `decide` says of a question, walked along its alias chain: the meaning that engines are held to.

It is also the first runner of the table, so the table's own words hold `decide`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import dns.name
import dns.rdatatype

from blocker import names
from blocker.orders.model import Form
from blocker.policy.decide import DNSKEY, DS, decide
from tests.conformance.cases import Expected

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocker.policy.decide import Policy, Verdict
    from tests.conformance.cases import Ask


def key_of(name: str) -> names.Key:
    """The key of a name as a question has it: any octets, any case."""
    made = dns.name.from_text(name).to_wire()
    assert made is not None
    return names.from_wire(made)


def chain_of(name: str, qtype: str, aliases: Mapping[str, str]) -> list[str]:
    """The name, and where its aliases lead."""
    found = [name]
    while qtype != "CNAME" and (target := aliases.get(found[-1].lower())) is not None:
        found.append(target)
    return found


def meaning(policy: Policy, ask: Ask, aliases: Mapping[str, str], t: float) -> Expected:
    """What must come back at `t`, and what that needs of an engine; the ids are those of
    capabilities.REACH.
    """
    qtype = int(dns.rdatatype.from_text(ask.qtype))
    chain = chain_of(ask.name, ask.qtype, aliases)
    plain = [decide(policy, key_of(one), ask.region, t) for one in chain]
    after = [decide(policy, key_of(one), ask.region, t, exempt=plain[0].exempt) for one in chain[1:]]
    needs = set()
    if plain[0].exempt and any(one.is_blocked for one in plain[1:]):
        needs.add("excepted-aliases")
    until = None
    for at, verdict in enumerate([plain[0], *after]):
        if verdict.until is not None:
            until = verdict.until if until is None else min(until, verdict.until)
        form = verdict.form_for(qtype)
        if form is not None:
            needs |= {"aliases", "cached-aliases"} if at else set()
            needs |= {"any"} if ask.qtype == "ANY" else set()
            return _expected(form, verdict, at, until, needs)
        if verdict.is_blocked and qtype in (DS, DNSKEY):
            needs.add("holes")
    return Expected(until=until, needs=frozenset(needs))


def _expected(form: Form, verdict: Verdict, at: int, until: int | None, needs: set[str]) -> Expected:
    addresses = verdict.action.addresses if verdict.action is not None and form is Form.REDIRECT else ()
    return Expected(
        form=form,
        addresses=tuple(map(str, addresses)),
        because=verdict.because,
        public=verdict.public,
        at=at,
        until=until,
        needs=frozenset(needs),
    )
