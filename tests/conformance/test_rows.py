"""The judge of the table sees what is wrong: it would be worth nothing if it didn't."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from blocker.capabilities import Capability
from blocker.orders.model import Form
from tests.conformance import generator, rows
from tests.conformance.cases import INFO, Ask, Expected
from tests.conformance.meaning import meaning
from tests.conformance.rows import Outcome
from tests.conformance.seen import Seen
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
    needy = replace(BLOCKED, at=1, needs=frozenset({"aliases"}))
    passed = replace(PASSED, chain=("b.example",))
    assert outcomes(needy, passed, Capability(), ALIAS)["answer"] is Outcome.FAILED
    assert outcomes(needy, passed, Capability(reach=("aliases",)), ALIAS) == {"answer": Outcome.DECLARED}


def test_generated_policies_meet_every_form_and_every_need_and_a_seed_makes_the_same_again() -> None:
    made = generator.pieces(60, 1, NOW)
    world = World(cases=tuple(made))
    met: Counter[object] = Counter()
    for case in made:
        for ask in case.asks:
            found = meaning(world.policy, ask, world.aliases, NOW)
            met.update([found.form, found.at > 0, *found.needs])
    assert {None, *Form} <= met.keys()
    assert {"aliases", "excepted-aliases", "holes"} <= met.keys()
    assert min(met.values()) > 3, met
    assert generator.pieces(60, 1, NOW) == made != generator.pieces(60, 2, NOW)
