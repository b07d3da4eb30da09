"""A small world for the resolver's tests: orders made in one line, upstream answers made by dnspython."""

from __future__ import annotations

import mmap
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Any

import dns.flags
import dns.message
import dns.rrset

from blocker import names
from blocker.orders.model import (
    Action,
    Authority,
    Directive,
    Form,
    Kind,
    Match,
    NameList,
    Order,
    Publication,
    Subject,
)
from blocker.orders.schedule import schedule
from blocker.policy.index import Index
from blocker.resolver.engine import Answer, Engine, Forward
from blocker.site import LOOPBACK, Enforcement

if TYPE_CHECKING:
    from collections.abc import Sequence

T0 = 1_800_000_000
"""The instant at which most tests begin."""

INFO = "https://isp.example/blocked"
NEVER = T0 + 10**8


def when(t: float) -> datetime:
    return datetime.fromtimestamp(t, UTC)


def subject(text: str, match: Match = Match.SUBTREE) -> Subject:
    if text.startswith("*."):
        return Subject(key=names.to_key(text[2:]), match=Match.BELOW)
    return Subject(key=names.to_key(text), match=match)


def block(
    *subjects: str,
    ident: str = "court/o1",
    match: Match = Match.SUBTREE,
    excepts: tuple[str, ...] = (),
    form: Form = Form.NXDOMAIN,
    addresses: tuple[str, ...] = (),
    regions: tuple[str, ...] = ("ID",),
    start: float = T0 - 1000,
    until: float = NEVER,
    publication: Publication = Publication.PUBLIC,
) -> Order:
    directive = Directive(
        id="d",
        subjects=tuple(subject(text, match) for text in subjects),
        excepts=tuple(subject(text) for text in excepts),
        regions=regions,
        action=Action(form=form, addresses=tuple(map(ip_address, addresses))),
        start=when(start),
        until=when(until),
    )
    return Order(
        id=ident,
        kind=Kind.BLOCK,
        authority=Authority(name="Court", jurisdiction="ID", contact="mailto:court@example"),
        legal_basis=("Act 1",),
        issued=when(T0 - 5000),
        publication=publication,
        directives=(directive,),
        digest="0" * 64,
    )


def enforcement(**changes: Any) -> Enforcement:
    values: dict[str, Any] = {
        "regions": {
            "ID": (ip_network("127.0.0.1/32"), ip_network("::1/128")),
            "GB": (ip_network("127.0.0.2/32"),),
        },
        "info_url": INFO,
    }
    return Enforcement(**{**values, **changes})


def policy(*orders: Order, **changes: Any) -> Index:
    return Index(schedule(orders), lambda _: NameList(keys=()), enforcement=enforcement(**changes))


def engine() -> Engine:
    return Engine(node="r1.isp.example", allow=LOOPBACK)


def ask(qname: str, qtype: str = "A", **options: Any) -> bytes:
    return dns.message.make_query(qname, qtype, **options).to_wire()


def read(octets: bytes) -> dns.message.Message:
    """The message by the other codec, which complains about anything after its end."""
    return dns.message.from_wire(octets)


def upstream(
    query: bytes, *rrsets: str, authority: tuple[str, ...] = (), rcode: int = 0, **flags: bool
) -> bytes:
    """What a resolver would say: each rrset as `owner ttl class type data`."""
    asked = dns.message.from_wire(query)
    asked.use_edns(0)
    response = dns.message.make_response(asked, recursion_available=True)
    for text in rrsets:
        owner, ttl, rclass, rtype, data = text.split(" ", 4)
        owner = owner.removesuffix(".") + "."
        response.answer.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
    for text in authority:
        owner, ttl, rclass, rtype, data = text.split(" ", 4)
        owner = owner.removesuffix(".") + "."
        response.authority.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
    response.set_rcode(dns.rcode.Rcode(rcode))
    if flags.get("ad"):
        response.flags |= dns.flags.AD
    if flags.get("tc"):
        response.flags |= dns.flags.TC
    return response.to_wire(max_size=65535)


class Block:
    """A batch whose datagrams never saw a socket."""

    def __init__(self, *asked: tuple[bytes, bytes]) -> None:
        """`asked` are datagrams and who sent them (4 or 16 octets)."""
        self.octets = mmap.mmap(-1, len(asked) * 8192)
        self.packets = tuple(32 + slot * 8192 for slot in range(len(asked)))
        self.heads = tuple(slice(at + 2, at + 12) for at in self.packets)
        self.addresses = tuple(slice(at - 32, at - 32 + len(asked[0][1])) for at in self.packets)
        self.answers = memoryview(bytearray(8 * len(asked))).cast("@L")
        for at, where, (packet, client) in zip(self.packets, self.addresses, asked, strict=True):
            self.octets[at : at + len(packet)] = packet
            self.octets[where] = client
        self.sizes = [len(packet) for packet, _ in asked]

    def bodies(self, sizes: Sequence[int]) -> list[bytes]:
        return [self.octets[at + 2 : at + size] for at, size in zip(self.packets, sizes, strict=True)]

    def clients(self, sizes: Sequence[int]) -> list[bytes]:
        return [self.octets[where] for where in self.addresses[: len(sizes)]]

    def answer(self, slot: int) -> bytes | None:
        at, size = self.packets[slot], self.answers[slot]
        return self.octets[at : at + size] if size else None

    def receive(self) -> list[int]:
        raise NotImplementedError

    def address(self, slot: int) -> tuple[str, int]:
        raise NotImplementedError

    def send(self, count: int) -> int:
        raise NotImplementedError


def handled(
    mind: Engine, packet: bytes, index: Index, t: float = T0, client: str = "127.0.0.1", *, tcp: bool = False
) -> dns.message.Message:
    """The answer, which must not need upstream."""
    made = mind.handle(packet, client, index, t, t, tcp=tcp)
    assert isinstance(made, Answer), made
    return read(made.octets)


def asked(mind: Engine, packet: bytes, index: Index, t: float = T0, client: str = "127.0.0.1") -> Forward:
    made = mind.handle(packet, client, index, t, t)
    assert isinstance(made, Forward), made
    return made


def resolved(
    mind: Engine, packet: bytes, index: Index, said: bytes, t: float = T0, client: str = "127.0.0.1"
) -> dns.message.Message:
    """The answer after upstream said so."""
    made = mind.finish(asked(mind, packet, index, t, client), said, index, t, t)
    return read(made.octets)
