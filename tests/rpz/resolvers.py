"""How resolvers read a response policy zone, said slowly and from the documents alone.

`strict` is a zone's own reading (RFC 4592 §3.3.1): a name that exists, if only because something stands
below it, hides the wildcards above it (BIND, Unbound). `lax` takes the longest match whatever exists
(PowerDNS, Knot Resolver).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker import names
from blocker.rpz.zone import NODATA, NXDOMAIN, PASSTHRU, Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

Zone = dict[str, str]


def zone(entries: Iterable[Entry]) -> Zone:
    """Owner → rule; an owner that comes twice is an error."""
    found: Zone = {}
    for entry in entries:
        owner = names.to_text(entry.owner)
        assert owner not in found, f"{owner} comes twice"
        found[owner] = entry.rule
    return found


def strict(held: Zone, name: str) -> str | None:
    exists = {"."}
    for owner in held:
        labels = owner.split(".")
        exists |= {".".join(labels[at:]) for at in range(len(labels))}
    if name in exists:
        return _passes(held.get(name))
    labels = name.split(".")
    for at in range(1, len(labels)):
        encloser = ".".join(labels[at:])
        if encloser in exists:
            return _passes(held.get(f"*.{encloser}"))
    return None


def lax(held: Zone, name: str) -> str | None:
    labels = name.split(".")
    owners = [name, *("*." + ".".join(labels[at:]) for at in range(1, len(labels)))]
    return _passes(next((held[owner] for owner in owners if owner in held), None))


def _passes(rule: str | None) -> str | None:
    return None if rule == PASSTHRU else rule


def is_rule(text: str) -> bool:
    return text in (NXDOMAIN, NODATA, PASSTHRU) or all(char in "0123456789abcdef:. " for char in text)
