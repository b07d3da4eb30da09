"""The format of site.yaml as a table: its keys and how each value is read. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from blocker import names, sshkeys, yamltext
from blocker.fields import (
    MISSING,
    Complaints,
    Field,
    Rejected,
    address,
    contact,
    duration,
    mapping,
    network,
    one_of,
    region,
    several,
    shown,
    text,
)
from blocker.site import LOOPBACK, WAYS, Endpoint, Seat

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from blocker.names import Key
    from blocker.site import Network
    from blocker.sshkeys import PublicKey
    from blocker.yamltext import Node


def _endpoint(default_port: int | None, *, least: int = 1) -> Callable[[str], Endpoint]:
    """A reader of `ip:port`, `[v6]:port` and, where there is a default port, `ip` alone."""

    def convert(value: str) -> Endpoint:
        match = re.match(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?\Z", value)
        try:
            if match is None and default_port is not None:
                return Endpoint(str(address(value)), default_port)
            if match is not None:
                port = default_port if match[3] is None else int(match[3])
                if port is not None and least <= port <= 65535:
                    return Endpoint(str(address(match[1] or match[2] or "")), port)
        except ValueError:
            pass
        way = "192.0.2.1:53 or [2001:db8::1]:53"
        raise Rejected("address-invalid", f"{shown(value)} is not an address with a port; write {way}.")

    return convert


def _number(least: float, most: float, *, whole: bool = True) -> Callable[[str], float]:
    def convert(value: str) -> float:
        try:
            found = int(value) if whole else float(value)
        except ValueError:
            found = -1
        if not re.match(r"[0-9]{1,12}(\.[0-9]{1,12})?\Z", value) or not least <= found <= most:
            raise Rejected(
                "number-invalid", f"{shown(value)} is not a number from {least:,} to {most:,}; write one."
            )
        return found

    return convert


def _workers(value: str) -> float:
    return 0 if value == "auto" else _number(1, 1024)(value)


def _info_url(value: str) -> str:
    if not re.match(r"https?://[^\s/]+\S*\Z", value) or len(value) > 200:
        raise Rejected(
            "info-url-invalid",
            f"{shown(value)} is not a web address that fits into an answer; write https://… in 200 letters.",
        )
    return value


def a_name(value: str) -> Key:
    """The key of one name."""
    try:
        return names.to_key(names.canonical(value))
    except names.NameInvalid as error:
        raise Rejected("name-invalid", f"{error}; write one name.") from error


_MOST_ZONE = 100  # octets: with a region's label before it, a third of a name is left to the names of orders
_MOST_LABEL = 63  # octets: RFC 1035 §3.1


def a_key(value: str) -> PublicKey:
    """A public key that may sign."""
    try:
        return sshkeys.read(value)
    except ValueError as error:
        raise Rejected(
            "key-invalid",
            f"this is no public key that may sign: {error}. Write the line of its .pub file, as "
            "ssh-ed25519 AAAA…",
        ) from error


def _zone(value: str) -> str:
    found = names.to_text(a_name(value))
    if len(found) > _MOST_ZONE:
        raise Rejected(
            "zone-too-long",
            f"{shown(found)} has {len(found)} octets, {_MOST_ZONE} is the most: the names of orders stand "
            "before it; write a shorter one.",
        )
    return found


# feeds.yaml has the same sorts of values.
endpoint, number, zone = _endpoint, _number, _zone


def several_or_none(read: Callable[[Node, Complaints], Any]) -> Callable[[Node, Complaints], Any]:
    """A list that may be empty."""
    return lambda node, complaints: (
        () if isinstance(node, yamltext.Sequence) and not node.items else several(read)(node, complaints)
    )


def _word_or(word: str, read: Callable[[Node, Complaints], Any]) -> Callable[[Node, Complaints], Any]:
    """A list, or the one word that stands for none of our own."""
    return lambda node, complaints: (
        () if isinstance(node, yamltext.Scalar) and node.text == word else read(node, complaints)
    )


_WIDEST = {4: 8, 6: 7}  # 10.0.0.0/8 and fc00::/7 are the widest that one operator can have


def _allow(node: Node, complaints: Complaints) -> Any:
    def one(value: str) -> Iterable[Network]:
        if value == "loopback":
            return LOOPBACK
        prefix = network(value)
        if prefix.prefixlen < _WIDEST[prefix.version]:
            raise Rejected(
                "allow-everyone",
                f"{shown(value)} is more of the Internet than one operator has; an open resolver helps "
                "attackers. List your clients' prefixes.",
            )
        return (prefix,)

    found = several(text(one))(node, complaints)
    return found if found is MISSING else tuple(prefix for prefixes in found for prefix in prefixes)


def _region(value: str) -> str:
    """A region of the site's own: a zone may be named after it."""
    found = region(value)
    if len(found) > _MOST_LABEL:
        raise Rejected(
            "region-invalid",
            f"{shown(found)} has {len(found)} letters, and the label of a zone's name, which it becomes, has "
            f"{_MOST_LABEL} at most; give it a shorter name, in its orders too.",
        )
    return found


def _regions(node: Node, complaints: Complaints) -> dict[str, tuple[Network, ...]]:
    if not isinstance(node, yamltext.Mapping):
        complaints.add("not-a-mapping", node, "regions are written as {ID: [prefixes]}.")
        return {}
    found: dict[str, tuple[Network, ...]] = {}
    alike: dict[str, str] = {}
    for key, value in node.entries:
        try:
            name = _region(key.text)
        except Rejected as rejected:
            complaints.add(rejected.id, key, str(rejected))
            continue
        other = alike.setdefault(name.lower(), name)
        if other != name:
            complaints.add(
                "region-twice",
                key,
                f"'{name}' and '{other}' differ by case alone, and zones tell no case apart; give one of "
                "them another name, in its orders too.",
            )
        networks = several_or_none(text(network))(value, complaints)
        found[name] = () if networks is MISSING else networks  # No prefixes: only by default_region.
    return found


def _ip(value: str) -> str:
    try:
        return str(address(value))
    except ValueError:
        raise Rejected(
            "address-invalid", f"{shown(value)} is not an IP address; write one, without a port."
        ) from None


def _instance(value: str) -> str:
    if not 0 < len(value) <= 64 or not value.isprintable():
        raise Rejected("instance-invalid", f"{shown(value)} is not an NSID of 1 to 64 printable letters.")
    return value


def _shard(value: str) -> tuple[int, int]:
    match = re.match(r"([0-9]{1,3})/([0-9]{1,3})\Z", value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise Rejected(
            "shard-invalid", f"{shown(value)} is not one prober of several; write 1/2 for the first of two."
        )
    return int(match[1]) - 1, int(match[2])


def _interval(value: str) -> int:
    seconds = duration(value)
    if seconds > _MOST_INTERVAL:
        raise Rejected(
            "duration-invalid",
            f"{shown(value)} is too long: a prober whose last round is fifteen minutes old counts as dead; "
            "write 10m or less.",
        )
    return seconds


def _path(value: str) -> str:
    if not re.match(r"/[!-~]{0,200}\Z", value):
        raise Rejected("path-invalid", f"{shown(value)} is not the path of a web address; write /dns-query.")
    return value


_ROLE = re.compile(r"[a-z0-9][a-z0-9-]{0,31}\Z")
ANYONE = "anyone"


def role(value: str) -> str:
    """What somebody is to the operator, as signers.yaml and the rules of approval call it."""
    if not _ROLE.match(value) or value in (ANYONE, "or"):
        raise Rejected(
            "role-invalid",
            f"{shown(value)} is not a role; write a word of a-z, 0-9 and - such as legal or noc.",
        )
    return value


def _seat(value: str) -> Seat:
    return frozenset() if value == ANYONE else frozenset(role(one) for one in value.split(" or "))


_SEATS = several(text(_seat))
_KINDS = ("block", "lift", "suspend", "reinstate", "amend")

_EVERY_WAY = tuple(dict.fromkeys(way for ways in WAYS.values() for way in ways))
_MOST_INTERVAL = 600  # seconds: ProberStale in ops/prometheus waits for a round of 900
_SERVERS = several(text(_endpoint(53)))
_LISTEN = text(_endpoint(None, least=0))

SITE = {
    "site": Field(
        read=mapping(
            {
                "operator": Field(read=text(), required="write who runs the resolvers."),
                "contact": Field(read=text(contact), required="write where users can turn to."),
                "info_url": Field(read=text(_info_url)),
                "node": Field(read=text()),
            },
            "the site",
        ),
        required="write operator and contact in it.",
        missing="missing-site",
    ),
    "state": Field(read=text(), required="name a folder for the store.", missing="missing-paths"),
    "orders": Field(read=text(), required="name the folder of the orders.", missing="missing-paths"),
    "protected": Field(read=text()),
    "feeds": Field(read=text()),
    "regions": Field(read=_regions, required="write each region with its client prefixes."),
    "default_region": Field(read=text(region)),
    "answers": Field(
        read=mapping({"ttl": Field(read=text(duration)), "max_ttl": Field(read=text(duration))}, "answers")
    ),
    "review": Field(
        read=mapping(
            {
                "overdue": Field(
                    read=text(one_of(("keep", "lapse"), "review-unknown")),
                    required="write keep or lapse: what becomes of what is not reviewed by its date.",
                )
            },
            "review",
        )
    ),
    "limits": Field(
        read=mapping(
            {
                "max_added": Field(read=text(_number(0, 100_000_000))),
                "max_added_ratio": Field(read=text(_number(0, 1000, whole=False))),
                "max_removed_ratio": Field(read=text(_number(0, 1, whole=False))),
                "max_added_per_order": Field(read=text(_number(0, 100_000_000))),
                "max_removed_per_order": Field(read=text(_number(0, 1, whole=False))),
            },
            "limits",
        )
    ),
    "resolver": Field(
        read=mapping(
            {
                "listen": Field(read=several(_LISTEN), required="write where it listens."),
                "workers": Field(read=text(_workers)),
                "upstreams": Field(read=_word_or("system", _SERVERS)),
                "allow": Field(read=_allow),
            },
            "the resolver",
        )
    ),
    "web": Field(
        read=mapping({"listen": Field(read=_LISTEN, required="write where it listens.")}, "the web side")
    ),
    "prober": Field(
        read=mapping(
            {
                "interval": Field(read=text(_interval)),
                "canaries": Field(read=several_or_none(text(a_name))),
                "reference": Field(read=_word_or("upstreams", _SERVERS)),
                "rate": Field(read=text(_number(1, 10_000))),
                "canary_order": Field(read=text()),
                "shard": Field(read=text(_shard)),
                "evidence": Field(read=text(_number(1 << 20, 1 << 50))),
            },
            "the prober",
        )
    ),
    "rpz": Field(
        read=mapping(
            {
                "zone": Field(read=text(_zone)),
                "primary": Field(read=text(_endpoint(53))),
                "key": Field(read=text()),
            },
            "the RPZ",
        )
    ),
    "approvals": Field(
        read=mapping(
            {
                "signers": Field(read=text(), required="name the file that says who may sign."),
                "roots": Field(read=several(text(a_key)), required="list the keys that may sign that file."),
                "rules": Field(
                    read=mapping(
                        {kind: Field(read=_SEATS) for kind in _KINDS},
                        "the rules",
                    )
                ),
                "emergency": Field(
                    read=mapping(
                        {
                            "approvals": Field(read=_SEATS, required="list whose approvals let an order in."),
                            "within": Field(
                                read=text(duration), required="write how soon the others are owed, as 4h."
                            ),
                        },
                        "the emergency",
                    )
                ),
            },
            "approvals",
        )
    ),
    "points": Field(
        read=several_or_none(
            mapping(
                {
                    "name": Field(read=text(), required="name it; findings are shown by it."),
                    "kind": Field(
                        read=text(one_of(WAYS, "point-kind-unknown")),
                        required=f"write one of {', '.join(WAYS)}.",
                    ),
                    "address": Field(read=text(_endpoint(53)), required="write where it answers."),
                    "region": Field(read=text(region), required="write whose orders it obeys."),
                    "by": Field(read=text(one_of(_EVERY_WAY, "point-way-unknown"))),
                    "control": Field(read=several(text())),
                    "also": Field(read=several(text(_endpoint(53)))),
                    "tls": Field(
                        read=mapping(
                            {
                                "name": Field(
                                    read=text(_zone), required="write the name that its certificates are for."
                                ),
                                "dot": Field(read=text(_endpoint(853))),
                                "doh": Field(read=text(_endpoint(443))),
                                "path": Field(read=text(_path)),
                                "ca": Field(read=text()),
                            },
                            "how it answers encrypted queries",
                        )
                    ),
                    "source": Field(read=text(_ip)),
                    "outside": Field(
                        read=mapping(
                            {"source": Field(read=text(_ip)), "subnet": Field(read=text(network))},
                            "a client of another region",
                        )
                    ),
                    "instances": Field(read=several(text(_instance))),
                },
                "a point",
            )
        )
    ),
}
