from __future__ import annotations

import base64

import pytest

from blocker.approvals import judge
from blocker.approvals.signers import parse
from blocker.orders import check
from blocker.sitefile import SITE_CHECKS
from tests.test_sshkeys import line


def key(number: int) -> str:
    return line("ssh-ed25519", b"ssh-ed25519", bytes((number,)) * 32)


FINGERPRINT = "SHA256:" + base64.b64encode(bytes(32)).decode().rstrip("=")
GOOD = f"""\
issued: 2026-01-01
signers:
  - {{who: Alice Example, key: "{key(1)}", roles: [legal], from: 2026-01-01, until: 2027-01-01}}
  - {{who: Alice Example, key: "{key(2)}", roles: [legal]}}
  - {{who: Bob, key: "{key(3)}", roles: [noc, duty]}}
revoked:
  - {{key: "{FINGERPRINT}", from: 2026-02-01, reason: "laptop stolen"}}
"""


def test_people_keys_roles_and_times_are_read() -> None:
    found, problems = parse(GOOD.encode(), "signers.yaml")
    assert problems == []
    assert found is not None
    assert [(one.who, sorted(one.roles)) for one in found.signers.values()] == [
        ("Alice Example", ["legal"]),
        ("Alice Example", ["legal"]),
        ("Bob", ["duty", "noc"]),
    ]
    assert list(found.revoked) == [FINGERPRINT]
    assert found.issued.isoformat() == "2026-01-01T00:00:00+00:00"


def test_of_two_revocations_of_one_key_the_first_is_told() -> None:
    second = f'  - {{key: "{FINGERPRINT}", from: 2026-03-01, reason: "again"}}\n'
    found, _ = parse((GOOD + second).encode(), "signers.yaml")
    assert found is not None
    assert found.revoked[FINGERPRINT].reason == "laptop stolen"


@pytest.mark.parametrize(
    "who",
    ["Анна Петрова", "Анна Petrova", "Ελένη Παππά", "Łukasz Żółw", "山田 はなこ", "Bob O'Neil-Ng 2"],
)
def test_a_name_whose_words_are_each_of_one_script_is_a_name(who: str) -> None:
    found, problems = parse(GOOD.replace("who: Bob", f"who: {who}").encode(), "signers.yaml")
    assert problems == []
    assert found is not None
    assert who in {one.who for one in found.signers.values()}


WRONG = [
    ("[]", "not-a-mapping", "signers.yaml is written as keys with values"),
    ("&a {}", "yaml-alias", ""),
    ("signers: []", "missing-key", "'issued'; write when it is issued"),
    ("issued: 2026-01-01\nsigners: []", "value-empty", "the list is empty"),
    ("issued: 2026-01-01\nsigners: [{who: A}]", "missing-key", "a signer has no 'key'; "),
    (GOOD.replace("who: Bob", "who: ''"), "value-empty", "there is no value"),
    (GOOD.replace("who: Bob", 'who: "Bob  B"'), "who-invalid", "is not one short line"),
    (GOOD.replace("who: Bob", 'who: "B\u00a0ob"'), "who-invalid", "is not one short line"),
    (
        GOOD.replace("who: Bob", "who: \u0410lice Example"),
        "who-invalid",
        "has Latin and Cyrillic letters in one word",
    ),
    (GOOD.replace("who: Bob", "who: Al\u03b9ce \uff22ob"), "who-invalid", "has Latin and Greek letters"),
    (GOOD.replace("who: Bob", "who: B\uff4fb\u0430"), "who-invalid", "has Latin and Cyrillic letters"),
    (
        GOOD.replace("who: Bob", "who: ALICE example"),
        "signer-alike",
        "look like one person; write them alike",
    ),
    (GOOD.replace("[noc, duty]", "[Noc]"), "role-invalid", "'Noc' is not a role; write a word"),
    (GOOD.replace("[noc, duty]", "[anyone]"), "role-invalid", "'anyone' is not a role"),
    (GOOD.replace("until: 2027-01-01", "until: 2026-01-01"), "empty-window", "it ends before it begins"),
    (GOOD.replace("[noc, duty]", "[noc], from: 2026-01-01T00:00:00"), "time-without-zone", ""),
    (GOOD.replace(key(3), key(1)), "signer-key-twice", "'Alice Example' has this key already"),
    (GOOD.replace(key(2), key(1)), "signer-key-twice", "'Alice Example' has this key already"),
    (
        GOOD.replace(f'"{key(2)}", roles: [legal]', f'"{key(2)}", roles: [noc]'),
        "signer-two-roles",
        "has other roles with another key",
    ),
    (GOOD.replace(key(3), "secret"), "key-invalid", "this is no public key that may sign"),
    (GOOD.replace(FINGERPRINT, "SHA256:abc"), "fingerprint-invalid", "is no fingerprint of a key"),
    (GOOD.replace(", from: 2026-02-01", ""), "missing-key", "a revoked key has no 'from'"),
    (GOOD + "roots: []\n", "unknown-key", "'roots' is not a key of signers.yaml"),
]


@pytest.mark.parametrize(("text", "id_", "words"), WRONG)
def test_what_is_wrong_in_the_file_is_a_problem_and_then_it_names_nobody(
    text: str, id_: str, words: str
) -> None:
    found, problems = parse(text.encode(), "signers.yaml")
    assert found is None
    assert id_ in [one.id for one in problems]
    assert any(words in one.message for one in problems if one.id == id_)
    assert {one.id for one in problems} <= judge.CHECKS.keys() | check.REGISTRY.keys() | SITE_CHECKS.keys()


def test_a_key_that_is_no_key_is_not_shown_again() -> None:
    _, problems = parse(GOOD.replace(key(3), "b3BlbnNzaC1rZXktdjE secret").encode(), "signers.yaml")
    assert not any("b3Blb" in str(one) or "secret" in str(one) for one in problems)
