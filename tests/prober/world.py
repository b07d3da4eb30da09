"""A small world for the prober's tests: orders in one line, and a scripted resolver on loopback."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any

import dns.edns
import dns.message
import dns.rdatatype
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
from blocker.policy import decide, writer
from blocker.policy.index import Index
from blocker.policy.records import Generation
from blocker.site import Endpoint, Enforcement, Point, ProberConfig, Site

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from blocker.names import Key

T = 1_800_000_000
A, AAAA = 1, 28


def key(text: str) -> Key:
    return names.to_key(text)


def when(t: float) -> datetime:
    return datetime.fromtimestamp(int(t), UTC)


def subject(text: str, match: Match = Match.SUBTREE) -> Subject:
    if text.startswith("*."):
        return Subject(key=key(text[2:]), match=Match.BELOW)
    return Subject(key=key(text), match=match)


def block(
    *subjects: str,
    ident: str = "court/o1",
    match: Match = Match.SUBTREE,
    excepts: tuple[str, ...] = (),
    form: Form = Form.NXDOMAIN,
    addresses: tuple[str, ...] = (),
    regions: tuple[str, ...] = ("ID",),
    start: float = T - 1000,
    until: float | None = T + 10**6,
    publication: Publication = Publication.PUBLIC,
) -> Order:
    directive = Directive(
        id="d",
        subjects=tuple(subject(text, match) for text in subjects),
        excepts=tuple(subject(text) for text in excepts),
        regions=regions,
        action=Action(form=form, addresses=tuple(map(ip_address, addresses))),
        start=when(start),
        until=None if until is None else when(until),
        review_by=when(start + 10**7),
    )
    return Order(
        id=ident,
        kind=Kind.BLOCK,
        authority=Authority(name="Court", jurisdiction="ID", contact="mailto:court@example"),
        legal_basis=("Act 1",),
        issued=when(T - 5000),
        publication=publication,
        directives=(directive,),
        digest="0" * 64,
    )


def act(
    kind: Kind,
    of: str,
    ident: str,
    *,
    start: float,
    publication: Publication = Publication.PUBLIC,
    **more: Any,
) -> Order:
    return Order(
        id=ident,
        kind=kind,
        authority=Authority(name="Court", jurisdiction="ID", contact="mailto:court@example"),
        legal_basis=("Act 1",),
        issued=when(T - 4000),
        publication=publication,
        of=of,
        start=when(start),
        digest="0" * 64,
        **more,
    )


def policy(*orders: Order, withheld: dict[str, str] | None = None) -> Index:
    return Index(schedule(orders), lambda _: NameList(keys=()), withheld=withheld)


POINT = Point(name="p1", kind="embedded", address=Endpoint("127.0.0.1", 53), region="ID")


def commit(state: Path, *orders: Order, number: int = 1, base: str = "") -> None:
    """Apply the orders as generation `number`, whose digest is `g<number>`; on nothing, after empty ones."""
    if not base and number > 1:
        commit(state, number=number - 1)
        base = f"g{number - 1}"
    writer.commit(
        state,
        writer.Target(
            generation=Generation(number=number, digest=f"g{number}", applied_at=time.time(), by="test"),
            orders={order.id: order.digest for order in orders},
            directives=schedule(orders),
            enforcement=Enforcement(info_url="https://isp.example/blocked"),
            read=lambda _: NameList(keys=()),
        ),
        base=base,
    )


def apart(action: Callable[..., None], *arguments: Any, **options: Any) -> None:
    """Do it in a process of its own: LMDB opens a file once per process, and here a reader has it."""
    process = get_context("spawn").Process(target=action, args=arguments, kwargs=options)
    process.start()
    process.join()
    assert process.exitcode == 0


def site(
    state: Path, *points: Point, reference: tuple[Endpoint, ...] = (), canaries: tuple[str, ...] = ()
) -> Site:
    return Site(
        operator="Example Net",
        contact="mailto:legal@isp.example",
        node="r1.isp.example",
        path=state / "site.yaml",
        state=state,
        orders=state / "orders",
        enforcement=Enforcement(),
        web=Endpoint("127.0.0.1", 0),
        prober=ProberConfig(interval=1, canaries=tuple(key(name) for name in canaries), reference=reference),
        points=points,
    )


def answer(
    query: dns.message.Message,
    *,
    rcode: int = 0,
    addresses: tuple[str, ...] = (),
    ede: tuple[int, ...] = (),
    cname: str = "",
) -> dns.message.Message:
    """An answer by the other codec."""
    response = dns.message.make_response(query, recursion_available=True)
    question = query.question[0]
    owner = question.name
    if cname:
        response.answer.append(dns.rrset.from_text(owner, 60, "IN", "CNAME", cname + "."))
        owner = dns.name.from_text(cname)
    version = {A: 4, AAAA: 6}.get(question.rdtype)
    for address in addresses:
        if ip_address(address).version == version:
            response.answer.append(dns.rrset.from_text(owner, 60, "IN", question.rdtype.name, address))
    response.set_rcode(dns.rcode.Rcode(rcode))
    options: list[dns.edns.Option] = [
        dns.edns.EDEOption(dns.edns.EDECode(code), "court/o1/d") for code in ede
    ]
    response.use_edns(0, options=options)
    response.set_rcode(dns.rcode.Rcode(rcode))
    return response


def real(query: dns.message.Message) -> dns.message.Message:
    """The unfiltered Internet of the tests: every name has records, except those below `nowhere`."""
    if "nowhere" in query.question[0].name.to_text().lower():
        return answer(query, rcode=3)
    response = answer(query, addresses=("198.51.100.7", "2001:db8::7"))
    question = query.question[0]
    rdtype = dns.rdatatype.HINFO if question.rdtype == dns.rdatatype.ANY else question.rdtype  # RFC 8482
    if rdtype in RECORDS:
        response.answer.append(dns.rrset.from_text(question.name, 60, "IN", rdtype, RECORDS[rdtype]))
    return response


RECORDS = {
    dns.rdatatype.HTTPS: "1 . alpn=h2 ipv4hint=198.51.100.7",
    dns.rdatatype.MX: "10 mail.real.example.",
    dns.rdatatype.TXT: '"real"',
    dns.rdatatype.HINFO: '"RFC8482" ""',
    dns.rdatatype.DS: f"12345 13 2 {'ab' * 32}",
}


def obedient(index: Index, *, region: str = "ID", skew: float = 0.0, ede: bool = True) -> Any:
    """A resolver that obeys the policy at the wall clock; `skew` seconds late for everything."""

    def respond(query: dns.message.Message) -> dns.message.Message:
        question = query.question[0]
        wire = question.name.to_wire()
        assert wire is not None
        verdict = decide.decide(index, names.from_wire(wire), region, time.time() - skew)
        form = verdict.form_for(question.rdtype)
        codes = (16,) if ede else ()
        if form is None or verdict.action is None:
            return real(query)
        if form is Form.REDIRECT:
            addresses = tuple(str(one) for one in verdict.action.addresses)
            return answer(query, addresses=addresses, ede=(*codes, 4) if ede else ())
        rcode = {Form.NXDOMAIN: 3, Form.NODATA: 0, Form.REFUSED: 5}[form]
        return answer(query, rcode=rcode, ede=codes)

    return respond


NOWHERE = Endpoint("127.0.0.1", 0)


@dataclass(slots=True)
class Server:
    """A resolver on loopback. `script` decides; `asked` holds (name, qtype, transport, time); `busy` is set
    once it was asked `enough` times."""

    script: Any
    endpoint: Endpoint
    over_tcp: Any = None
    asked: list[tuple[str, int, str, float]] = field(default_factory=list)
    enough: int = 0
    busy: asyncio.Event = field(default_factory=asyncio.Event)

    def replies(self, wire: bytes, transport: str) -> list[bytes]:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        self.asked.append((question.name.to_text()[:-1], question.rdtype, transport, time.time()))
        if self.enough and len(self.asked) >= self.enough:
            self.busy.set()
        made = (self.over_tcp if transport == "tcp" and self.over_tcp else self.script)(query)
        if made is None:
            return []
        if isinstance(made, list):
            return made
        return [made if isinstance(made, bytes) else made.to_wire()]

    def point(self, name: str = "p1", region: str = "ID") -> Point:
        return Point(name=name, kind="embedded", address=self.endpoint, region=region)


class _Udp(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        for reply in self._server.replies(data, "udp"):
            self._transport.sendto(reply, addr)


@asynccontextmanager
async def serving(script: Any, over_tcp: Any = None) -> AsyncIterator[Server]:
    """The script on one loopback port over UDP and TCP; another one over TCP if there is one."""
    server = Server(script, NOWHERE, over_tcp)

    async def tcp(reader: asyncio.StreamReader, writer_: asyncio.StreamWriter) -> None:
        try:
            size = int.from_bytes(await reader.readexactly(2), "big")
            for reply in server.replies(await reader.readexactly(size), "tcp"):
                writer_.write(len(reply).to_bytes(2, "big") + reply)
            await writer_.drain()
            await reader.read()
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            writer_.close()

    listening = await asyncio.start_server(tcp, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: _Udp(server), local_addr=("127.0.0.1", port))
    server.endpoint = Endpoint("127.0.0.1", port)
    try:
        yield server
    finally:
        transport.close()
        listening.close()
