"""An authority on loopback that knows every name, for servers that ask upstream."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dns.message
import dns.rdatatype

from tests.resolver import world

if TYPE_CHECKING:
    from collections.abc import Iterator

ADDRESS = "192.0.2.9"
TTL = 3600


@dataclass
class Authority:
    """`records` by (name, type); any other name has one address. `asked` counts the names.

    For `delays` seconds it keeps the answer for a name back, and nobody else waits for that.
    """

    port: int
    records: dict[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    delays: dict[str, float] = field(default_factory=dict)

    def alias(self, name: str, target: str, ttl: int = TTL) -> None:
        self.records[name, "CNAME"] = (f"{name} {ttl} IN CNAME {target}.",)

    def answer(self, packet: bytes) -> bytes:
        query = dns.message.from_wire(packet)
        name = query.question[0].name.to_text().lower().removesuffix(".")
        rdtype = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked[name] += 1
        anything = (f"{name} {TTL} IN A {ADDRESS}",) if rdtype == "A" else ()
        rrsets = self.records.get((name, "CNAME")) or self.records.get((name, rdtype), anything)
        zone = name.rpartition(".")[2] or "."
        soa = () if rrsets else (f"{zone} {TTL} IN SOA ns.example. h.example. 1 1 1 1 {TTL}",)
        return world.upstream(packet, *rrsets, authority=soa)


@contextmanager
def authority() -> Iterator[Authority]:
    """The authority, on a free UDP port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(0.1)
        found = Authority(listening.getsockname()[1])
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                try:
                    packet, address = listening.recvfrom(4096)
                except TimeoutError:
                    continue
                name = dns.message.from_wire(packet).question[0].name.to_text(omit_final_dot=True)
                said = found.answer(packet)
                if name in found.delays:
                    timer = threading.Timer(found.delays[name], listening.sendto, (said, address))
                    timer.start()
                    timers.append(timer)
                else:
                    listening.sendto(said, address)

        timers: list[threading.Timer] = []
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield found
        finally:
            ended.set()
            for one in (thread, *timers):
                one.join()
