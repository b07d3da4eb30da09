"""What becomes of an apply that waits for its answer while those who approve, or their signatures, change."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from blocker.approvals import keygen
from blocker.errors import StalePlan
from blocker.policy import ledger, writer
from blocker.policy.reader import Reader
from blocker.policy.records import Trust
from tests.cli.signing import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.cli.conftest import Ran
    from tests.cli.signing import Signing


def answered(signing: Signing, meanwhile: Callable[[], object], *words: str) -> Ran:
    """An apply whose question is answered with yes after something happened."""

    def yes(_question: str) -> bool:
        meanwhile()
        return True

    with pytest.MonkeyPatch.context() as asked:
        asked.setattr("click.confirm", yes)
        return signing.site.run("apply", *words)


def everybody(signing: Signing) -> str:
    return "".join(signing.entry(who, roles) for who, roles in PEOPLE)


def revoked(signing: Signing) -> str:
    key = signing.town["bob"].fingerprint
    return f'revoked: [{{key: "{key}", from: 2026-02-01, reason: "laptop stolen"}}]\n'


def trust(signing: Signing) -> Trust:
    reader = Reader(signing.site.folder / "state")
    with reader.snapshot() as policy:
        found = policy.trust
    reader.close()
    return found


@pytest.fixture
def asking(signing: Signing) -> Signing:
    """One order is applied, another one waits, signed by two."""
    signing.block("first", "first.example", "alice", "bob")
    assert signing.apply().code == 0
    signing.block("x", "x.example", "alice", "bob")
    return signing


def gone(signing: Signing) -> None:
    signing.site.path("x").with_name("x.yaml.bob.sig").unlink()


def other(signing: Signing) -> None:
    path = signing.site.path("x")
    path.with_name("x.yaml.bob.sig").write_bytes(
        signing.town["carol"].sign(path.read_bytes(), "blocker-order")
    )


MOVED: dict[str, tuple[Callable[[Signing], object], str]] = {
    "revoked": (
        lambda signing: signing.people(everybody(signing), revoked(signing), issued="2026-02-02"),
        "the approvals of a/x are not what they were when the plan was made: ",
    ),
    "expired": (
        lambda signing: signing.people(
            signing.entry("Alice", "legal") + signing.entry("Bob", "noc", more=", until: 2026-02-01")
        ),
        "the approvals of a/x are not what they were when the plan was made: ",
    ),
    "signature gone": (gone, "the approvals of a/x are not what they were when the plan was made: "),
    "another's signature": (other, "the approvals of a/x are not what they were when the plan was made: "),
    "signers.yaml gone": (
        lambda signing: (signing.site.folder / "signers.yaml").unlink(),
        "the approvals of a/x are not what they were when the plan was made: ",
    ),
    "signers.yaml newer": (
        lambda signing: signing.people(everybody(signing), issued="2026-02-02"),
        "those who may sign are not what they were when the plan was made: ",
    ),
}


@pytest.mark.parametrize("name", MOVED)
def test_an_order_whose_approvals_moved_while_the_question_stood_open_stays_out(
    asking: Signing, name: str
) -> None:
    meanwhile, sentence = MOVED[name]
    ran = answered(asking, lambda: meanwhile(asking))
    assert (ran.code, sentence in ran.err) == (3, True), ran.err
    assert not asking.site.is_blocked("x.example")
    assert len(list(ledger.entries(asking.site.folder / "state", only=("applied",)))) == 1


def test_an_emergency_whose_signature_went_meanwhile_lets_nothing_in(asking: Signing) -> None:
    asking.block("y", "y.example", "dora")
    path = asking.site.path("y").with_name("y.yaml.dora.sig")
    ran = answered(asking, path.unlink, "--emergency", "a/y", "--reason", "phishing")
    assert (ran.code, "a/y can't come in as an emergency: " in ran.err) == (3, True), ran.err
    assert not asking.site.is_blocked("y.example")


def test_where_nothing_moved_the_answer_applies_the_plan_and_no_signature_is_verified_twice(
    asking: Signing, monkeypatch: pytest.MonkeyPatch
) -> None:
    verified: list[int] = []
    verify = keygen.verify

    def counted(claims: Sequence[keygen.Claim], *more: Any) -> list[str]:
        verified.append(len(claims))
        return verify(claims, *more)

    monkeypatch.setattr(keygen, "verify", counted)
    assert answered(asking, lambda: None).code == 0
    assert asking.site.is_blocked("x.example")
    assert sum(verified) == 3  # signers.yaml's, Alice's and Bob's


def test_a_plan_judged_by_a_signers_yaml_that_another_apply_knows_to_be_old_is_refused(
    asking: Signing,
) -> None:
    """The older file is back when the answer comes: as on a node whose checkout went back."""
    path = asking.site.folder / "signers.yaml"
    files = [path, path.with_name("signers.yaml.root.sig")]
    old = [file.read_bytes() for file in files]

    def meanwhile() -> None:
        asking.people(everybody(asking), revoked(asking), issued="2026-02-02")
        asking.site.path("x").rename(path.with_name("away"))
        assert asking.apply().out == "nothing to change: generation 1 has these orders\n"
        path.with_name("away").rename(asking.site.path("x"))
        for file, octets in zip(files, old, strict=True):
            file.write_bytes(octets)

    before = trust(asking).issued
    ran = answered(asking, meanwhile)
    assert (ran.code, "a newer signers.yaml was seen since the plan was made" in ran.err) == (3, True), (
        ran.err
    )
    assert not asking.site.is_blocked("x.example")
    assert trust(asking).issued > before
    assert "signers-older" in asking.site.run("check").out


def test_the_newest_signers_yaml_and_the_first_rules_stay_whoever_notes_later(
    asking: Signing,
) -> None:
    state = asking.site.folder / "state"
    known = trust(asking)
    with pytest.raises(StalePlan, match="a newer signers"):
        writer.settle(state, (), Trust(rules="other", issued=known.issued - 1))
    with pytest.raises(StalePlan, match="the rules of approval changed"):
        writer.settle(state, (), Trust(rules="other", issued=known.issued + 1))
    assert trust(asking) == known
    writer.settle(state, (), replace(known, issued=known.issued + 1))
    assert trust(asking) == replace(known, issued=known.issued + 1)
