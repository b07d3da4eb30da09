from __future__ import annotations

from itertools import permutations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blocker import sshkeys
from blocker.approvals import judge
from blocker.approvals.judge import Approval, Signed
from blocker.approvals.signers import Signer
from blocker.approvals.sshsig import Envelope
from blocker.orders.model import Kind, NamesFile, Order
from tests.approvals.test_signers import key
from tests.policy.strategies import directive, order

LEGAL, NOC, ANY = frozenset({"legal"}), frozenset({"noc"}), frozenset[str]()


def approval(who: str, *roles: str) -> Approval:
    return Approval(who=who, key=f"SHA256:{who}", roles=roles, signature=who)


def signed(who: str, *roles: str, number: int = 0, path: str = "") -> Signed:
    public = sshkeys.read(key(number or ord(who[0])))
    signer = Signer(who=who, key=public, roles=frozenset(roles))
    envelope = Envelope(key=public, namespace="blocker-order", armored=f"{who}{number}".encode())
    return Signed(path=path or f"x.yaml.{who}.sig", envelope=envelope, signer=signer)


BLOCK = order("a/block", directives=(directive("one", "x.example"),))
LIST = NamesFile(file="x.txt", sha256="0" * 64)


def about(kind: Kind, of: str = "a/block", **changes: Any) -> Order:
    return order(f"a/{kind}", kind, of=of, start=1, **changes)


@pytest.mark.parametrize(
    ("one", "target", "rule"),
    [
        (BLOCK, None, Kind.BLOCK),
        (about(Kind.LIFT), BLOCK, Kind.LIFT),
        (about(Kind.LIFT, "a/block/one"), BLOCK, Kind.LIFT),
        (about(Kind.SUSPEND), BLOCK, Kind.SUSPEND),
        (about(Kind.REINSTATE), BLOCK, Kind.REINSTATE),
        # What undoes something that frees names blocks them.
        (about(Kind.LIFT, "a/suspend"), about(Kind.SUSPEND), Kind.REINSTATE),
        (about(Kind.LIFT, "a/lift"), about(Kind.LIFT), Kind.REINSTATE),
        (about(Kind.LIFT, "a/amend"), about(Kind.AMEND, remove=["y.x.example"]), Kind.REINSTATE),
        (about(Kind.LIFT, "a/amend"), about(Kind.AMEND, remove_file=LIST), Kind.REINSTATE),
        (about(Kind.LIFT, "a/amend"), about(Kind.AMEND, until=9), Kind.REINSTATE),
        (about(Kind.LIFT, "a/amend"), about(Kind.AMEND, review_by=9), Kind.REINSTATE),
        (about(Kind.SUSPEND, "a/amend"), about(Kind.AMEND, remove=["y.x.example"]), Kind.REINSTATE),
        (about(Kind.LIFT, "a/amend"), about(Kind.AMEND, directives=BLOCK.directives), Kind.LIFT),
        (about(Kind.LIFT, "a/amend/one"), about(Kind.AMEND, remove=["y.x.example"]), Kind.LIFT),
        # Of what nobody knows, nobody knows that it frees names.
        (about(Kind.LIFT), None, Kind.REINSTATE),
        # An amend that only removes names is a lift of those.
        (about(Kind.AMEND, remove=["y.x.example"]), BLOCK, Kind.LIFT),
        (about(Kind.AMEND, remove_file=LIST), BLOCK, Kind.LIFT),
        (about(Kind.AMEND, remove=["y.x.example"], until=9), BLOCK, Kind.AMEND),
        (about(Kind.AMEND, remove=["y.x.example"], review_by=9), BLOCK, Kind.AMEND),
        (about(Kind.AMEND, directives=BLOCK.directives), BLOCK, Kind.AMEND),
    ],
)
def test_what_may_block_more_needs_as_many_approvals_as_a_block(
    one: Order, target: Order | None, rule: Kind
) -> None:
    assert judge.rule_of(one, target) == rule


@pytest.mark.parametrize(
    ("people", "seats", "left"),
    [
        ((), (ANY,), [ANY]),
        ((("a", "legal"),), (LEGAL, NOC), [NOC]),
        ((("a", "legal"), ("b", "legal")), (LEGAL, NOC), [NOC]),
        ((("a", "legal"), ("b", "noc")), (LEGAL, NOC), []),
        # Who could take either seat makes room for who can take one only.
        ((("a", "legal", "noc"), ("b", "legal")), (LEGAL, NOC), []),
        ((("a", "legal", "noc"), ("b", "noc")), (NOC, LEGAL), []),
        ((("a", "legal", "noc"),), (LEGAL, NOC), [NOC]),
        ((("a", "legal"), ("b", "duty")), (LEGAL | NOC, ANY), []),
        ((("a", "duty"), ("b", "duty")), (LEGAL, ANY), [LEGAL]),
    ],
)
def test_every_seat_is_taken_by_another_person(people: Any, seats: Any, left: Any) -> None:
    for shuffled in permutations(people):
        assert judge.empty([approval(*one) for one in shuffled], seats) == left


ROLES = st.frozensets(st.sampled_from("abc"), max_size=3)


@given(st.lists(ROLES.filter(bool), max_size=5), st.lists(ROLES, min_size=1, max_size=4))
def test_seats_stay_empty_only_if_no_seating_fills_them(people: Any, seats: Any) -> None:
    given_ = [approval(str(number), *roles) for number, roles in enumerate(people)]
    left = judge.empty(given_, seats)
    most = max(
        sum(not seat or not seat.isdisjoint(person) for seat, person in zip(row, people, strict=False))
        for row in permutations([*seats, *[frozenset({"nobody"})] * len(people)], len(people))
    )
    assert len(seats) - len(left) == most


def decide(*found: Signed, seats: Any = (LEGAL, NOC), **more: Any) -> judge.Verdict:
    return judge.verdict(BLOCK, "o/x.yaml", found, seats, **more)


def test_two_people_of_the_right_roles_are_enough() -> None:
    found = decide(signed("Bob", "noc"), signed("Alice", "legal"))
    assert [one.who for one in found.approvals] == ["Alice", "Bob"]
    assert (found.missing, found.flaws) == ("", ())


def test_what_is_missing_is_said_with_the_command_that_gives_it() -> None:
    assert decide(signed("Alice", "legal")).missing == (
        "this block needs 2 approvals by different people, legal and noc; it has Alice (legal); missing: "
        "noc. Who approves it runs `ssh-keygen -Y sign -n blocker-order -f KEY < o/x.yaml > "
        "o/x.yaml.NAME.sig`."
    )
    assert decide(seats=(LEGAL | NOC,)).missing.startswith(
        "this block needs 1 approval, legal or noc; it has none; missing: legal or noc. "
    )
    assert "anyone and anyone; it has none; missing: anyone and anyone" in decide(seats=(ANY, ANY)).missing


def test_a_person_with_two_keys_counts_once() -> None:
    found = decide(signed("Carol", "legal", "noc", number=1), signed("Carol", "legal", "noc", number=2))
    assert [one.who for one in found.approvals] == ["Carol"]
    assert found.missing
    ((_, flaw),) = found.flaws
    assert (flaw.id, flaw.message) == (
        "signature-duplicate",
        "Carol has approved already; a person counts once, with whatever key. Leave this one out.",
    )


def test_a_person_of_another_role_does_not_count_and_is_told_so() -> None:
    found = decide(signed("Dora", "duty"), signed("Alice", "legal"))
    assert [one.who for one in found.approvals] == ["Alice"]
    assert found.flaws[0][0] == "x.yaml.Dora.sig"
    assert found.flaws[0][1].message == (
        "Dora approves as duty, and a block needs legal and noc; it doesn't count here."
    )


def test_an_emergency_lets_in_what_lacks_the_others() -> None:
    duty = (frozenset({"duty"}),)
    found = decide(signed("Dora", "duty"), urgent=duty, is_emergency=True)
    assert ([one.who for one in found.approvals], found.missing, found.is_hurried) == (["Dora"], "", True)
    found = decide(signed("Dora", "duty"), urgent=duty)
    assert (found.approvals, found.flaws, found.is_hurried) == ((), (), False)
    found = decide(signed("Alice", "legal"), urgent=duty, is_emergency=True)
    assert "an emergency needs 1 approval, duty; it has none" in found.missing
    found = decide(signed("Alice", "legal"), signed("Bob", "noc"), urgent=duty, is_emergency=True)
    assert (len(found.approvals), found.is_hurried) == (2, False)


def test_what_openssh_says_is_told_where_it_is_not_the_usual() -> None:
    assert judge.mismatch("Signature verification failed: incorrect signature").id == "signature-mismatch"
    assert judge.mismatch("odd").message == "ssh-keygen refuses it: 'odd'; sign again."
