"""The policy as a response policy zone: what `decide` says for one region at one instant, as records.

Pure. Resolvers read the same zone differently: below a name that exists, or an empty non-terminal, some
no longer see the wildcard above (RFC 4592 §2.2.2, §3.3.1), others go on to it. So the rendering is *closed*:

- a name that says something else than what is above it, and every name between it and the name above
  that blocks, gets a record of its own and one for its wildcard, each with what `decide` says there;
- what passes below a blocked name says so (`rpz-passthru.`); where nothing above blocks, what passes has no
  record;
- nothing stands at the apex, nor a wildcard there: either would block everything;
- one owner has one rule, so no record comes twice: some resolvers refuse a zone for that.

Entries come in the order of their keys, a name before its wildcard, both before all that is below; nothing is
kept but the way down to the present name, so a zone may have millions of names. A zone holds one instant and
no reasons; it can't say REFUSED, nor let DS pass where A doesn't.
"""

from __future__ import annotations

from ipaddress import ip_address
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from blocker import names
from blocker.names import Key
from blocker.orders.model import Action, Form
from blocker.policy.decide import Policy, decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

A = 1  # RFC 1035 §3.2.2

STAR = b"\x01*"
"""What a wildcard's key has after its name's; no canonical name has this label, and all sort after it."""

NXDOMAIN, NODATA, PASSTHRU = ".", "*.", "rpz-passthru."

MOST_ADDRESSES = 100
"""Addresses of one redirect: a name's and its wildcard's records must fit into one update."""

_TRIGGERS = frozenset({b"rpz-ip", b"rpz-nsip", b"rpz-nsdname", b"rpz-client-ip"})
_MEMO = 65536  # paths remembered
_BATCH = 1000  # names between two batches

_FORMS = {Form.NXDOMAIN: NXDOMAIN, Form.NODATA: NODATA, Form.REFUSED: NODATA}
"""REFUSED is refused at plan where there are zones. Should it be met all the same, a block in another form is
what comes nearest; the prober then finds the form wrong.
"""


class Entry(NamedTuple):
    """What the zone says of one owner: the target of a CNAME, or addresses with spaces between."""

    owner: Key
    rule: str


class Walk(Policy, Protocol):
    """A policy that can be walked through."""

    def walk(self) -> Iterable[tuple[Key, int]]:
        """Every name it speaks of with the id of its set, in the order of keys."""


class _Path:
    """What all names say that one path of sets leads to, and what is below them; None passes.

    `on` are the paths one set further.
    """

    __slots__ = ("below", "on", "own")

    def __init__(self, own: str | None, below: str | None) -> None:
        self.own, self.below = own, below
        self.on: dict[int, _Path] = {}


def unsayable(action: Action) -> str | None:
    """Why a zone can't say this action; None if it can."""
    if action.form is Form.REFUSED:
        return "a response policy zone can't say REFUSED"
    if len(action.addresses) > MOST_ADDRESSES:
        return f"{len(action.addresses)} addresses don't fit into one answer; {MOST_ADDRESSES} is the most"
    return None


def unsayable_name(key: Key, zone: str) -> str | None:
    """Why the zone (canonical text) can't speak of this name; None if it can.

    An owner is the name with the zone's appended, and it needs room for a wildcard too: resolvers cut what is
    longer than 255 octets from the left, and would take what is below an exact name for the name.
    """
    if len(key) > _room(zone):
        return f"with *. and .{zone} it is longer than the 253 octets that a name may have"
    if _is_trigger(key):
        return "its last label makes a response policy zone match addresses instead of names"
    return None


def _room(zone: str) -> int:
    """The most octets that the key of a name may have (RFC 1035 §3.1: 255 with the root)."""
    return 255 - len(names.to_wire(names.to_key(zone))) - len(STAR)


def _is_trigger(key: Key) -> bool:
    return key.startswith(b"rpz-", 1) and key[1 : 1 + key[0]] in _TRIGGERS


class Unsaid:
    """The names that say something, and that a rendering left out, for the zone can't speak of them."""

    def __init__(self) -> None:
        self.count = 0

    def sentence(self, zone: str) -> str:
        """What it means to the operator; empty if there are none."""
        if not self.count:
            return ""
        what = "1 name" if self.count == 1 else f"{self.count:,} names"
        return (
            f"{zone} can't speak of {what} that orders in force speak of: with the zone's name it would be "
            "longer than a name may be, or match addresses. Give rpz.zone in site.yaml a shorter name; "
            "`blocker plan` says of which order it is"
        )


def entries(
    policy: Walk, zone: str, region: str, t: float, *, unsaid: Unsaid | None = None
) -> Iterator[Entry]:
    """The zone's entries in order: what `decide` says for the region at `t`, seconds since the epoch.

    What the zone can't say is left out and counted in `unsaid`. Plan refuses it, but a zone may be given
    another name later.
    """
    return chain.from_iterable(batches(policy, zone, region, t, unsaid=unsaid))


def batches(
    policy: Walk, zone: str, region: str, t: float, *, unsaid: Unsaid | None = None
) -> Iterator[list[Entry]]:
    """The same in lists of some thousand, and an empty one for as many names without entries."""
    unsaid = unsaid or Unsaid()
    room = _room(zone)
    top = _Path(None, None)
    ways: list[tuple[Key, _Path]] = [(names.ROOT, top)]
    last = names.ROOT  # The last name with entries: all its ancestors have theirs.
    known = 0
    batch: list[Entry] = []
    for count, (key, set_id) in enumerate(policy.walk()):
        while not key.startswith(ways[-1][0]):
            ways.pop()
        above = ways[-1][1]
        path = above.on.get(set_id)
        if path is None:
            if known >= _MEMO:
                known = 0
                top.on.clear()
            known += 1
            wild = Key(key + STAR)
            path = _Path(_rule(policy, key, region, t), _rule(policy, wild, region, t))
            above.on[set_id] = path
        ways.append((key, path))
        if count % _BATCH == 0:
            yield batch
            batch = []
        says_nothing = path.own == path.below == above.below
        if says_nothing or len(key) > room or _is_trigger(key):
            unsaid.count += not says_nothing
            continue
        if above.below is None:
            _say(batch, key, path.own, path.below)
        else:
            for between in names.ancestry(key):
                if between != key and not last.startswith(between):
                    _say(batch, between, above.below, above.below)
            _say(batch, key, path.own or PASSTHRU, path.below or PASSTHRU)
        last = key
    yield batch


def _say(batch: list[Entry], key: Key, own: str | None, below: str | None) -> None:
    if own is not None:
        batch.append(Entry(key, own))
    if below is not None:
        batch.append(Entry(Key(key + STAR), below))


def _rule(policy: Policy, key: Key, region: str, t: float) -> str | None:
    verdict = decide(policy, key, region, t)
    form = verdict.form_for(A)
    if form is None:
        return None
    if form is Form.REDIRECT and verdict.action is not None:
        found = sorted(set(verdict.action.addresses), key=lambda one: (one.version, int(one)))
        return " ".join(map(str, found))
    return _FORMS[form]


def header(zone: str, *, serial: int, ttl: int, comment: str) -> str:
    """The head of the zone's text. The SOA's times: see `soa`; `comment` is one line."""
    return f"; {comment}\n$ORIGIN {zone}.\n$TTL {ttl}\n@ SOA {soa(serial, ttl)}\n@ NS localhost.\n"


def soa(serial: int, ttl: int) -> str:
    """The data of the SOA record.

    A secondary that missed a NOTIFY looks after half a minute; one that can't reach its primary goes on
    enforcing for a month. The minimum is the TTL of what is denied (RFC 2308 §5).
    """
    return f"localhost. nobody.invalid. {serial} 30 5 2592000 {ttl}"


def lines(entry: Entry) -> str:
    """The entry's records as text, relative to the zone."""
    owner, rule = b".".join(reversed(names.labels_of(entry.owner))).decode("ascii"), entry.rule
    if rule in (NXDOMAIN, NODATA, PASSTHRU):
        return f"{owner} CNAME {rule}\n"
    return "".join(f"{owner} {'AAAA' if ':' in address else 'A'} {address}\n" for address in rule.split(" "))


def parse(text: Iterable[str]) -> Iterator[Entry]:
    """The entries of lines that `lines` wrote, in their order. Raises ValueError."""
    owner, rule = "", ""
    for line in text:
        name, kind, data = line.rstrip("\n").split(" ")
        if kind in ("A", "AAAA"):
            data = str(ip_address(data))
            if name == owner:
                rule = f"{rule} {data}"
                continue
        elif kind != "CNAME":
            raise ValueError(f"{kind} is no type of a response policy zone's records")
        if owner:
            yield Entry(names.to_key(owner), rule)
        owner, rule = name, data
    if owner:
        yield Entry(names.to_key(owner), rule)


def successor(serial: int, t: float) -> int:
    """The next serial: `t` where that is later, else one more (RFC 1982 §3.2)."""
    now = int(t) & 0xFFFFFFFF
    return now if 0 < (now - serial) & 0xFFFFFFFF < 1 << 31 else (serial + 1) & 0xFFFFFFFF
