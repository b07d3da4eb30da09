"""The octets of the policy store: how its values are written and read back.

Pure. Text is JSON, for the few values per directive; sets are packed, for there can be many. Whoever
changes a record changes FORMAT with it: a store of another format is refused, never guessed at.
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

from blocker.names import Key
from blocker.orders.model import Action, Form, Publication
from blocker.orders.timetable import Scheduled
from blocker.policy.chain import Event
from blocker.policy.directives import Role
from blocker.site import Enforcement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from blocker.policy.decide import Pair

FORMAT = 1

SITE = b"site@"

_UNTIL_EFFECTIVE = Publication.SEALED_UNTIL_EFFECTIVE
_NUMBER = struct.Struct(">I")
_PAIR = struct.Struct(">IB")
_COUNT = struct.Struct(">Q")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """One apply on one node. `applied_at` is in epoch seconds; `digest` that of the policy.

    `quarantined` are the ids of orders that this apply left out, or in their last applied form.
    """

    number: int
    digest: str
    applied_at: float
    by: str
    reason: str = ""
    quarantined: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """The operator's own refusal to enforce a directive or order; never the authority's act."""

    reason: str
    at: float
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """What an emergency let in: `at` when, on whose command, and when its approvals are `due`."""

    at: float
    due: float
    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """By what orders came in last: the digest of the site's rules of approval (empty: by none), and when the
    newest signers.yaml that was believed was issued (epoch seconds). `said` are the rules themselves, see
    `policy.rules`; empty, too, if nobody kept them.
    """

    rules: str = ""
    issued: float = 0.0
    said: str = ""


def pack_number(number: int) -> bytes:
    """Directive numbers and set ids: four octets, big-endian."""
    return _NUMBER.pack(number)


def unpack_number(octets: bytes) -> int:
    return int(_NUMBER.unpack(octets)[0])


def pack_set(count: int, pairs: Iterable[Pair]) -> bytes:
    """How many names have the set, and its pairs."""
    return _COUNT.pack(count) + b"".join(_PAIR.pack(number, role) for number, role in pairs)


def unpack_set(octets: bytes) -> tuple[int, tuple[Pair, ...]]:
    pairs = tuple((number, Role(role)) for number, role in _PAIR.iter_unpack(octets[_COUNT.size :]))
    return int(_COUNT.unpack_from(octets)[0]), pairs


def pack_sample(sample: Iterable[tuple[Key, Role]]) -> bytes:
    """Some (name, role) of a directive: each a length, a role and a key."""
    return b"".join(bytes((len(key), role)) + key for key, role in sample)


def unpack_sample(octets: bytes) -> list[tuple[Key, Role]]:
    found, at = [], 0
    while at < len(octets):
        end = at + 2 + octets[at]
        found.append((Key(octets[at + 2 : end]), Role(octets[at + 1])))
        at = end
    return found


def pack_directive(one: Scheduled) -> bytes:
    return _json(
        {
            "ref": one.ref,
            "order": one.order,
            "form": one.action.form,
            "addresses": [str(address) for address in one.action.addresses],
            "regions": one.regions,
            "windows": one.windows,
            "ends": one.ends,
            "issued": one.issued,
            "publication": one.publication,
            "review_by": one.review_by,
            "deadline": one.deadline,
            "cuts": one.cuts,
            "hidden": one.hidden,
            "lineage": sorted(one.lineage),
            # Added within FORMAT 1: they decide nothing, for the windows have it.
            **({"lapsed": one.lapsed} if one.lapsed else {}),
            **({"lapse_from": one.lapse_from} if one.lapse_from else {}),
            # Added within FORMAT 1: without it, it is the first start.
            **({"public_from": one.public_from} if one.publication is _UNTIL_EFFECTIVE else {}),
        }
    )


def unpack_directive(octets: bytes) -> Scheduled:
    record = json.loads(octets)
    publication = Publication(record["publication"])
    if publication is _UNTIL_EFFECTIVE:
        record.setdefault("public_from", record["windows"][0][0] if record["windows"] else None)
    return Scheduled(
        ref=record["ref"],
        order=record["order"],
        action=Action(form=Form(record["form"]), addresses=tuple(map(ip_address, record["addresses"]))),
        regions=tuple(record["regions"]),
        windows=tuple((start, end) for start, end in record["windows"]),
        ends=record["ends"],
        issued=record["issued"],
        publication=publication,
        public_from=record.get("public_from"),
        review_by=record["review_by"],
        deadline=record.get("deadline"),  # Added within FORMAT 1: it decides nothing.
        cuts=tuple(record["cuts"]),
        hidden=tuple(record["hidden"]),
        lapsed=tuple((start, end) for start, end in record.get("lapsed", ())),
        lapse_from=record.get("lapse_from", 0),
        lineage=frozenset(record["lineage"]),
    )


def pack_enforcement(site: Enforcement) -> bytes:
    return _json(
        {
            "regions": {
                region: [str(network) for network in found] for region, found in site.regions.items()
            },
            "default_region": site.default_region,
            "ttl": site.ttl,
            "max_ttl": site.max_ttl,
            "info_url": site.info_url,
            # Left out where it changes nothing, so that older versions read the store.
            **({} if site.lapses_from is None else {"review": site.review}),
            **({"lapse_from": site.lapses_from} if site.lapses_from else {}),
        }
    )


def unpack_enforcement(octets: bytes) -> Enforcement:
    record = json.loads(octets)
    regions = {region: tuple(map(ip_network, found)) for region, found in record.pop("regions").items()}
    return Enforcement(regions=regions, **record)


def site_key(generation: int) -> bytes:
    """Where `meta` keeps the site values from this generation on, in the order of generations."""
    return SITE + pack_number(generation)


def pack_generation(generation: Generation) -> bytes:
    return _json({name: getattr(generation, name) for name in Generation.__slots__})


def unpack_generation(octets: bytes) -> Generation:
    record = json.loads(octets)
    return Generation(**{**record, "quarantined": tuple(record["quarantined"])})


def pack_withheld(withheld: Mapping[str, Sequence[Withheld]]) -> bytes:
    """Every act that withholds a ref, by ref; one alone is no list, so that older versions read it."""
    found = {
        ref: [{"reason": one.reason, "at": one.at, "by": one.by} for one in acts]
        for ref, acts in withheld.items()
    }
    return _json({ref: acts[0] if len(acts) == 1 else acts for ref, acts in found.items()})


def unpack_withheld(octets: bytes) -> dict[str, tuple[Withheld, ...]]:
    return {
        ref: tuple(Withheld(**one) for one in (acts if isinstance(acts, list) else [acts]))
        for ref, acts in json.loads(octets).items()
    }


def pack_trust(trust: Trust) -> bytes:
    return _json({"rules": trust.rules, "issued": trust.issued})


def unpack_trust(octets: bytes, said: bytes = b"") -> Trust:
    """`said` are the rules. Added within FORMAT 1, and beside: who doesn't know of them changes the rest."""
    trust = Trust(**json.loads(octets))
    return replace(trust, said=said.decode()) if rules_digest(said.decode()) == trust.rules else trust


def rules_digest(said: str) -> str:
    """The digest of rules of approval as they are kept; empty if there are none."""
    return hashlib.sha256(said.encode()).hexdigest() if said else ""


def pack_owed(owed: Mapping[str, Owed]) -> bytes:
    """The ids of orders whose approvals are owed."""
    return _json({id_: {name: getattr(one, name) for name in Owed.__slots__} for id_, one in owed.items()})


def unpack_owed(octets: bytes) -> dict[str, Owed]:
    return {id_: Owed(**record) for id_, record in json.loads(octets).items()}


def pack_orders(orders: Mapping[str, str]) -> bytes:
    """Order ids and the digests of their applied files."""
    return _json(dict(orders))


def unpack_orders(octets: bytes) -> dict[str, str]:
    return dict(json.loads(octets))


def pack_arrivals(arrivals: Mapping[str, int]) -> bytes:
    """Order ids and the numbers of the generations that brought them."""
    return _json(dict(arrivals))


def unpack_arrivals(octets: bytes) -> dict[str, int]:
    return dict(json.loads(octets))


def pack_zones(zones: Sequence[str]) -> bytes:
    """The zones that the names were looked at for."""
    return _json(zones)


def unpack_zones(octets: bytes) -> tuple[str, ...]:
    return tuple(json.loads(octets))


def pack_events(events: Sequence[Event]) -> bytes:
    """What the ledger is to be told of one act."""
    return _json([{name: getattr(one, name) for name in Event.__slots__} for one in events])


def unpack_events(octets: bytes) -> list[Event]:
    return [Event(**record) for record in json.loads(octets)]


def pack_tidied(before: int, after: int) -> bytes:
    """The numbers of two transactions between which nothing but what waited for the ledger went."""
    return b"%d %d" % (before, after)


def pack_instant(at: float) -> bytes:
    """Epoch seconds."""
    return repr(float(at)).encode()


def unpack_instant(octets: bytes) -> float:
    return float(octets)


def _json(value: dict[str, Any] | Sequence[Any]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
