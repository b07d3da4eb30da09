"""The way to a point over TLS (RFC 7858) and HTTPS (RFC 8484), and what was wrong with it.

Shell. TLS is the standard library's, HTTP/2 that of h2, which has no sockets either: the query's own octets
travel, and a certificate's fault arrives here as OpenSSL said it. What a client would refuse is refused here:
TLS before 1.2, a name that stands in no subjectAltName (RFC 9525 §2), a redirect. Sessions are not resumed:
every probe sees the certificate. What a point sends is bounded, and raises nothing but Trouble, OSError and
IncompleteReadError.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import time
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from blocker.prober.transports import Catch
    from blocker.site import Endpoint, Tls

_MESSAGE = "application/dns-message"  # RFC 8484 §6
_MOST_OCTETS = 65535
_MOST_READ = 4 * _MOST_OCTETS  # of HTTP/2 for one answer, whatever the frames
_STREAM = 1  # the first of a client (RFC 9113 §5.1.1), and our only one

# X509_verify_cert_error_string(3). All others are `certificate-refused`.
_CERTIFICATES = {
    **dict.fromkeys((62, 64), "certificate-wrong-name"),  # a host name's, an IP address's mismatch
    10: "certificate-expired",
    **dict.fromkeys((2, 18, 19, 20, 21, 27), "certificate-untrusted"),  # no way from it to one of our CAs
}


class Trouble(Exception):
    """Why no answer could be had by this way; its text is one of observe.TROUBLES."""


@contextlib.asynccontextmanager
async def connected(
    tls: Tls, address: Endpoint, source: tuple[str, int] | None, *, protocol: str = ""
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a point whose certificate is right. `protocol` is what to speak in it (ALPN)."""
    context = _context(tls.ca, protocol)
    sock = await _socket(address, source)
    try:
        reader, writer = await asyncio.open_connection(sock=sock, ssl=context, server_hostname=tls.name)
    except ssl.SSLCertVerificationError as error:
        raise Trouble(_CERTIFICATES.get(error.verify_code, "certificate-refused")) from error
    except (ssl.SSLError, ConnectionError) as error:
        raise Trouble("tls-failed") from error
    try:
        yield reader, writer
    except ssl.SSLError as error:
        # With TLS 1.3 the point's own refusal comes after our side of the handshake.
        raise Trouble("tls-failed") from error
    finally:
        writer.close()
        # We have said goodbye, so that the point logs no fault, and wait for no answer (RFC 8446 §6.1).
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def post(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tls: Tls, port: int, catch: Catch
) -> None:
    """Ask in one HTTP/2 request (RFC 8484 §4.1) and take what comes back."""
    if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
        raise Trouble("http-failed")
    connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding=None))
    # Nothing is pushed to us.
    codes = h2.settings.SettingCodes
    connection.local_settings = h2.settings.Settings(
        client=True, initial_values={codes.ENABLE_PUSH: 0, codes.MAX_HEADER_LIST_SIZE: 16384}
    )
    connection.initiate_connection()
    headers = [
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", tls.name if port == 443 else f"{tls.name}:{port}"),
        (":path", tls.path),
        ("accept", _MESSAGE),
        ("content-type", _MESSAGE),
        ("content-length", str(len(catch.question))),
    ]
    connection.send_headers(_STREAM, headers)
    connection.send_data(_STREAM, catch.question, end_stream=True)
    catch.sent = time.time()
    try:
        body = await _body(reader, writer, connection)
    except h2.exceptions.H2Error as error:
        raise Trouble("http-failed") from error
    catch.take(body)
    if catch.reply is None:
        raise Trouble("not-dns-message")


async def _body(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, connection: h2.connection.H2Connection
) -> bytes:
    body, read = bytearray(), 0
    while True:
        writer.write(connection.data_to_send())
        octets = await reader.read(_MOST_OCTETS)
        read += len(octets)
        if not octets:
            raise ConnectionResetError("closed before the end of the answer")
        if read > _MOST_READ:
            raise Trouble("http-failed")
        for event in connection.receive_data(octets):
            if isinstance(event, h2.events.ResponseReceived):
                _check(event.headers or ())
            elif isinstance(event, h2.events.DataReceived):
                body += event.data or b""
                if len(body) > _MOST_OCTETS:
                    raise Trouble("not-dns-message")
                connection.acknowledge_received_data(event.flow_controlled_length or 0, _STREAM)
            elif isinstance(event, h2.events.StreamEnded):
                return bytes(body)
            elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise ConnectionResetError("ended before the end of the answer")


def _check(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Whether DNS was spoken: any 2xx holds an answer, whatever its rcode, and nothing else does
    (RFC 8484 §4.2.1).
    """
    fields = dict(headers)
    if not fields.get(b":status", b"").startswith(b"2"):
        raise Trouble("http-status")
    kind, _, _ = fields.get(b"content-type", b"").partition(b";")
    if kind.strip().lower() != _MESSAGE.encode():
        raise Trouble("not-dns-message")


async def _socket(address: Endpoint, source: tuple[str, int] | None) -> socket.socket:
    """A connected socket; TLS comes after, so that its failures are told from those of the way to it."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    # Named, for asyncio sends small packets at once on what says that it is TCP.
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK, socket.IPPROTO_TCP)
    try:
        if source is not None:
            sock.bind(source)
        await asyncio.get_running_loop().sock_connect(sock, (address.host, address.port))
    except ConnectionError as error:
        sock.close()
        raise Trouble("not-connected") from error
    except BaseException:
        sock.close()
        raise
    return sock


def _context(ca: Path | None, protocol: str) -> ssl.SSLContext:
    """What we trust, read anew when the file has changed: a prober lives longer than a CA's certificate."""
    given = ca or ssl.get_default_verify_paths().cafile
    path = Path(given) if given else None
    try:
        return _read(ca, path.stat().st_mtime_ns if path else 0, protocol)
    except OSError as error:
        raise Trouble("ca-unreadable") from error


@lru_cache(maxsize=64)
def _read(ca: Path | None, stamp: int, protocol: str) -> ssl.SSLContext:  # noqa: ARG001  # part of the key
    context = ssl.create_default_context(cafile=ca)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9325 §3.1.1
    context.hostname_checks_common_name = False
    if protocol:
        context.set_alpn_protocols([protocol])
    return context
