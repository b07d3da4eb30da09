"""site.yaml and protected.yaml to a Site, or all that is wrong with them.

A shell only where it reads the two files and the host's name; `parse` and `parse_protected` are pure. Paths
in site.yaml are relative to it. SITE_CHECKS names the ids that only these files can complain with; the
others are in `orders.check.REGISTRY`.
"""

from __future__ import annotations

import socket
from dataclasses import replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from blocker import bounded, yamltext
from blocker.errors import OrdersInvalid, Problem
from blocker.fields import (
    Complaints,
    Field,
    read_mapping,
    shown,
    text,
)
from blocker.site import (
    WAYS,
    Approvals,
    Emergency,
    Enforcement,
    Limits,
    Outside,
    Point,
    ProberConfig,
    ResolverConfig,
    Rpz,
    Site,
    Tls,
)
from blocker.sitetables import SITE, a_name, several_or_none

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.names import Key
    from blocker.site import Network, Seat
    from blocker.yamltext import Node

SITE_CHECKS: dict[str, str] = {
    "missing-site": "site.yaml does not say whose site it is",
    "missing-paths": "site.yaml does not say where its state or orders are",
    "address-invalid": "a text is not an IP address with a port",
    "network-invalid": "a text is not an IP prefix",
    "number-invalid": "a text is not a number in its range",
    "info-url-invalid": "info_url is not a web address",
    "same-prefix": "two regions have the same prefix",
    "region-twice": "two regions have names that differ by case alone",
    "instance-invalid": "an NSID of a point's instance can't be one",
    "outside-unclear": "a point's outside client has both an address and a subnet, or neither",
    "path-invalid": "the path of a point's DNS over HTTPS is not one",
    "shard-invalid": "the prober's shard is not one of several, such as 1/2",
    "tls-nowhere": "a point has 'tls' and no address that answers by it",
    "site-region-unknown": "a default region or a point's region is not configured",
    "point-kind-unknown": "a point is of a kind that this toolkit doesn't know",
    "duplicate-point": "two points have one name",
    "point-way-unknown": "a point of this kind can't get the policy that way",
    "point-control-unused": "a point has a control command and keeps nothing that needs it",
    "point-two-regions": "two points are one resolver, whose cache can't be of two regions",
    "rpz-missing": "a point takes the policy as a zone, and the site makes none",
    "rpz-key-missing": "the RPZ primary has no key",
    "zone-too-long": "the name under which the policy's zones are leaves names of orders no room",
    "allow-everyone": "resolver.allow has a prefix so wide that this would be an open resolver",
    "wildcard-listen": "the resolver would listen on every address",
    "upstream-is-ourselves": "an upstream or reference is our own listen address",
    "review-unknown": "what is overdue for review is neither kept nor lapses",
    "key-invalid": "a text is not the line of a public SSH key that may sign",
    "role-invalid": "a text is not a role",
    "rule-too-easy": "a reinstate or amend needs fewer approvals than a block",
    "rule-too-hard": "a lift or suspend needs as many approvals as a block",
    "ttl-over-max": "answers.ttl is larger than answers.max_ttl",
}

_WORDS = bounded.Words(
    unreadable="file-unreadable",
    irregular="file-not-regular",
    large="file-too-large",
    too_large="the file is larger than 1 MiB; a site's own files are small.",
)


def load(path: Path) -> Site:
    """The site of a site.yaml. Raises OrdersInvalid with all Problems of it and of protected.yaml."""
    path = path.absolute()
    site, problems, protected = parse(_read(path), path, node=socket.gethostname())
    keys: tuple[Key, ...] = ()
    if protected is not None:
        try:
            keys, more = parse_protected(_read(protected), bounded.printable(protected))
        except OrdersInvalid as invalid:
            more = list(invalid.problems)
        problems = problems + more
    if problems or site is None:
        raise OrdersInvalid(problems)
    return replace(site, protected=keys)


def _read(path: Path) -> bytes:
    try:
        return bounded.octets(path.resolve(), yamltext.MAX_OCTETS, _WORDS)
    except bounded.Refused as refused:
        raise OrdersInvalid(
            [Problem(id=refused.id, path=bounded.printable(path), message=str(refused))]
        ) from refused


def parse(octets: bytes, path: Path, *, node: str) -> tuple[Site | None, list[Problem], Path | None]:
    """The site in the octets of the file at an absolute path, its protected keys left out.

    `node` is the name of this host, for a file without one. The last value is where the protected names
    are, if the file says so.
    """
    root, problems = yamltext.read(octets, bounded.printable(path))
    if root is None:
        return None, problems, None
    complaints = Complaints(bounded.printable(path), problems)
    values = read_mapping(root, complaints, SITE, "site.yaml")
    _check(root, values, complaints)
    folder = path.parent

    def at(key: str) -> Path:
        return (folder / str(values[key])).resolve()

    protected: Path | None = at("protected") if "protected" in values else None
    if complaints:
        return None, complaints.all(), protected
    about, answers = values["site"], values.get("answers", {})
    site = Site(
        operator=about["operator"],
        contact=about["contact"],
        node=about.get("node", node),
        path=path,
        state=at("state"),
        orders=at("orders"),
        feeds=at("feeds") if "feeds" in values else None,
        enforcement=Enforcement(
            regions=values.get("regions", {}),
            default_region=values.get("default_region"),
            info_url=about.get("info_url", ""),
            review=values.get("review", {}).get("overdue", Enforcement.review),
            **answers,
        ),
        limits=Limits(**values.get("limits", {})),
        resolver=ResolverConfig(**values["resolver"]) if "resolver" in values else None,
        web=values["web"]["listen"] if "web" in values else None,
        prober=_prober(values["prober"]) if "prober" in values else None,
        rpz=_rpz(values["rpz"], folder) if "rpz" in values else None,
        points=tuple(_point(point, folder) for point in values.get("points", ())),
        approvals=_approvals(values["approvals"], folder) if "approvals" in values else None,
    )
    return site, [], protected


def _rpz(values: dict[str, Any], folder: Path) -> Rpz:
    key = (folder / values["key"]).resolve() if "key" in values else None
    return Rpz(**{**values, "key": key})


_ONE = (frozenset[str](),)  # approval, by anyone


def _seats(written: dict[str, tuple[Seat, ...]]) -> dict[str, tuple[Seat, ...]]:
    """The rule of every kind: blocking takes two people, undoing it one, where nothing else is written."""
    block, lift = written.get("block", 2 * _ONE), written.get("lift", _ONE)
    return {"block": block, "reinstate": block, "amend": block, "lift": lift, "suspend": lift, **written}


def _approvals(values: dict[str, Any], folder: Path) -> Approvals:
    emergency: dict[str, Any] | None = values.get("emergency")
    return Approvals(
        signers=(folder / values["signers"]).resolve(),
        roots=values["roots"],
        rules=_seats(values.get("rules", {})),
        emergency=Emergency(seats=emergency["approvals"], within=emergency["within"]) if emergency else None,
    )


def _prober(values: dict[str, Any]) -> ProberConfig:
    shard, shards = values.get("shard", (0, 1))
    return ProberConfig(**{**values, "shard": shard, "shards": shards})


def _point(values: dict[str, Any], folder: Path) -> Point:
    several: dict[str, Any] = {
        key: tuple(values[key]) for key in ("control", "also", "instances") if key in values
    }
    tls: dict[str, Any] | None = values.get("tls")
    if tls is not None and "ca" in tls:
        tls = {**tls, "ca": (folder / tls["ca"]).resolve()}
    read: dict[str, Any] = {
        "by": WAYS[values["kind"]][0],
        **values,
        **several,
        "tls": Tls(**tls) if tls is not None else None,
        "outside": Outside(**values["outside"]) if "outside" in values else None,
    }
    return Point(**read)


def parse_protected(octets: bytes, path: str) -> tuple[tuple[Key, ...], list[Problem]]:
    """The keys of protected.yaml, `protected: [names]`, sorted, each once."""
    root, problems = yamltext.read(octets, path)
    if root is None:
        return (), problems
    complaints = Complaints(path, problems)
    fields = {"protected": Field(read=several_or_none(text(a_name)), required="list the names in it.")}
    values = read_mapping(root, complaints, fields, "protected.yaml")
    return tuple(sorted(set(values.get("protected", ())))), complaints.all()


def _check(root: Node, values: dict[str, Any], complaints: Complaints) -> None:
    """What needs two places of the file to be seen."""
    regions: dict[str, tuple[Network, ...]] = values.get("regions", {})
    first: dict[Network, str] = {}
    for name, networks in regions.items():
        for position, prefix in enumerate(networks):
            other = first.setdefault(prefix, name)
            if other != name:
                complaints.add(
                    "same-prefix",
                    yamltext.place(root, "regions", name, position),
                    f"{prefix} is in region {other} too; a client is in one region, keep one of the two.",
                )
    known = ", ".join(regions) or "none"
    default = values.get("default_region")
    if default is not None and default not in regions:
        complaints.add(
            "site-region-unknown",
            yamltext.place(root, "default_region"),
            f"'{default}' is not among the regions ({known}); add it to 'regions', or mend it.",
        )
    answers = values.get("answers", {})
    if "ttl" in answers and answers["ttl"] > answers.get("max_ttl", Enforcement.max_ttl):
        complaints.add(
            "ttl-over-max",
            yamltext.place(root, "answers", "ttl"),
            "the ttl of blocked answers is larger than max_ttl; lower it, or raise max_ttl.",
        )
    _check_rules(root, values, complaints)
    _check_points(root, values, known, complaints)
    _check_ways(root, values, complaints)
    _check_addresses(root, values, complaints)


def _check_rules(root: Node, values: dict[str, Any], complaints: Complaints) -> None:
    """Undoing a block is never harder than blocking, and nothing blocks more easily than a block."""
    if complaints:  # A rule that can't be read may be missing, and what it is compared with would be wrong.
        return
    written = values.get("approvals", {}).get("rules", {})
    needed = {kind: len(seats) for kind, seats in _seats(written).items()}
    for kind in written:
        at = yamltext.place(root, "approvals", "rules", kind)
        if kind in ("lift", "suspend") and needed[kind] > 1 and needed[kind] >= needed["block"]:
            complaints.add(
                "rule-too-hard",
                at,
                f"a {kind} needs {needed[kind]} approvals and a block {needed['block']}; undoing a block "
                "must need fewer than blocking, or one.",
            )
        if kind in ("reinstate", "amend") and needed[kind] < needed["block"]:
            complaints.add(
                "rule-too-easy",
                at,
                f"a kind of order that blocks needs {needed[kind]} and a block {needed['block']} approvals; "
                "it needs as many, or who wants to block takes this way.",
            )


def _check_points(root: Node, values: dict[str, Any], known: str, complaints: Complaints) -> None:
    seen: set[str] = set()
    for position, point in enumerate(values.get("points", ())):
        if "region" in point and point["region"] not in values.get("regions", {}):
            complaints.add(
                "site-region-unknown",
                yamltext.place(root, "points", position, "region"),
                f"'{point['region']}' is not among the regions ({known}); add it to 'regions', or mend it.",
            )
        if "outside" in point and len(point["outside"]) != 1:
            complaints.add(
                "outside-unclear",
                yamltext.place(root, "points", position, "outside"),
                "a client of another region is known by 'source' or by 'subnet'; write one of the two.",
            )
        if "tls" in point and point["tls"].keys().isdisjoint(("dot", "doh")):
            complaints.add(
                "tls-nowhere",
                yamltext.place(root, "points", position, "tls"),
                "no address answers encrypted queries; write 'dot' or 'doh', or leave 'tls' out.",
            )
        name = point.get("name")
        if name is not None and name in seen:
            complaints.add(
                "duplicate-point",
                yamltext.place(root, "points", position, "name"),
                f"{shown(name)} is the name of two points; findings need a name for each.",
            )
        seen.add(str(name))


def _check_ways(root: Node, values: dict[str, Any], complaints: Complaints) -> None:
    """How points get the policy. A resolver has one cache, which all its clients share."""
    regions: dict[tuple[str, str], str] = {}
    for position, point in enumerate(values.get("points", ())):
        kind, name = point.get("kind"), shown(str(point.get("name")))
        ways = WAYS.get(kind, ())
        way = point.get("by", next(iter(ways), ""))
        if ways and way not in ways:
            complaints.add(
                "point-way-unknown",
                yamltext.place(root, "points", position, "by"),
                f"{kind} can't get the policy by '{way}'; write {' or '.join(ways)}, or leave it out.",
            )
        if "control" in point and kind in ("embedded", "dnsdist"):
            complaints.add(
                "point-control-unused",
                yamltext.place(root, "points", position, "control"),
                f"{name} decides before its cache, so nothing is ever purged from it; leave 'control' out.",
            )
        if way == "rpz" and "rpz" not in values:
            complaints.add(
                "rpz-missing",
                yamltext.place(root, "points", position),
                f"{name} takes the policy as a zone, and nothing makes one; add 'rpz' to the site.",
            )
        if kind in ("embedded", "dnsdist") or not {"kind", "address", "region"} <= point.keys():
            continue
        for mark in _marks(point):
            first = regions.setdefault((kind, mark), point["region"])
            if first != point["region"]:
                complaints.add(
                    "point-two-regions",
                    yamltext.place(root, "points", position, "region"),
                    f"{mark} is in region {first} already, and all clients of one {kind} share its cache; "
                    "run one for each region.",
                )
                break
    rpz = values.get("rpz", {})
    if "primary" in rpz and "key" not in rpz:
        complaints.add(
            "rpz-key-missing",
            yamltext.place(root, "rpz", "primary"),
            "updates to the primary are signed; write 'key' with the path of a file made by `tsig-keygen`.",
        )


def _marks(point: dict[str, Any]) -> list[str]:
    """What tells that two points are one resolver: an address of both, the command that controls both."""
    control = [f"what {shown(' '.join(point['control']))} controls"] if "control" in point else []
    return [*map(str, (point["address"], *point.get("also", ()))), *control]


def _check_addresses(root: Node, values: dict[str, Any], complaints: Complaints) -> None:
    resolver = values.get("resolver", {})
    own = set(resolver.get("listen", ()))
    for position, address in enumerate(resolver.get("listen", ())):
        if ip_address(address.host).is_unspecified:
            complaints.add(
                "wildcard-listen",
                yamltext.place(root, "resolver", "listen", position),
                f"{address} is every address; list the addresses, for answers must leave from the one asked.",
            )
    for steps, others in (
        (("resolver", "upstreams"), resolver.get("upstreams", ())),
        (("prober", "reference"), values.get("prober", {}).get("reference", ())),
    ):
        for position, address in enumerate(others):
            if address in own:
                complaints.add(
                    "upstream-is-ourselves",
                    yamltext.place(root, *steps, position),
                    f"{address} is our own listen address, which would ask itself; name another resolver.",
                )
