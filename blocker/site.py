"""What this site is: the values of site.yaml.

Frozen and pure; `blocker.sitefile` reads them from YAML. Durations are whole seconds, addresses are pairs
of an IP literal and a port.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network, ip_address
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blocker.names import Key
    from blocker.sshkeys import PublicKey

Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


class Endpoint(NamedTuple):
    """Where a socket listens or a server is reached; `host` is an IP literal without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def asked_from(self, source: str) -> tuple[str, int] | None:
        """What a socket that asks it binds to; None if `source` is no address of the same family."""
        return (source, 0) if source and (":" in source) == (":" in self.host) else None


@dataclass(frozen=True, kw_only=True)
class Enforcement:
    """The site values that enforcers need; they travel in the store beside the policy.

    `ttl` is that of blocked answers, `max_ttl` caps every passing one (seconds). `review` is what becomes of
    what is not reviewed by its date: it is kept (`keep`) or lapses (`lapse`), which it has done since
    `lapse_from` (epoch seconds; 0: always).
    """

    regions: Mapping[str, tuple[Network, ...]] = field(default_factory=dict)
    default_region: str | None = None
    ttl: int = 30
    max_ttl: int = 3600
    info_url: str = ""
    review: str = "keep"
    lapse_from: int = 0

    @property
    def lapses_from(self) -> int | None:
        """Since when this site enforces nothing whose review is overdue; None: it does."""
        return self.lapse_from if self.review == "lapse" else None

    @cached_property
    def _by_length(self) -> dict[int, list[tuple[int, dict[int, str]]]]:
        found: dict[int, dict[int, dict[int, str]]] = {4: {}, 6: {}}
        for region, networks in self.regions.items():
            for network in networks:
                at = found[network.version].setdefault(network.prefixlen, {})
                at[int(network.network_address)] = region
        return {version: sorted(lengths.items(), reverse=True) for version, lengths in found.items()}

    def region_of(self, address: str) -> str | None:
        """The region whose prefix matches the client longest, else the default region.

        An IPv4-mapped IPv6 address counts as the IPv4 address it carries. Raises ValueError if `address`
        is no IP literal.
        """
        client = ip_address(address.partition("%")[0])
        if client.version == 6 and client.ipv4_mapped is not None:
            client = client.ipv4_mapped
        bits, value = client.max_prefixlen, int(client)
        for length, networks in self._by_length[client.version]:
            region = networks.get(value >> (bits - length) << (bits - length))
            if region is not None:
                return region
        return self.default_region


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much one unexplained apply may change before a person must accept it by its digest.

    Those for each order hold that order alone: the names that it blocks (None: no limit of its own), and the
    part of its order's names that an amend takes away.
    """

    max_added: int = 1000
    max_added_ratio: float = 0.3
    max_removed_ratio: float = 0.3
    max_added_per_order: int | None = None
    max_removed_per_order: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolverConfig:
    """The embedded resolver. `workers` 0 means one for each core; `upstreams` empty means the host's."""

    listen: tuple[Endpoint, ...] = ()
    workers: int = 0
    upstreams: tuple[Endpoint, ...] = ()
    allow: tuple[Network, ...] = LOOPBACK


@dataclass(frozen=True, slots=True, kw_only=True)
class ProberConfig:
    """The prober. `interval` (seconds) between rounds away from transitions; canaries are keys.

    `reference` are unfiltered resolvers to compare with; empty means the upstreams. `rate` bounds the
    queries a second to one point. `canary_order` is an order on names that are nobody's, always in force:
    what a block looks like at each point is learnt from it. `shard` of `shards` probers is this one, from 0.
    `evidence` is how many octets of evidence are kept.
    """

    interval: int = 30
    canaries: tuple[Key, ...] = ()
    reference: tuple[Endpoint, ...] = ()
    rate: int = 50
    canary_order: str = ""
    shard: int = 0
    shards: int = 1
    evidence: int = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """How a point answers encrypted queries: over TLS at `dot` (RFC 7858), over HTTPS at `doh` under `path`
    (RFC 8484). Its certificates must be for `name`, and signed by one of `ca` (PEM; None: the system's).
    """

    name: str
    dot: Endpoint | None = None
    doh: Endpoint | None = None
    path: str = "/dns-query"
    ca: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """How to ask a point as a client of another region: from the address `source`, or with a client `subnet`
    in the query (RFC 7871) where the point heeds it. One of the two is given.
    """

    source: str = ""
    subnet: Network | None = None

    @property
    def client(self) -> str:
        """An address of such a client."""
        return self.source or str(self.subnet.network_address if self.subnet else "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """An enforcement point: a resolver that ought to obey the policy for one region.

    `by` is the way it gets the policy, one of WAYS[kind]. `control` are the first words of the command that
    controls it (`unbound-control -c …`); without them nothing purges what it keeps. `also` are further
    addresses at which it answers, `source` is ours to ask it from, `instances` the NSIDs of all that answer
    there (anycast).
    """

    name: str
    kind: str
    address: Endpoint
    region: str
    by: str = "self"
    control: tuple[str, ...] = ()
    also: tuple[Endpoint, ...] = ()
    tls: Tls | None = None
    source: str = ""
    outside: Outside | None = None
    instances: tuple[str, ...] = ()

    @property
    def addresses(self) -> tuple[Endpoint, ...]:
        """All at which it answers without encryption."""
        return (self.address, *self.also)


WAYS: dict[str, tuple[str, ...]] = {
    "embedded": ("self",),
    "unbound": ("module", "rpz"),
    "bind": ("rpz",),
    "powerdns": ("rpz",),
    "knot": ("rpz",),
    "dnsdist": ("lmdb",),
}
"""Every kind of point, and how it can get the policy: the first is what is meant where nothing is said."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rpz:
    """The policy as zones, one for each region, named `<region>.<zone>`.

    `primary` takes updates (RFC 2136), signed with the key in the file `key`.
    """

    zone: str = "rpz"
    primary: Endpoint | None = None
    key: Path | None = None

    def zone_of(self, region: str) -> str:
        """The zone of a region, in canonical text."""
        return f"{region.lower()}.{self.zone}"


Seat = frozenset[str]
"""One approval that a rule asks for: the roles whose people may give it; empty: everybody may."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emergency:
    """What lets an order in before its approvals are there; they are owed `within` so many seconds."""

    seats: tuple[Seat, ...]
    within: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Approvals:
    """Who may let orders in: those in the file `signers`, which one of `roots` signed.

    `rules` say for each kind of order (`block`, `lift`, …) which approvals it needs, each by another person.
    """

    signers: Path
    roots: tuple[PublicKey, ...]
    rules: Mapping[str, tuple[Seat, ...]]
    emergency: Emergency | None = None


@dataclass(frozen=True, kw_only=True)
class Site:
    """One site. Paths are absolute; `protected` are keys whose whole subtrees are never blocked.

    `feeds` is where its official lists are described. Without `approvals` it is an unsigned site: whoever can
    write its orders folder decides alone.
    """

    operator: str
    contact: str
    node: str
    path: Path
    state: Path
    orders: Path
    protected: tuple[Key, ...] = ()
    feeds: Path | None = None
    enforcement: Enforcement
    limits: Limits = field(default_factory=Limits)
    resolver: ResolverConfig | None = None
    web: Endpoint | None = None
    prober: ProberConfig | None = None
    rpz: Rpz | None = None
    points: tuple[Point, ...] = ()
    approvals: Approvals | None = None

    @property
    def zones(self) -> tuple[str, ...]:
        """The zones that points get the policy in, in canonical text."""
        rpz = self.rpz or Rpz()
        return tuple(sorted({rpz.zone_of(point.region) for point in self.points if point.by == "rpz"}))
