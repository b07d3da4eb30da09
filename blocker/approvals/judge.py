"""Whether an order has the approvals that the site's rules ask for, and what is missing.

Pure: orders, rules, signatures and people in, a Verdict out, told the time. An approval is a signature over
the order's file by a key that is one person's and good now. A rule is a row of seats, each to be taken by
another person; everybody takes one seat at most, whatever number of keys he has. What frees names needs as
many approvals as a lift, what may block more needs as many as a block or its own kind does, whatever it is
called: a lift of a suspension blocks.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from blocker.approvals.sshsig import Flaw
from blocker.fields import shown
from blocker.orders.model import Kind, instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from blocker.approvals.signers import Signer, Signers
    from blocker.approvals.sshsig import Envelope
    from blocker.orders.model import Order
    from blocker.site import Seat

CHECKS: dict[str, str] = {
    "not-approved": "an order has fewer approvals than the site's rules ask for",
    "approval-owed": "warning: an order that an emergency let in still lacks approvals",
    "signature-unreadable": "a signature file can't be read, is no plain file or too large",
    "signature-garbled": "a signature file has something other than armored SSH signatures",
    "signature-truncated": "a signature file, or a signature in it, was cut off",
    "signature-too-many": "there are more than 16 signatures over one file, or much beside it that is none",
    "signature-unsupported": "a signature is by a kind of key, or over a hash, that may not sign",
    "signature-namespace": "a signature was made for another purpose",
    "signature-unknown-key": "a signature is by a key that nobody here has",
    "signature-revoked": "a signature is by a key that was revoked",
    "signer-not-yet": "a signature is by a key that is not good yet",
    "signer-expired": "a signature is by a key that is not good any more",
    "signature-untouched": "a security key signed without being touched",
    "signature-mismatch": "a signature is not over this file as it is",
    "signature-refused": "ssh-keygen refuses a signature for another reason",
    "signature-duplicate": "a person approves an order twice",
    "signature-role": "a person approves an order that needs others",
    "signers-missing": "the file that says who may sign can't be read",
    "signers-unsigned": "no root's signature over signers.yaml is good",
    "signers-early": "signers.yaml is of a time that is yet to come",
    "signers-older": "signers.yaml is older than one that was believed before",
    "verifier-missing": "ssh-keygen can't be run",
    "who-invalid": "a name or reason is not one short line, or a word of a name has letters of two scripts",
    "fingerprint-invalid": "a text is no fingerprint of a key",
    "signer-key-twice": "a key stands twice among the signers",
    "signer-alike": "two signers look like one person",
    "signer-two-roles": "a person has other roles with another key",
}
"""Every id that signatures and signers.yaml can be complained of with, beside those of any YAML file."""

ORDERS, SIGNERS = "blocker-order", "blocker-signers"
"""The namespaces of signatures over orders and over signers.yaml: none is good for the other."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Approval:
    """One person's approval of one order: with which key (its fingerprint), as what, and the SHA-256 (hex)
    of the signature.
    """

    who: str
    key: str
    roles: tuple[str, ...]
    signature: str


def rule_of(order: Order, target: Order | None) -> Kind:
    """The kind whose rule the order has to meet. `target` is the order that its `of` leads to."""
    if order.kind is Kind.AMEND and not order.directives and order.until is None and order.review_by is None:
        return Kind.LIFT  # it only removes names
    if order.kind in (Kind.LIFT, Kind.SUSPEND) and not _frees(order, target):
        return Kind.REINSTATE
    return order.kind


def _frees(order: Order, target: Order | None) -> bool:
    """Whether ending or suspending what `of` names can only free names."""
    if target is None:
        return False
    if target.kind is Kind.BLOCK or order.of != target.id:
        return True  # a block, or one directive
    if target.kind is not Kind.AMEND or target.remove or target.remove_file is not None:
        return False
    # An end that it brought forward goes back, and so does a review, by which a site may let lapse.
    return target.until is None and target.review_by is None


def screen(envelope: Envelope, signers: Signers, now: float, *, namespace: str = ORDERS) -> Signer | Flaw:
    """Whose signature this claims to be, if that person's would count now."""
    key = envelope.key.fingerprint
    if envelope.namespace != namespace:
        return Flaw(
            id="signature-namespace",
            message=f"it was made for {shown(envelope.namespace)}, not for '{namespace}'; sign again with "
            f"-n {namespace}.",
        )
    revoked = signers.revoked.get(key)
    if revoked is not None and instant(revoked.start) <= now:
        return Flaw(
            id="signature-revoked",
            message=f"the key {key} was revoked from {revoked.start.isoformat()} on: {revoked.reason}. Ask "
            "who made this signature, and when.",
        )
    signer = signers.signers.get(key)
    if signer is None:
        return Flaw(
            id="signature-unknown-key",
            message=f"the key {key} is nobody's in signers.yaml; sign with one that is listed."
            if namespace == ORDERS
            else f"the key {key} is none of approvals.roots in site.yaml; one of those must sign it.",
        )
    if signer.start is not None and now < instant(signer.start):
        return Flaw(
            id="signer-not-yet",
            message=f"{signer.who} may approve from {signer.start.isoformat()} on; ask another, or wait.",
        )
    if signer.until is not None and now >= instant(signer.until):
        return Flaw(
            id="signer-expired",
            message=f"{signer.who} could approve with this key until {signer.until.isoformat()}; sign with "
            "a key that is good today.",
        )
    if not envelope.is_touched:
        return Flaw(
            id="signature-untouched",
            message=f"nobody touched the security key of {signer.who} when it signed; sign again, and touch "
            "it when it blinks.",
        )
    return signer


def misdated(signers: Signers, since: float, now: float) -> Flaw | None:
    """Why the file does not hold now: one issued `since` was believed before, or it is of a time to come."""
    issued = signers.issued.isoformat()
    if instant(signers.issued) < since:
        at = datetime.fromtimestamp(since, UTC).isoformat()
        return Flaw(
            id="signers-older",
            message=f"it was issued {issued}, and one of {at} was believed before. Restore that one, or have "
            "a root sign a new one. Until then no new order comes in.",
        )
    if instant(signers.issued) > now:
        return Flaw(
            id="signers-early",
            message=f"it is issued {issued}, which is yet to come, and would shut out all that are written "
            "until then. Mend 'issued', and have a root sign it. Until then no new order comes in.",
        )
    return None


def mismatch(reason: str) -> Flaw:
    """What is said of a signature that ssh-keygen doesn't find good; `reason` are its words."""
    if "incorrect signature" in reason:
        return Flaw(
            id="signature-mismatch",
            message="it is not over this file: the file was changed since it was signed, or the signature is "
            "another file's. Compare the file with what was signed, then sign it again.",
        )
    return Flaw(id="signature-refused", message=f"ssh-keygen refuses it: {shown(reason)}; sign again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A good signature over the file, whose it is, and the path it was found at."""

    path: str
    envelope: Envelope
    signer: Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The approvals that count, the sentence that says what is missing (empty: nothing is), and why other
    signatures don't count, each with its path. `is_hurried`: only the emergency's rule is met.
    """

    approvals: tuple[Approval, ...]
    missing: str
    flaws: tuple[tuple[str, Flaw], ...]
    is_hurried: bool = False


def verdict(
    order: Order,
    path: str,
    signed: Iterable[Signed],
    seats: Sequence[Seat],
    *,
    urgent: Sequence[Seat] = (),
    is_emergency: bool = False,
) -> Verdict:
    """What the good signatures over an order amount to. `path` is where people find the order, `urgent` are
    the seats of the site's emergency, which `is_emergency` lets the order in by.
    """
    people, flaws = _count(signed)
    counted = []
    for place, person in people:
        if _fits(person, seats):
            counted.append(person)
        elif not _fits(person, urgent):
            flaws.append((place, _unfit(person, order.kind, seats)))
    lack = missing(f"this {order.kind}", path, counted, seats)
    if lack and is_emergency:
        counted = [person for _, person in people if _fits(person, urgent)]
        lack = missing("an emergency", path, counted, urgent)
        return Verdict(approvals=tuple(counted), missing=lack, flaws=tuple(flaws), is_hurried=not lack)
    return Verdict(approvals=tuple(counted), missing=lack, flaws=tuple(flaws))


def _count(signed: Iterable[Signed]) -> tuple[list[tuple[str, Approval]], list[tuple[str, Flaw]]]:
    """One approval for each person, and the signatures that are one too many."""
    found: dict[str, tuple[str, Approval]] = {}
    twice = []
    for one in sorted(signed, key=lambda one: (one.signer.who, one.envelope.key.fingerprint, one.path)):
        who = one.signer.who
        if who in found:
            message = (
                f"{who} has approved already; a person counts once, with whatever key. Leave this one out."
            )
            twice.append((one.path, Flaw(id="signature-duplicate", message=message)))
            continue
        found[who] = (
            one.path,
            Approval(
                who=who,
                key=one.envelope.key.fingerprint,
                roles=tuple(sorted(one.signer.roles)),
                signature=one.envelope.digest,
            ),
        )
    return list(found.values()), twice


def _fits(approval: Approval, seats: Sequence[Seat]) -> bool:
    return any(_may_sit(approval, seat) for seat in seats)


def _unfit(approval: Approval, what: str, seats: Sequence[Seat]) -> Flaw:
    return Flaw(
        id="signature-role",
        message=f"{approval.who} approves as {', '.join(approval.roles)}, and a {what} needs {said(seats)}; "
        "it doesn't count here.",
    )


def empty(approvals: Sequence[Approval], seats: Sequence[Seat]) -> list[Seat]:
    """The seats that stay empty when as many as can be are taken, each by another person."""
    taken: dict[int, int] = {}

    def sit(person: int, tried: set[int]) -> bool:
        for number, seat in enumerate(seats):
            if number in tried or not _may_sit(approvals[person], seat):
                continue
            tried.add(number)
            # Who sits there may have another seat to go to.
            if number not in taken or sit(taken[number], tried):
                taken[number] = person
                return True
        return False

    for person in range(len(approvals)):
        sit(person, set())
    return [seat for number, seat in enumerate(seats) if number not in taken]


def _may_sit(approval: Approval, seat: Seat) -> bool:
    return not seat or not seat.isdisjoint(approval.roles)


def said(seats: Sequence[Seat]) -> str:
    """The seats as site.yaml has them."""
    return " and ".join(" or ".join(sorted(seat)) or "anyone" for seat in seats)


def missing(what: str, path: str, approvals: Sequence[Approval], seats: Sequence[Seat]) -> str:
    """What `what` still needs, and how it is given; empty if nothing."""
    left = empty(approvals, seats)
    if not left:
        return ""
    has = ", ".join(f"{one.who} ({', '.join(one.roles)})" for one in approvals) or "none"
    needs = "1 approval" if len(seats) == 1 else f"{len(seats)} approvals by different people"
    return (
        f"{what} needs {needs}, {said(seats)}; it has {has}; missing: {said(left)}. "
        f"Who approves it runs `{command(path)}`."
    )


def command(path: str, namespace: str = ORDERS) -> str:
    """What signs a file; everybody's signature is a file of its own, so two people never edit one."""
    quoted = shlex.quote(path)
    return f"ssh-keygen -Y sign -n {namespace} -f KEY < {quoted} > {quoted}.NAME.sig"
