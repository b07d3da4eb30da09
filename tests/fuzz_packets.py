"""Mutated packets against the engine and against a real worker: `python -m tests.fuzz_packets 1000000`.

Seeds are real queries and responses; mutations flip, cut, splice, repeat and lie about lengths. A fifth of
the packets goes to a real worker over UDP and TCP, the rest to the engine in this process, a part of those
as what upstream said. The run fails on any exception, on an answer that is not one, on a restart of the
worker, and if the worker does not answer afterwards.
"""

from __future__ import annotations

import random
import socket
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import dns.edns
import dns.message

from blocker.resolver.engine import Answer, Drop, Engine, Forward
from blocker.site import LOOPBACK
from tests.resolver.live import Resolver, Upstream, over, resolver, store
from tests.resolver.world import T0, ask, block, policy, upstream

SLOWEST = 1.0
"""Seconds of processor time that one packet may take in the engine."""


@dataclass(slots=True)
class Tally:
    """What became of the packets."""

    engine: int = 0
    received: int = 0
    udp: int = 0
    tcp: int = 0
    answers: int = 0
    slowest: float = 0.0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"engine {self.engine}, from upstream {self.received}, worker {self.udp} UDP + {self.tcp} TCP, "
            f"{self.answers} answers, slowest {self.slowest * 1000:.1f} ms, {len(self.faults)} faults"
        )


def seeds() -> list[bytes]:
    """Real queries of every kind that is treated in its own way."""
    nsid = dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")
    cookie = dns.edns.GenericOption(dns.edns.OptionType.COOKIE, b"12345678")
    found = [
        ask(name, qtype)
        for name in ("grok.example", "free.example", ".")
        for qtype in ("A", "ANY", "AXFR", "DS")
    ]
    found += [
        ask("www.GROK.example", "HTTPS", use_edns=0, payload=4096, options=[cookie, nsid]),
        ask("alias.example", "AAAA", want_dnssec=True),
        ask("id.server", "TXT", rdclass="CH", use_edns=0, options=[nsid]),
        ask("a." * 100 + "example", "TXT", use_edns=0),
        dns.message.make_query("grok.example", "A", use_edns=1).to_wire(),
    ]
    return found


def responses(query: bytes) -> list[bytes]:
    """What upstream may say to the query."""
    chain = ("alias.example 300 IN CNAME a.example.", "a.example 60 IN CNAME grok.example.")
    soa = ("example 900 IN SOA ns.example. host.example. 1 2 3 4 60",)
    dname = ("example 300 IN DNAME example.org.",)
    return [
        upstream(query, *chain, "grok.example 300 IN A 192.0.2.66"),
        upstream(query, authority=soa, rcode=3),
        upstream(query, *dname, *chain, authority=soa),
        upstream(query, "alias.example 300 IN AAAA 2001:db8::9", ad=True),
    ]


def mutated(packet: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """The packet after one to six accidents."""
    made = bytearray(packet)
    for _ in range(chance.randint(1, 6)):
        at = chance.randrange(len(made)) if made else 0
        match chance.randrange(9):
            case 0 if made:
                made[at] ^= 1 << chance.randrange(8)
            case 1 if made:
                made[at] = chance.choice((0, 1, 12, 63, 64, 191, 192, 255))
            case 2:
                del made[at:]
            case 3:
                made[at:at] = chance.randbytes(chance.randint(1, 20))
            case 4:
                other = chance.choice(others)
                made[at:] = other[chance.randrange(len(other)) :]
            case 5:
                made[at:at] = made[at : at + chance.randint(1, 40)] * chance.randint(1, 30)
            case 6:
                made[at : at + 2] = bytes((0xC0 | chance.randrange(2), chance.randrange(256)))
            case 7 if len(made) >= 12:
                made[4 + chance.randrange(8)] = chance.choice((0, 0, 1, 2, 255))
            case _:
                del made[at : at + chance.randint(1, 8)]
    return bytes(made[:4000])


def fuzz_engine(number: int, chance: random.Random, tally: Tally) -> None:
    """The engine in this process: every answer is one, to that very packet."""
    mind = Engine(node="r1.isp.example", allow=LOOPBACK)
    index = policy(
        block("grok.example", start=T0 - 10, until=T0 + 100), block("*.org", ident="court/o2", start=T0 + 50)
    )
    kinds = seeds()
    aliased = ask("alias.example", "AAAA", want_dnssec=True)
    said = responses(aliased)
    forward = mind.handle(aliased, "127.0.0.1", index, T0, 0)
    assert isinstance(forward, Forward)
    for turn in range(number):
        t = T0 + chance.random() * 120
        is_response = turn % 4 == 0
        packet = mutated(chance.choice(said if is_response else kinds), chance, kinds + said)
        begun = time.process_time()
        try:
            if is_response:
                tally.received += 1
                _check(mind.finish(forward, packet, index, t, turn), aliased, tally)
            else:
                tally.engine += 1
                _check(mind.handle(packet, "127.0.0.1", index, t, turn, tcp=bool(turn & 2)), packet, tally)
        except Exception as error:  # noqa: BLE001 - finding any is the purpose
            tally.faults.append(f"{type(error).__name__} {error}: {packet.hex()}")
        took = time.process_time() - begun
        tally.slowest = max(tally.slowest, took)
        if took > SLOWEST:
            tally.faults.append(f"{took:.1f} s: {packet.hex()}")


def _check(made: Answer | Forward | Drop, packet: bytes, tally: Tally) -> None:
    if isinstance(made, Answer):
        tally.answers += 1
        octets = made.octets
        if octets[:2] != packet[:2] or not octets[2] & 0x80 or len(octets) < 12 or len(octets) > 65535:
            tally.faults.append(f"a bad answer {octets.hex()} to {packet.hex()}")


def fuzz_worker(running: Resolver, number: int, chance: random.Random, tally: Tally) -> None:
    """A real worker: nine of ten over UDP, the others over TCP."""
    before = running.counts()
    _send(running, number, chance, tally)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and running.counts().queries == before.queries:
        time.sleep(0.01)
    if running.ask("grok.example").rcode() != 3 or running.ask_tcp("free.example").rcode() != 0:
        tally.faults.append("the worker does not answer as it should")
    after = running.counts()
    if after.errors != before.errors:
        tally.faults.append(f"{after.errors - before.errors} exceptions in the worker")
    if after.starts != before.starts:
        tally.faults.append("the worker was restarted")
    if after.queries - before.queries < number // 2:
        tally.faults.append(f"the worker saw only {after.queries - before.queries} packets")


def _send(running: Resolver, number: int, chance: random.Random, tally: Tally) -> None:
    kinds = seeds()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect(running.endpoint)
        sock.setblocking(False)
        for turn in range(number):
            packet = mutated(chance.choice(kinds), chance, kinds)
            if turn % 10 == 0:
                tally.tcp += 1
                _over_tcp(running, packet, chance)
                continue
            tally.udp += 1
            try:
                sock.send(packet)
                while turn % 8 == 0:
                    tally.answers += len(sock.recv(65535)) > 0
            except BlockingIOError:
                time.sleep(0.0005)  # The worker has a turn too: what is dropped tests nothing.
            except OSError:
                continue


def _over_tcp(running: Resolver, packet: bytes, chance: random.Random) -> None:
    try:
        with socket.create_connection(running.endpoint, timeout=5) as sock:
            sock.settimeout(0.002)
            match chance.randrange(4):
                case 0:
                    sock.sendall(packet)  # Without its length: framing goes astray.
                case 1:
                    sock.sendall((len(packet) + chance.randint(1, 999)).to_bytes(2, "big") + packet)
                case _:
                    over(sock, *[packet] * chance.randint(1, 5))
            sock.recv(65535)
    except OSError:
        pass  # Cut off, or no answer due: both are the worker's right.


def run(number: int, seed: int) -> Tally:
    """Fuzz with so many packets; what became of them."""
    tally, chance = Tally(), random.Random(seed)
    fuzz_engine(number - number // 5, chance, tally)
    up = Upstream()
    now = time.time()
    with tempfile.TemporaryDirectory() as folder:
        store(Path(folder), block("grok.example", start=now - 10, until=now + 10**6))
        with resolver(Path(folder), up.endpoint) as running:
            fuzz_worker(running, number // 5, chance, tally)
    up.close()
    return tally


def main() -> int:
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(2**32)
    print(f"{number} packets, seed {seed}", flush=True)
    begun = time.monotonic()
    tally = run(number, seed)
    print(f"{tally} in {time.monotonic() - begun:.0f} s")
    for fault in tally.faults[:20]:
        print(fault)
    return 1 if tally.faults else 0


if __name__ == "__main__":
    sys.exit(main())
