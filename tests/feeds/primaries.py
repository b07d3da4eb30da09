"""A primary of our own, honest but where a test tells it what to answer: versions of a zone, signed."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
import dns.tsigkeyring

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

ZONE = "id.rpz"
KEY = 'key "blocker" {\n\talgorithm hmac-sha256;\n\tsecret "MDEyMzQ1Njc4OWFiY2RlZg==";\n};\n'
KEYRING = dns.tsigkeyring.from_text({"blocker": "MDEyMzQ1Njc4OWFiY2RlZg=="})


def soa(serial: int) -> str:
    return f"{ZONE}. 30 IN SOA localhost. nobody.invalid. {serial} 30 5 2592000 30"


def block(name: str) -> str:
    return f"{name}.{ZONE}. 30 IN CNAME ."


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def is_whole(said: bytes) -> bool:
    """Whether it is messages with their lengths, one at least."""
    at = 0
    while at + 2 <= len(said):
        at += 2 + int.from_bytes(said[at : at + 2], "big")
    return at == len(said) > 0


def parsed(records: Iterable[str]) -> list[dns.rrset.RRset]:
    return [dns.rrset.from_text(*record.split(" ", 4)) for record in records]  # type: ignore[arg-type]  # of strings, all of them


def signed(query: dns.message.Message, messages: Iterable[Sequence[str]]) -> list[bytes]:
    """Messages with these records, each signed in the chain of RFC 8945 §5.3.1, framed."""
    frames, context = [], None
    for records in messages:
        made = dns.message.make_response(query)
        made.answer = parsed(records)
        frames.append(framed(made.to_wire(multi=True, tsig_ctx=context)))
        context = made.tsig_ctx
    return frames


def partly_signed(query: dns.message.Message, messages: Sequence[Sequence[str]], every: int) -> list[bytes]:
    """Messages with these records, of which the first, each `every`th and the last are signed, framed."""
    frames, context = [], None
    for number, records in enumerate(messages):
        made = dns.message.make_response(query)
        made.answer = parsed(records)
        if context is None or number % every == 0 or number == len(messages) - 1:
            frames.append(framed(made.to_wire(multi=True, tsig_ctx=context)))
            context = made.tsig_ctx
        else:
            made.tsig = None
            frames.append(framed(wire := made.to_wire()))
            context.update(wire)
    return frames


def refusing(rcode: dns.rcode.Rcode) -> Callable[[dns.message.Message], bytes]:
    """An answer with this rcode, signed."""

    def answer(query: dns.message.Message) -> bytes:
        made = dns.message.make_response(query)
        made.set_rcode(rcode)
        return framed(made.to_wire())

    return answer


class Primary:
    """`names` are those of the version `serial`; `incremental` is its answer to IXFR, none by default.

    Answers are octets: one that isn't whole messages is the last on its connection. `asked` are the query
    types so far, `held` the serials that differences were to begin with.
    """

    def __init__(self) -> None:
        self.serial = 7
        self.names: tuple[str, ...] = ()
        self.apex = (f"{ZONE}. 30 IN NS localhost.",)
        self.incremental: Callable[[dns.message.Message], bytes] = refusing(dns.rcode.NOTIMP)
        self.whole: Callable[[dns.message.Message], bytes] = self._whole
        self.asked: list[str] = []
        self.held: list[int] = []
        self.closes = False  # after a transfer
        self.port = 0

    def _whole(self, query: dns.message.Message) -> bytes:
        head = soa(self.serial)
        return b"".join(signed(query, [[head, *self.apex, *map(block, self.names), head]]))

    def answer(self, wire: bytes) -> bytes:
        query = dns.message.from_wire(wire, keyring=KEYRING)
        assert query.had_tsig
        asked = dns.rdatatype.to_text(query.question[0].rdtype)
        self.asked.append(asked)
        if asked == "SOA":
            return b"".join(signed(query, [[soa(self.serial)]]))
        if asked == "IXFR":
            self.held.append(query.authority[0][0].serial)
            return self.incremental(query)
        return self.whole(query)

    def serve(self, client: socket.socket) -> None:
        with client, suppress(OSError, struct.error):
            while True:
                (length,) = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))
                said = self.answer(client.recv(length, socket.MSG_WAITALL))
                client.sendall(said)
                if not is_whole(said) or (self.closes and self.asked[-1] != "SOA"):
                    return


@contextmanager
def primary() -> Iterator[Primary]:
    """One that listens on loopback."""
    found = Primary()
    with socket.create_server(("127.0.0.1", 0)) as listening:
        found.port = listening.getsockname()[1]
        threads: list[threading.Thread] = []

        def accept() -> None:
            with suppress(OSError):
                while True:
                    thread = threading.Thread(target=found.serve, args=(listening.accept()[0],))
                    thread.start()
                    threads.append(thread)

        accepting = threading.Thread(target=accept)
        accepting.start()
        yield found
        listening.shutdown(socket.SHUT_RDWR)
    accepting.join()
    for thread in threads:
        thread.join()
