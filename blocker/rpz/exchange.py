"""Talking with a primary: one TCP connection, everything signed (RFC 8945), both ways.

A shell. An answer that isn't signed with our key is no answer. Nothing waits longer than its timeout, nothing
grows with what the primary says: a transfer is read record by record. What goes wrong is said in a sentence
that names the zone, the cause and the way out.
"""

from __future__ import annotations

import errno
import secrets
import socket
import struct
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Self

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.rdtypes.ANY.TSIG
import dns.rrset
import dns.tsig

from blocker import names
from blocker.errors import PointError
from blocker.rpz.increment import Increment
from blocker.rpz.transfer import SOA, Malformed, Message

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from blocker.rpz.increment import Part
    from blocker.rpz.keyfile import SigningKey
    from blocker.rpz.transfer import Record
    from blocker.site import Endpoint

CONNECT, ANSWER = 5.0, 20.0
"""Seconds that a connection and one message may take."""

TRANSFER = 900.0
"""Seconds that a whole transfer may take, however many messages it comes in."""

_LENGTH = struct.Struct("!H")
_MOST_MESSAGES = 1_000_000  # of one transfer
_MOST_UNSIGNED = 99  # in a row, RFC 8945 §5.3.1

_REASONS = {
    dns.rcode.NOTAUTH: "it is not the primary of this zone; add the zone there, as in ops/bind/primary.conf",
    dns.rcode.REFUSED: "it refuses; let the key update and transfer the zone, as in ops/bind/primary.conf",
    dns.rcode.NXRRSET: "somebody else changed the zone meanwhile; it is read anew",
    dns.rcode.SERVFAIL: (
        "it failed; its log says why (a full disk, a folder that it can't write, a zone not loaded)"
    ),
    dns.rcode.NOTIMP: "it takes no updates",
}


class Untrusted(PointError):
    """An answer isn't signed as it must be, so nothing in it is known to be the primary's."""


class Session:
    """A connection to the primary, opened when it is first needed. `zone` is canonical text."""

    def __init__(self, endpoint: Endpoint, zone: str, key: SigningKey) -> None:
        self._endpoint, self._zone = endpoint, zone
        self._origin = dns.name.from_text(zone)
        self._key = dns.tsig.Key(dns.name.from_text(key.name), key.secret, key.algorithm)
        self._signer = names.to_wire(names.to_key(key.name))
        self._socket: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection; whatever is asked next opens another."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def soa(self) -> tuple[bytes, int, int]:
        """The data of the zone's SOA record in wire form, its serial, its TTL. Raises PointError."""
        query = dns.message.make_query(self._origin, dns.rdatatype.SOA)
        query.use_tsig(self._key)
        answer = self._ask(query.to_wire(), query.mac)
        for rrset in answer.answer:
            if rrset.rdtype == dns.rdatatype.SOA and rrset.name == self._origin:
                return rrset[0].to_wire(), rrset[0].serial, rrset.ttl
        raise self._error("it has no such zone; add the zone there, as in ops/bind/primary.conf")

    def update(self, message: bytes) -> None:
        """Send an unsigned update, signed. Raises PointError unless it was done."""
        signed, mac = self._signed(message)
        self._ask(signed, mac)

    def transfer(self, serial: int) -> Iterator[Record]:
        """Every record but SOA and NS of the version `serial` (RFC 5936).

        Raises PointError; what came until then is not whole, or of another version.
        """
        ends = 0
        for message in self._messages(dns.message.make_query(self._origin, dns.rdatatype.AXFR)):
            for record in message.records:
                if record.kind != SOA or record.owner:
                    yield record
                elif record.serial == serial:
                    ends += 1
                else:
                    raise self._error("it changed while it was transferred; it is fetched anew next time")
            if ends >= 2:
                self._end(message)
                return

    def increment(self, held: int, final: int, most: int) -> Iterator[tuple[Part, Record]]:
        """What leads from the version `held` to `final` (RFC 1995), in no more than `most` octets.

        Raises Untrusted, Unusable, and PointError for a primary that has no answer; until it ends, none of it
        counts. After a failure the connection is to be closed.
        """
        query = dns.message.make_query(self._origin, dns.rdatatype.IXFR)
        # §3: the SOA record of the version held. Only its serial is read.
        soa = f". . {held} 0 0 0 0"
        query.authority.append(dns.rrset.from_text(self._origin, 0, "IN", "SOA", soa))
        answer = Increment(held, final, most)
        for message in self._messages(query):
            for record in message.records:
                yield answer.take(record), record
            if answer.is_over:
                self._end(message)
                return

    def _messages(self, query: dns.message.Message) -> Iterator[Message]:
        """The messages of the answer; whoever takes them knows when it ends, and then calls `_end`.

        "A client that receives DNS messages and verifies TSIG MUST accept up to 99 intermediary messages
        without a TSIG and MUST verify that both the first and last message contain a TSIG" (RFC 8945 §5.3.1).
        Such messages are part of what the next signature is over.
        """
        query.use_tsig(self._key)
        self._send(query.to_wire())
        zone, context, unsigned = names.to_key(self._zone), None, 0
        deadline = time.monotonic() + TRANSFER
        for _ in range(_MOST_MESSAGES):
            if time.monotonic() > deadline:
                raise self._error(f"its transfer takes longer than {TRANSFER:.0f} s")
            wire = self._receive()
            try:
                message = Message(wire, zone)
            except Malformed as error:  # Where its signature stands can't be known.
                raise self._untrusted(f"its transfer can't be read: {error}") from error
            if message.signature is None and context is not None and unsigned < _MOST_UNSIGNED:
                unsigned += 1
                context.update(wire)
            else:
                unsigned, context = 0, self._validated(wire, message, query, context)
            if message.rcode != dns.rcode.NOERROR:
                raise self._refused(message.rcode)
            if message.number != query.id:
                raise self._error("its transfer has another message's id")
            yield message
        raise self._error("its transfer does not end")

    def _end(self, message: Message) -> None:
        """Raises Untrusted if the last message of a transfer is not signed: then it may be another's."""
        if message.signature is None:
            raise self._untrusted("its answer can't be trusted or read (its last message is not signed)")

    # Any: dnspython's TSIG has no types.
    def _validated(self, wire: bytes, message: Message, query: dns.message.Message, context: Any) -> Any:
        """The context for the next message's signature (RFC 8945 §5.3.1), this one's being right."""
        with self._trusting():
            signature = message.signature
            if signature is None:
                raise dns.tsig.BadSignature
            data = dns.rdata.from_wire(
                dns.rdataclass.ANY, dns.rdatatype.TSIG, wire, signature.data, signature.octets
            )
            owner = dns.name.from_wire(names.to_wire(signature.owner), 0)[0]
            now = int(time.time())
            validate: Any = dns.tsig.validate
            return validate(wire, self._key, owner, data, now, query.mac, signature.at, context, multi=True)

    def _signed(self, message: bytes) -> tuple[bytes, bytes | None]:
        """The message with a TSIG record at its end (RFC 8945 §4.2), and the record's MAC."""
        key = self._key
        make: Any = dns.rdtypes.ANY.TSIG.TSIG  # It has no types.
        empty = make(
            dns.rdataclass.ANY,
            dns.rdatatype.TSIG,
            key.algorithm,
            0,
            300,
            b"",
            struct.unpack("!H", message[:2])[0],
            0,
            b"",
        )
        sign: Any = dns.tsig.sign  # It has no types.
        tsig, _ = sign(message, key, empty, int(time.time()))
        data = tsig.to_wire()
        record = self._signer + struct.pack("!HHIH", dns.rdatatype.TSIG, dns.rdataclass.ANY, 0, len(data))
        return message[:10] + _LENGTH.pack(1) + message[12:] + record + data, tsig.mac

    def _ask(self, wire: bytes, mac: bytes | None) -> dns.message.Message:
        self._send(wire)
        answer = self._parse(self._receive(), mac)
        if not answer.had_tsig:  # Not every version of dnspython minds.
            raise self._untrusted("its answer is not signed; give both sides the same key file")
        return answer

    def _parse(self, wire: bytes, mac: bytes | None) -> dns.message.Message:
        with self._trusting():
            answer = dns.message.from_wire(wire, keyring=self._key, request_mac=mac or b"")
        if answer.rcode() != dns.rcode.NOERROR:
            raise self._refused(answer.rcode())
        return answer

    @contextmanager
    def _trusting(self) -> Iterator[None]:
        """What is wrong with an answer or its signature becomes a sentence."""
        try:
            yield
        except (dns.tsig.PeerBadSignature, dns.tsig.PeerBadKey) as error:
            raise self._untrusted(
                f"it does not accept the key {self._key.name.to_text(omit_final_dot=True)} "
                f"({'another secret' if isinstance(error, dns.tsig.PeerBadSignature) else 'unknown there'}); "
                "give both sides the same key file"
            ) from error
        except (dns.tsig.PeerBadTime, dns.tsig.BadTime) as error:
            raise self._untrusted(
                "its clock and ours differ by more than five minutes; set them right"
            ) from error
        except dns.exception.DNSException as error:
            raise self._untrusted(
                f"its answer can't be trusted or read ({error or type(error).__name__})"
            ) from error

    def _refused(self, rcode: int) -> PointError:
        text = dns.rcode.to_text(dns.rcode.Rcode(rcode))
        return self._error(_REASONS.get(dns.rcode.Rcode(rcode), f"it answers {text}"))

    def _send(self, wire: bytes) -> None:
        try:
            if self._socket is None:
                self._socket = socket.create_connection(self._endpoint, CONNECT)
                self._socket.settimeout(ANSWER)
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.sendall(_LENGTH.pack(len(wire)) + wire)
        except OSError as error:
            raise self._unreachable(error) from error

    def _receive(self) -> bytes:
        (length,) = _LENGTH.unpack(self._exactly(_LENGTH.size))
        return self._exactly(length)

    def _exactly(self, count: int) -> bytes:
        held = bytearray()
        deadline = time.monotonic() + ANSWER
        while len(held) < count:
            try:
                if self._socket is None or time.monotonic() > deadline:
                    raise TimeoutError
                piece = self._socket.recv(count - len(held))
            except OSError as error:
                raise self._unreachable(error) from error
            if not piece:
                raise self._error("it closed the connection midway; it may have been stopped")
            held += piece
        return bytes(held)

    def _unreachable(self, error: OSError) -> PointError:
        if isinstance(error, TimeoutError):
            return self._error(f"it did not answer within {ANSWER:.0f} s")
        if error.errno == errno.ECONNREFUSED:
            return self._error(
                "nothing listens there (TCP); start it, or mend its address in site.yaml or feeds.yaml"
            )
        return self._error(f"it can't be reached: {error.strerror or error}")

    def _untrusted(self, why: str) -> Untrusted:
        return Untrusted(str(self._error(why)))

    def _error(self, why: str) -> PointError:
        return PointError(f"{self._zone} at {self._endpoint}: {why}")


def new_id() -> int:
    """An id for a message (RFC 5452 §9.2)."""
    return secrets.randbelow(1 << 16)
