"""What is said of a primary that is none; what a real one does is in tests/servers/test_bind.py."""

from __future__ import annotations

import socket
import struct
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import dns.message
import dns.rcode
import dns.rrset
import dns.tsigkeyring
import pytest

from blocker.errors import PointError
from blocker.rpz import exchange
from blocker.rpz.exchange import Session
from blocker.rpz.keyfile import SigningKey
from blocker.site import Endpoint
from tests.policy.strategies import key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = SigningKey(name="blocker", algorithm="hmac-sha256", secret=b"0123456789abcdef")
KEYRING = dns.tsigkeyring.from_text({"blocker": "MDEyMzQ1Njc4OWFiY2RlZg=="})
SOA = "localhost. nobody.invalid. 7 30 5 2592000 30"


@contextmanager
def primary(answers: list[Callable[[bytes], bytes]]) -> Iterator[Session]:
    """A session with a server that answers each message as told, then closes."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with listening.accept()[0] as client:
                for answer in answers:
                    (length,) = struct.unpack("!H", client.recv(2, socket.MSG_WAITALL))
                    client.sendall(answer(client.recv(length, socket.MSG_WAITALL)))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            with Session(Endpoint(*listening.getsockname()), "id.rpz", KEY) as session:
                yield session
        finally:
            thread.join()


def framed(wire: bytes) -> bytes:
    return struct.pack("!H", len(wire)) + wire


def answering(*records: str, rcode: dns.rcode.Rcode = dns.rcode.NOERROR) -> Callable[[bytes], bytes]:
    """A signed answer."""

    def answer(wire: bytes) -> bytes:
        query = dns.message.from_wire(wire, keyring=KEYRING)
        made = dns.message.make_response(query)
        made.set_rcode(rcode)
        made.answer = [dns.rrset.from_text(*record.split(" ", 4)) for record in records]  # type: ignore[arg-type]  # of strings, all of them
        return framed(made.to_wire())

    return answer


def unsigned(wire: bytes) -> bytes:
    query = dns.message.from_wire(wire, keyring=KEYRING)
    plain = dns.message.make_query(query.question[0].name, "SOA", id=query.id)
    return framed(dns.message.make_response(plain).to_wire())


def otherwise_signed(wire: bytes) -> bytes:
    answer = bytearray(answering(f"id.rpz. 30 IN SOA {SOA}")(wire))
    answer[-10] ^= 1
    return bytes(answer)


def test_the_zone_s_soa_is_read_with_its_serial() -> None:
    with primary([answering(f"id.rpz. 30 IN SOA {SOA}")]) as session:
        data, serial, ttl = session.soa()
    assert (serial, ttl) == (7, 30)
    assert data.endswith(struct.pack("!5I", 7, 30, 5, 2592000, 30))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (answering(), "no such zone"),
        (answering(f"other. 30 IN SOA {SOA}"), "no such zone"),
        (answering(rcode=dns.rcode.NOTAUTH), "not the primary of this zone"),
        (answering(rcode=dns.rcode.REFUSED), "it refuses; let the key"),
        (answering(rcode=dns.rcode.SERVFAIL), "its log says why"),
        (answering(rcode=dns.rcode.NXRRSET), "somebody else changed the zone"),
        (answering(rcode=dns.rcode.YXDOMAIN), "it answers YXDOMAIN"),
        (unsigned, "can't be trusted"),
        (otherwise_signed, "can't be trusted"),
        (lambda _: framed(b"rubbish"), "can't be trusted or read"),
        (lambda _: b"", "closed the connection midway"),
        (lambda _: b"\xff", "closed the connection midway"),
        (lambda _: b"\x02\x00half", "closed the connection midway"),
    ],
)
def test_what_goes_wrong_is_said_with_the_zone_the_primary_and_the_cause(
    answer: Callable[[bytes], bytes], why: str
) -> None:
    with primary([answer]) as session, pytest.raises(PointError, match=why) as failed:
        session.soa()
    assert str(failed.value).startswith("id.rpz at 127.0.0.1:")


def test_a_primary_that_does_not_listen_is_said_to_be_so() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        endpoint = Endpoint(*taken.getsockname())
    with (
        Session(endpoint, "id.rpz", KEY) as session,
        pytest.raises(PointError, match="nothing listens there"),
    ):
        session.soa()


def test_a_primary_that_says_nothing_is_not_waited_for_longer_than_a_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(exchange, "ANSWER", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        endpoint = Endpoint(*listening.getsockname())
        with Session(endpoint, "id.rpz", KEY) as session, pytest.raises(PointError, match="did not answer"):
            session.soa()


def test_a_transfer_that_comes_too_slowly_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "TRANSFER", -1.0)
    start = answering(f"id.rpz. 30 IN SOA {SOA}", "a.example.id.rpz. 30 IN CNAME .")
    with primary([start]) as session, pytest.raises(PointError, match="takes longer"):
        list(session.transfer(7))


def test_a_transfer_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_MOST_MESSAGES", 1)
    start = answering(f"id.rpz. 30 IN SOA {SOA}", "a.example.id.rpz. 30 IN CNAME .")
    with primary([start]) as session, pytest.raises(PointError, match="does not end"):
        list(session.transfer(7))


def unsigned_transfer(wire: bytes) -> bytes:
    signed = dns.message.from_wire(wire, keyring=KEYRING)
    plain = dns.message.make_query("id.rpz.", "AXFR", id=signed.id)
    return framed(dns.message.make_response(plain).to_wire())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (unsigned_transfer, "can't be trusted"),
        (otherwise_signed, "can't be trusted"),
        (answering(rcode=dns.rcode.REFUSED), "it refuses"),
        (answering(f"gb.rpz. 30 IN SOA {SOA}"), "records of another zone"),
        (lambda _: framed(b"rubbish"), "can't be read: it ends midway"),
        (answering(f"id.rpz. 30 IN SOA {SOA}"), "closed the connection midway"),
        (answering(f"id.rpz. 30 IN SOA {SOA.replace('7', '8')}"), "it changed while it was transferred"),
    ],
)
def test_a_transfer_that_is_not_whole_and_signed_is_no_transfer(
    answer: Callable[[bytes], bytes], why: str
) -> None:
    with primary([answer]) as session, pytest.raises(PointError, match=why):
        list(session.transfer(7))


def test_a_transfer_gives_every_record_between_its_two_heads() -> None:
    soa = f"id.rpz. 30 IN SOA {SOA}"
    whole = (soa, "id.rpz. 30 IN NS localhost.", "a.example.id.rpz. 30 IN CNAME .", soa)
    with primary([answering(*whole)]) as session:
        found = [(record.owner, record.rule) for record in session.transfer(7)]
    assert found == [(key("a.example"), ".")]
