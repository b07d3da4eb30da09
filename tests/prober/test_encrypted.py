"""DoT and DoH, each against a server that does as a test says."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import ssl
import struct
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import dns.message
import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from blocker.prober import encrypted
from blocker.prober.observe import TROUBLES, Observation, Outcome, Transport, Variant
from blocker.prober.transports import probe
from blocker.site import Endpoint, Point, Tls
from tests.prober import certificates
from tests.prober.world import NOWHERE, A, answer, key, real

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
    from pathlib import Path

    from tests.prober.certificates import Certificates

    Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
    Respond = Callable[["Stream"], Awaitable[None]]

NAME = key("www.shop.example")
DOT, DOH = Variant(transport=Transport.DOT), Variant(transport=Transport.DOH)
MESSAGE = "application/dns-message"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _nothing_is_left_open() -> Iterator[None]:
    yield
    gc.collect()  # What was not closed is a warning, and warnings are errors.


def framed(*messages: bytes) -> bytes:
    return b"".join(len(one).to_bytes(2, "big") + one for one in messages)


def dot(script: Callable[[bytes], bytes]) -> Handler:
    """A server that answers one framed query with these octets, and waits for the end."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(script(await reader.readexactly(size)))
        await reader.read()

    return handle


class Stream:
    """One HTTP/2 request, and the way to answer it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.headers: dict[str, str] = {}
        self.query = b""
        self.ident = 0

    async def receive(self) -> None:
        self.http.initiate_connection()
        is_whole = False
        while not is_whole:
            for event in await self._events():
                if isinstance(event, h2.events.RequestReceived):
                    self.ident = event.stream_id or 0
                    self.headers = {_text(name): _text(value) for name, value in event.headers or ()}
                elif isinstance(event, h2.events.DataReceived):
                    self.query += event.data or b""
                is_whole = is_whole or isinstance(event, h2.events.StreamEnded)

    async def _events(self) -> list[h2.events.Event]:
        self.flush()
        octets = await self._reader.read(65536)
        if not octets:
            raise ConnectionResetError
        return self.http.receive_data(octets)

    def flush(self) -> None:
        self.writer.write(self.http.data_to_send())

    def head(self, status: int = 200, kind: str = MESSAGE, *, ends: bool = False, **more: str) -> None:
        fields = [(":status", str(status)), *([("content-type", kind)] if kind else []), *more.items()]
        self.http.send_headers(self.ident, fields, end_stream=ends)

    async def body(self, octets: bytes, *, ends: bool = True) -> None:
        """In pieces as the client's windows allow."""
        while octets:
            room = min(self.http.local_flow_control_window(self.ident), 16384)
            if room:
                self.http.send_data(self.ident, octets[:room])
                octets = octets[room:]
            else:
                await self._events()
        if ends:
            self.http.end_stream(self.ident)
        self.flush()


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def doh(respond: Respond) -> Handler:
    """A server that answers one request so, and waits for the end."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Stream(reader, writer)
        await stream.receive()
        await respond(stream)
        stream.flush()
        await reader.read()

    return handle


async def well(stream: Stream) -> None:
    stream.head()
    await stream.body(honest(stream.query))


def honest(query: bytes) -> bytes:
    return real(dns.message.from_wire(query)).to_wire()


def point(endpoint: Endpoint, ca: Path | None, name: str = certificates.NAME) -> Point:
    tls = Tls(name=name, dot=endpoint, doh=endpoint, ca=ca)
    return Point(name="p1", kind="embedded", address=NOWHERE, region="ID", tls=tls)


@asynccontextmanager
async def serving(
    handler: Handler, context: ssl.SSLContext | None, host: str = "127.0.0.1"
) -> AsyncIterator[Endpoint]:
    """The handler behind TLS (or before it, without a context) on a port of loopback."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await handler(reader, writer)
        except (OSError, asyncio.IncompleteReadError, h2.exceptions.H2Error):
            pass  # The prober hung up, as it may.
        finally:
            writer.close()

    listening = await asyncio.start_server(handle, host, 0, ssl=context)
    try:
        yield Endpoint(host, listening.sockets[0].getsockname()[1])
    finally:
        listening.close()
        # What is still handled ends with its connection.
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        if rest:
            await asyncio.wait(rest)


def ask(
    made: Certificates,
    handler: Handler,
    variant: Variant,
    *,
    which: str = "right",
    ca: Path | None = None,
    protocols: tuple[str, ...] = ("h2",),
    host: str = "127.0.0.1",
    timeout: float = 5.0,
) -> Observation:
    """One probe of such a server, whose certificate is the right one if not said."""

    async def main() -> Observation:
        async with serving(handler, made.server(which, *protocols), host) as endpoint:
            return await probe(point(endpoint, ca or made.ca), (NAME, A), variant, timeout=timeout)

    return asyncio.run(main())


WAYS: list[Any] = [pytest.param(DOT, dot(lambda query: framed(honest(query))), id="dot")]
WAYS.append(pytest.param(DOH, doh(well), id="doh"))


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
@pytest.mark.parametrize(("variant", "handler"), WAYS)
def test_an_answer_is_observed_with_its_octets_and_times(
    made: Certificates, variant: Variant, handler: Handler, host: str
) -> None:
    seen = ask(made, handler, variant, host=host)
    assert (seen.outcome, seen.trouble) == (Outcome.ANSWERED, "")
    assert seen.reply is not None
    assert seen.reply.data_of(A)
    assert seen.arrivals[0].octets == honest(seen.query)
    assert (seen.mismatched, seen.malformed, seen.differing) == (0, 0, 0)
    assert seen.latency is not None
    assert 0 <= seen.latency < 5
    assert (seen.point, seen.variant, seen.name, seen.qtype) == ("p1", variant, NAME, A)


@pytest.mark.parametrize("which", certificates.TROUBLES)
@pytest.mark.parametrize(("variant", "handler"), WAYS)
def test_each_wrong_certificate_is_its_own_trouble(
    made: Certificates, variant: Variant, handler: Handler, which: str
) -> None:
    seen = ask(made, handler, variant, which=which)
    assert seen.trouble == certificates.TROUBLES[which]
    assert seen.outcome is (Outcome.UNREACHABLE if seen.trouble else Outcome.ANSWERED)


@pytest.mark.parametrize(("variant", "handler"), WAYS)
def test_the_systems_store_does_not_know_our_ca(
    made: Certificates, variant: Variant, handler: Handler, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def main() -> Observation:
        async with serving(handler, made.server("right", "h2")) as endpoint:
            return await probe(point(endpoint, None), (NAME, A), variant, timeout=5.0)

    assert asyncio.run(main()).trouble == "certificate-untrusted"
    monkeypatch.setenv("SSL_CERT_FILE", str(made.ca))
    os.utime(made.ca)
    assert asyncio.run(main()).outcome is Outcome.ANSWERED


def test_the_query_travels_as_it_is_kept(made: Certificates) -> None:
    got: list[bytes] = []

    def script(query: bytes) -> bytes:
        got.append(query)
        return framed(honest(query))

    async def respond(stream: Stream) -> None:
        got.append(stream.query)
        assert stream.headers[":method"] == "POST"
        assert stream.headers[":path"] == "/dns-query"
        assert stream.headers[":authority"].startswith(f"{certificates.NAME}:")
        assert stream.headers["content-type"] == stream.headers["accept"] == MESSAGE
        await well(stream)

    variant = replace(DOT, do=True, mixed=True)
    assert [ask(made, dot(script), variant).query] == got
    assert [ask(made, doh(respond), replace(variant, transport=Transport.DOH)).query] == got[1:]


def test_a_doh_query_has_the_id_0_and_a_dot_query_one_of_its_own(made: Certificates) -> None:
    assert ask(made, doh(well), DOH).query[:2] == b"\0\0"
    handler = dot(lambda query: framed(honest(query)))
    assert len({ask(made, handler, DOT).query[:2] for _ in range(8)}) > 1


def test_a_ca_file_that_is_renewed_is_read_anew(made: Certificates, tmp_path: Path) -> None:
    handler, ca = dot(lambda query: framed(honest(query))), tmp_path / "ca.pem"
    ca.write_bytes(made.pair("self-signed")[0].read_bytes())
    assert ask(made, handler, DOT, ca=ca).trouble == "certificate-untrusted"
    ca.write_bytes(made.ca.read_bytes())
    os.utime(ca, ns=(1, 1))
    assert ask(made, handler, DOT, ca=ca).outcome is Outcome.ANSWERED


@pytest.mark.parametrize("text", [None, "", "no certificate"])
def test_a_ca_file_that_cannot_be_read_is_no_fault_of_the_point(
    made: Certificates, tmp_path: Path, text: str | None
) -> None:
    ca = tmp_path / "ca.pem"
    if text is not None:
        ca.write_text(text)
    assert ask(made, doh(well), DOH, ca=ca).trouble == "ca-unreadable"


@pytest.mark.parametrize("variant", [DOT, DOH], ids=str)
def test_a_closed_port_is_a_trouble(made: Certificates, variant: Variant) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as holder:
        holder.bind(("127.0.0.1", 0))
        endpoint = Endpoint("127.0.0.1", holder.getsockname()[1])
        seen = asyncio.run(probe(point(endpoint, made.ca), (NAME, A), variant, timeout=5.0))
    assert (seen.outcome, seen.trouble) == (Outcome.UNREACHABLE, "not-connected")


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    writer.write(b"220 mail.example ESMTP\r\n" * 10)
    await reader.read()


async def _closes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)


async def _resets(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(10)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _sleeps(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while await reader.read(4096):
        pass


@pytest.mark.parametrize("handler", [_garbage, _closes, _resets], ids=["garbage", "closes", "resets"])
@pytest.mark.parametrize("variant", [DOT, DOH], ids=str)
def test_what_speaks_no_tls_is_a_trouble(made: Certificates, variant: Variant, handler: Handler) -> None:
    async def main() -> Observation:
        async with serving(handler, None) as endpoint:
            return await probe(point(endpoint, made.ca), (NAME, A), variant, timeout=5.0)

    seen = asyncio.run(main())
    assert (seen.outcome, seen.trouble) == (Outcome.UNREACHABLE, "tls-failed")


@pytest.mark.parametrize("is_inside", [False, True], ids=["before tls", "after tls"])
@pytest.mark.parametrize("variant", [DOT, DOH], ids=str)
def test_a_point_that_takes_its_time_is_silent(
    made: Certificates, variant: Variant, *, is_inside: bool
) -> None:
    async def main() -> Observation:
        async with serving(_sleeps, made.server("right", "h2") if is_inside else None) as endpoint:
            return await probe(point(endpoint, made.ca), (NAME, A), variant, timeout=0.2)

    seen = asyncio.run(main())
    assert (seen.outcome, seen.trouble) == (Outcome.SILENT, "")


def test_tls_before_1_2_is_refused(made: Certificates) -> None:
    context = made.server("right")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")

    async def main() -> Observation:
        async with serving(_sleeps, context) as endpoint:
            return await probe(point(endpoint, made.ca), (NAME, A), DOT, timeout=5.0)

    assert asyncio.run(main()).trouble == "tls-failed"


def test_a_point_that_wants_a_certificate_of_ours_is_a_trouble(made: Certificates) -> None:
    context = made.server("right")
    context.verify_mode = ssl.CERT_REQUIRED

    async def refuses(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # By hand, for asyncio's own server does not send the alert.
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        inside = context.wrap_bio(incoming, outgoing, server_side=True)
        is_refused = False
        while not is_refused:
            incoming.write(await reader.read(65536))
            try:
                inside.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
            except ssl.SSLError:
                is_refused = True
        writer.write(outgoing.read())
        await reader.read()

    async def main() -> Observation:
        async with serving(refuses, None) as endpoint:
            return await probe(point(endpoint, made.ca), (NAME, A), DOT, timeout=5.0)

    assert asyncio.run(main()).trouble == "tls-failed"


@pytest.mark.parametrize(
    "script",
    [lambda query: b"\0", lambda query: framed(honest(query))[:-5], lambda query: b"\xff\xffabc"],
    ids=["within the length", "within the answer", "long before the end"],
)
def test_a_dot_answer_cut_off_by_a_close_is_unreachable(
    made: Certificates, script: Callable[[bytes], bytes]
) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        size = int.from_bytes(await reader.readexactly(2), "big")
        writer.write(script(await reader.readexactly(size)))

    seen = ask(made, handler, DOT)
    assert (seen.outcome, seen.trouble, seen.arrivals) == (Outcome.UNREACHABLE, "", ())


def test_dot_answers_to_something_else_are_counted_and_the_right_one_is_taken(made: Certificates) -> None:
    def script(query: bytes) -> bytes:
        right = honest(query)
        return framed(bytes([right[0] ^ 1]) + right[1:], right.replace(b"\x04shop", b"\x04ship"), b"", right)

    seen = ask(made, dot(script), DOT)
    assert seen.outcome is Outcome.ANSWERED
    assert (seen.mismatched, seen.malformed) == (2, 1)


def test_a_flood_of_noise_over_tls_is_bounded(made: Certificates) -> None:
    seen = ask(made, dot(lambda _: framed(*[b"noise"] * 500)), DOT)
    assert seen.reply is None
    assert 0 < seen.malformed < 500


def test_a_block_with_its_reason_is_read_over_https(made: Certificates) -> None:
    async def respond(stream: Stream) -> None:
        stream.head(kind="Application/DNS-Message; charset=utf-8")
        await stream.body(answer(dns.message.from_wire(stream.query), rcode=3, ede=(16,)).to_wire())

    seen = ask(made, doh(respond), DOH)
    assert seen.reply is not None
    assert seen.reply.rcode == 3
    assert seen.reply.is_attributed


def test_the_largest_message_is_read_over_https_from_small_pieces(made: Certificates) -> None:
    async def respond(stream: Stream) -> None:
        stream.head()
        whole = honest(stream.query) + bytes(65535)
        await stream.body(whole[:10], ends=False)
        await stream.body(whole[10:65535])

    assert ask(made, doh(respond), DOH).outcome is Outcome.ANSWERED


def _status(status: int) -> Respond:
    async def respond(stream: Stream) -> None:
        stream.head(status, location="https://elsewhere.example/")
        await stream.body(honest(stream.query))

    return respond


def _kind(kind: str) -> Respond:
    async def respond(stream: Stream) -> None:
        stream.head(kind=kind)
        await stream.body(honest(stream.query))

    return respond


def _says(octets: Callable[[bytes], bytes]) -> Respond:
    async def respond(stream: Stream) -> None:
        stream.head()
        await stream.body(octets(stream.query))

    return respond


async def _no_body(stream: Stream) -> None:
    stream.head(ends=True)


async def _endless(stream: Stream) -> None:
    stream.head()
    await stream.body(bytes(10_000_000))


async def _breaks(stream: Stream) -> None:
    stream.flush()
    stream.writer.write(b"\0\0\1\x09\0\0\0\0\0!" * 3)


async def _pings(stream: Stream) -> None:
    for _ in range(20_000):
        stream.http.ping(b"12345678")
    stream.flush()


async def _bad_text(stream: Stream) -> None:
    stream.http.config.header_encoding = None
    stream.http.send_headers(stream.ident, [(b":status", b"200"), (b"content-type", b"\xff\xfe")])
    await stream.body(b"abc")


async def _compressed_nonsense(stream: Stream) -> None:
    stream.flush()
    stream.writer.write(b"\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff")


@pytest.mark.parametrize(
    ("respond", "trouble"),
    [
        pytest.param(_status(302), "http-status", id="a redirect"),
        pytest.param(_status(404), "http-status", id="not found"),
        pytest.param(_status(500), "http-status", id="a failure"),
        pytest.param(_kind("text/html"), "not-dns-message", id="a page"),
        pytest.param(_kind("application/dns-json"), "not-dns-message", id="another form"),
        pytest.param(_kind(""), "not-dns-message", id="no type"),
        pytest.param(_bad_text, "not-dns-message", id="a type that is no text"),
        pytest.param(_no_body, "not-dns-message", id="nothing"),
        pytest.param(_says(lambda _: b"noise"), "not-dns-message", id="noise"),
        pytest.param(_says(lambda query: honest(query)[:-3]), "not-dns-message", id="a part"),
        pytest.param(
            _says(lambda query: honest(query).replace(b"\x04shop", b"\x04ship")),
            "not-dns-message",
            id="another's answer",
        ),
        pytest.param(_says(lambda query: honest(query) + bytes(65535)), "not-dns-message", id="too much"),
        pytest.param(_endless, "not-dns-message", id="far too much"),
        pytest.param(_breaks, "http-failed", id="broken frames"),
        pytest.param(_compressed_nonsense, "http-failed", id="broken headers"),
        pytest.param(_pings, "http-failed", id="a flood of pings"),
    ],
)
def test_what_is_no_answer_over_https_is_told(made: Certificates, respond: Respond, trouble: str) -> None:
    seen = ask(made, doh(respond), DOH)
    assert (seen.outcome, seen.trouble, seen.reply) == (Outcome.UNREACHABLE, trouble, None)


async def _stops(stream: Stream) -> None:
    stream.head()
    await stream.body(honest(stream.query)[:20], ends=False)
    stream.writer.close()


async def _resets_the_stream(stream: Stream) -> None:
    stream.http.reset_stream(stream.ident)


async def _goes_away(stream: Stream) -> None:
    stream.http.close_connection()


@pytest.mark.parametrize("respond", [_stops, _resets_the_stream, _goes_away])
def test_an_https_answer_that_is_never_finished_is_unreachable(made: Certificates, respond: Respond) -> None:
    seen = ask(made, doh(respond), DOH)
    assert (seen.outcome, seen.trouble, seen.reply) == (Outcome.UNREACHABLE, "", None)


@pytest.mark.parametrize("protocols", [(), ("http/1.1",)], ids=["none", "http/1.1"])
def test_a_server_that_does_not_choose_http_2_is_not_asked(
    made: Certificates, protocols: tuple[str, ...]
) -> None:
    seen = ask(made, _sleeps, DOH, protocols=protocols)
    assert (seen.outcome, seen.trouble) == (Outcome.UNREACHABLE, "http-failed")


def test_a_server_that_never_says_goodbye_does_not_keep_us(made: Certificates) -> None:
    context = made.server("right")

    async def main() -> Observation:
        ended = asyncio.Event()

        async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            size = int.from_bytes(await reader.readexactly(2), "big")
            writer.write(framed(honest(await reader.readexactly(size))))
            await writer.drain()
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # Streams' transports can
            await ended.wait()
            writer.transport.abort()

        async with serving(handler, context) as endpoint:
            try:
                return await probe(point(endpoint, made.ca), (NAME, A), DOT, timeout=60.0)
            finally:
                ended.set()

    assert asyncio.run(main()).outcome is Outcome.ANSWERED


def test_a_server_is_told_goodbye(made: Certificates) -> None:
    context = made.server("right")

    def serve(listening: socket.socket) -> bytes:
        # Blocking, for asyncio's own server does not tell an end from a good one.
        taken, _ = listening.accept()
        taken.settimeout(10)
        with context.wrap_socket(taken, server_side=True, suppress_ragged_eofs=False) as inside:
            query = inside.recv(4096)
            inside.sendall(framed(honest(query[2:])))
            return inside.recv(4096)

    async def main() -> tuple[Observation, bytes]:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            listening.settimeout(10)
            served = asyncio.ensure_future(asyncio.to_thread(serve, listening))
            endpoint = Endpoint("127.0.0.1", listening.getsockname()[1])
            seen = await probe(point(endpoint, made.ca), (NAME, A), DOT, timeout=5.0)
            return seen, await served

    seen, last = asyncio.run(main())
    assert seen.outcome is Outcome.ANSWERED
    assert last == b""


PLAIN_ONLY = Point(name="p1", kind="embedded", address=NOWHERE, region="ID")
DOT_ONLY = replace(PLAIN_ONLY, tls=Tls(name="r.example", dot=NOWHERE))


@pytest.mark.parametrize(
    ("asked", "variant"),
    [(PLAIN_ONLY, DOT), (PLAIN_ONLY, DOH), (DOT_ONLY, DOH), (DOT_ONLY, replace(DOT, place=1))],
    ids=["no tls", "no tls at all", "no doh", "no second address"],
)
def test_asking_in_a_way_that_the_point_has_not_is_the_callers_fault(asked: Point, variant: Variant) -> None:
    with pytest.raises(ValueError, match="point p1 has no way for"):
        asyncio.run(probe(asked, (NAME, A), variant))


def test_every_trouble_that_the_way_may_meet_has_its_sentence() -> None:
    assert set(encrypted._CERTIFICATES.values()) | {"certificate-refused"} == {
        trouble for trouble in TROUBLES if trouble.startswith("certificate-")
    }
