"""The formats of official lists, each one function from octets to an Extract.

A format's function takes the whole document and the Rows to put its names into, and either gives an Extract
or raises Damaged: it never gives a part. It must not look at files, the clock, or what was listed before.
Octets are hostile: the callers bound their number, the functions bound depth and length. Pure.

The lists of lines are here; what needs a parser of its own has a module.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, NamedTuple

from blocker.feeds import certpl, hazard, textlines, zonetext
from blocker.feeds.extract import Damaged, Edition, Rows
from blocker.orders.model import Match

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from blocker.feeds.extract import Extract

MAX_LINE = 4096

_BOM = b"\xef\xbb\xbf"
_PAGE = re.compile(rb"\s*<(?:!doctype|!--|html|head|body|\?xml[^>]*>\s*<!doctype html)", re.IGNORECASE)
_XML = re.compile(rb"\s*<")
_NOT_TEXT = re.compile(rb"[\0-\x08\x0e-\x1f\x7f]")
_COMMENT = re.compile(r"(?:^|\s)#")  # A # right behind other signs is a part of a URL.
_UTF_16 = (b"\xff\xfe", b"\xfe\xff")

# `0000350_2025.29.08`: the serial of the year's list, the year, the day, the month. The day comes first.
_ADM_HEAD = re.compile(r"([0-9]{1,10})_([0-9]{4})\.([0-9]{2})\.([0-9]{2})")
_ADDRESS = re.compile(r"[0-9a-fA-F:.]*(?:\.|:)[0-9a-fA-F:.]*(?:%\S*)?")


class Format(NamedTuple):
    """A format: how it is read, whether a document tells where it ends, whether absence lifts, and whether a
    name is told from all below it, whatever the feed's policy says.
    """

    read: Callable[[bytes, Rows], Extract]
    has_end: bool = False
    absence_lifts: bool = True
    is_exact: bool = False


def read(name: str, octets: bytes, match: Match, *, at: float = math.inf) -> Extract:
    """What a document of the format says at that time (epoch seconds). Raises Damaged."""
    octets = octets.removeprefix(_BOM)
    if not octets.strip():
        raise Damaged("feed-empty", "the document is empty; fetch it anew.")
    if octets.startswith(_UTF_16):
        raise Damaged("feed-charset", "the document is UTF-16, not UTF-8; fetch it anew, or convert it.")
    if _PAGE.match(octets) or (name != "pl-hazard" and _XML.match(octets)):
        raise Damaged(
            "feed-html",
            "a web page came instead of the list, as errors and logins do; open its address in a browser.",
            1,
        )
    if (odd := _NOT_TEXT.search(octets)) is not None:
        raise Damaged(
            "feed-binary",
            f"the octet 0x{octets[odd.start()]:02x} has no place in a list; fetch it anew.",
            octets.count(b"\n", 0, odd.start()) + 1,
        )
    form = FORMATS[name]
    return form.read(octets, Rows(Match.EXACT if form.is_exact else match, at))


def _lines(octets: bytes) -> Iterator[tuple[int, str]]:
    """The lines with their numbers, less comments and blank ones."""
    for number, whole in textlines.cut(octets, "utf-8", MAX_LINE):
        line = _COMMENT.split(whole, maxsplit=1)[0].strip()
        if line:
            yield number, line


def names(octets: bytes, rows: Rows) -> Extract:
    """One name a line, # comments."""
    for number, line in _lines(octets):
        rows.add(line, number)
    return rows.extract()


def hosts(octets: bytes, rows: Rows) -> Extract:
    """An address and names, as in /etc/hosts. A line with the host's own names is no part of the list: other
    names on it are told.
    """
    for number, line in _lines(octets):
        address, *listed = line.split()
        if not _ADDRESS.fullmatch(address) or not listed:
            rows.rows += 1
            rows.skip(number, "broken", line)
            continue
        is_own = not _OWN.isdisjoint(name.lower() for name in listed)
        for name in listed:
            if not is_own:
                rows.add(name, number)
            elif name.lower() not in _OWN:
                rows.skip(number, "own-host", name)
    return rows.extract()


_OWN = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback"}
    | {"ip6-localnet", "ip6-mcastprefix", "ip6-allnodes", "ip6-allrouters", "ip6-allhosts", "0.0.0.0"}
)


def it_adm(octets: bytes, rows: Rows) -> Extract:
    """A head with serial, year, day and month, then one name a line, with URLs and addresses among them."""
    edition: Edition | None = None
    for number, line in _lines(octets):
        if edition is None:
            edition = _adm_edition(line, number)
        else:
            rows.add(line, number)
    return rows.extract(edition=edition)


def _adm_edition(line: str, number: int) -> Edition:
    head = _ADM_HEAD.fullmatch(line)
    if head is None:
        raise Damaged(
            "feed-header",
            f"{line[:60]!r} is not the head of the list, such as 0000350_2025.29.08; fetch it anew.",
            number,
        )
    serial, year, day, month = map(int, head.groups())
    try:
        when = date(year, month, day)
    except ValueError as error:
        raise Damaged(
            "feed-date",
            f"{line!r} has no date in it: after the year come the day and the month; fetch it anew.",
            number,
        ) from error
    at = datetime(year, month, day, tzinfo=UTC).timestamp()
    return Edition(
        (when.toordinal(), serial), f"{when.isoformat()}, serial {serial}", at=at, is_numbered=True
    )


def it_cncpo(octets: bytes, rows: Rows) -> Extract:
    """`;` between the columns, a name or URL in the first or second, after the row's number if it has one."""
    for number, line in _lines(octets):
        columns = [column.strip().strip('"') for column in line.split(";")]
        if len(columns) < 2:
            raise Damaged(
                "feed-format", f"{line[:60]!r} has no ';' between columns; fetch the list anew.", number
            )
        if number == 1 and not any("." in column for column in columns):
            continue  # The names of the columns.
        listed = columns[1] if columns[0].isdigit() else columns[0]
        rows.add(listed, number)
    return rows.extract()


FORMATS: dict[str, Format] = {
    "pl-hazard": Format(hazard.read, has_end=True),
    "cert-pl": Format(certpl.read, has_end=True, absence_lifts=False),
    "it-adm": Format(it_adm),
    "it-cncpo": Format(it_cncpo),
    "names": Format(names),
    "hosts": Format(hosts),
    "rpz": Format(zonetext.read, is_exact=True),
    "axfr": Format(zonetext.read, has_end=True, is_exact=True),
}
"""Every format by its name in feeds.yaml. `axfr` is `rpz` fetched otherwise: a transfer has an end."""
