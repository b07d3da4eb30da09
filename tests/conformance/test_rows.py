"""The judge of the table sees what is wrong: it would be worth nothing if it didn't."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import dns.message
import dns.rdatatype
import pytest

from blocker.capabilities import Capability
from blocker.orders.model import Form, Match
from tests.conformance import authority, generator, rows
from tests.conformance.cases import INFO, WEEK, Ask, Expected, block, case
from tests.conformance.meaning import chain_of, meaning
from tests.conformance.rows import Outcome
from tests.conformance.seen import Seen, read
from tests.conformance.world import World

NOW = 1_800_000_000
ASK = Ask(name="a.example", expected=Expected())
BLOCKED = Expected(form=Form.NXDOMAIN, because=("lab/x/d",), public=("lab/x/d",))
RIGHT = Seen(rcode="NXDOMAIN", edes=((16, f"lab/x/d {INFO}"),), keeps=30, asked=NOW, got=NOW)
PASSED = Seen(rcode="NOERROR", records=frozenset({"A 192.0.2.80"}), ttl=300, asked=NOW, got=NOW)
SHAPED = replace(BLOCKED, until=NOW + 10)
ALIAS = {"a.example": "b.example"}


def outcomes(
    expected: Expected, seen: Seen, can: Capability, aliases: dict[str, str] | None = None
) -> dict[str, Outcome]:
    found = rows.cells("case", ASK, expected, seen, aliases or {}, can)
    return {cell.aspect: cell.outcome for cell in found}


def test_an_answer_that_is_right_in_all_passes_in_all() -> None:
    assert set(outcomes(BLOCKED, RIGHT, Capability()).values()) == {Outcome.PASSED}
    assert set(outcomes(Expected(), PASSED, Capability()).values()) == {Outcome.PASSED}


@pytest.mark.parametrize(
    ("expected", "seen", "aspect"),
    [
        (BLOCKED, PASSED, "answer"),
        (BLOCKED, Seen(), "answer"),
        (Expected(), RIGHT, "answer"),
        (BLOCKED, replace(RIGHT, rcode="NOERROR"), "answer"),
        (BLOCKED, replace(RIGHT, rcode="SERVFAIL"), "answer"),
        (BLOCKED, replace(RIGHT, records=frozenset({"A 192.0.2.80"})), "answer"),
        (Expected(), replace(PASSED, records=frozenset()), "answer"),
        (BLOCKED, replace(RIGHT, chain=("elsewhere.example",)), "chain"),
        (BLOCKED, replace(RIGHT, edes=()), "said"),
        (BLOCKED, replace(RIGHT, edes=((15, ""),)), "said"),
        (BLOCKED, replace(RIGHT, edes=((16, INFO),)), "reason"),
        (replace(BLOCKED, public=()), RIGHT, "reason"),
        (Expected(), replace(PASSED, edes=((16, ""),)), "unsaid"),
        (BLOCKED, replace(RIGHT, keeps=None), "kept"),
        (BLOCKED, replace(RIGHT, keeps=10800), "kept"),
        (SHAPED, RIGHT, "shaped"),
        (Expected(until=NOW + 10), PASSED, "shaped"),
    ],
)
def test_what_is_wrong_fails_in_its_aspect(expected: Expected, seen: Seen, aspect: str) -> None:
    assert outcomes(expected, seen, Capability())[aspect] is Outcome.FAILED


@pytest.mark.parametrize(
    ("expected", "seen", "outcome"),
    [
        (BLOCKED, RIGHT, Outcome.PASSED),
        (BLOCKED, Seen(rcode="REFUSED"), Outcome.PASSED),
        (BLOCKED, Seen(rcode="REFUSED", edes=((18, ""),)), Outcome.PASSED),
        (BLOCKED, Seen(rcode="NOERROR"), Outcome.PASSED),
        (BLOCKED, PASSED, Outcome.FAILED),
        (BLOCKED, Seen(), Outcome.FAILED),
        (BLOCKED, Seen(rcode="NOERROR", keeps=30), Outcome.FAILED),
        (BLOCKED, Seen(rcode="REFUSED", edes=((16, INFO),)), Outcome.FAILED),
        (BLOCKED, replace(PASSED, rcode="REFUSED"), Outcome.FAILED),
        (Expected(), PASSED, Outcome.PASSED),
        (Expected(), Seen(rcode="REFUSED"), Outcome.PASSED),
        (Expected(), RIGHT, Outcome.FAILED),
        (replace(Expected(), instead={"holes": (BLOCKED,)}), RIGHT, Outcome.DECLARED),
        (Expected(), Seen(), Outcome.FAILED),
    ],
)
def test_who_does_not_desire_recursion_gets_the_block_or_nothing(
    expected: Expected, seen: Seen, outcome: Outcome
) -> None:
    ask, can = replace(ASK, is_iterative=True), Capability(reach=("holes",))
    met = {cell.outcome for cell in rows.cells("case", ask, expected, seen, {}, can)}
    assert outcome in met
    assert (Outcome.FAILED in met) is (outcome is Outcome.FAILED)


@pytest.mark.parametrize(
    ("name", "leads"),
    [("x.d.example", ["x.b.example"]), ("y.x.d.example", ["y.x.b.example"]), ("d.example", [])],
)
def test_a_dname_leads_what_is_below_it_to_the_same_below_its_target(name: str, leads: list[str]) -> None:
    aliases = {"*.d.example": "b.example"}
    assert chain_of(name, "A", aliases) == [name, *leads]
    wired = {authority.wire(owner): authority.wire(target) for owner, target in aliases.items()}
    octets = authority.answer(dns.message.make_query(name, "A", want_dnssec=True).to_wire(), wired)
    assert octets is not None
    came = dns.message.from_wire(octets)
    assert [one.removesuffix(".") for one in read(came, NOW, NOW).chain] == leads
    dnames = [one.name.to_text() for one in came.answer if one.rdtype == dns.rdatatype.DNAME]
    assert dnames == ["d.example."] * len(leads)


def test_a_made_up_address_is_to_be_called_forged() -> None:
    expected = Expected(form=Form.REDIRECT, addresses=("192.0.2.200",))
    seen = Seen(rcode="NOERROR", records=frozenset({"A 192.0.2.200"}), edes=((16, INFO),))
    assert outcomes(expected, seen, Capability())["forged"] is Outcome.FAILED
    assert (
        outcomes(expected, replace(seen, edes=((16, INFO), (4, ""))), Capability())["forged"]
        is Outcome.PASSED
    )


def test_a_limit_excuses_its_own_aspect_alone_and_is_told_when_it_is_none() -> None:
    silent = Capability(reach=("ede",))
    assert outcomes(BLOCKED, replace(RIGHT, edes=()), silent)["said"] is Outcome.DECLARED
    assert outcomes(BLOCKED, RIGHT, silent)["said"] is Outcome.WORKS
    assert outcomes(BLOCKED, PASSED, silent)["answer"] is Outcome.FAILED


@pytest.mark.parametrize(
    ("limit", "aspect", "excused", "not_excused"),
    [
        ("ede", "said", replace(RIGHT, edes=()), replace(RIGHT, edes=((15, ""),))),
        ("reason", "reason", replace(RIGHT, edes=((16, INFO),)), replace(RIGHT, edes=((16, "lab/y/d"),))),
        ("negative-ttl", "kept", replace(RIGHT, keeps=None), replace(RIGHT, keeps=10800)),
        ("lift-shaping", "shaped", RIGHT, replace(RIGHT, keeps=31)),
    ],
)
def test_a_limit_of_what_an_answer_says_excuses_what_the_limit_says(
    limit: str, aspect: str, excused: Seen, not_excused: Seen
) -> None:
    can = Capability(reach=(limit,))
    assert outcomes(SHAPED, excused, can)[aspect] is Outcome.DECLARED
    assert outcomes(SHAPED, not_excused, can)[aspect] is Outcome.FAILED


def test_without_shaping_what_passes_is_kept_for_its_ttl_and_no_longer() -> None:
    can = Capability(reach=("shaping",))
    assert outcomes(Expected(until=NOW + 10), PASSED, can)["shaped"] is Outcome.DECLARED
    assert outcomes(Expected(until=NOW + 10), replace(PASSED, ttl=301), can)["shaped"] is Outcome.FAILED


def test_without_its_chain_a_denied_alias_is_denied_itself_and_not_by_another_way() -> None:
    expected, can = replace(BLOCKED, at=1), Capability(reach=("alias-form",))
    elsewhere = replace(RIGHT, chain=("elsewhere.example",))
    assert outcomes(expected, RIGHT, can, ALIAS)["chain"] is Outcome.DECLARED
    assert outcomes(expected, elsewhere, can, ALIAS)["chain"] is Outcome.FAILED


_SINCE = {"start": NOW - WEEK, "until": NOW + WEEK}
_LIMITED = World(
    cases=(
        case(
            "limited",
            "questions that engines with limits answer otherwise",
            [
                block("bad.@", **_SINCE),
                block("exact.@", match=Match.EXACT, **_SINCE),
                block("to.@", to=("192.0.2.200", "2001:db8::200"), **_SINCE),
                block("sub.@", excepts=("free.sub.@",), form=Form.NODATA, **_SINCE),
                block("re.@", excepts=("free.re.@",), to=("192.0.2.200",), **_SINCE),
            ],
            [],
            aliases={
                "a.@": "www.bad.@",
                "free.sub.@": "sub.@",
                "free.re.@": "x.re.@",
                "n.@": "sub.@",
                "x.@": "x.to.@",
            },
        ),
    )
)
_DS = f"DS {authority.shown('DS')}"
_HERE = "192.0.2.80"


def answer(rcode: str, *records: str, chain: tuple[str, ...] = (), edes: tuple[int, ...] = ()) -> Seen:
    said = tuple((code, INFO) for code in edes)
    full = tuple(f"{one}.limited.example" for one in chain)
    return Seen(rcode=rcode, records=frozenset(records), chain=full, edes=said, asked=NOW, got=NOW)


_BOTH = answer("NOERROR", "A 192.0.2.200", "AAAA 2001:db8::200", edes=(16, 4))


@pytest.mark.parametrize("limit", ["aliases", "cached-aliases"])
@pytest.mark.parametrize(
    ("seen", "outcome"),
    [
        (answer("NOERROR", f"A {_HERE}", chain=("www.bad",)), Outcome.DECLARED),
        (answer("NOERROR", f"A {_HERE}", chain=("www.bad",), edes=(16,)), Outcome.FAILED),
        (answer("NOERROR", f"A {_HERE}"), Outcome.FAILED),
        (answer("NOERROR", "A 203.0.113.1", chain=("www.bad",)), Outcome.FAILED),
        (answer("NOERROR", chain=("www.bad",)), Outcome.FAILED),
        (answer("SERVFAIL"), Outcome.FAILED),
        (answer("REFUSED"), Outcome.FAILED),
        (Seen(), Outcome.FAILED),
    ],
    ids=str,
)
def test_an_alias_that_is_not_seen_through_leads_to_the_data_that_passes(
    limit: str, seen: Seen, outcome: Outcome
) -> None:
    assert worst("a.limited.example", "A", seen, limit) is outcome


@pytest.mark.parametrize(
    ("name", "qtype", "limit", "seen", "outcome"),
    [
        ("exact", "DS", "holes", answer("NOERROR", edes=(16,)), Outcome.DECLARED),
        ("exact", "DS", "holes", answer("NXDOMAIN", edes=(16,)), Outcome.FAILED),
        ("exact", "DS", "holes", answer("SERVFAIL"), Outcome.FAILED),
        ("exact", "DS", "holes", answer("NOERROR", "DS 1 13 2 00"), Outcome.FAILED),
        ("exact", "A", "holes", answer("NOERROR", f"A {_HERE}"), Outcome.FAILED),
        ("to", "ANY", "any", _BOTH, Outcome.DECLARED),
        ("to", "ANY", "any", answer("NOERROR", "A 192.0.2.200", f"A {_HERE}"), Outcome.FAILED),
        ("to", "ANY", "any", answer("NOERROR", f"A {_HERE}"), Outcome.FAILED),
        ("to", "ANY", "any", answer("SERVFAIL"), Outcome.DECLARED),
        ("to", "ANY", "any", answer("NXDOMAIN"), Outcome.FAILED),
        ("bad", "ANY", "any", answer("SERVFAIL"), Outcome.DECLARED),
        ("bad", "ANY", "any", answer("NOERROR", f"A {_HERE}"), Outcome.FAILED),
        ("bad", "ANY", "any", Seen(), Outcome.FAILED),
        ("bad", "A", "any", answer("SERVFAIL"), Outcome.FAILED),
        (
            "free.sub",
            "A",
            "excepted-aliases",
            answer("NOERROR", chain=("sub",), edes=(16,)),
            Outcome.DECLARED,
        ),
        ("free.sub", "A", "excepted-aliases", answer("NOERROR", chain=("sub",)), Outcome.DECLARED),
        ("free.sub", "A", "excepted-aliases", answer("NOERROR", edes=(16,)), Outcome.FAILED),
        ("x", "A", "alias-addresses", answer("NOERROR", chain=("x.to",), edes=(16,)), Outcome.DECLARED),
        ("x", "A", "alias-addresses", answer("NXDOMAIN", chain=("x.to",), edes=(16,)), Outcome.FAILED),
        ("x", "A", "alias-addresses", answer("NOERROR", f"A {_HERE}", chain=("x.to",)), Outcome.FAILED),
        ("to", "A", "alias-addresses", answer("NOERROR", edes=(16,)), Outcome.FAILED),
        ("free.sub", "A", "excepted-aliases", answer("NXDOMAIN", chain=("sub",)), Outcome.FAILED),
        ("free.sub", "A", "excepted-aliases", answer("SERVFAIL"), Outcome.FAILED),
        ("free.re", "A", "excepted-aliases", answer("NOERROR", chain=("x.re",)), Outcome.DECLARED),
        (
            "free.re",
            "A",
            "excepted-aliases",
            answer("NOERROR", "A 203.0.113.1", chain=("x.re",)),
            Outcome.FAILED,
        ),
    ],
    ids=str,
)
def test_a_limit_excuses_what_it_says_of_an_answer_and_no_other_wrong_one(
    name: str, qtype: str, limit: str, seen: Seen, outcome: Outcome
) -> None:
    assert worst(f"{name}.limited.example", qtype, seen, limit) is outcome


def worst(name: str, qtype: str, seen: Seen, limit: str) -> Outcome:
    """Whether anything of the row failed, else whether anything was excused by the limit."""
    ask = Ask(name=name, qtype=qtype, expected=Expected())
    expected = meaning(_LIMITED.policy, ask, _LIMITED.aliases, NOW)
    can = Capability(reach=(limit, "reason", "negative-ttl"))
    found = list(rows.cells("limited", ask, expected, seen, _LIMITED.aliases, can))
    if any(cell.outcome is Outcome.FAILED for cell in found):
        return Outcome.FAILED
    return next(cell.outcome for cell in found if limit in cell.limit)


def test_a_name_without_data_passes_or_is_blocked_by_what_is_said_of_it() -> None:
    name, passing = "n.limited.example", replace(answer("NOERROR", chain=("sub",)), keeps=60)
    assert worst(name, "SRV", passing, "aliases") is Outcome.DECLARED
    assert worst(name, "SRV", replace(passing, keeps=30, edes=((16, INFO),)), "aliases") is Outcome.WORKS
    assert worst(name, "SRV", replace(passing, edes=((16, INFO),)), "aliases") is Outcome.FAILED


def test_a_limit_that_an_answer_does_not_meet_is_told_as_no_limit() -> None:
    seen = answer("NOERROR", _DS)
    assert worst("exact.limited.example", "DS", seen, "holes") is Outcome.WORKS


@pytest.mark.parametrize(
    ("qclass", "seen", "outcome"),
    [
        ("ANY", Seen(rcode="REFUSED"), Outcome.PASSED),
        ("ANY", Seen(rcode="NXDOMAIN", edes=((16, INFO),)), Outcome.PASSED),
        ("ANY", answer("NOERROR", "A 192.0.2.200", edes=(16, 4)), Outcome.PASSED),
        ("ANY", PASSED, Outcome.FAILED),
        ("ANY", Seen(), Outcome.FAILED),
        ("CH", Seen(rcode="NOERROR", records=frozenset({'TXT "r1"'})), Outcome.PASSED),
        ("CH", Seen(rcode="NXDOMAIN", edes=((16, INFO),)), Outcome.FAILED),
        ("CH", PASSED, Outcome.FAILED),
    ],
)
def test_no_class_leads_to_a_blocked_name_and_none_but_in_is_blocked(
    qclass: str, seen: Seen, outcome: Outcome
) -> None:
    ask = replace(ASK, qclass=qclass)
    assert [cell.outcome for cell in rows.cells("case", ask, Expected(), seen, {}, Capability())] == [outcome]


def test_a_limit_of_every_class_excuses_what_comes_by_it_and_by_no_other_class() -> None:
    can = Capability(reach=("every-class",))
    for qclass, seen, outcome in (
        ("ANY", PASSED, Outcome.DECLARED),
        ("ANY", Seen(), Outcome.FAILED),
        ("CH", PASSED, Outcome.FAILED),
    ):
        (cell,) = rows.cells("case", replace(ASK, qclass=qclass), Expected(), seen, {}, can)
        assert cell.outcome is outcome, (qclass, seen)


def test_generated_policies_meet_every_form_and_every_need_and_a_seed_makes_the_same_again() -> None:
    made = generator.pieces(100, 1, NOW)
    world = World(cases=tuple(made))
    met: Counter[object] = Counter()
    for piece in made:
        for ask in piece.asks:
            found = meaning(world.policy, ask, world.aliases, NOW)
            met.update([found.form, found.at > 0, *found.instead])
    assert {None, *Form} <= met.keys()
    assert {"aliases", "excepted-aliases", "holes"} <= met.keys()
    assert min(met.values()) > 3, met
    assert generator.pieces(100, 1, NOW) == made != generator.pieces(60, 2, NOW)
