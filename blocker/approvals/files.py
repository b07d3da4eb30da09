"""The signatures beside the orders, verified and judged: the shell around beside, keygen, signers and judge.

Only orders that nobody
applied yet are judged, and those let in by an emergency until their approvals are there: what is applied
stays in force whatever becomes of keys, people and rules. Who may sign is believed of signers.yaml only if
a root signed it; while nobody knows who may sign, no new order comes in.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker import bounded, yamltext
from blocker.approvals import judge, keygen, signers
from blocker.approvals.beside import Beside
from blocker.approvals.judge import Signed
from blocker.approvals.sshsig import Flaw
from blocker.errors import NotApproved, Problem, StoreError
from blocker.orders import relations
from blocker.orders.model import instant

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from pathlib import Path

    from blocker.approvals.judge import Approval
    from blocker.approvals.signers import Signers
    from blocker.orders.model import Order
    from blocker.orders.parse import Filed
    from blocker.site import Approvals, Seat, Site

_SIGNERS = bounded.Words(
    unreadable="signers-missing",
    irregular="signers-missing",
    large="signers-missing",
    too_large="the file is larger than 1 MiB; those who may sign are few, so shorten it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One order to be judged: which rule it has to meet, and the octets that are signed."""

    filed: Filed
    octets: bytes
    seats: tuple[Seat, ...]
    is_owed: bool = False

    @property
    def id(self) -> str:
        return self.filed.id


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """What the signatures say.

    `approved` are the approvals of the orders that have enough, by id; `given` those of every judged order.
    `missing` says of each other order what it lacks. `emergency` are those of `approved` that an emergency
    lets in. `refused` are the orders that must stay out. `signers` is the digest of signers.yaml, which was
    `issued` then. `kept` are the octets of the signatures and of that file, by digest, for the archive;
    `verified` is what OpenSSH said of each signature, for who looks again.
    """

    approved: Mapping[str, tuple[Approval, ...]] = field(default_factory=dict)
    given: Mapping[str, tuple[Approval, ...]] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)
    emergency: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    problems: tuple[Problem, ...] = ()
    signers: str = ""
    issued: float = 0.0
    kept: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    verified: Mapping[tuple[str, keygen.Claim], str] = field(default_factory=dict, repr=False)


def examine(  # noqa: PLR0913 - what the folder says, what is applied, what is asked
    site: Site,
    filed: Mapping[str, Filed],
    sources: Mapping[str, bytes],
    applied: Mapping[str, str],
    recall: Callable[[str], Order],
    *,
    owed: Collection[str] = (),
    since: float = 0.0,
    emergency: Collection[str] = (),
    verified: Mapping[tuple[str, keygen.Claim], str] | None = None,
    now: float,
    progress: Callable[[str, int, int], None] | None = None,
) -> Approved:
    """Judge every order of the folder that isn't applied, and those whose approvals are owed.

    `recall` gives the applied form of an order. A signers.yaml issued before `since` is believed no more.
    `emergency` are the ids of orders that a person wants in on the emergency's approvals. Raises NotApproved
    if one of those can't come in so. What was `verified` before is not verified again, all else is judged.
    """
    asked = site.approvals
    if asked is None:
        if emergency:
            raise NotApproved("this is an unsigned site: orders need no approvals, and no emergency.")
        return Approved()
    new = [id_ for id_ in filed if id_ not in applied]
    for id_ in emergency:
        _refuse_emergency(id_, asked, filed, applied)

    def request(id_: str) -> Request:
        order = filed[id_].order
        target = relations.order_of(order.of)
        known = filed[target].order if target in filed else None
        if target in applied and (known is None or known.digest != applied[target]):
            try:
                known = recall(target)  # What was applied counts, whatever the file says now.
            except StoreError:  # Nothing about it comes in, and it is complained of elsewhere.
                known = None
        rule = judge.rule_of(order, known)
        return Request(filed=filed[id_], octets=sources[id_], seats=asked.rules[rule], is_owed=id_ in applied)

    late = [id_ for id_ in owed if id_ in filed and applied.get(id_) == filed[id_].order.digest]
    bench = _Bench(asked, site.orders, since, verified or {}, now, progress)
    try:
        found = bench.judge([request(id_) for id_ in (*new, *late)], frozenset(emergency))
    except keygen.CantVerify as error:
        problem = Problem(id="verifier-missing", path=bounded.printable(asked.signers), message=str(error))
        found = Approved(problems=(problem,), refused=frozenset(new))
    for id_ in emergency:
        if id_ not in found.approved:
            reasons = (found.missing[id_],) if id_ in found.missing else map(str, found.problems)
            raise NotApproved(f"{id_} can't come in as an emergency: {'; '.join(reasons)}")
    return found


def _refuse_emergency(
    id_: str, asked: Approvals, filed: Mapping[str, Filed], applied: Mapping[str, str]
) -> None:
    if asked.emergency is None:
        raise NotApproved("site.yaml has no approvals.emergency: nobody may let orders in that way.")
    if id_ in applied:
        raise NotApproved(f"{id_} is applied already; nothing is to be let in.")
    if id_ not in filed:
        raise NotApproved(f"{id_} is no order that is right by itself; `blocker check` says what is wrong.")


class _Bench:
    """One examination of one site."""

    def __init__(
        self,
        asked: Approvals,
        orders: Path,
        since: float,
        verified: Mapping[tuple[str, keygen.Claim], str],
        now: float,
        progress: Callable[[str, int, int], None] | None,
    ) -> None:
        self._asked = asked
        self._orders = orders
        self._since = since
        self._heard = dict(verified)
        self._now = now
        self._progress = progress
        self._beside = Beside()
        self._problems: list[Problem] = []
        self._kept: dict[str, bytes] = {}

    def judge(self, requests: Sequence[Request], emergency: Collection[str]) -> Approved:
        known, digest = self._signers()
        if known is None:
            new = frozenset(one.id for one in requests if not one.is_owed)
            return Approved(problems=tuple(self._problems), refused=new)
        found = self._verified(
            [(self._orders / f"{one.id}.yaml", one.filed.path, one.octets) for one in requests],
            known,
            judge.ORDERS,
        )
        urgent = self._asked.emergency.seats if self._asked.emergency is not None else ()
        verdicts = {}
        for one, (signed, flaws) in zip(requests, found, strict=True):
            verdict = verdicts[one.id] = judge.verdict(
                one.filed.order,
                one.filed.path,
                signed,
                one.seats,
                urgent=urgent,
                is_emergency=one.id in emergency,
            )
            if not verdict.missing:
                self._keep(signed)
            self._complain(one, verdict.missing, [*flaws, *verdict.flaws])
        missing = {id_: verdict.missing for id_, verdict in verdicts.items() if verdict.missing}
        return Approved(
            approved={id_: one.approvals for id_, one in verdicts.items() if not one.missing},
            given={id_: one.approvals for id_, one in verdicts.items()},
            missing=missing,
            emergency=frozenset(id_ for id_, one in verdicts.items() if one.is_hurried),
            refused=frozenset(one.id for one in requests if not one.is_owed and one.id in missing),
            problems=tuple(self._problems),
            signers=digest,
            issued=instant(known.issued),
            kept=self._kept,
            verified=self._heard,
        )

    def _keep(self, signed: Sequence[Signed]) -> None:
        self._kept |= {one.envelope.digest: one.envelope.armored for one in signed}

    def _complain(self, one: Request, lack: str, flaws: Sequence[tuple[str, Flaw]]) -> None:
        """What is wrong: it keeps the order out where it lacks something, and is a warning elsewhere."""
        is_out = bool(lack) and not one.is_owed
        severity = "error" if is_out else "warning"
        for path, flaw in flaws:
            order = one.id if is_out else ""
            self._problems.append(
                Problem(id=flaw.id, path=path, message=flaw.message, order=order, severity=severity)
            )
        if lack:
            self._problems.append(
                Problem(
                    id="not-approved" if is_out else "approval-owed",
                    path=one.filed.path,
                    line=1,
                    column=1,
                    message=lack if is_out else f"an emergency let it in, and its approval is owed: {lack}",
                    order=one.id if is_out else "",
                    severity=severity,
                )
            )

    def _signers(self) -> tuple[Signers | None, str]:
        """Who may sign, if a root says so, and the digest of the file."""
        path = self._asked.signers
        shown = bounded.printable(path)
        try:
            octets = bounded.octets(path, yamltext.MAX_OCTETS, _SIGNERS)
        except bounded.Refused as refused:
            message = f"{refused} While nobody knows who may sign, no new order comes in."
            self._problems.append(Problem(id=refused.id, path=shown, message=message))
            return None, ""
        roots = signers.of_roots(self._asked.roots)
        ((signed, flaws),) = self._verified([(path, shown, octets)], roots, judge.SIGNERS)
        if not signed:
            why = "; ".join(f"{place}: {flaw.message}" for place, flaw in flaws) or "it is not signed."
            message = (
                f"no root's signature over it is good: {why} While nobody knows who may sign, no new order "
                f"comes in. One of approvals.roots runs `{judge.command(shown, judge.SIGNERS)}`."
            )
            self._problems.append(Problem(id="signers-unsigned", path=shown, message=message))
            return None, ""
        known, problems = signers.parse(octets, shown)
        self._problems += problems
        if known is not None and (wrong := judge.misdated(known, self._since, self._now)) is not None:
            self._problems.append(Problem(id=wrong.id, path=shown, message=wrong.message))
            return None, ""
        digest = hashlib.sha256(octets).hexdigest()
        self._kept[digest] = octets
        self._keep(signed)
        return known, digest

    def _verified(
        self, files: Sequence[tuple[Path, str, bytes]], known: Signers, namespace: str
    ) -> list[tuple[list[Signed], list[tuple[str, Flaw]]]]:
        """For each file (its path, how it is shown, its octets) the good signatures, and the flaws."""
        found: list[tuple[list[Signed], list[tuple[str, Flaw]]]] = []
        claimed = []
        for number, (path, shown, octets) in enumerate(files):
            good, flaws = self._signatures(path, shown, known, namespace)
            found.append(([], flaws))
            claimed += [(number, one, keygen.Claim(envelope=one.envelope, octets=octets)) for one in good]
        fresh = [claim for *_, claim in claimed if (namespace, claim) not in self._heard]
        for claim, reason in zip(fresh, keygen.verify(fresh, namespace, self._progress), strict=True):
            self._heard[namespace, claim] = reason
        for number, one, claim in claimed:
            signed, flaws = found[number]
            if reason := self._heard[namespace, claim]:
                flaws.append((one.path, judge.mismatch(reason)))
            else:
                signed.append(one)
        return found

    def _signatures(
        self, path: Path, shown: str, known: Signers, namespace: str
    ) -> tuple[list[Signed], list[tuple[str, Flaw]]]:
        """The signatures over a file that would count if they are good, and the flaws of the others."""
        good: list[Signed] = []
        flaws: list[tuple[str, Flaw]] = []
        for place, one in self._beside.of(path, shown):
            found = one if isinstance(one, Flaw) else judge.screen(one, known, self._now, namespace=namespace)
            if isinstance(found, Flaw):
                flaws.append((place, found))
            elif not isinstance(one, Flaw):
                good.append(Signed(path=place, envelope=one, signer=found))
        return good, flaws
