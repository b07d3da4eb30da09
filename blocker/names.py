r"""Domain names: the canonical text people read and the key the policy is ordered by.

Canonical text is lower-case A-labels without a final dot (RFC 1035 §2.3.4: at most 253 octets of text,
labels of 1 to 63). A key is the same name in wire form with its labels reversed and without the root:
`www.grok.com` is `\\x03com\\x04grok\\x03www`. So a name's ancestors are its key's prefixes at label
borders, everything below a name is one range of keys, and `notgrok.com` is not below `grok.com`.
Keys may hold any octets, for queries may; canonical text may not.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NewType

import idna

if TYPE_CHECKING:
    from collections.abc import Iterator

Key = NewType("Key", bytes)

ROOT = Key(b"")

_PLAIN = b"abcdefghijklmnopqrstuvwxyz0123456789-_"
_CANONICAL = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\Z")


class NameInvalid(ValueError):
    """The text is not a domain name in canonical form; the message says why."""


def canonical(text: str) -> str:
    """The canonical text of a name written by a person.

    ASCII is checked for letters, digits, hyphen, underscore and lengths only, for names outside IDNA's
    rules are live on the Internet; other scripts go through UTS 46 and IDNA 2008 (RFC 5891).
    Raises NameInvalid.
    """
    name = text.lower().removesuffix(".")
    if _CANONICAL.match(name):
        return name
    if not name.isascii():
        try:
            # The length first: IDNA's own work grows with the square of the input.
            if len(name) <= 253:
                name = idna.encode(name, uts46=True).decode("ascii").removesuffix(".")
        except idna.IDNAError as error:
            raise NameInvalid(f"{text!r} is not a valid internationalised name: {error}") from error
        if _CANONICAL.match(name):
            return name
    raise NameInvalid(f"{_shown(text)} is not a domain name: {_why_not(name)}")


def _shown(text: str) -> str:
    return repr(text) if len(text) <= 80 else f"{text[:77]!r}…"


def _why_not(name: str) -> str:
    if not name:
        return "it is empty, as the root of all names is"
    if len(name) > 253:
        return f"it has {len(name)} octets, 253 is the most"
    for label in name.split("."):
        if not label:
            return "it has an empty label"
        if len(label) > 63:
            return f"the label {label[:20]!r}… has {len(label)} octets, 63 is the most"
    odd = next((char for char in name if not re.match(r"[a-z0-9_.-]", char)), "")
    return f"{odd!r} is not a letter, digit, hyphen or underscore"


def to_key(name: str) -> Key:
    """The key of a canonical name; the empty name is the root."""
    if not name:
        return ROOT
    labels = name.encode("ascii").split(b".")
    labels.reverse()
    return Key(b"".join([b"%c%b" % (len(label), label) for label in labels]))


def labels_of(key: Key) -> list[bytes]:
    """The labels of a key, top-level domain first."""
    labels, at = [], 0
    while at < len(key):
        end = at + 1 + key[at]
        labels.append(key[at + 1 : end])
        at = end
    return labels


def to_text(key: Key) -> str:
    r"""The name as people read it; octets outside printable ASCII as `\\DDD` (RFC 1035 §5.1)."""
    return ".".join(_label_text(label) for label in reversed(labels_of(key))) or "."


def _label_text(label: bytes) -> str:
    if not label.translate(None, _PLAIN):
        return label.decode("ascii")
    return "".join(
        chr(octet) if 0x21 <= octet <= 0x7E and octet not in b'."\\();@$' else f"\\{octet:03d}"
        for octet in label
    )


def from_wire(wire: bytes) -> Key:
    """The key of an uncompressed name in wire form with its root octet, in any case."""
    wire = wire.lower()  # Length octets are at most 63, below 'A': only letters change.
    labels, at = [], 0
    while (length := wire[at]) != 0:
        labels.append(wire[at : at + 1 + length])
        at += 1 + length
    labels.reverse()
    return Key(b"".join(labels))


def to_wire(key: Key) -> bytes:
    """The name in wire form, uncompressed, with its root octet."""
    wire, at = b"\0", 0
    while at < len(key):
        end = at + 1 + key[at]
        wire = key[at:end] + wire
        at = end
    return wire


def ancestry(key: Key) -> Iterator[Key]:
    """The key's ancestors from the top-level domain down, and the key itself last; not the root."""
    at = 0
    while at < len(key):
        at += 1 + key[at]
        yield Key(key[:at])


def is_below(key: Key, ancestor: Key) -> bool:
    """Whether `key` lies strictly below `ancestor`.

    Prefixes are enough: both are whole labels, and equal octets have equal label borders.
    """
    return len(key) > len(ancestor) and key.startswith(ancestor)


def parent(key: Key) -> Key:
    """The name one label up; the root's parent is the root."""
    above = [ROOT, *ancestry(key)]
    return above[max(0, len(above) - 2)]
