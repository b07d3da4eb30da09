"""Rules of approval in words."""

from __future__ import annotations

from pathlib import Path

import pytest

from blocker import sshkeys
from blocker.policy import rules
from blocker.policy.records import Trust, pack_trust, rules_digest, unpack_trust
from blocker.site import Approvals, Emergency

ROOT = sshkeys.read("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdwvsc0sOp/7pkHcVKGd5jbmtuLsiaqoBgyCxdnXapB")
LEGAL, EITHER = frozenset({"legal"}), frozenset({"noc", "legal"})


def asked(emergency: Emergency | None = None) -> Approvals:
    seats = {"block": (LEGAL, frozenset[str]()), "lift": (EITHER,), "suspend": (EITHER,)}
    return Approvals(signers=Path("signers.yaml"), roots=(ROOT,), rules=seats, emergency=emergency)


@pytest.mark.parametrize(
    ("within", "said"), [(4 * 3600, "4h"), (2 * 86400, "2d"), (90, "90s"), (5400, "90m"), (36 * 3600, "36h")]
)
def test_rules_are_said_as_site_yaml_has_them(within: int, said: str) -> None:
    text = rules.kept(asked(Emergency(seats=(LEGAL,), within=within)))
    assert rules.words(text) == (
        "block: legal and anyone; lift, suspend: legal or noc; "
        f"emergency: legal, the others within {said}; who may sign is said by {ROOT.fingerprint}"
    )


def test_without_an_emergency_and_without_rules_that_is_said() -> None:
    assert "emergency" not in rules.words(rules.kept(asked()))
    assert rules.words(rules.kept(None)) == rules.before(Trust()) == "none: orders come in without approvals"


def test_rules_come_back_as_they_were_kept_and_only_if_they_are_those() -> None:
    text = rules.kept(asked())
    trust = Trust(rules=rules_digest(text), issued=1.5, said=text)
    assert unpack_trust(pack_trust(trust), text.encode()) == trust
    other = unpack_trust(pack_trust(trust), b"[]")
    assert other == Trust(rules=trust.rules, issued=1.5)
    assert rules.before(trust) == rules.words(text)
    assert rules.before(other) == f"rules that were not kept, with the digest {trust.rules[:16]}"
