"""A point on loopback of its own thread, and who answers in its place: packets made by scapy."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import dns.message
import pytest
from scapy.config import conf
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6
from scapy.packet import Raw
from scapy.supersocket import L3RawSocket

from blocker.site import Endpoint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Script = "Callable[[dns.message.Message], dns.message.Message | list[bytes] | None]"


def may_capture() -> None:
    """Skip where packets can't be captured: tests of it are run by root on CI."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except PermissionError:
        pytest.skip(f"uid {os.getuid()} has no CAP_NET_RAW: run the tests as root")


def forged(
    octets: bytes, point: Endpoint, client: Endpoint, *, ttl: int = 44, checksum: int | None = None
) -> None:
    """Send an answer in the point's name, from somewhere else on the path."""
    udp = UDP(sport=point.port, dport=client.port, chksum=checksum) / Raw(octets)
    if ":" in point.host:
        packet = IPv6(src=point.host, dst=client.host, hlim=ttl) / udp
        with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW) as sock:
            sock.sendto(bytes(packet), (client.host, 0))
        return
    conf.route.resync()
    sender = L3RawSocket(iface=conf.loopback_name)
    try:
        sender.send(IP(src=point.host, dst=client.host, ttl=ttl) / udp)
    finally:
        sender.close()


@contextmanager
def answering(
    script: Any,
    *,
    host: str = "127.0.0.1",
    before: Callable[[dns.message.Message, Endpoint, Endpoint], None] | None = None,
) -> Iterator[Endpoint]:
    """A point over UDP whose answers the script makes. `before` each it is called with the query, the point
    and the client."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(0.05)
        point = Endpoint(host, sock.getsockname()[1])
        stop = threading.Event()

        def serve() -> None:
            while not stop.is_set():
                try:
                    wire, client = sock.recvfrom(65535)
                except TimeoutError:
                    continue
                query = dns.message.from_wire(wire)
                if before is not None:
                    before(query, point, Endpoint(client[0], client[1]))
                made = script(query)
                for reply in made if isinstance(made, list) else [made] if made is not None else []:
                    octets = reply if isinstance(reply, bytes) else reply.to_wire()
                    sock.sendto(octets, client)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield point
        finally:
            stop.set()
            thread.join()
