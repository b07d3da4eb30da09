"""The key that signs updates, as BIND's `tsig-keygen` writes it.

Pure. One `key` clause and nothing else; what isn't understood is refused, and the message never shows any of
the file: it is a secret.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field

from blocker import names

ALGORITHMS = ("hmac-sha256", "hmac-sha384", "hmac-sha512", "hmac-sha224", "hmac-sha1")
"""RFC 8945 §6, without HMAC-MD5."""

# A secret may have // in it: what stands in quotes is no comment.
_COMMENT = re.compile(r'("[^"]*")|//[^\n]*|#[^\n]*|/\*.*?\*/', re.DOTALL)
_CLAUSE = re.compile(
    r'\s*key\s+"?(?P<name>[A-Za-z0-9._-]+)"?\s*\{'
    r'(?=[^}]*\balgorithm\s+"?(?P<algorithm>[A-Za-z0-9-]+)"?\s*;)'
    r'(?=[^}]*\bsecret\s+"(?P<secret>[A-Za-z0-9+/=]+)"\s*;)'
    r'(?:\s*(?:algorithm\s+"?[A-Za-z0-9-]+"?|secret\s+"[A-Za-z0-9+/=]+")\s*;){2}\s*\}\s*;\s*'
)


class KeyInvalid(ValueError):
    """The text is no key; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SigningKey:
    """A name that both sides know, an algorithm and the shared secret."""

    name: str
    algorithm: str
    secret: bytes = field(repr=False)


def parse(text: str) -> SigningKey:
    """The key of a key file. Raises KeyInvalid."""
    found = _CLAUSE.fullmatch(_COMMENT.sub(lambda met: met[1] or " ", text))
    if found is None:
        raise KeyInvalid('it is not one clause like: key "blocker" { algorithm hmac-sha256; secret "…"; };')
    algorithm = found["algorithm"].lower()
    if algorithm not in ALGORITHMS:
        raise KeyInvalid(f"{algorithm} is none of {', '.join(ALGORITHMS)}")
    try:
        name = names.canonical(found["name"])
        secret = base64.b64decode(found["secret"], validate=True)
    except (names.NameInvalid, binascii.Error) as error:
        raise KeyInvalid("its name is no domain name, or its secret is not base64") from error
    return SigningKey(name=name, algorithm=algorithm, secret=secret)
