"""One probe: a query to a point over UDP or TCP, and the Observation of what came back.

Shell. Every UDP probe has a socket, so a source port, and an id of its own; a connected socket takes
answers from the point alone. Nothing a point sends raises: noise and answers to other questions are
counted, at most 64 packets are read for one probe, and the waiting has an end. Wall-clock times are for
judging, latency is monotonic.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from blocker.prober.observe import (
    Malformed,
    Mismatched,
    Observation,
    Outcome,
    Reply,
    Transport,
    query,
    read,
)

if TYPE_CHECKING:
    from blocker.names import Key
    from blocker.site import Endpoint

_PACKETS = 64


@dataclass(slots=True, kw_only=True)
class _Catch:
    """What has come for one query so far."""

    name: Key
    qtype: int
    ident: int = field(default_factory=lambda: secrets.randbelow(65536))
    reply: Reply | None = None
    received: float = 0.0
    latency: float = 0.0
    started: float = field(default_factory=time.monotonic)
    sent: float = field(default_factory=time.time)
    packets: int = 0
    mismatched: int = 0
    malformed: int = 0
    differing: int = 0

    @property
    def question(self) -> bytes:
        return query(self.name, self.qtype, self.ident)

    def take(self, wire: bytes) -> None:
        """Count one message, and keep the first answer."""
        self.packets += 1
        try:
            reply = read(wire, ident=self.ident, name=self.name, qtype=self.qtype)
        except Mismatched:
            self.mismatched += 1
        except Malformed:
            self.malformed += 1
        else:
            if self.reply is None:
                self.reply, self.received = reply, time.time()
                self.latency = time.monotonic() - self.started
            elif (reply.rcode, reply.data_of(self.qtype)) != (
                self.reply.rcode,
                self.reply.data_of(self.qtype),
            ):
                self.differing += 1

    def observation(self, point: str, transport: Transport, *, unreachable: bool) -> Observation:
        outcome = Outcome.UNREACHABLE if unreachable else Outcome.SILENT
        return Observation(
            point=point,
            transport=transport,
            name=self.name,
            qtype=self.qtype,
            sent=self.sent,
            outcome=outcome if self.reply is None else Outcome.ANSWERED,
            received=None if self.reply is None else self.received,
            latency=None if self.reply is None else self.latency,
            reply=self.reply,
            mismatched=self.mismatched,
            malformed=self.malformed,
            differing=self.differing,
        )


async def probe(
    point: str,
    address: Endpoint,
    transport: Transport,
    question: tuple[Key, int],
    *,
    timeout: float = 2.0,  # noqa: ASYNC109  # the point's time to answer, not the caller's patience
    linger: float = 0.0,
) -> Observation:
    """Ask one point one question (name, qtype) and wait up to `timeout` seconds.

    `linger` seconds after the first UDP answer are spent listening for another that contradicts it: a
    forger on the path answers first, not last.
    """
    name, qtype = question
    catch = _Catch(name=name, qtype=qtype)
    unreachable = False
    try:
        if transport is Transport.UDP:
            await _udp(address, catch, timeout, linger)
        else:
            async with asyncio.timeout(timeout):
                await _tcp(address, catch)
    except TimeoutError:
        pass
    except (OSError, asyncio.IncompleteReadError):
        unreachable = catch.packets == 0
    return catch.observation(point, transport, unreachable=unreachable)


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, catch: _Catch) -> None:
        self._catch = catch
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: object) -> None:
        del addr  # The socket is connected: it can only be the point's.
        self._catch.take(data)
        if not self.done.done() and (self._catch.reply is not None or self._catch.packets >= _PACKETS):
            self.done.set_result(None)

    def error_received(self, exc: Exception) -> None:
        if not self.done.done():
            self.done.set_exception(exc)


async def _udp(address: Endpoint, catch: _Catch, timeout: float, linger: float) -> None:  # noqa: ASYNC109  # as in probe
    loop = asyncio.get_running_loop()
    transport, protocol = await loop.create_datagram_endpoint(
        lambda: _Datagrams(catch), remote_addr=(address.host, address.port)
    )
    try:
        catch.sent, catch.started = time.time(), time.monotonic()
        transport.sendto(catch.question)
        async with asyncio.timeout(timeout):
            await protocol.done
        if linger:
            await asyncio.sleep(linger)
    finally:
        transport.close()
        if protocol.done.done() and not protocol.done.cancelled():
            protocol.done.exception()  # Looked at, so that asyncio doesn't complain of it later.


async def _tcp(address: Endpoint, catch: _Catch) -> None:
    catch.sent, catch.started = time.time(), time.monotonic()
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        catch.sent = time.time()
        question = catch.question
        writer.write(len(question).to_bytes(2, "big") + question)
        while catch.reply is None and catch.packets < _PACKETS:
            size = int.from_bytes(await reader.readexactly(2), "big")
            catch.take(await reader.readexactly(size))
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
