"""Certificates of a CA for tests: the right one, and each that must not be accepted."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import trustme

if TYPE_CHECKING:
    from pathlib import Path

NAME = "resolver.isp.example"

TROUBLES = {
    "right": "",
    "wrong-name": "certificate-wrong-name",
    "expired": "certificate-expired",
    "self-signed": "certificate-untrusted",
    "unknown-ca": "certificate-untrusted",
    "not-yet-valid": "certificate-refused",
}
"""Every certificate, and what is wrong with it."""


@dataclass(frozen=True)
class Certificates:
    """PEM files in a folder: `ca.pem`, and for each certificate `<name>.pem` (its chain) and `<name>.key`."""

    folder: Path

    @property
    def ca(self) -> Path:
        return self.folder / "ca.pem"

    def pair(self, which: str) -> tuple[Path, Path]:
        """The certificate and its key."""
        return self.folder / f"{which}.pem", self.folder / f"{which}.key"

    def server(self, which: str, *protocols: str) -> ssl.SSLContext:
        """What a server with the certificate needs; `protocols` is what it says that it speaks."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair(which))
        if protocols:
            context.set_alpn_protocols(list(protocols))
        return context


def make(folder: Path) -> Certificates:
    """All of them."""
    found = Certificates(folder)
    ca, other, day = trustme.CA(), trustme.CA(), timedelta(days=1)
    now = datetime.now(UTC)
    ca.cert_pem.write_to_path(str(found.ca))
    leaves = {
        "right": ca.issue_cert(NAME),
        "wrong-name": ca.issue_cert("another.isp.example"),
        "expired": ca.issue_cert(NAME, not_before=now - 2 * day, not_after=now - day),
        "not-yet-valid": ca.issue_cert(NAME, not_before=now + day, not_after=now + 2 * day),
        "unknown-ca": other.issue_cert(NAME),
    }
    for which, leaf in leaves.items():
        chain, key = found.pair(which)
        leaf.private_key_pem.write_to_path(str(key))
        for at, pem in enumerate(leaf.cert_chain_pems):
            pem.write_to_path(str(chain), append=at > 0)
    chain, key = found.pair("self-signed")
    other.cert_pem.write_to_path(str(chain))
    other.private_key_pem.write_to_path(str(key))
    return found
