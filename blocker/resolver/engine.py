"""The policy per query: packet in, Answer, Forward or Drop out.

Pure: it is told the policy, the wall clock `t` (verdicts, TTL shaping) and the monotonic clock `now` (what
is kept), and touches nothing. The order of its questions is the contract:

1. No header, or a response (QR=1): dropped, for an answer to an answer makes loops.
2. Not readable or not one question: FORMERR. Another opcode: NOTIMP. Another EDNS version: BADVERS.
3. A client that is not allowed: REFUSED, whatever it asks; this is never an open resolver.
4. CHAOS id.server: our name. Another class, a zone transfer: REFUSED.
5. The verdict for the question's name. Only then the cache, and only then upstream.
6. What upstream said is judged along its whole alias chain, when it comes and again from the cache after
   every transition and apply.

What was answered to a datagram is kept in `quick`, so that the like of it need not be handled again: `sweep`
answers what is known of a batch, and `handle` is for the rest. Both give the same octets, by test.

TTLs are shaped so that every cache below us ends at the legal instant: with a visible change of any owner
in the chain coming, none is more than `floor(seconds left) - 1`. Sealed starts don't shape.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import ip_address
from math import inf
from typing import TYPE_CHECKING, Protocol

from blocker.orders.model import Form
from blocker.policy.decide import Decider, Policy, Verdict, cap, steady
from blocker.resolver import answer, chain, wire
from blocker.resolver.cache import Cache, CacheKey, Entry
from blocker.resolver.judge import Judged, judge
from blocker.resolver.quick import Quick, Ready, mark_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from blocker.names import Key
    from blocker.resolver.batches import Batch
    from blocker.site import Enforcement, Network

_MOST_CLIENTS = 16384
_MOST_REGIONS = 64  # that one entry remembers its judgement for
_ID_SERVER = b"\x02id\x06server\0"
_ANY_TTL = 3600
_NOT_ASKED = {wire.AXFR: wire.REFUSED, wire.IXFR: wire.REFUSED, wire.OPT: wire.FORMERR, 0: wire.FORMERR} | (
    dict.fromkeys((wire.TKEY, wire.TSIG, wire.MAILA, wire.MAILB), wire.NOTIMP)
)


class Enforced(Policy, Protocol):
    """A policy with the site's values beside it, as a store's snapshot is."""

    @property
    def enforcement(self) -> Enforcement: ...

    @property
    def find(self) -> Callable[[Key], object | None]:
        """As set_of, but any value that is equal for equal sets will do."""


class Outcome(IntEnum):
    """What became of a query."""

    BLOCKED = 0
    FORWARDED = 1
    CACHED = 2
    REFUSED = 3
    MALFORMED = 4
    OWN = 5
    FAILED = 6
    BROKEN = 7


@dataclass(frozen=True, slots=True)
class Answer:
    """Octets for the client."""

    octets: bytes
    outcome: Outcome

    @property
    def is_truncated(self) -> bool:
        return bool(self.octets[2] & 0x02)


@dataclass(frozen=True, slots=True)
class Drop:
    """No answer."""

    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forward:
    """Ask upstream `question` (lower case) with these flags; give what comes back to Engine.finish.

    Forwards with one `key` want the same answer.
    """

    query: wire.Query
    client: str
    tcp: bool
    key: CacheKey

    @property
    def question(self) -> bytes:
        return self.query.question[:-4].lower() + self.query.question[-4:]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One query with all that its answer hangs on."""

    query: wire.Query
    room: answer.Room
    policy: Enforced
    region: str | None
    verdict: Verdict
    t: float
    now: float

    @property
    def form(self) -> Form | None:
        return self.verdict.form_for(self.query.qtype)

    def cap(self, until: int | None) -> int:
        """The most that a passing TTL may be."""
        return cap(until, self.policy.enforcement.max_ttl, self.t)


class Engine:
    """One worker's mind. `node` is our NSID, `allow` who may ask."""

    def __init__(
        self, *, node: str, allow: Sequence[Network], cache: Cache[Judged] | None = None, memo: int = 20_000
    ) -> None:
        self.cache: Cache[Judged] = Cache() if cache is None else cache
        self._node = node.encode()[:255]
        self._allow = tuple(allow)
        self._decider = Decider()
        self._epoch, self._t = -1, 0.0
        self._clients: dict[str, tuple[bool, str | None]] = {}
        self._quick = Quick(self.cache, self._client, most=memo)

    def handle(
        self, packet: bytes, client: str, policy: Enforced, t: float, now: float, *, tcp: bool = False
    ) -> Answer | Forward | Drop:
        """What to do with a packet from the client (an IP literal). Never raises for what is in it."""
        query = _understood(packet)
        if not isinstance(query, wire.Query):
            return query
        room = self._room(query, tcp=tcp)
        allowed, region = self._client(client, policy, t)
        refusal = self._refusal(query, room, allowed=allowed)
        if refusal is not None:
            if refusal.outcome is Outcome.REFUSED and not allowed and not tcp:
                self._quick.refuse(packet, query, _ready(query, refusal))
            return refusal
        case = self._case(query, room, policy, region, t, now)
        if case.form is not None:
            made = _blocked(case, case.verdict)
            if not tcp:
                till = steady(case.verdict.until, policy.enforcement.ttl, t)
                self._quick.keep(packet, query, region, policy.find, _ready(query, made, till))
            return made
        own = self._own(case)
        if own is not None:
            return own
        key = _key(query)
        entry = self.cache.get(key, now)
        if entry is None:
            return Forward(query=query, client=client, tcp=tcp, key=key)
        made = self._from(case, entry, Outcome.CACHED)
        if not tcp:
            ready = _ready_of(case, made, entry, self._judged(case, entry))
            self._quick.keep(packet, query, region, policy.find, ready, entry)
        return made

    def sweep(
        self,
        batch: Batch,
        sizes: Sequence[int],
        policy: Enforced,
        t: float,
        now: float,
    ) -> tuple[list[int], list[tuple[Outcome, bool, int]], list[Exception]]:
        """Answer in place what `handle` would answer as it did before; raises as Quick.sweep does.

        The slots left for `handle`, the numbers of answers by outcome and whether they were truncated, and
        what went wrong.
        """
        self._refresh(policy, t)
        left, tally, faults = self._quick.sweep(batch, sizes, policy, t, now)
        counted = [
            (Outcome(mark >> 1), bool(mark & 1), number) for mark, number in enumerate(tally) if number
        ]
        return left, counted, faults

    def finish(
        self,
        forward: Forward,
        message: bytes | chain.Received | None,
        policy: Enforced,
        t: float,
        now: float,
        *,
        why: int = answer.EDE_UNREACHABLE,
    ) -> Answer:
        """The answer, with upstream's message or without one (`why` is the EDE code to give then).

        The verdict is drawn anew: an order may have begun while upstream was asked. Never raises for what
        is in the message.
        """
        query, room = forward.query, self._room(forward.query, tcp=forward.tcp)
        _, region = self._client(forward.client, policy, t)
        case = self._case(query, room, policy, region, t, now)
        if case.form is not None:
            return _blocked(case, case.verdict)
        try:
            received = chain.receive(message, forward.question) if isinstance(message, bytes) else message
        except wire.Malformed:
            received, why = None, answer.EDE_NETWORK
        if received is None or received.rcode not in (wire.NOERROR, wire.NXDOMAIN, wire.YXDOMAIN):
            edes = received.edes if received is not None else ()
            failed = answer.error(query, wire.SERVFAIL, room, *(edes or (answer.ede(why),)))
            return Answer(failed, Outcome.FAILED)
        entry = self.cache.get(forward.key, now)
        if entry is None or entry.received is not received:  # Merged queries come with one and the same.
            entry = Entry(received=received, stored=now, expires=now + received.lifetime)
            self.cache.put(forward.key, entry)
        return self._from(case, entry, Outcome.FORWARDED)

    def allows(self, client: str) -> bool:
        """Whether the client (an IP literal) may ask."""
        address = ip_address(client.partition("%")[0])
        if address.version == 6 and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._allow)

    def broken(self, packet: bytes) -> Answer | Drop:
        """SERVFAIL for a packet that we failed to handle by a fault of our own."""
        dropped = _dropped(packet)
        if dropped is not None:
            return dropped
        try:
            query = wire.parse_query(packet)
        except wire.Malformed:
            return Answer(answer.bare_error(packet, wire.SERVFAIL), Outcome.BROKEN)
        octets = answer.error(
            query, wire.SERVFAIL, self._room(query, tcp=False), answer.ede(answer.EDE_OTHER)
        )
        return Answer(octets, Outcome.BROKEN)

    def _refresh(self, policy: Enforced, t: float) -> None:
        """Every new epoch forgets what was concluded before, and a clock that goes back what is ready."""
        epoch = self._decider.refresh(policy, t)
        if epoch != self._epoch:
            self._epoch = epoch
            self._clients.clear()
            self._quick.forget()
        elif t < self._t:
            self._quick.forget()
        self._t = t

    def _client(self, client: str, policy: Enforced, t: float) -> tuple[bool, str | None]:
        """Whether the client may ask, and its region."""
        self._refresh(policy, t)
        found = self._clients.get(client)
        if found is None:
            found = (self.allows(client), policy.enforcement.region_of(client))
            if len(self._clients) >= _MOST_CLIENTS:
                self._clients.clear()
            self._clients[client] = found
        return found

    def _room(self, query: wire.Query, *, tcp: bool) -> answer.Room:
        return answer.Room(limit=answer.limit_of(query, tcp=tcp), node=self._node)

    def _refusal(self, query: wire.Query, room: answer.Room, *, allowed: bool) -> Answer | None:
        """What is answered without a look at the policy."""
        if query.edns is not None and query.edns.version != 0:
            return Answer(answer.error(query, wire.BADVERS, room), Outcome.MALFORMED)
        if not allowed:
            said = answer.ede(answer.EDE_PROHIBITED)
            return Answer(answer.error(query, wire.REFUSED, room, said), Outcome.REFUSED)
        if query.qclass == wire.CH and query.qtype == wire.TXT and query.qname == _ID_SERVER:
            return Answer(answer.own_text(query, self._node, room), Outcome.OWN)
        rcode = wire.REFUSED if query.qclass != wire.IN else _NOT_ASKED.get(query.qtype)
        if rcode is None:
            return None
        outcome = Outcome.REFUSED if rcode == wire.REFUSED else Outcome.MALFORMED
        return Answer(answer.error(query, rcode, room), outcome)

    def _case(
        self,
        query: wire.Query,
        room: answer.Room,
        policy: Enforced,
        region: str | None,
        t: float,
        now: float,
    ) -> _Case:
        verdict = self._decider.decide(policy, query.key, region, t)
        return _Case(query=query, room=room, policy=policy, region=region, verdict=verdict, t=t, now=now)

    def _own(self, case: _Case) -> Answer | None:
        """What is not passed on though its name passes."""
        query = case.query
        if query.qtype == wire.ANY:
            ttl = min(_ANY_TTL, case.cap(case.verdict.until))
            return Answer(answer.any_refused(query, ttl, case.room), Outcome.OWN)
        if not query.flags & wire.RD:  # Nobody reads in our cache what others asked for.
            said = answer.ede(answer.EDE_NOT_AUTHORITATIVE)
            return Answer(answer.error(query, wire.REFUSED, case.room, said), Outcome.REFUSED)
        return None

    def _from(self, case: _Case, entry: Entry[Judged], outcome: Outcome) -> Answer:
        """The answer drawn from what upstream said, by what the policy says of its chain now."""
        received, judged = entry.received, self._judged(case, entry)
        if judged.is_unusable:
            failed = answer.error(case.query, wire.SERVFAIL, case.room, answer.ede(answer.EDE_NETWORK))
            return Answer(failed, Outcome.FAILED)
        most, age = case.cap(judged.until), entry.age(case.now)
        if judged.verdict is None:
            return Answer(answer.passing(case.query, received, age=age, cap=most, room=case.room), outcome)
        links = tuple(
            replace(link, ttl=max(0, min(link.ttl - age, most)))
            for step in received.links[: judged.at]
            for link in step
        )
        blocked = replace(judged.verdict, until=judged.until)
        return _blocked(case, blocked, links, received.owners[judged.at])

    def _judged(self, case: _Case, entry: Entry[Judged]) -> Judged:
        known = entry.judged.get(case.region)
        if known is not None and known[0] == self._epoch:
            return known[1]

        def decide(key: Key, exempt: frozenset[str] = frozenset()) -> Verdict:
            return self._decider.decide(case.policy, key, case.region, case.t, exempt=exempt)

        judged = judge(entry.received, case.query.qtype, case.verdict, decide)
        if len(entry.judged) >= _MOST_REGIONS:
            entry.judged.clear()
        entry.judged[case.region] = (self._epoch, judged)
        return judged


def _dropped(packet: bytes) -> Drop | None:
    """What is no query at all."""
    if len(packet) < 12:
        return Drop("shorter than a header")
    return Drop("a response") if packet[2] & 0x80 else None


def _understood(packet: bytes) -> wire.Query | Answer | Drop:
    """The query, or what becomes of octets that are none."""
    dropped = _dropped(packet)
    if dropped is not None:
        return dropped
    if packet[2] & 0x78:
        return Answer(answer.bare_error(packet, wire.NOTIMP), Outcome.MALFORMED)
    try:
        return wire.parse_query(packet)
    except wire.Malformed:
        return Answer(answer.bare_error(packet, wire.FORMERR), Outcome.MALFORMED)


def _blocked(case: _Case, verdict: Verdict, links: tuple[chain.Link, ...] = (), owner: bytes = b"") -> Answer:
    """The answer by a blocking verdict: the question's own, or that of the owner where the links lead."""
    enforcement = case.policy.enforcement
    block = answer.Block(
        form=verdict.form_for(case.query.qtype) or Form.NODATA,
        addresses=verdict.action.addresses if verdict.action is not None else (),
        ttl=cap(verdict.until, enforcement.ttl, case.t),
        text=answer.reason(verdict, enforcement.info_url),
        chain=links,
        owner=owner,
    )
    return Answer(answer.blocked(case.query, block, case.room), Outcome.BLOCKED)


def _ready(query: wire.Query, made: Answer, till: float = inf) -> Ready:
    """The answer, for the like of the query."""
    end = 12 + len(query.question)
    return Ready(
        till=till,
        fresh=inf,
        head=made.octets[2:12],
        tail=made.octets[end:],
        end=end,
        size=len(made.octets),
        mark=mark_of(made.outcome, made.octets),
    )


def _ready_of(case: _Case, made: Answer, entry: Entry[Judged], judged: Judged) -> Ready:
    """The answer from the cache: what passes only counts down, a blocked chain is good for its second."""
    enforcement = case.policy.enforcement
    till = steady(judged.until, enforcement.max_ttl, case.t)
    ready = _ready(case.query, made, till)
    if judged.verdict is None:
        return ready._replace(
            fresh=entry.expires,
            ttls=() if made.is_truncated else entry.received.ttls,
            stored=entry.stored,
            cap=case.cap(judged.until),
        )
    return ready._replace(
        till=min(till, steady(judged.until, enforcement.ttl, case.t)),
        fresh=min(entry.expires, entry.stored + entry.age(case.now) + 1),
    )


def _key(query: wire.Query) -> CacheKey:
    return (query.qname, query.qtype, query.qclass, query.do, bool(query.flags & wire.CD))
