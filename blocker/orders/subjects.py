"""One written name to one Subject, or the reason why it is none.

An order names domain names. What people write instead (URLs, addresses, mail addresses) is refused, each
with its own id and way out, and nothing is ever guessed: a URL is not widened to its host, for that is a
person's decision. Pure.
"""

from __future__ import annotations

import re
import unicodedata
from ipaddress import ip_address, ip_network

from blocker import names
from blocker.fields import Rejected, shown
from blocker.orders import suffixes
from blocker.orders.model import Match, Subject

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_NUMBER = re.compile(r"(?:[0-9]+|0x[0-9a-f]*)\Z")
# Scripts whose letters pass for one another's. No registry lets them into one label (ICANN's guidelines for
# IDNs, 4.0, section 11), those who mean to mislead do.
_ALIKE = ("Latin", "Cyrillic", "Greek", "Armenian", "Cherokee")
_PORT = re.compile(r"(.*):([0-9]*)\Z", re.DOTALL)


def parse(text: str, match: Match = Match.SUBTREE) -> Subject:
    """The Subject of a name as written; `*.name` is below whatever `match` says. Raises Rejected."""
    _refuse_other_things(text)
    bare = text.removeprefix("*.")
    if "*" in bare:
        raise Rejected(
            "wildcard-in-name",
            f"{shown(text)} has a '*' inside; only '*.name' can be said, for all below a name.",
        )
    try:
        name = names.canonical(bare)
    except names.NameInvalid as error:
        raise Rejected("name-invalid", f"{error}; write the name as the order has it.") from error
    refuse_reach(name, text)
    if not text.isascii():
        _refuse_mixture(name, text)
    return Subject(key=names.to_key(name), match=match if bare == text else Match.BELOW)


def parse_except(text: str) -> Subject:
    """The Subject of an except or a removed name: it and all below, or `*.name`. Raises Rejected."""
    return parse(text)


def refuse_reach(name: str, text: str) -> None:
    """Raise Rejected for a canonical name that stands for more than one operator's, or for an address."""
    *rest, last = name.split(".")
    # Nothing else ends so: `0x7f.0.0.0x1` and `2130706433` are addresses to inet_aton and to browsers.
    if _NUMBER.match(last):
        raise Rejected(
            "ip-not-a-name",
            f"{shown(text)} ends in a number, as addresses do and names don't; "
            "blocking is by name only, list the names the order means.",
        )
    if not rest:
        raise Rejected(
            "bare-tld",
            f"{shown(text)} is a whole top-level domain; list the names below it that the order means.",
        )
    if suffixes.rules().cover(names.to_key(name)):
        raise Rejected(
            "public-suffix",
            f"{shown(text)} is a public suffix, where anyone registers names; "
            "list the names below it that the order means.",
        )


def _refuse_other_things(text: str) -> None:
    if _URL.match(text):
        raise Rejected(
            "url-not-a-name",
            f"{shown(text)} is a URL; DNS can't block a path. List the host only if the order names it.",
        )
    if re.search(r"\s", text):
        raise Rejected("whitespace-in-name", f"{shown(text)} has a space inside; write one name for each.")
    if "@" in text:
        raise Rejected(
            "email-not-a-name",
            f"{shown(text)} is an e-mail address; list its domain only if the order names it.",
        )
    if _is_address(text.strip("[]")):
        raise Rejected(
            "ip-not-a-name",
            f"{shown(text)} is an IP address; blocking is by name only, list the names the order means.",
        )
    if "/" in text:
        if _is_network(text):
            raise Rejected(
                "network-not-a-name",
                f"{shown(text)} is a network; blocking is by name only, list the names the order means.",
            )
        raise Rejected(
            "path-not-a-name",
            f"{shown(text)} has a path; DNS can't block a path. List the host only if the order names it.",
        )
    port = _PORT.match(text)
    if port is not None:
        if _is_address(port[1].strip("[]")):
            raise Rejected(
                "ip-not-a-name",
                f"{shown(text)} is an IP address; blocking is by name only, list the names the order means.",
            )
        raise Rejected(
            "port-not-a-name",
            f"{shown(text)} has a port; DNS can't block a port. List the host only if the order names it.",
        )


def _refuse_mixture(name: str, text: str) -> None:
    for label in name.split("."):
        letters = label.removeprefix("xn--").encode().decode("punycode") if label.startswith("xn--") else ""
        if mixed := mixture(letters):
            raise Rejected(
                "mixed-scripts",
                f"{shown(text)} has {mixed} letters in one label, as names have that are made "
                f"to be taken for others; if the order means this very name, write it as '{name}'.",
            )


def mixture(letters: str) -> str:
    """The scripts of these letters, `Latin and Cyrillic`, if there are several whose letters look alike."""
    scripts = {unicodedata.name(letter, "").partition(" ")[0].capitalize() for letter in letters}
    mixed = [script for script in _ALIKE if script in scripts]
    return " and ".join(mixed) if len(mixed) > 1 else ""


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_network(text: str) -> bool:
    try:
        ip_network(text, strict=False)
    except ValueError:
        return False
    return True
