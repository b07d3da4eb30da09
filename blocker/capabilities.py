"""What each kind of point can't do, so that nobody believes it can.

Pure, a table and nothing else. What is missing is of two sorts. A *form* is something that an order may say
and the point can't: `plan` refuses it, for a block in another form than the ordered one is not what was
ordered. A *reach* is something that a point doesn't get to or doesn't tell: `plan` prints it, the prober
probes it, and a test that meets it counts it as declared, never as passed. The conformance tests hold this
table to real servers both ways: what is not listed must work, and what is listed must fail at least once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker.orders.model import Form

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocker.site import Point

REACH: Mapping[str, str] = {
    "aliases": "an alias of a blocked name is answered, for where aliases lead is not seen",
    "alias-form": "an alias of a blocked name is denied itself, without the chain to the blocked name",
    "alias-addresses": (
        "an alias of a name below a redirected one is answered without the redirect's addresses"
    ),
    "excepted-aliases": (
        "an excepted name that is an alias passes or not as a whole, whichever order blocks what it leads "
        "to; if not, perhaps without a reason or a redirect's addresses"
    ),
    "cached-aliases": "an alias of a blocked name is denied once, and answered while it is in the cache",
    "holes": (
        "DS and DNSKEY of a blocked name do not pass where names below it are free: validating resolvers "
        "below this one may fail those"
    ),
    "any": "a query for ANY gets a redirect's addresses, or an error whether the name is blocked or not",
    "every-class": "a query for every class (255) may get what a blocked name has in class IN",
    "ede": "a blocked answer does not say that it is one (EDE 16), nor why",
    "forged": "a redirect says EDE 16, and not EDE 4 beside it",
    "reason": "a blocked answer tells where to read more, and not the order",
    "negative-ttl": "a denial has no SOA in AUTHORITY: who keeps it, and how long, is left to those below",
    "shaping": "a cache below may keep what passed for its whole TTL, past the start of an order",
    "lift-shaping": "a cache below may keep a blocked answer for its TTL past the end of an order",
    "cached-names": (
        "without a control command, what was cached before an order that starts with its apply is answered "
        "until it expires"
    ),
}
"""Every limit of reach by its id, in a sentence."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What a kind of point does by one way of getting the policy.

    `forms` are those it can answer in, `reach` the ids of its limits, `uncontrolled` of those that it has
    besides where site.yaml gives no control command for it. With `is_zone` the policy comes to it
    as the records of a zone, so the name of an owner has to fit beside the zone's.
    """

    forms: frozenset[Form] = frozenset(Form)
    reach: tuple[str, ...] = ()
    uncontrolled: tuple[str, ...] = ()
    is_zone: bool = False

    def missing(self, form: Form) -> str | None:
        """Why the form can't be said, in a sentence; None if it can."""
        if form in self.forms:
            return None
        return f"{form} can't be said there; what can: {', '.join(one for one in Form if one in self.forms)}"


_SAYABLE = frozenset(Form) - {Form.REFUSED}
_ZONE = ("excepted-aliases", "holes", "shaping", "lift-shaping")
_SILENT = ("ede", "negative-ttl")
_TERSE = ("forged", "reason")

CAPABILITIES: Mapping[tuple[str, str], Capability] = {
    ("embedded", "self"): Capability(),
    ("unbound", "module"): Capability(uncontrolled=("cached-names",)),
    ("unbound", "rpz"): Capability(
        forms=_SAYABLE,
        reach=("alias-addresses", "cached-aliases", "every-class", *_ZONE, *_SILENT),
        is_zone=True,
    ),
    ("bind", "rpz"): Capability(forms=_SAYABLE, reach=(*_ZONE, *_SILENT, "any"), is_zone=True),
    ("powerdns", "rpz"): Capability(
        forms=_SAYABLE, reach=("alias-form", *_ZONE, *_TERSE, "negative-ttl", "any"), is_zone=True
    ),
    ("knot", "rpz"): Capability(forms=_SAYABLE, reach=(*_ZONE, *_TERSE, "any"), is_zone=True),
    ("dnsdist", "lmdb"): Capability(reach=("aliases",)),
}
"""By the kind of a point and its way of getting the policy (blocker.site.WAYS)."""


def of(kind: str, by: str) -> Capability:
    """What a point of this kind and way can do. Raises KeyError for one that there is not."""
    return CAPABILITIES[kind, by]


def reach_of(point: Point) -> tuple[str, ...]:
    """The ids of what this very point doesn't get to."""
    can = of(point.kind, point.by)
    return can.reach if point.control else (*can.reach, *can.uncontrolled)
