"""The web process: /metrics, /healthz and /readyz, and later the pages.

`/readyz` speaks of answering alone, so that who takes an unready node out of service never does so because a
prober is late. `/readyz/prober` and `/readyz/push` speak of those.

Shell: starlette over uvicorn, in a process of its own, so that no scrape delays an answer. Everything is
bounded: 64 connections, each for 15 seconds at most, so a slow client takes a place for a while and no
more. SIGTERM ends it within a second. It answers whoever connects: the listen address decides who can.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import uvicorn
from prometheus_client.exposition import choose_encoder
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from blocker import metrics
from blocker.errors import PointError
from blocker.fleet import targets
from blocker.supervisor import Child
from blocker.web.view import Scene

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.requests import Request

    from blocker.site import Endpoint, Site

CONNECTIONS = 64
LIFETIME = 15.0
HEARTBEAT = 5.0
_BEAT = 0.25


def child(site: Site, *, held: bool = False) -> Child:
    """Bind the site's web address now, and give the process that serves on it until SIGTERM or SIGINT.

    `held`: this process listens there already, for the child that the new one takes over from. Raises
    PointError if the address can't be had.
    """
    if site.web is None:
        raise PointError("site.yaml has no web.listen: there is no address to serve the web side on")
    if not held:
        bind(site.web, share=False).close()  # Sharing alone would join another instance of us unseen.
    listening = bind(site.web)

    def run(beat: Callable[[], None]) -> None:
        async def main() -> None:
            stop = asyncio.Event()
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
            await serve(site, listening, beat, stop)

        asyncio.run(main())

    return Child(name="web", run=run, heartbeat=HEARTBEAT)


def bind(endpoint: Endpoint, *, share: bool = True) -> socket.socket:
    """A listening socket, which others of ours may share. Raises PointError that names the address."""
    family = socket.AF_INET6 if ":" in endpoint.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if share:  # At SIGHUP the next process listens before this one ends.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listening.bind((endpoint.host, endpoint.port))
        listening.listen(CONNECTIONS)
    except OSError as error:
        listening.close()
        why = (
            "it is taken by another process"
            if error.errno == errno.EADDRINUSE
            else os.strerror(error.errno or 0)
        )
        raise PointError(
            f"can't listen on {endpoint} (web.listen): {why}; stop what holds it or choose another address"
        ) from error
    listening.setblocking(False)
    return listening


async def serve(site: Site, listening: socket.socket, beat: Callable[[], None], stop: asyncio.Event) -> None:
    """As `run`, on a listening socket in a running event loop, until `stop` is set."""
    scene = Scene(
        site.state,
        site.points,
        targets=targets.targets(site),
        caches=targets.caches(site),
        is_signed=site.approvals is not None,
    )
    config = uvicorn.Config(
        application(scene),
        http=_Connection,
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
        h11_max_incomplete_event_size=16384,
    )
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        while not stop.is_set() and not serving.done():
            beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), _BEAT)
    finally:
        server.should_exit = True
        server.force_exit = stop.is_set()
        await serving
        listening.close()
        scene.close()


def application(scene: Scene) -> Starlette:
    """The web application over what the scene shows."""
    registry = metrics.registry(scene.view)

    async def show_metrics(request: Request) -> Response:
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"content-type": content_type, "cache-control": "no-store"})

    async def healthz(request: Request) -> Response:
        del request
        return PlainTextResponse("up\n")

    def ready(trouble: Callable[[], str]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            del request
            if why := trouble():
                return PlainTextResponse(f"not ready: {why}\n", status_code=503)
            return PlainTextResponse("ready\n")

        return answer

    def policy_trouble() -> str:
        return "" if scene.is_live() else scene.trouble or "nothing was applied yet"

    return Starlette(
        routes=[
            Route("/metrics", show_metrics, methods=["GET"]),
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", ready(policy_trouble), methods=["GET"]),
            Route("/readyz/prober", ready(scene.prober_trouble), methods=["GET"]),
            Route("/readyz/push", ready(scene.push_trouble), methods=["GET"]),
        ]
    )


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers: the process's own are set in `run`."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class _Connection(H11Protocol):
    """A connection with an end: uvicorn bounds neither idle connections nor slow request heads."""

    # Any: uvicorn's transports and arguments have no public types.
    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._end = self.loop.call_later(LIFETIME, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        end: asyncio.TimerHandle | None = getattr(self, "_end", None)
        if end is not None:
            end.cancel()
