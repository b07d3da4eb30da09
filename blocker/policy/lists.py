"""Which names many people rely on: the warning lists that judge an order, as one table of keys.

Pure: the octets of the lists are given. They are those of the package `pymispwarninglists` (CC0;
misp-project.org), a JSON file each; which of them counts as what is the table `SOURCES`. Lists are large and
most orders small, so there are three ways to the same table: all of it, and the part that some names ask of,
found by searching the octets or by looking at each entry. An entry of the table says what is at a name, what
is above or below it: `AT`, `ABOVE` (something listed is below it) and `UNDER` (whatever is below it counts
as it does).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from blocker import names
from blocker.orders import suffixes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from blocker.names import Key

CATEGORIES = ("popular", "shared-hosting", "cdn", "bank", "university", "ocsp-crl")
"""What a list can say of a name; each is the id of a reason to hold an order."""

AT, ABOVE, UNDER = 0, 8, 16  # where a category's bit is, by what it says

SHARED = 1 << AT + CATEGORIES.index("shared-hosting")


class Source(NamedTuple):
    """One list: its folder in the package, what its names are, whether hosts below them are as much, and the
    beginnings of those entries that count; empty: all do.
    """

    folder: str
    category: str
    has_hosts: bool = False
    only: tuple[str, ...] = ()


SOURCES: tuple[Source, ...] = (
    # A million sites cover what nearly everybody uses, and a name in none of them is used by few. Hosts count
    # with their site for the ten thousand alone: `drive.usercontent.google.com` is `google.com`'s.
    Source("tranco", "popular"),
    Source("google-chrome-crux-1million", "popular"),
    Source("cisco_top20k", "popular"),
    Source("tranco10k", "popular", has_hosts=True),
    Source("majestic_million", "popular", has_hosts=True),  # ten thousand, whatever its name
    Source("moz-top500", "popular", has_hosts=True),
    Source("alexa", "popular", has_hosts=True),
    Source("google", "popular", has_hosts=True),
    Source("microsoft", "popular", has_hosts=True),
    Source("microsoft-office365", "popular", has_hosts=True),
    Source("microsoft-win10-connection-endpoints", "popular", has_hosts=True),
    Source("dax30", "popular", has_hosts=True),
    Source("captive-portals", "popular"),
    Source("lots-project", "shared-hosting"),
    Source("dynamic-dns", "shared-hosting"),
    Source("link-in-bio", "shared-hosting"),
    Source("url-shortener", "shared-hosting"),
    Source("public-ipfs-gateways", "shared-hosting"),
    Source("bank-website", "bank", has_hosts=True),
    Source("university_domains", "university", has_hosts=True),
    Source("crl-hostname", "ocsp-crl"),  # empty in some versions, so the hosts most asked for speak too
    Source("cisco_top20k", "ocsp-crl", only=("ocsp", "crl")),
)

CDNS: tuple[str, ...] = (
    "akamai.net", "akamaihd.net", "akamaized.net", "akamaiedge.net", "edgekey.net", "edgesuite.net",
    "akadns.net", "azureedge.net", "azurefd.net", "b-cdn.net", "bunnycdn.com", "bootstrapcdn.com",
    "cachefly.net", "cdn77.org", "cdnjs.cloudflare.com", "cloudflare.com", "cloudflare.net", "cloudfront.net",
    "edgecastcdn.net", "fastly.net", "fastlylb.net", "googleapis.com", "googleusercontent.com", "gstatic.com",
    "jsdelivr.net", "llnwd.net", "unpkg.com",
)  # fmt: skip
"""The names that content delivery networks answer under for everybody: the package lists their addresses
alone.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Edition:
    """A list that took part: its folder and its version, mostly a day."""

    name: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lists:
    """What is known of names. `table` may be the part that the names to be judged ask of; `package` with its
    version and the `editions` in it say what it was made of, nothing if the lists aren't installed.
    """

    table: Mapping[Key, int] = field(repr=False)
    package: str = ""
    editions: tuple[Edition, ...] = ()


NOTHING = Lists(table={})


def part(files: Mapping[str, bytes], keys: Iterable[Key]) -> dict[Key, int]:
    """What the table has for these keys and their ancestors, from the octets of the lists by folder."""
    table: dict[Key, int] = {}
    wanted = {above: names.to_text(above) for key in keys for above in _lineage(key)}
    _add_cdns(table)
    for source in SOURCES:
        octets = files.get(source.folder, b"")
        for key, text in wanted.items():
            if bits := _search(octets, text, source):
                table[key] = table.get(key, 0) | bits
    return {key: table[key] for key in wanted if key in table}


def chosen(
    files: Mapping[str, bytes], keys: Iterable[Key], *, progress: Callable[[int, int], None] | None = None
) -> dict[Key, int]:
    """What `part` gives, found by a look at each entry. `progress` is told lists done and to do."""
    table: dict[Key, int] = {}
    wanted = {names.to_text(above): above for key in keys for above in _lineage(key)}
    _add_cdns(table)
    for source, entries in _read(files, progress):
        at, above = _bits(source)
        for text in entries:
            if text in wanted and _key(text):
                table[wanted[text]] = table.get(wanted[text], 0) | at
            dot = text.find(".") + 1
            while dot:
                if (key := wanted.get(text[dot:])) and _key(text):
                    table[key] = table.get(key, 0) | above
                dot = text.find(".", dot) + 1
    return {key: table[key] for key in wanted.values() if key in table}


def whole(
    files: Mapping[str, bytes], *, progress: Callable[[int, int], None] | None = None
) -> dict[Key, int]:
    """All of the table, from the octets of the lists by folder. `progress` is told lists done and to do."""
    table: dict[Key, int] = {}
    _add_cdns(table)
    for source, entries in _read(files, progress):
        at, above = _bits(source)
        found = map(_key, entries)
        _add(table, (key for key in found if key is not None), at, above)
    return table


def _read(
    files: Mapping[str, bytes], progress: Callable[[int, int], None] | None
) -> Iterator[tuple[Source, Iterator[str]]]:
    """Each list with its entries that count."""
    for number, source in enumerate(SOURCES):
        if progress is not None:
            progress(number, len(SOURCES))
        if source.folder in files:
            yield source, (text for text in _entries(files[source.folder]) if _counts(text, source))
    if progress is not None:
        progress(len(SOURCES), len(SOURCES))


def edition(folder: str, octets: bytes) -> Edition:
    """What a list says of itself."""
    found = re.search(rb'"version": (\d+)', octets[octets.rfind(b"]") :])
    return Edition(name=folder, version=found[1].decode() if found else "unknown")


def _lineage(key: Key) -> list[Key]:
    """The key and its ancestors, without top-level domains and other ICANN suffixes; the key last."""
    exact, wild, free = suffixes.rules()
    found, at = [], 1 + key[0]
    above = names.Key(key[:at])
    while at < len(key):
        at += 1 + key[at]
        one = names.Key(key[:at])
        if one not in exact and (above not in wild or one in free):
            found.append(one)
        above = one
    return found


def _bits(source: Source) -> tuple[int, int]:
    """What an entry says of its name, and of the names above it."""
    one = CATEGORIES.index(source.category)
    return (1 << AT + one) | (1 << UNDER + one if source.has_hosts else 0), 1 << ABOVE + one


def _add_cdns(table: dict[Key, int]) -> None:
    _add(table, map(names.to_key, CDNS), *_bits(Source("", "cdn")))


def _add(table: dict[Key, int], keys: Iterable[Key], at: int, above: int) -> None:
    shared: dict[int, int] = {}  # one object for each value: there are millions
    get = table.get
    for key in keys:
        old = get(key)
        value = at if old is None else old | at
        table[key] = shared.setdefault(value, value)
        two = 1 + key[0]
        if two + 1 + key[two] == len(key):
            continue  # Only a top-level domain is above.
        for parent in _lineage(key):
            if parent != key:
                value = get(parent, 0) | above
                table[parent] = shared.setdefault(value, value)


def _entries(octets: bytes) -> Iterator[str]:
    """The names of a list, in lower case; some are written with a dot before them, for all that is below
    too.
    """
    for entry in json.loads(octets)["list"]:
        if isinstance(entry, str):
            yield entry.lower().removeprefix(".")


def _counts(text: str, source: Source) -> bool:
    return not source.only or text.startswith(source.only)


def _key(text: str) -> Key | None:
    """The key of an entry; None if it is no name of two labels. What else may be wrong with one does no harm:
    nobody orders such a name.
    """
    try:
        key = names.to_key(text)
    except (UnicodeEncodeError, OverflowError):
        return None
    return None if 0 in key or "." not in text else key


def _search(octets: bytes, text: str, source: Source) -> int:
    """What the list says of one name, found in its octets."""
    at, above = _bits(source)
    all_of_it, found = at | above, 0
    end = b'%b"' % text.encode()
    begins = octets.find(end)
    while begins >= 0 and found != all_of_it:
        quote = octets.rfind(b'"', 0, begins)
        entry = octets[quote + 1 : begins].decode("ascii", "replace")
        if entry in ("", "."):
            found |= at if _counts(text, source) else 0
        elif (
            entry.endswith(".")
            and _key(entry.removeprefix(".") + text)
            and _counts(entry.removeprefix("."), source)
        ):
            found |= above
        begins = octets.find(end, begins + 1)
    return found
