"""The resolver's processes: where engine, store, cache, sockets and upstreams meet, and nothing is decided.

The parent binds and forks; a worker takes one snapshot of the live policy for each batch of queries, and so
sees a new generation with the next one. A passing query never holds the loop. Whatever goes wrong with one
query, or with the store, is caught here, counted, and answered SERVFAIL: the process lives.
Verdicts follow the wall clock, timers the monotonic one. SIGTERM: no more is taken in, what is under way
gets a second to finish.
"""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.errors import BlockerError
from blocker.journal import fault, say
from blocker.resolver import upstream, wire
from blocker.resolver.connections import Connections
from blocker.resolver.counters import FILE, Count, Counters
from blocker.resolver.engine import Answer, Drop, Engine, Forward, Outcome
from blocker.resolver.live import LivePolicy
from blocker.resolver.sockets import Asked, Datagrams, Listening, bind
from blocker.supervisor import Child

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from blocker.resolver.batches import Batch
    from blocker.resolver.chain import Received
    from blocker.site import Endpoint, ResolverConfig

HEARTBEAT = 2.0
DRAIN = 1.0
RESOLV_CONF = Path("/etc/resolv.conf")

_BEAT = 0.1
_COMPLAINT, _SAME_COMPLAINT = 1.0, 60.0  # seconds between lines of the log, and between the same ones
_FILES = 65536
_FILES_FOR_OTHERS = 700  # TCP connections, the store, the loop
_COUNT_OF = {
    Outcome.BLOCKED: Count.BLOCKED,
    Outcome.FORWARDED: Count.FORWARDED,
    Outcome.CACHED: Count.CACHE_HITS,
    Outcome.REFUSED: Count.REFUSED,
    Outcome.MALFORMED: Count.MALFORMED,
    Outcome.OWN: Count.OWN,
    Outcome.FAILED: Count.FAILED,
    Outcome.BROKEN: Count.ERRORS,
}


def serve_children(
    config: ResolverConfig, *, state: Path, node: str, held: Collection[Endpoint] = ()
) -> list[Child]:
    """Bind all addresses now, and give one child for each worker.

    `state` holds the store and gets the counters; `node` is our NSID; `held` are the addresses that this
    process listens on already. Raises PointError (a port is taken,
    an upstream is ourselves or missing) and StoreError (the counters can't be made).
    """
    number = config.workers or len(os.sched_getaffinity(0))
    endpoints = config.upstreams or upstream.system(RESOLV_CONF)
    upstream.refuse_ourselves(endpoints, config.listen)
    return children(bind(config.listen, number, held=held), config, endpoints, state=state, node=node)


def children(
    listening: Sequence[Listening],
    config: ResolverConfig,
    upstreams: Sequence[Endpoint],
    *,
    state: Path,
    node: str,
) -> list[Child]:
    """As serve_children, with sockets that are bound and upstreams that are known."""
    counters = Counters(state / FILE, len(listening))
    sockets = tuple(listening)

    def run(number: int, beat: Callable[[], None]) -> None:
        for other in sockets[:number] + sockets[number + 1 :]:
            other.close()
        engine = Engine(node=node, allow=config.allow)
        worker = Worker(engine, LivePolicy(state, beat), upstreams, counters.block(number))
        asyncio.run(worker.run(sockets[number], beat))

    return [
        Child(name=f"resolver-{number}", run=partial(run, number), heartbeat=HEARTBEAT)
        for number in range(len(sockets))
    ]


class Worker:
    """One process's share of the queries."""

    def __init__(
        self,
        engine: Engine,
        live: LivePolicy,
        upstreams: Sequence[Endpoint],
        block: memoryview,
    ) -> None:
        self._engine = engine
        self._live = live
        self._endpoints = upstreams
        self._block = block
        self._complained = (0.0, "")
        self._upstreams: upstream.Upstreams

    async def run(self, listening: Listening, beat: Callable[[], None]) -> None:
        """Serve until SIGTERM."""
        loop = asyncio.get_running_loop()
        stopping = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stopping.set)
        loop.set_exception_handler(self._stray)
        self._block[Count.PID] = os.getpid()
        self._block[Count.STARTS] += 1
        flights = _raise_files() - _FILES_FOR_OTHERS
        self._upstreams = upstream.Upstreams(
            loop, self._endpoints, self._block, most=max(64, min(upstream.MOST_FLIGHTS, flights))
        )
        self._tell(beat)  # The policy is read now, so that it is among what stays.
        gc.collect()
        gc.freeze()  # What is loaded stays: no collection walks through it, no page of it is copied.
        datagrams = Datagrams(loop, listening.udp, self.sweep, self.serve, self._block)
        connections = Connections(loop, self.serve, self._block, allows=self._engine.allows)
        await connections.listen(listening.tcp)
        while not stopping.is_set():
            self._tell(beat)
            try:
                async with asyncio.timeout(_BEAT):
                    await stopping.wait()
            except TimeoutError:
                continue
        connections.stop_accepting()
        deadline = loop.time() + DRAIN
        while len(self._upstreams) and loop.time() < deadline:
            beat()
            await asyncio.sleep(0.01)
        self._upstreams.close()
        datagrams.close()  # Last and at once: until then the kernel gives us our share of the queries.
        connections.close()
        self._live.close()
        await asyncio.sleep(0)  # The last answers leave with the closing connections.

    def _tell(self, beat: Callable[[], None]) -> None:
        beat()
        self._block[Count.CACHE_ENTRIES] = len(self._engine.cache)
        self._block[Count.CACHE_OCTETS] = self._engine.cache.octets
        try:
            with self._live.snapshot() as policy:
                self._block[Count.GENERATION] = policy.generation.number
        except Exception as error:  # noqa: BLE001 - whatever the store does, the worker beats on
            self._store_failed(error)

    def sweep(self, batch: Batch, sizes: Sequence[int]) -> Sequence[int]:
        """Answer in place what is known, and give the slots that are left for `serve`; never raises."""
        try:
            with self._live.snapshot() as policy:
                left, counted, faults = self._engine.sweep(
                    batch, sizes, policy, time.time(), time.monotonic()
                )
        except Exception as error:  # noqa: BLE001 - the store's, before any answer was written; serve meets it
            self._complain(error)
            for slot in range(len(sizes)):
                batch.answers[slot] = 0
            return range(len(sizes))
        for one in faults:
            self._complain(one)
        self._block[Count.QUERIES] += len(sizes) - len(left)
        for outcome, is_truncated, number in counted:
            self._block[_COUNT_OF[outcome]] += number
            if is_truncated:
                self._block[Count.TRUNCATED] += number
        return left

    def serve(self, batch: Sequence[Asked]) -> None:
        """Answer or forward each; never raises."""
        self._block[Count.QUERIES] += len(batch)
        served = 0
        try:
            with self._live.snapshot() as policy:
                t, now = time.time(), time.monotonic()
                for asked in batch:
                    served += 1
                    try:
                        made = self._engine.handle(asked.packet, asked.client, policy, t, now, tcp=asked.tcp)
                        if isinstance(made, Forward):
                            if self._is_ours(made, asked):
                                # Not by _finish: a snapshot within a snapshot would end the outer one.
                                made = self._engine.finish(made, None, policy, t, now)
                            elif self._forward(made, asked):
                                continue
                            else:
                                # Who hears nothing asks again. SERVFAIL would be kept (RFC 9520 §3.2), and a
                                # burst of a second would be a failure of many.
                                made = Drop("more than we hold in flight")
                        self._give(made, asked.reply)
                    except Exception as error:  # noqa: BLE001 - a bug in one query is that query's alone
                        self._complain(error)
                        self._give(self._engine.broken(asked.packet), asked.reply)
        except Exception as error:  # noqa: BLE001 - the store's own failure; the queries still get an answer
            self._store_failed(error)
            for asked in batch[served:]:
                self._give(self._engine.broken(asked.packet), asked.reply)

    def _give(self, made: Answer | Drop, reply: Callable[[bytes | None], None]) -> None:
        if isinstance(made, Answer):
            self._block[_COUNT_OF[made.outcome]] += 1
            self._block[Count.TRUNCATED] += made.is_truncated
            reply(made.octets)
        else:
            self._block[Count.DROPPED] += 1
            reply(None)

    def _is_ours(self, forward: Forward, asked: Asked) -> bool:
        """Whether the query is one that we sent."""
        if not self._upstreams.is_ours(asked.port, forward.query.id):
            return False
        self._complain(f"a query of our own came back from {asked.client}: an upstream is ourselves")
        return True

    def _forward(self, forward: Forward, asked: Asked) -> bool:
        """Whether the query is on its way upstream."""
        query = forward.query
        return self._upstreams.ask(
            forward.key,
            forward.question,
            partial(self._finish, forward, asked),
            client=asked.client,
            do=query.do,
            cd=bool(query.flags & wire.CD),
        )

    def _finish(self, forward: Forward, asked: Asked, received: Received | None, why: int) -> None:
        """What upstream said, or that it said nothing, goes to the client by the policy of now."""
        try:
            with self._live.snapshot() as policy:
                made = self._engine.finish(forward, received, policy, time.time(), time.monotonic(), why=why)
        except Exception as error:  # noqa: BLE001 - as in serve
            self._complain(error)
            self._give(self._engine.broken(asked.packet), asked.reply)
        else:
            self._give(made, asked.reply)

    def _store_failed(self, error: Exception) -> None:
        self._block[Count.STORE_ERRORS] += 1
        self._complain(error)
        self._live.failed()

    def _stray(self, _loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        self._block[Count.ERRORS] += 1
        error = context.get("exception")
        self._complain(error if isinstance(error, Exception) else str(context.get("message")))

    def _complain(self, what: Exception | str) -> None:
        """Say it, but not often: neither bad queries nor a broken disk may become a flood of lines."""
        if isinstance(what, Exception) and not isinstance(what, BlockerError):
            text = fault(what)
        else:
            text = str(what)
        now = time.monotonic()
        at, before = self._complained
        if now - at >= (_SAME_COMPLAINT if text == before else _COMPLAINT):
            self._complained = (now, text)
            say("resolver", text)


def _raise_files() -> int:
    """The number of open files we may have, raised as far as we are let."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return _FILES if soft == resource.RLIM_INFINITY else soft
