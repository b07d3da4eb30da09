"""The demo's client: one stub that asks the same question again and again, and writes down what it sees."""

from __future__ import annotations

import secrets
import socket
import time
from dataclasses import dataclass

from dnslib import EDNS0, QTYPE, RCODE, DNSError, DNSQuestion, DNSRecord

EDE = 15  # RFC 8914


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One answer as a person would read it; `at` is when it came, in epoch seconds."""

    at: float
    rcode: str
    addresses: tuple[str, ...]
    ttl: int | None
    ede: tuple[tuple[int, str], ...]

    @property
    def is_blocked(self) -> bool:
        return any(code == 16 for code, _ in self.ede)

    def __str__(self) -> str:
        denied = "NODATA" if self.rcode == "NOERROR" else self.rcode
        shown = f"{' '.join(self.addresses) or denied}"
        if self.ttl is not None:
            shown += f", TTL {self.ttl}"
        for code, text in self.ede:
            shown += f", EDE {code}" + (f" «{text}»" if text else "")
        return shown


class Client:
    """A UDP socket towards one resolver."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(("127.0.0.1", port))
        self._socket.settimeout(1.0)

    def ask(self, name: str, qtype: str = "A") -> Seen | None:
        """One question with EDNS; None if no answer came within a second."""
        number = secrets.randbelow(65536)
        query = DNSRecord(q=DNSQuestion(name, QTYPE.reverse[qtype]))
        query.header.id = number
        query.add_ar(EDNS0(udp_len=1232))
        try:
            self._socket.send(bytes(query.pack()))
            while True:
                octets = self._socket.recv(4096)
                if octets[:2] == number.to_bytes(2):
                    return _read(octets)
        except (TimeoutError, ConnectionRefusedError, DNSError):
            return None

    def close(self) -> None:
        self._socket.close()


def _read(octets: bytes) -> Seen:
    at = time.time()
    reply = DNSRecord.parse(octets)
    ede = [
        (int.from_bytes(option.data[:2]), option.data[2:].decode(errors="replace"))
        for record in reply.ar
        if record.rtype == QTYPE.OPT
        for option in record.rdata
        if option.code == EDE
    ]
    answers = [record for record in reply.rr if record.rtype in (QTYPE.A, QTYPE.AAAA)]
    ttls = [record.ttl for record in (answers or reply.auth)]
    return Seen(
        at=at,
        rcode=RCODE.get(reply.header.rcode),
        addresses=tuple(str(record.rdata) for record in answers),
        ttl=min(ttls, default=None),
        ede=tuple(ede),
    )
