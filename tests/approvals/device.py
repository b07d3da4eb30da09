"""A security key made of software: it signs as one does (OpenSSH's PROTOCOL.u2f), touched or not."""

from __future__ import annotations

import base64
import hashlib

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.test_sshkeys import blob

_KIND, _APPLICATION = b"sk-ssh-ed25519@openssh.com", b"ssh:"


class Device:
    """It stands in for tests.approvals.people.Person."""

    def __init__(self, *, is_touched: bool) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self._flags = b"\1" if is_touched else b"\0"
        self.octets = blob(_KIND, self._key.public_key().public_bytes_raw(), _APPLICATION)

    @property
    def line(self) -> str:
        return f"{_KIND.decode()} {base64.b64encode(self.octets).decode()} device"

    def sign(self, octets: bytes, namespace: str = "blocker-order") -> bytes:
        hashed = hashlib.sha512(octets).digest()
        message = b"SSHSIG" + blob(namespace.encode(), b"", b"sha512", hashed)
        tail = self._flags + b"\0\0\0\7"
        signature = self._key.sign(
            hashlib.sha256(_APPLICATION).digest() + tail + hashlib.sha256(message).digest()
        )
        body = b"SSHSIG\0\0\0\1" + blob(
            self.octets, namespace.encode(), b"", b"sha512", blob(_KIND, signature) + tail
        )
        lines = base64.encodebytes(body)
        return b"-----BEGIN SSH SIGNATURE-----\n" + lines + b"-----END SSH SIGNATURE-----\n"
