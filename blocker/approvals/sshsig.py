"""Signature files: what armored SSH signatures say of themselves, before anybody believes them.

Pure, and nothing is verified here. The format is OpenSSH's PROTOCOL.sshsig: between two lines, base64 of
the octets `SSHSIG`, a version, and five strings: public key, namespace, reserved, hash, signature. A file
has one or several, one after the other, and nothing else. Whatever is not exactly so is a Flaw.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from blocker import sshkeys
from blocker.yamltext import normal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from blocker.sshkeys import PublicKey

MAX_OCTETS = 64 << 10  # a file; a signature by an RSA key of 16,384 bits has 6,000
MAX_SIGNATURES = 16  # over one order

BEGIN, END = b"-----BEGIN SSH SIGNATURE-----", b"-----END SSH SIGNATURE-----"

_MAGIC = b"SSHSIG\0\0\0\1"  # with the only version there is
_HASHES = (b"sha256", b"sha512")
_TOUCHED = 0x01  # PROTOCOL.u2f: user presence
_BLOCK = re.compile(BEGIN + rb"\n(.*?)\n" + END + rb"(?:\n|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Flaw:
    """Why a signature is not an approval: the id of the check and its sentence."""

    id: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One signature as it describes itself. `armored` are its own lines, as they are archived.

    `is_touched` is False where the device says that nobody touched it.
    """

    key: PublicKey
    namespace: str
    armored: bytes
    is_touched: bool = True

    @property
    def digest(self) -> str:
        """The SHA-256 (hex) of its lines."""
        return hashlib.sha256(self.armored).hexdigest()


def read(octets: bytes) -> Iterator[Envelope | Flaw]:
    """Every signature of a file, in order."""
    rest = normal(octets)
    if not rest.strip():
        yield Flaw(id="signature-garbled", message="the file is empty; sign the order again.")
    while rest.strip():
        found = _BLOCK.match(rest)
        if found is None:
            yield _torn(rest)
            return
        yield _envelope(found[1], b"%s\n%s\n%s\n" % (BEGIN, found[1], END))
        rest = rest[found.end() :].lstrip(b"\n")


def _torn(rest: bytes) -> Flaw:
    if rest.startswith(BEGIN):
        return Flaw(
            id="signature-truncated",
            message="a signature has no last line, '-----END SSH SIGNATURE-----': the file was cut off; "
            "restore it, or sign the order again.",
        )
    return Flaw(
        id="signature-garbled",
        message="something other than a signature stands in the file; it has '-----BEGIN SSH SIGNATURE-----' "
        "as its first line and nothing beside signatures. Sign the order again.",
    )


def _envelope(body: bytes, armored: bytes) -> Envelope | Flaw:
    try:
        octets = base64.b64decode(body.replace(b"\n", b""), validate=True)
    except ValueError:
        return _garbled("what stands between its first and last line is not base64")
    if not octets.startswith(_MAGIC):
        return _garbled("it is no SSH signature of version 1")
    try:
        parts = sshkeys.strings(octets[len(_MAGIC) :])
    except ValueError:
        return Flaw(
            id="signature-truncated",
            message="a signature ends before its end: some of its lines are missing; restore the file, or "
            "sign the order again.",
        )
    if len(parts) != 5:
        return _garbled("it does not consist of key, namespace, hash and signature")
    blob, namespace, _, hashed, signature = parts
    if hashed not in _HASHES:
        return Flaw(
            id="signature-unsupported",
            message="it is made over a hash that is neither SHA-512 nor SHA-256; sign the order again with "
            "the ssh-keygen of today.",
        )
    try:
        key = sshkeys.from_octets(blob)
    except ValueError as error:
        return Flaw(
            id="signature-unsupported",
            message=f"the key it was made with may not sign: {error}. Sign the order with another key.",
        )
    return Envelope(
        key=key,
        namespace=namespace.decode("utf-8", "backslashreplace"),
        armored=armored,
        is_touched=not key.is_hardware or _was_touched(signature),
    )


def _was_touched(signature: bytes) -> bool:
    """Whether the flags of a device's signature say so: kind, signature, one octet of flags, a counter.

    The flags are part of what the device signs.
    """
    try:
        _, at = sshkeys.string(signature, 0)
        _, at = sshkeys.string(signature, at)
    except ValueError:
        return False
    return len(signature) == at + 5 and bool(signature[at] & _TOUCHED)


def _garbled(why: str) -> Flaw:
    return Flaw(
        id="signature-garbled",
        message=f"a signature can't be read: {why}. Restore the file, or sign the order again.",
    )
