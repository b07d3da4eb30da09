"""Orders that come in signed: by real ssh-keygen, through the command line, into the live policy."""

from __future__ import annotations

import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from prometheus_client import generate_latest

from blocker import metrics
from blocker.approvals import judge, keygen
from blocker.cli.approvals import UNSIGNED
from blocker.policy import ledger, store
from blocker.policy.archive import fetch
from blocker.web.view import Scene
from tests.approvals.device import Device
from tests.cli import pages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Ran, Site
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


def complaints(ran: Ran, place: str) -> list[str]:
    """What is said of the file with this end of its path, without the path and the line."""
    lines = [line for line in ran.out.splitlines() if place in line.partition(" ")[0]]
    return [line.partition(" ")[2] for line in lines]


def spoilt(signing: Signing, name: str, change: Callable[[bytes], bytes]) -> None:
    path = signing.site.path("x")
    signature = path.with_name(f"x.yaml.{name}.sig")
    signature.write_bytes(change(signature.read_bytes()))


def forged(signing: Signing) -> None:
    """The signature is Bob's in all but the number at its end."""
    octets = Device(is_touched=True).sign(b"")
    spoilt(signing, "bob", lambda good: good.replace(good[-60:-40], octets[60:80]))


def swapped(signing: Signing) -> None:
    signing.block("other", "other.example", "bob")
    at = signing.site.path("x")
    at.with_name("x.yaml.bob.sig").write_bytes(at.with_name("other.yaml.bob.sig").read_bytes())


def changed(signing: Signing) -> None:
    signing.site.write("x", signing.site.path("x").read_text().replace("x.example", "y.example"))


def listed(signing: Signing, more: str, revoked: str = "") -> None:
    """Bob's entry has this at its end."""
    people = [("Alice", "legal", ""), ("Bob", "noc", more)]
    signing.people("".join(signing.entry(who, roles, more=end) for who, roles, end in people), revoked)


def revoked(signing: Signing) -> None:
    key = signing.town["bob"].fingerprint
    listed(signing, "", f'revoked: [{{key: "{key}", from: 2026-02-01, reason: "laptop stolen"}}]\n')


def untouched(signing: Signing) -> None:
    device = Device(is_touched=False)
    signing.people(
        signing.entry("Alice", "legal") + f'  - {{who: Bob, key: "{device.line}", roles: [noc]}}\n'
    )
    signing.site.path("x").with_name("x.yaml.bob.sig").write_bytes(
        device.sign(signing.site.path("x").read_bytes())
    )


def second_signature_of_alice(signing: Signing) -> None:
    signing.site.path("x").with_name("x.yaml.bob.sig").write_bytes(
        signing.town["alice"].sign(signing.site.path("x").read_bytes())
    )


def second_key_of_alice(signing: Signing) -> None:
    signing.people(signing.entry("Alice", "legal") + signing.entry("Alice", "legal", "bob"))


def seventeen(signing: Signing) -> None:
    at = signing.site.path("x")
    at.with_name("x.yaml.bob.sig").write_bytes(signing.town["mallory"].sign(at.read_bytes()) * 16)


def pipe(signing: Signing) -> None:
    path = signing.site.path("x").with_name("x.yaml.bob.sig")
    path.unlink()
    os.mkfifo(path)


def link(signing: Signing) -> None:
    path = signing.site.path("x").with_name("x.yaml.bob.sig")
    path.rename(path.with_name("elsewhere"))
    path.symlink_to("elsewhere")


def cut(lines: list[bytes]) -> list[bytes]:
    return lines[:2] + lines[4:]


def by(name: str) -> Callable[[Signing], None]:
    def sign(signing: Signing) -> None:
        at = signing.site.path("x")
        at.with_name("x.yaml.bob.sig").write_bytes(signing.town[name].sign(at.read_bytes()))

    return sign


def litter(signing: Signing, slug: str, count: int) -> None:
    """So many files that sort before any signature, are called one and are none."""
    path = signing.site.path(slug)
    for number in range(count):
        path.with_name(f"{path.name}.{number:03}.sig").touch()


REFUSED: dict[str, tuple[Callable[[Signing], None], str]] = {
    "forged": (forged, "signature-mismatch: it is not over this file: "),
    "changed": (
        changed,
        (
            "signature-mismatch: it is not over this file: the file was changed since it was signed, "
            "or the signature is another file's. Compare the file with what was signed, then sign it "
            "again."
        ),
    ),
    "swapped": (swapped, "signature-mismatch: it is not over this file: "),
    "not yet": (
        lambda signing: listed(signing, ", from: 2098-01-01"),
        "signer-not-yet: Bob may approve from 2098-01-01T00:00:00+00:00 on; ask another, or wait.",
    ),
    "expired": (
        lambda signing: listed(signing, ", until: 2026-01-01"),
        (
            "signer-expired: Bob could approve with this key until 2026-01-01T00:00:00+00:00; sign "
            "with a key that is good today."
        ),
    ),
    "revoked": (
        revoked,
        (
            "signature-revoked: the key {bob} was revoked from 2026-02-01T00:00:00+00:00 on: laptop "
            "stolen. Ask who made this signature, and when."
        ),
    ),
    "wrong namespace": (
        lambda signing: signing.sign("x", "bob", namespace="git"),
        (
            "signature-namespace: it was made for 'git', not for 'blocker-order'; sign again with -n "
            "blocker-order."
        ),
    ),
    "stranger": (
        by("mallory"),
        "signature-unknown-key: the key {mallory} is nobody's in signers.yaml; sign with one that is listed.",
    ),
    "short key": (
        by("short"),
        (
            "signature-unsupported: the key it was made with may not sign: its 1024 bits are too few; "
            "RSA keys have 2048 at least. Sign the order with another key."
        ),
    ),
    "same key twice": (
        second_signature_of_alice,
        (
            "signature-duplicate: Alice has approved already; a person counts once, with whatever key. "
            "Leave this one out."
        ),
    ),
    "same person twice": (second_key_of_alice, "signature-duplicate: Alice has approved already; "),
    "wrong role": (
        lambda signing: signing.people(signing.entry("Alice", "legal") + signing.entry("Bob", "billing")),
        "signature-role: Bob approves as billing, and a block needs legal and noc; it doesn't count here.",
    ),
    "untouched": (
        untouched,
        (
            "signature-untouched: nobody touched the security key of Bob when it signed; sign again, "
            "and touch it when it blinks."
        ),
    ),
    "truncated": (
        lambda signing: spoilt(signing, "bob", lambda good: good[:150]),
        (
            "signature-truncated: a signature has no last line, '-----END SSH SIGNATURE-----': the "
            "file was cut off; restore it, or sign the order again."
        ),
    ),
    "two lines lost": (
        lambda signing: spoilt(signing, "bob", lambda good: b"".join(cut(good.splitlines(keepends=True)))),
        (
            "signature-truncated: a signature ends before its end: some of its lines are missing; "
            "restore the file, or sign the order again."
        ),
    ),
    "garbled": (
        lambda signing: spoilt(signing, "bob", lambda good: good.replace(b"AAAA", b"????")),
        (
            "signature-garbled: a signature can't be read: what stands between its first and last line "
            "is not base64. Restore the file, or sign the order again."
        ),
    ),
    "not a signature": (
        lambda signing: spoilt(signing, "bob", lambda good: b"I approve. Bob\n"),
        (
            "signature-garbled: something other than a signature stands in the file; it has "
            "'-----BEGIN SSH SIGNATURE-----' as its first line and nothing beside signatures. Sign the "
            "order again."
        ),
    ),
    "empty": (
        lambda signing: spoilt(signing, "bob", lambda good: b""),
        "signature-garbled: the file is empty; sign the order again.",
    ),
    "too many": (
        seventeen,
        (
            "signature-too-many: there are more than 16 signatures over one file, and the rest is not "
            "looked at; remove those that aren't needed."
        ),
    ),
    "too much litter": (
        lambda signing: litter(signing, "x", 64),
        (
            "signature-too-many: there are 64 things called signatures of one file before this one, and the "
            "rest is not looked at; remove what is none."
        ),
    ),
    "too large": (
        lambda signing: spoilt(signing, "bob", lambda good: good * 1000),
        (
            "signature-unreadable: it is larger than 64 KiB, and no signature is; put the file there "
            "that ssh-keygen wrote."
        ),
    ),
    "a pipe": (pipe, "signature-unreadable: it is not a regular file; put a plain file there."),
    "a link": (link, "signature-unreadable: it can't be read: Too many levels of symbolic links; "),
}


def test_litter_that_is_called_a_signature_keeps_no_lift_out(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    assert signing.apply().code == 0
    signing.site.act("end", "lift", "a/x")
    signing.sign("end", "alice")
    litter(signing, "end", 60)
    ran = signing.apply()
    assert ran.code == 0
    assert "signature-garbled: the file is empty" in ran.out + ran.err
    assert not signing.site.is_blocked("x.example")


@pytest.mark.parametrize("name", REFUSED)
def test_a_signature_that_is_no_approval_is_refused_with_its_own_sentence(
    signing: Signing, name: str
) -> None:
    spoil, sentence = REFUSED[name]
    signing.block("x", "x.example", "alice", "bob")
    spoil(signing)
    ran = signing.site.run("check")
    assert ran.code == 2
    said = complaints(ran, "x.yaml.bob.sig") + complaints(ran, "x.yaml.alice.sig")
    keys = {who: signing.town[who].fingerprint for who in ("bob", "mallory")}
    assert any(one.startswith(sentence.format(**keys)) for one in said), said
    assert any(one.startswith("not-approved: this block needs 2") for one in complaints(ran, "x.yaml:1:1"))
    assert signing.apply().code == 2
    assert not signing.site.is_blocked("x.example")
    assert not signing.site.is_blocked("y.example")


UNSIGNED_SIGNERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "gone": (lambda path: path.unlink(), "signers-missing: it can't be read: No such file or directory; "),
    "too large": (
        lambda path: path.write_bytes(b"#" * ((1 << 20) + 1)),
        "signers-missing: the file is larger than 1 MiB; those who may sign are few, so shorten it. ",
    ),
    "unsigned": (
        lambda path: path.with_name("signers.yaml.root.sig").unlink(),
        "signers-unsigned: no root's signature over it is good: it is not signed. ",
    ),
    "changed": (
        lambda path: path.write_text(path.read_text().replace("who: Dora", "who: Dorothy")),
        "signers-unsigned: no root's signature over it is good: {path}.root.sig: it is not over this file: ",
    ),
}


@pytest.mark.parametrize("name", UNSIGNED_SIGNERS)
def test_while_nobody_knows_who_may_sign_no_new_order_comes_in_and_the_others_stay(
    signing: Signing, name: str
) -> None:
    signing.block("old", "old.example", "alice", "bob")
    assert signing.apply().code == 0
    path = signing.site.folder / "signers.yaml"
    spoil, sentence = UNSIGNED_SIGNERS[name]
    spoil(path)
    signing.block("x", "x.example", "alice", "bob")
    ran = signing.site.run("check")
    assert ran.code == 2
    (said,) = ran.out.splitlines()
    assert said.startswith(f"{path} {sentence.format(path=path)}")
    assert "no new order comes in." in said
    assert signing.apply().code == 2
    assert signing.site.is_blocked("old.example")
    assert not signing.site.is_blocked("x.example")
    assert signing.site.run("withhold", "a/old", "--reason", "appeal").code == 0


def test_who_is_no_root_says_nothing_about_who_may_sign(signing: Signing) -> None:
    signing.block("x", "x.example", "mallory", "eve")
    signing.people(signing.entry("Mallory", "legal") + signing.entry("Eve", "noc"), root="mallory")
    ran = signing.site.run("check")
    key = signing.town["mallory"].fingerprint
    assert ran.code == 2
    assert f"the key {key} is none of approvals.roots in site.yaml; one of those must sign it." in ran.out


def test_a_signature_for_one_purpose_is_good_for_no_other(signing: Signing) -> None:
    path = signing.site.folder / "signers.yaml"
    path.with_name("signers.yaml.root.sig").write_bytes(signing.town["root"].sign(path.read_bytes()))
    ran = signing.site.run("check")
    assert "it was made for 'blocker-order', not for 'blocker-signers'" in ran.out


def test_what_is_wrong_in_signers_yaml_is_said_and_keeps_new_orders_out(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    signing.people(signing.entry("Alice", "legal") + signing.entry("Bob", "noc", "alice"))
    ran = signing.apply()
    assert ran.code == 2
    assert "signer-key-twice" in ran.err
    assert not signing.site.is_blocked("x.example")


def test_an_older_list_of_signers_does_not_bring_back_who_was_revoked(signing: Signing) -> None:
    path = signing.site.folder / "signers.yaml"
    signed = path.with_name("signers.yaml.root.sig")
    before = (path.read_bytes(), signed.read_bytes())
    signing.block("old", "old.example", "alice", "bob")
    assert signing.apply().code == 0
    signing.people(signing.entry("Alice", "legal") + signing.entry("Carol", "noc"), issued="2026-05-01")
    assert signing.apply().code == 0
    path.write_bytes(before[0])
    signed.write_bytes(before[1])
    signing.block("x", "x.example", "alice", "bob")
    ran = signing.apply()
    assert ran.code == 2
    assert (
        "signers-older: it was issued 2026-01-01T00:00:00+00:00, and one of 2026-05-01T00:00:00+00:00 was "
        "believed before. Restore that one, or have a root sign a new one." in ran.err
    )
    assert not signing.site.is_blocked("x.example")


def test_a_list_of_signers_of_a_time_to_come_does_not_hold(signing: Signing) -> None:
    signing.people(signing.entry("Alice", "legal") + signing.entry("Bob", "noc"), issued="2096-05-01")
    signing.block("x", "x.example", "alice", "bob")
    ran = signing.apply()
    assert ran.code == 2
    assert "signers-early: it is issued 2096-05-01T00:00:00+00:00, which is yet to come, and " in ran.err
    assert not signing.site.is_blocked("x.example")


def test_what_an_order_undoes_is_what_was_applied_not_what_its_file_says_now(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    signing.site.act("pause", "suspend", "a/x", start="2026-03-01")
    signing.sign("pause", "alice")
    assert signing.apply().code == 0
    signing.site.block("pause", "harmless.example")
    signing.site.act("unpause", "lift", "a/pause", start="2026-04-01")
    signing.sign("unpause", "bob")
    ran = signing.apply()
    assert "unpause.yaml:1:1 not-approved: this lift needs 2 approvals" in ran.err
    assert not signing.site.is_blocked("x.example")


def test_without_ssh_keygen_no_new_order_comes_in(signing: Signing, monkeypatch: pytest.MonkeyPatch) -> None:
    signing.block("x", "x.example", "alice", "bob")
    monkeypatch.setattr(keygen, "PROGRAM", "no-such-ssh-keygen")
    ran = signing.apply()
    assert ran.code == 2
    assert "verifier-missing: signatures can't be verified: no-such-ssh-keygen: " in ran.err
    assert not signing.site.is_blocked("x.example")


@pytest.mark.parametrize("kind", ["ecdsa", "rsa"])
def test_every_kind_of_key_may_sign(signing: Signing, kind: str) -> None:
    signing.people(signing.entry("Alice", "legal", kind) + signing.entry("Bob", "noc"))
    signing.block("x", "x.example", kind, "bob")
    assert (signing.apply().code, signing.site.is_blocked("x.example")) == (0, True)


def test_a_security_key_that_was_touched_may_sign(signing: Signing) -> None:
    device = Device(is_touched=True)
    signing.people(
        signing.entry("Alice", "legal") + f'  - {{who: Bob, key: "{device.line}", roles: [noc]}}\n'
    )
    signing.block("x", "x.example", "alice")
    path = signing.site.path("x")
    path.with_name("x.yaml.sig").write_bytes(device.sign(path.read_bytes()))
    assert (signing.apply().code, signing.site.is_blocked("x.example")) == (0, True)


def test_all_signatures_may_stand_in_one_file(signing: Signing) -> None:
    signing.site.block("x", "x.example")
    path = signing.site.path("x")
    octets = b"".join(signing.town[name].sign(path.read_bytes()) for name in ("alice", "bob"))
    path.with_name("x.yaml.sig").write_bytes(octets)
    assert (signing.apply().code, signing.site.is_blocked("x.example")) == (0, True)


def test_what_is_wrong_beside_enough_approvals_is_a_warning(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob", "mallory")
    ran = signing.apply()
    assert ran.code == 0
    assert "x.yaml.mallory.sig signature-unknown-key" in ran.err
    assert signing.site.is_blocked("x.example")


def test_what_is_applied_stays_whatever_becomes_of_keys_people_and_rules(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    assert signing.apply().code == 0
    listed(signing, ", until: 2026-01-01")
    revoked(signing)
    signing.sign("x", "mallory")
    ran = signing.apply()
    assert (ran.code, ran.err) == (0, "")
    assert signing.site.is_blocked("x.example")


def test_undoing_a_block_takes_one_person_and_undoing_that_takes_two(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    signing.site.act("lift", "lift", "a/x", start="2026-03-01")
    signing.sign("lift", "bob")
    assert signing.apply().code == 0
    assert not signing.site.is_blocked("x.example")
    signing.block("y", "y.example", "alice", "bob")
    signing.site.act("pause", "suspend", "a/y", start="2026-03-01")
    signing.sign("pause", "alice")
    signing.site.act("unpause", "lift", "a/pause", start="2026-04-01")
    signing.sign("unpause", "bob")
    ran = signing.apply()
    assert ran.code == 2
    assert "unpause.yaml:1:1 not-approved: this lift needs 2 approvals" in ran.err
    assert not signing.site.is_blocked("y.example")


def test_the_plan_that_is_reviewed_names_who_approved_and_is_another_with_another_signature(
    signing: Signing,
) -> None:
    signing.block("x", "x.example", "alice", "bob")
    first = json.loads(signing.site.run("plan", "--json").out)
    assert [one["who"] for one in first["approvals"]["a/x"]] == ["Alice", "Bob"]
    assert first["approvals_required"] is True
    key = signing.town["alice"].fingerprint
    assert f"approved by   Alice (legal, {key}), Bob (noc, " in signing.site.run("plan").out
    signing.sign("x", "carol")
    second = json.loads(signing.site.run("plan", "--json").out)
    assert (first["next"], first["base"]) == (second["next"], second["base"])
    assert first["digest"] != second["digest"]
    assert signing.site.run("apply", "--accept", first["digest"], "--reason", "read").code == 3
    assert signing.site.run("apply", "--accept", second["digest"], "--reason", "read").code == 0


def test_accepting_a_plan_is_no_approval(signing: Signing) -> None:
    signing.block("x", "x.example", "alice")
    digest = json.loads(signing.site.run("plan", "--json").out)["digest"]
    assert signing.site.run("apply", "--accept", digest, "--reason", "because").code == 2
    assert not signing.site.is_blocked("x.example")


def test_other_rules_of_approval_are_held_until_the_plan_is_accepted(signing: Signing) -> None:
    signing.block("x", "x.example", "alice", "bob")
    assert signing.apply().code == 0
    path = signing.site.folder / "site.yaml"
    path.write_text(path.read_text().partition("approvals:")[0])
    signing.site.block("y", "y.example")
    ran = signing.apply()
    assert ran.code == 3
    root = signing.town["root"].fingerprint
    before = (
        "amend, block, reinstate: legal and noc; lift, suspend: legal or noc; emergency: duty, the others "
        f"within 4h; who may sign is said by {root}"
    )
    after = "none: orders come in without approvals"
    said = "the approvals in site.yaml are not those that orders came in by until now "
    assert f"{said}(before: {before}; now: {after})" in ran.err
    assert f"site: approvals changes\n  before    {before}\n  from now  {after}\n" in ran.out
    assert not signing.site.is_blocked("y.example")
    plan = json.loads(signing.site.run("plan", "--json").out)
    assert (plan["approvals_changed"], plan["approvals_before"], plan["approvals_after"]) == (
        True,
        before,
        after,
    )
    page = signing.site.folder / "plan.html"
    signing.site.run("plan", "--html", str(page))
    assert f"by these rules: {before}. From now on: {after}." in page.read_text()
    assert signing.site.run("apply", "--accept", plan["digest"], "--reason", "trial is over").code == 0
    assert signing.site.is_blocked("y.example")
    assert signing.apply().code == 0
    first, last = ledger.entries(signing.site.folder / "state", only=("approvals-changed",))
    assert (first.facts["before"], first.facts["after"]) == (after, before)
    assert last.facts == {
        "before": before,
        "after": after,
        "by": first.facts["by"],
        "reason": "trial is over",
    }


def test_rules_that_nobody_kept_are_told_by_their_digest_until_they_are(signing: Signing) -> None:
    """A store of before has the digest alone."""
    signing.block("x", "x.example", "alice", "bob")
    assert signing.apply().code == 0
    state = signing.site.folder / "state"
    path = signing.site.folder / "site.yaml"
    signed = path.read_text()

    def lost() -> None:
        with store.environment(state, write=True) as opened, opened.begin(write=True) as txn:
            txn.delete(b"rules", db=opened.open_db(b"meta", txn=txn))

    def before() -> str:
        path.write_text(signed.partition("approvals:")[0])
        found = json.loads(signing.site.run("plan", "--json").out)["approvals_before"]
        path.write_text(signed)
        return str(found)

    lost()
    assert re.fullmatch("rules that were not kept, with the digest [0-9a-f]{16}", before())
    assert signing.apply().out == "nothing to change: generation 1 has these orders\n"
    assert before().startswith("amend, block, reinstate: legal and noc; ")
    assert len(list(ledger.entries(state, only=("approvals-changed",)))) == 1


def test_rules_that_no_order_came_in_by_yet_are_held_to_as_well(signing: Signing) -> None:
    path = signing.site.folder / "site.yaml"
    signed = path.read_text()
    path.write_text(signed.partition("approvals:")[0])
    signing.site.block("x", "x.example")
    assert signing.apply().code == 0
    path.write_text(signed)
    assert signing.apply().out == "nothing to change: generation 1 has these orders\n"
    (told,) = ledger.entries(signing.site.folder / "state", only=("approvals-changed",))
    assert (told.facts["before"], told.facts["by"].endswith("@n1")) == (
        "none: orders come in without approvals",
        True,
    )
    path.write_text(signed.replace("block: [legal, noc]", "block: [noc]"))
    ran = signing.apply()
    assert (ran.code, "site: approvals changes" in ran.out) == (3, True)


def test_an_emergency_lets_one_order_in_and_its_approvals_are_owed_until_they_are_there(
    signing: Signing,
) -> None:
    state = signing.site.folder / "state"
    signing.block("x", "x.example", "dora")
    signing.block("y", "y.example", "dora")
    assert signing.apply().code == 2
    ran = signing.apply("--emergency", "a/x", "--reason", "hospital phishing")
    assert ran.code == 2  # for a/y
    assert signing.site.is_blocked("x.example")
    assert not signing.site.is_blocked("y.example")
    assert "approved by   Dora (duty, " in ran.out
    assert "), for an emergency" in ran.out
    (told,) = ledger.entries(state, only=("emergency",))
    assert (told.subject, told.facts["reason"]) == ("a/x", "hospital phishing")
    assert [one["who"] for one in told.facts["approvals"]] == ["Dora"]
    due = told.facts["due"]
    assert due == told.at + 4 * 3600
    assert Scene(state, is_signed=True).view().approvals_due == {"a/x": due}

    ran = signing.apply()
    assert "x.yaml:1:1 approval-owed: an emergency let it in, and its approval is owed: this block" in ran.err
    assert "a/x was let in by the emergency; its approval is owed, due 20" in ran.out
    assert not list(ledger.entries(state, only=("approved",)))

    signing.sign("x", "alice", "bob")
    assert "its approval is owed, given now by Alice" in signing.site.run("plan").out
    assert "the approvals owed are there now: a/x" in signing.apply().out
    (told,) = ledger.entries(state, only=("approved",))
    assert [one["who"] for one in told.facts["approvals"]] == ["Alice", "Bob"]
    assert "owed" not in signing.apply().out
    assert Scene(state).view().approvals_due == {}
    rows = json.loads(signing.site.run("approvals", "a/x", "--json").out)
    assert [(one["state"], len(one["approvals"])) for one in rows] == [("applied", 1), ("applied", 2)]


@pytest.mark.parametrize("what", ["weaker rules", "another root"])
def test_what_is_owed_is_not_settled_by_rules_that_nobody_accepted(signing: Signing, what: str) -> None:
    signing.block("base", "base.example", "alice", "bob")
    assert signing.apply().code == 0
    signing.block("urgent", "urgent.example", "dora")
    assert signing.apply("--emergency", "a/urgent", "--reason", "a judge on the telephone").code == 0
    folder = signing.site.folder
    kept = {path: path.read_bytes() for path in (folder / "site.yaml", *folder.glob("signers.yaml*"))}
    text = (folder / "site.yaml").read_text()
    if what == "weaker rules":
        (folder / "site.yaml").write_text(text.replace("block: [legal, noc]", "block: [duty]"))
    else:
        (folder / "site.yaml").write_text(
            text.replace(signing.town["root"].line, signing.town["mallory"].line)
        )
        others = signing.entry("Eve", "legal", "eve") + signing.entry("Fay", "noc", "fay")
        signing.people(others, root="mallory", issued="2026-11-20")
        signing.sign("urgent", "eve", "fay")
    ran = signing.apply()
    assert (ran.code, "owed are there now" in ran.out) == (3, False)
    said = " ".join(ran.out.split())
    assert "given now by" not in said
    assert "gave it as the new rules have it, and nobody accepted those" in said
    assert "approved\ta/urgent" not in signing.site.run("ledger").out
    for path, octets in kept.items():
        path.write_bytes(octets)
    signing.block("next", "next.example", "alice", "bob")
    signing.apply()
    assert signing.site.is_blocked("next.example")
    signing.sign("urgent", "alice", "bob")
    assert "the approvals owed are there now: a/urgent" in signing.apply().out


def test_what_a_sealed_order_owes_is_counted_under_an_opaque_label(signing: Signing) -> None:
    signing.site.block("x", "x.example", publication="sealed")
    signing.sign("x", "dora")
    assert signing.apply("--emergency", "a/x", "--reason", "now").code == 0
    view = Scene(signing.site.folder / "state", is_signed=True).view()
    shown = generate_latest(metrics.registry(lambda: view)).decode()
    assert "blocker_approvals_required 1.0" in shown
    assert "blocker_approvals_owed 1.0" in shown
    assert "blocker_approval_due_timestamp_seconds{order=" in shown
    assert "a/x" not in shown


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("a/x", "a/x can't come in as an emergency: an emergency needs 1 approval, duty; it has none; "),
        ("a/old", "a/old is applied already; nothing is to be let in."),
        ("a/none", "a/none is no order that is right by itself; `blocker check` says what is wrong."),
    ],
)
def test_an_emergency_is_refused_where_it_can_not_be_one(signing: Signing, order: str, words: str) -> None:
    signing.block("old", "old.example", "alice", "bob")
    assert signing.apply().code == 0
    signing.block("x", "x.example", "alice")
    ran = signing.apply("--emergency", order, "--reason", "now")
    assert ran.code == 3
    assert words in ran.err
    assert not signing.site.is_blocked("x.example")


def test_an_emergency_without_a_rule_or_reason_is_none(signing: Signing, site: Site) -> None:
    assert signing.apply("--emergency", "a/x").code == 2
    path = site.folder / "site.yaml"
    path.write_text(path.read_text().partition("  emergency:")[0])
    ran = signing.apply("--emergency", "a/x", "--reason", "now")
    assert (ran.code, "site.yaml has no approvals.emergency" in ran.err) == (3, True)
    path.write_text(path.read_text().partition("approvals:")[0])
    ran = signing.apply("--emergency", "a/x", "--reason", "now")
    assert (ran.code, "this is an unsigned site" in ran.err) == (3, True)


def let_in(signing: Signing, slug: str, until: str = "2099-01-01") -> None:
    """An order that came in by the emergency, and whose files are gone by now."""
    signing.site.block(slug, "x.example", until=until)
    signing.sign(slug, "dora")
    assert signing.apply("--emergency", f"a/{slug}", "--reason", "now").code == 0
    unlink(signing, slug)


def unlink(signing: Signing, slug: str) -> None:
    for path in signing.site.path(slug).parent.glob(f"{slug}.yaml*"):
        path.unlink()


@pytest.mark.parametrize(
    ("until", "stays", "end"),
    [
        ("2026-01-02", "it is over, and stays applied until the approval is there", "is missing."),
        (
            "2099-01-01",
            "the applied form stays in force until the approval is there",
            "is missing; if the order is to end, write that: `blocker new --kind lift --of a/x`.",
        ),
    ],
    ids=["over", "in force"],
)
def test_what_an_emergency_owes_stays_owed_though_its_files_are_deleted(
    signing: Signing, until: str, stays: str, end: str
) -> None:
    let_in(signing, "x", until)
    for _ in range(2):
        ran = signing.apply()
        assert ran.code == 2
        assert "a/x was let in by the emergency; its approval is owed, due 20" in ran.out
        assert (
            "x.yaml applied-order-missing: an emergency let this order in, its approval is owed, and its "
            f"file is gone; {stays}, for deleting a file settles nothing. Restore the file (`" in ran.err
        )
        assert f"and sign it; `blocker approvals a/x` then says what {end}\n" in ran.err
    assert Scene(signing.site.folder / "state").view().approvals_due.keys() == {"a/x"}
    (row,) = (line.split("\t") for line in signing.site.run("approvals").out.splitlines())
    assert row == [
        "a/x",
        "owed",
        "nobody",
        "a file as it was applied, to be signed; `blocker check` says more",
    ]


def test_an_order_that_is_over_leaves_once_what_it_owed_is_there(signing: Signing) -> None:
    let_in(signing, "x", until="2026-01-02")
    (command,) = re.findall(r"`((?:mkdir|cp) [^`]*)`", signing.apply().err)
    subprocess.run(["sh", "-c", command], check=True)
    signing.sign("x", "alice", "bob")
    ran = signing.apply()
    assert (ran.code, "the approvals owed are there now: a/x" in ran.out) == (0, True)
    unlink(signing, "x")
    assert signing.apply().code == 0
    assert "a/x" not in signing.site.run("timeline", "--all").out


def test_the_lift_of_what_is_owed_stays_with_it_and_the_block_does_not_come_back(signing: Signing) -> None:
    signing.block("x", "x.example", "dora")
    assert signing.apply("--emergency", "a/x", "--reason", "now").code == 0
    signing.site.act("end", "lift", "a/x")
    signing.sign("end", "alice")
    assert signing.apply().code == 0
    for slug in ("x", "end"):
        unlink(signing, slug)
    ran = signing.apply()
    assert (ran.code, ran.err.count("applied-order-missing")) == (2, 1)
    assert not signing.site.is_blocked("x.example")
    assert Scene(signing.site.folder / "state").view().approvals_due.keys() == {"a/x"}


def test_the_changed_file_of_an_order_that_is_over_is_told_while_its_approval_is_owed(
    signing: Signing,
) -> None:
    let_in(signing, "x", until="2026-01-02")
    signing.site.block("x", "y.example")
    ran = signing.apply()
    assert ran.code == 2
    assert (
        "x.yaml applied-order-changed: an emergency let this order in, its approval is owed, and its file "
        "was changed since; it is over, and stays applied until" in ran.err
    )


def test_the_verb_lists_who_approved_what_and_what_is_missing(signing: Signing) -> None:
    signing.block("x", "x.example", "alice")
    signing.block("y", "y.example", "alice", "bob")
    ran = signing.site.run("approvals")
    assert ran.code == 2
    first, second = (line.split("\t") for line in ran.out.splitlines())
    assert (first[:2], second[:2], second[3]) == (["a/x", "missing"], ["a/y", "approved"], "")
    assert "missing: noc" in first[3]
    assert signing.site.run("approvals", "a/y").code == 0
    assert signing.site.run("approvals", "a/z").code == 2


def test_an_unsigned_site_says_so_on_every_screen(site: Site) -> None:
    site.block("x", "x.example")
    assert UNSIGNED in site.run("check").err
    assert UNSIGNED in site.run("plan").out
    assert UNSIGNED in site.apply().out
    assert UNSIGNED in site.run("approvals").out
    assert json.loads(site.run("plan", "--json").out)["approvals_required"] is False
    assert UNSIGNED not in site.run("timeline").err, "in a pipe nobody looks"


@pytest.mark.parametrize(
    "words",
    [
        ("timeline",),
        ("explain", "x.example"),
        ("explain", "x.example", "--live"),
        ("ledger",),
        ("ledger", "verify"),
        ("review",),
        ("release",),
        ("withhold", "a/x", "--reason", "x"),
        ("rollback", "0", "--reason", "x"),
        ("report", "a/x", "--json"),
        ("rpz",),
        ("rejudge",),
    ],
    ids=" ".join,
)
def test_an_unsigned_site_says_so_on_every_terminal(site: Site, words: tuple[str, ...]) -> None:
    site.block("x", "x.example")
    assert site.apply().code == 0
    assert pages.ran(site.folder / "site.yaml", *words, columns=80, whole=True).count(UNSIGNED) == 1


def test_a_signed_site_says_nothing_of_that_on_a_terminal(signing: Signing) -> None:
    assert UNSIGNED not in pages.ran(signing.site.folder / "site.yaml", "timeline", columns=80, whole=True)


def test_every_id_of_signatures_has_a_bad_file(signing: Signing) -> None:
    shown = {sentence.partition(":")[0] for _, sentence in (*REFUSED.values(), *UNSIGNED_SIGNERS.values())}
    elsewhere = {
        "not-approved", "approval-owed", "signers-early", "signers-older", "verifier-missing",
        "signature-refused", "who-invalid", "fingerprint-invalid", "signer-key-twice", "signer-alike",
        "signer-two-roles",
    }  # fmt: skip
    assert shown | elsewhere == judge.CHECKS.keys()


def test_the_way_past_a_hold_brings_the_emergency_along(signing: Signing) -> None:
    signing.block("plain", "y.example", "alice", "bob")
    signing.block("urgent", "ocsp.ca.example", "dora")
    planned = signing.site.run("plan", "--emergency", "a/urgent")
    assert planned.code == 3
    assert "blocker apply --emergency a/urgent --reason TEXT" in planned.out
    ran = signing.apply("--emergency", "a/urgent", "--reason", "now")
    assert ran.code == 3
    (way,) = re.findall(r"`blocker (apply --accept \w+ --emergency a/urgent) --reason TEXT`", ran.err)
    assert signing.site.run(*way.split(), "--reason", "read").code == 0
    assert signing.site.is_blocked("ocsp.ca.example")
