"""The policy inside anyone's dnslib server.

`Resolver` is a `dnslib.server.BaseResolver` with the embedded resolver's engine: the same decisions, EDE,
SOA, TTL shaping and alias-chain check. What is not blocked is asked of `fallback`, any BaseResolver: your
zone, your proxy, `dnslib.proxy.ProxyResolver`. The contract:

- must: `resolve(request, handler)` returns a DNSRecord, or raises DNSError for what deserves no answer
  (dnslib then logs it and stays silent). The octets are the engine's own, also when they are unlike what
  dnslib would have packed.
- must: one query's failure, of the fallback or of ours, is answered SERVFAIL. Nothing else is raised.
- must: the policy is read afresh for every query; an apply shows at the next one.
- may: be shared by threads. Deciding takes turns, waiting for the fallback does not.
- Who may ask is the engine's business here too: `allow` is loopback unless you say otherwise.
- Nothing is cached here: the fallback's answers are its own to keep.
- A limit of dnslib's: a query that it can't read gets no answer, and never comes here. That is so for every
  name with octets that are no UTF-8, blocked or free.

    from pathlib import Path
    from dnslib.proxy import ProxyResolver
    from dnslib.server import DNSServer
    from blocker.plugins.dnslib import Resolver

    resolver = Resolver(Path("state"), fallback=ProxyResolver("192.0.2.53", 53, timeout=3))
    for tcp in (False, True):
        DNSServer(resolver, address="127.0.0.1", port=5301, tcp=tcp).start_thread()
"""

from __future__ import annotations

import threading
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dnslib
from dnslib.server import BaseResolver

from blocker.policy.reader import Reader
from blocker.resolver.cache import Cache
from blocker.resolver.engine import Answer, Drop, Enforced, Engine, Forward
from blocker.site import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from blocker.site import Network


class Reply(dnslib.DNSRecord):  # type: ignore[misc]  # dnslib has no types
    """A record that packs to the very octets it was made from."""

    octets: bytes

    @classmethod
    def of(cls, octets: bytes) -> Self:
        """The record of these octets; of their header alone where dnslib can't read the rest."""
        try:
            made = cls.parse(octets)
        except (dnslib.DNSError, ValueError, IndexError):
            made = cls(dnslib.DNSHeader.parse(dnslib.DNSBuffer(octets[:12])))
        made.octets = octets
        return made  # type: ignore[no-any-return]  # as above

    def pack(self) -> bytes:
        return self.octets


class Resolver(BaseResolver):  # type: ignore[misc]  # dnslib has no types
    """The engine as a dnslib resolver; see the module for the contract.

    `policy` is the folder of a policy store, or a policy in memory. `node` is the NSID. Without a
    `fallback` every query that is not blocked fails. Raises StoreError if the store can't be opened.
    """

    def __init__(
        self,
        policy: Path | Enforced,
        *,
        fallback: BaseResolver | None = None,
        node: str = "",
        allow: Sequence[Network] = LOOPBACK,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._snapshot: Callable[[], AbstractContextManager[Enforced]]
        self._snapshot = Reader(policy).snapshot if isinstance(policy, Path) else lambda: nullcontext(policy)
        self._fallback = fallback
        self._engine = Engine(node=node, allow=allow, cache=Cache(entries=0))
        self._clock = clock
        self._turn = threading.Lock()  # Engine and store snapshot belong to one query at a time.

    def resolve(self, request: dnslib.DNSRecord, handler: Any) -> Reply:
        """The reply to the request; raises DNSError where none is due."""
        tcp = handler.protocol == "tcp"
        # The octets as they came: packing anew loses a zero-length last EDNS option.
        packet = bytes(request.pack()) if tcp else bytes(handler.request[0])
        try:
            made = self._handle(packet, handler.client_address[0], tcp=tcp)
            if isinstance(made, Forward):
                made = self._finish(made, self._asked(request, handler))
        except Exception:  # noqa: BLE001 - the contract: one query's failure is SERVFAIL
            made = self._engine.broken(packet)
        if isinstance(made, Drop):
            raise dnslib.DNSError(f"no answer is due: {made.why}")
        return Reply.of(made.octets)

    def _handle(self, packet: bytes, client: str, *, tcp: bool) -> Answer | Forward | Drop:
        with self._turn, self._snapshot() as policy:
            return self._engine.handle(packet, client, policy, self._clock(), time.monotonic(), tcp=tcp)

    def _finish(self, forward: Forward, message: bytes | None) -> Answer:
        with self._turn, self._snapshot() as policy:
            return self._engine.finish(forward, message, policy, self._clock(), time.monotonic())

    def _asked(self, request: dnslib.DNSRecord, handler: Any) -> bytes | None:
        """What the fallback says, with the question as the engine expects it; None if it fails."""
        if self._fallback is None:
            return None
        try:
            return bytes(self._fallback.resolve(request, handler).pack())
        except Exception:  # noqa: BLE001 - as in resolve; the reason goes to the client as EDE 22
            return None
