"""What a block looks like at one point: learnt from an order on nobody's names, and checked for drift.

Pure. Engines say the same block in different forms: where the SOA is, whether the answer calls itself
authoritative, whether it says why, for how long it may be kept. The site names a canary order, which is
always in force; its answers show the form. An answer without EDE that has the *mark* of such a block (an SOA
in ADDITIONAL that is the zone's, or authority that no recursive answer claims) is attributed by it. A form
that changes is told: somebody changed the resolver, or something else answers in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from blocker import names

if TYPE_CHECKING:
    from blocker.prober.observe import Reply

ACCEPTED_AFTER = 86_400.0
"""Seconds for which a changed form is told, before it is taken for the point's own."""

_AA, _RA = 0x0400, 0x0080  # RFC 1035 §4.1.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """The form of a block. `soa` is the section it is in, `zone` its owner's text if that is not the name's
    own, `ttl` the largest TTL of the answer (seconds).
    """

    rcode: int
    soa: str
    zone: str
    is_authoritative: bool
    is_recursive: bool
    codes: tuple[int, ...]
    ttl: int

    @property
    def mark(self) -> tuple[str, str, bool] | None:
        """What of it no answer has that passes; None if there is no such thing."""
        if (self.soa == "additional" and self.zone) or self.is_authoritative:
            return self.soa, self.zone, self.is_authoritative
        return None

    def differs(self, other: Profile) -> str:
        """In what the other differs, in words; empty if in nothing. A smaller TTL is no difference."""
        found = []
        for what in ("rcode", "soa", "zone", "is_authoritative", "is_recursive", "codes"):
            was, now = getattr(self, what), getattr(other, what)
            if was != now:
                found.append(what.removeprefix("is_"))
        if other.ttl > self.ttl:
            found.append("ttl")
        return ", ".join(found)


def of(reply: Reply) -> Profile:
    """The form of one blocked answer."""
    place, soa = ("authority", reply.soa) if reply.soa else ("additional", reply.additional_soa)
    owner = "" if soa is None else names.to_text(soa.owner)
    ttls = [record.ttl for record in reply.answers]
    if soa is not None:
        ttls.append(soa.ttl)
    return Profile(
        rcode=reply.rcode,
        soa=place if soa else "",
        zone=owner if place == "additional" else "",
        is_authoritative=bool(reply.flags & _AA),
        is_recursive=bool(reply.flags & _RA),
        codes=tuple(sorted({one.code for one in reply.extended})),
        ttl=max(ttls, default=0),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Learnt:
    """A point's profile and the instant from which it is held to it. `drift` says in what the canary order's
    answers differ from it since `drifted_at`; empty and 0 if in nothing.
    """

    profile: Profile
    at: float
    drifted_at: float = 0.0
    drift: str = ""


def learn(before: Learnt | None, seen: Profile, at: float) -> Learnt:
    """What is known after one more answer of the canary order came at `at`."""
    if before is None:
        return Learnt(profile=seen, at=at)
    drift = before.profile.differs(seen)
    if not drift:
        return replace(before, drifted_at=0.0, drift="")
    since = before.drifted_at or at
    if at - since >= ACCEPTED_AFTER:
        return Learnt(profile=seen, at=at)
    return replace(before, drifted_at=since, drift=drift)
