"""A feed's document, from a file or over HTTPS. A shell.

Nothing is trusted: TLS is verified by the system's authorities (or SSL_CERT_FILE's), redirects stay on https,
octets, time and redirects are bounded, and a body shorter than its Content-Length is refused. A document that
hasn't changed is not sent again (RFC 9110 §13). What goes wrong is one sentence.
"""

from __future__ import annotations

import http.client
import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from blocker import __version__, bounded
from blocker.errors import OrdersInvalid, PointError, Problem
from blocker.feeds.mint import Source
from blocker.orders.files import MAX_LIST_OCTETS

if TYPE_CHECKING:
    from http.client import HTTPMessage
    from pathlib import Path
    from typing import IO

TIMEOUT = 30.0
"""Seconds without an octet."""

DEADLINE = 900.0
"""Seconds that the whole document may take, with its head and all redirects."""

MAX_REDIRECTS = 3

_PIECE = 1 << 16
_WORDS = bounded.Words(
    unreadable="file-unreadable",
    irregular="file-not-regular",
    large="feed-too-large",
    too_large="the document is larger than 512 MiB; no order can hold such a list.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Validators:
    """What a server said of a document, to be asked with the next time."""

    etag: str = ""
    modified: str = ""


def from_file(path: Path, at: int) -> Source:
    """The document in a file. Raises OrdersInvalid."""
    place = bounded.printable(path)
    try:
        octets = bounded.octets(path.resolve(), MAX_LIST_OCTETS, _WORDS)
    except bounded.Refused as refused:
        raise OrdersInvalid([Problem(id=refused.id, path=place, message=str(refused))]) from refused
    return Source(octets=octets, place=place, at=at)


def from_url(url: str, at: int, known: Validators) -> tuple[Source | None, Validators]:
    """The document at an https URL, None if it is the one already `known`, and what to ask with next.

    Raises PointError, and OrdersInvalid for a document that is cut off or too large.
    """
    request = urllib.request.Request(  # noqa: S310 - https alone, as feeds.yaml allows
        url, headers={"User-Agent": f"blocker/{__version__}", "Accept-Encoding": "identity"}
    )
    if known.etag:
        request.add_header("If-None-Match", known.etag)
    if known.modified:
        request.add_header("If-Modified-Since", known.modified)
    try:
        with _opener(time.monotonic() + DEADLINE).open(request, timeout=TIMEOUT) as answer:
            if answer.status != http.HTTPStatus.OK:  # Accepted, altered by a proxy, or a part of it.
                raise PointError(f"{url}: the server answers {answer.status} {answer.reason}"[:300])
            octets = _body(answer, url)
            validators = Validators(
                etag=_field(answer.headers, "ETag"), modified=_field(answer.headers, "Last-Modified")
            )
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.NOT_MODIFIED:
            return None, known
        raise PointError(f"{url}: the server answers {error.code} {error.reason}"[:300]) from error
    except urllib.error.URLError as error:
        raise PointError(f"{url}: it can't be reached: {error.reason}"[:300]) from error
    except (OSError, http.client.HTTPException) as error:
        raise PointError(f"{url}: it can't be read: {error or type(error).__name__}"[:300]) from error
    except ValueError as error:  # What urllib says of an address that is none, its own or a redirect's.
        raise PointError(f"{url}: it, or what it redirects to, is not an address: {error}"[:300]) from error
    return Source(octets=octets, place=url, at=at), validators


def _opener(deadline: float) -> urllib.request.OpenerDirector:
    """What speaks https, and through the environment's proxy if it has one, and nothing else."""
    context = ssl.create_default_context()
    context.sslsocket_class = type("_Timely", (_Timely,), {"deadline": deadline})
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPDefaultErrorHandler(),
        urllib.request.HTTPErrorProcessor(),
        urllib.request.UnknownHandler(),
        _Redirects(),
    ):
        opener.add_handler(handler)
    return opener


class _Timely(ssl.SSLSocket):
    """A connection from which nothing is read after the deadline, however slowly it comes."""

    deadline: float

    def recv_into(self, *arguments: Any, **words: Any) -> int:
        left = self.deadline - time.monotonic()
        try:
            if left > 0:
                self.settimeout(min(TIMEOUT, left))
                return super().recv_into(*arguments, **words)
        except TimeoutError:
            if left > TIMEOUT:
                raise
        raise TimeoutError(f"it takes longer than {DEADLINE:.0f} s")


class _Redirects(urllib.request.HTTPRedirectHandler):
    max_redirections = max_repeats = MAX_REDIRECTS

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> Any:
        fp.close()  # Nobody needs its body, which may have no end.
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        if urlsplit(newurl).scheme != "https":
            raise urllib.error.URLError("it redirects to something else than https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _body(answer: http.client.HTTPResponse, url: str) -> bytes:
    said = _field(answer.headers, "Content-Length")
    held = bytearray()
    while piece := answer.read(_PIECE):
        held += piece
        if len(held) > MAX_LIST_OCTETS:
            raise _damaged("feed-too-large", url, "the document is larger than 512 MiB.")
    if said.isdigit() and len(held) != int(said):
        raise _damaged(
            "feed-cut-off", url, f"{len(held):,} octets came of {int(said):,}; it is fetched anew next time."
        )
    return bytes(held)


def _damaged(id_: str, url: str, message: str) -> OrdersInvalid:
    return OrdersInvalid([Problem(id=id_, path=url, message=message)])


def _field(headers: HTTPMessage, name: str) -> str:
    """A field of the answer, if it is one that can be sent back as it is."""
    value = str(headers.get(name, ""))
    return value if len(value) <= 200 and value.isascii() and value.isprintable() else ""
