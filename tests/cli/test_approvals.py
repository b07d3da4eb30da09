"""Orders that come in signed: by real ssh-keygen, through the command line, into the live policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.policy import ledger
from blocker.policy.archive import fetch

if TYPE_CHECKING:
    from tests.cli.signing import Signing


def test_an_order_that_two_people_signed_is_applied_and_the_ledger_says_who(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    ran = signing.apply()
    assert (ran.code, ran.err) == (0, "")
    assert signing.site.is_blocked("x.example")
    state = signing.site.folder / "state"
    (told,) = ledger.entries(state, only=("approved",))
    assert told.subject == "a/x"
    assert [(one["who"], one["key"], one["roles"]) for one in told.facts["approvals"]] == [
        ("Alice", signing.town["alice"].fingerprint, ["legal"]),
        ("Bob", signing.town["bob"].fingerprint, ["noc"]),
    ]
    for one in told.facts["approvals"]:
        assert fetch(state, one["signature"]).startswith(b"-----BEGIN SSH SIGNATURE-----")
    assert fetch(state, told.facts["signed"]) == signing.site.path("x").read_bytes()
    assert fetch(state, told.facts["signers"]) == (signing.site.folder / "signers.yaml").read_bytes()


def test_an_order_with_one_approval_stays_out_and_everything_else_comes_in(signing: Signing) -> None:
    signing.block("x", "x.example", "alice")
    signing.block("y", "y.example", "alice", "bob")
    ran = signing.apply()
    assert ran.code == 2
    path = signing.site.path("x")
    assert (
        f"{path}:1:1 not-approved: this block needs 2 approvals by different people, legal and noc; it has "
        f"Alice (legal); missing: noc. Who approves it runs `ssh-keygen -Y sign -n blocker-order -f KEY "
        f"< {path} > {path}.NAME.sig`." in ran.err
    )
    assert not signing.site.is_blocked("x.example")
    assert signing.site.is_blocked("y.example")
