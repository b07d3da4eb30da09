"""One probe: a query to a point in one of its variants, and the Observation of what came back.

Shell. Every UDP probe has a socket, so a source port, and an id of its own; a connected socket takes
answers from the point alone. Nothing a point sends raises: noise and answers to other questions are
counted, at most 64 packets are read for one probe, and the waiting has an end. Wall-clock times are for
judging, latency is monotonic. What answers the query is kept with the TTL that its IP header had left.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import struct
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.prober import encrypted
from blocker.prober.observe import (
    PLAIN,
    Arrival,
    Malformed,
    Mismatched,
    Observation,
    Outcome,
    Reply,
    Transport,
    Variant,
    query,
    read,
)

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.site import Endpoint, Point, Tls

_PACKETS = 64
_MOST_OCTETS = 65535
_TTL = struct.Struct("@i")
_IP_RECVTTL = 12  # ip(7) on Linux; the socket module does not have it


@dataclass(slots=True, kw_only=True)
class Catch:
    """What has come for one query so far."""

    name: Key
    qtype: int
    variant: Variant
    question: bytes
    ident: int
    reply: Reply | None = None
    received: float = 0.0
    latency: float = 0.0
    started: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.time)
    packets: int = 0
    arrivals: list[Arrival] = field(default_factory=list)
    mismatched: int = 0
    malformed: int = 0
    differing: int = 0

    def begin(self) -> None:
        """The query leaves now."""
        self.sent, self.started = time.time(), time.monotonic()

    @property
    def is_full(self) -> bool:
        """Whether no more is read."""
        return self.packets >= _PACKETS

    def take(self, wire: bytes, ip_ttl: int | None = None) -> None:
        """Count one message, and keep the first answer."""
        self.packets += 1
        latency = time.monotonic() - self.started
        try:
            reply = read(wire, ident=self.ident, name=self.name, qtype=self.qtype)
        except Mismatched:
            self.mismatched += 1
            return
        except Malformed:
            self.malformed += 1
            return
        self.arrivals.append(Arrival(reply=reply, octets=wire, latency=latency, ip_ttl=ip_ttl))
        if self.reply is None:
            self.reply, self.received, self.latency = reply, time.time(), latency
        elif reply.says(self.qtype) != self.reply.says(self.qtype):
            self.differing += 1

    def observation(self, point: str, *, unreachable: bool, trouble: str = "") -> Observation:
        outcome = Outcome.UNREACHABLE if unreachable else Outcome.SILENT
        return Observation(
            point=point,
            variant=self.variant,
            name=self.name,
            qtype=self.qtype,
            sent=self.sent,
            outcome=outcome if self.reply is None else Outcome.ANSWERED,
            received=None if self.reply is None else self.received,
            latency=None if self.reply is None else self.latency,
            reply=self.reply,
            query=self.question,
            arrivals=tuple(self.arrivals),
            mismatched=self.mismatched,
            malformed=self.malformed,
            differing=self.differing,
            trouble=trouble if self.reply is None else "",
        )


async def probe(
    point: Point,
    question: tuple[Key, int],
    variant: Variant = PLAIN,
    *,
    timeout: float = 2.0,  # noqa: ASYNC109  # the point's time to answer, not the caller's patience
    linger: float = 0.0,
) -> Observation:
    """Ask one point one question (name, qtype) and wait up to `timeout` seconds.

    Raises ValueError if the point has no such way to be asked.

    `linger` seconds after the first UDP answer are spent listening for another that contradicts it: a
    forger on the path answers first, not last.
    """
    name, qtype = question
    address, tls = _way(point, variant)
    # RFC 8484 §4.1: one message for all who ask the same, so that HTTP caches may work.
    ident = 0 if variant.transport is Transport.DOH else secrets.randbelow(65536)
    outside = point.outside if variant.outside else None
    catch = Catch(
        name=name,
        qtype=qtype,
        variant=variant,
        ident=ident,
        question=query(name, qtype, ident, variant, subnet=outside.subnet if outside else None),
    )
    source = address.asked_from(outside.source if outside and outside.source else point.source)
    unreachable, trouble = False, ""
    try:
        if variant.transport is Transport.UDP:
            await _udp(address, source, catch, timeout, linger)
        else:
            async with asyncio.timeout(timeout):
                if tls is None:
                    await _tcp(address, source, catch)
                else:
                    await _encrypted(tls, address, source, catch)
    except TimeoutError:
        pass
    except encrypted.Trouble as error:
        unreachable, trouble = True, str(error)
    except (OSError, asyncio.IncompleteReadError):
        unreachable = catch.packets == 0
    return catch.observation(point.name, unreachable=unreachable, trouble=trouble)


def _way(point: Point, variant: Variant) -> tuple[Endpoint, Tls | None]:
    """Where the point is asked in this variant, and what its certificate must be where it is encrypted."""
    if variant.transport in (Transport.UDP, Transport.TCP):
        return point.addresses[variant.place], None
    tls = point.tls
    address = None
    if tls is not None and variant.place == 0:
        address = tls.dot if variant.transport is Transport.DOT else tls.doh
    if address is None:
        raise ValueError(f"point {point.name} has no way for {variant}")
    return address, tls


async def _udp(
    address: Endpoint,
    source: tuple[str, int] | None,
    catch: Catch,
    timeout: float,  # noqa: ASYNC109  # as in probe
    linger: float,
) -> None:
    loop = asyncio.get_running_loop()
    is_v6 = ":" in address.host
    done: asyncio.Future[None] = loop.create_future()
    with socket.socket(
        socket.AF_INET6 if is_v6 else socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
    ) as sock:
        if is_v6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVHOPLIMIT, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVTTL, 1)
        if source is not None:
            sock.bind(source)
        sock.connect((address.host, address.port))

        def readable() -> None:
            if catch.is_full:  # While it lingers, too.
                loop.remove_reader(sock.fileno())
                return
            try:
                octets, ancillary, _, _ = sock.recvmsg(_MOST_OCTETS, 64)
            except BlockingIOError:
                return
            except OSError as error:
                if not done.done():
                    done.set_exception(error)
                return
            catch.take(octets, _ttl_of(ancillary))
            if not done.done() and (catch.reply is not None or catch.is_full):
                done.set_result(None)

        loop.add_reader(sock.fileno(), readable)
        try:
            catch.begin()
            sock.send(catch.question)
            async with asyncio.timeout(timeout):
                await done
            if linger:
                await asyncio.sleep(linger)
        finally:
            loop.remove_reader(sock.fileno())


def _ttl_of(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, socket.IP_TTL), (socket.IPPROTO_IPV6, socket.IPV6_HOPLIMIT)):
            ttl: int = _TTL.unpack(data[: _TTL.size])[0]
            return ttl
    return None


async def _tcp(address: Endpoint, source: tuple[str, int] | None, catch: Catch) -> None:
    catch.begin()
    reader, writer = await asyncio.open_connection(address.host, address.port, local_addr=source)
    try:
        await _framed(reader, writer, catch)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def _encrypted(tls: Tls, address: Endpoint, source: tuple[str, int] | None, catch: Catch) -> None:
    catch.begin()
    is_doh = catch.variant.transport is Transport.DOH
    async with encrypted.connected(tls, address, source, protocol="h2" if is_doh else "") as (reader, writer):
        if is_doh:
            await encrypted.post(reader, writer, tls, address.port, catch)
        else:
            await _framed(reader, writer, catch)


async def _framed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, catch: Catch) -> None:
    """Ask in a stream of messages behind their lengths (RFC 1035 §4.2.2, RFC 7858 §3.3)."""
    catch.sent = time.time()
    writer.write(len(catch.question).to_bytes(2, "big") + catch.question)
    while catch.reply is None and not catch.is_full:
        size = int.from_bytes(await reader.readexactly(2), "big")
        catch.take(await reader.readexactly(size))
