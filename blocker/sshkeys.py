"""SSH public keys, as `ssh-keygen` writes them: one line each, known by their fingerprint.

Pure. Keys are read and named here, never used: whoever verifies a signature is OpenSSH itself. A key's
octets are a row of strings, each after its length in four octets (RFC 4251 §5, RFC 4253 §6.6, RFC 5656
§3.1, RFC 8709 §4, OpenSSH's PROTOCOL.u2f). Certificates are not keys, and DSA is nobody's any more.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from dataclasses import dataclass

STRINGS: dict[str, int] = {
    "ssh-ed25519": 2,
    "sk-ssh-ed25519@openssh.com": 3,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
    "ssh-rsa": 3,
}
"""Every kind of key that may sign, and how many strings it is made of."""

LEAST_RSA_BITS = 2048
_MOST_OCTETS = 8192  # an RSA key of 16,384 bits has 2,100

_LENGTH = struct.Struct(">I")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """One key: its kind and its octets. Two keys are the same if those are, whatever stands beside them."""

    kind: str
    octets: bytes

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` prints it."""
        digest = base64.b64encode(hashlib.sha256(self.octets).digest()).decode()
        return f"SHA256:{digest.rstrip('=')}"

    @property
    def is_hardware(self) -> bool:
        """Whether it is kept in a device that asks for a touch (FIDO)."""
        return self.kind.startswith("sk-")

    def __str__(self) -> str:
        return f"{self.kind} {base64.b64encode(self.octets).decode()}"


def strings(octets: bytes) -> list[bytes]:
    """The strings that the octets are made of, with nothing left. Raises ValueError."""
    found, at = [], 0
    while at < len(octets):
        one, at = string(octets, at)
        found.append(one)
    return found


def string(octets: bytes, at: int) -> tuple[bytes, int]:
    """The string that begins at a place, and where it ends. Raises ValueError if it is not all there."""
    if at + _LENGTH.size > len(octets):
        raise ValueError("the octets end within a length")
    end = at + _LENGTH.size + int(_LENGTH.unpack_from(octets, at)[0])
    if end > len(octets):
        raise ValueError("the octets end within a string")
    return octets[at + _LENGTH.size : end], end


def from_octets(octets: bytes) -> PublicKey:
    """The key in its octets. Raises ValueError with a sentence."""
    if len(octets) > _MOST_OCTETS:
        raise ValueError("the key is longer than any key that may sign")
    parts = strings(octets)
    kind = parts[0].decode("ascii", "replace") if parts else ""
    if kind not in STRINGS:
        raise ValueError(f"its kind is none of {', '.join(STRINGS)}")
    if len(parts) != STRINGS[kind]:
        raise ValueError(f"it is no whole key of the kind {kind}")
    if kind == "ssh-rsa" and (bits := int.from_bytes(parts[2]).bit_length()) < LEAST_RSA_BITS:
        raise ValueError(f"its {bits} bits are too few; RSA keys have {LEAST_RSA_BITS} at least")
    return PublicKey(kind=kind, octets=octets)


def read(line: str) -> PublicKey:
    """The key on a line of a `.pub` file, `KIND BASE64 [COMMENT]`. Raises ValueError with a sentence, which
    shows nothing of what was written: it might be the private key.
    """
    kind, _, rest = line.strip().partition(" ")
    try:
        octets = base64.b64decode(rest.partition(" ")[0], validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
    key = from_octets(octets)
    if key.kind != kind:
        raise ValueError("its two halves speak of different kinds")
    return key


def is_fingerprint(text: str) -> bool:
    """Whether it is one as `ssh-keygen -l` prints it."""
    digest = text.removeprefix("SHA256:")
    try:
        octets = base64.b64decode(f"{digest}=", validate=True)
    except ValueError:
        return False
    return digest != text and len(octets) == hashlib.sha256().digest_size
