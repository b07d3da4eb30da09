"""feeds.yaml to Feeds, or all that is wrong with it.

A shell only where it reads the file; `parse` is told its octets. Paths in it are relative to it. The envelope
of a feed is what orders say of themselves, read by the tables of orders.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from blocker import bounded, yamltext
from blocker.errors import OrdersInvalid, Problem
from blocker.feeds.contract import Axfr, Feed
from blocker.feeds.formats import FORMATS
from blocker.feeds.mint import COMING
from blocker.fields import (
    MISSING,
    Complaints,
    Field,
    Rejected,
    duration,
    one_of,
    read_mapping,
    shown,
    text,
)
from blocker.orders.model import Authority, Match, Publication
from blocker.orders.tables import COMMON, DIRECTIVE
from blocker.sitetables import endpoint, number, several_or_none, zone

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.yamltext import Node

WORDS = bounded.Words(
    unreadable="file-unreadable",
    irregular="file-not-regular",
    large="file-too-large",
    too_large="the file is larger than 1 MiB; a site's feeds are few, so shorten it.",
)


def load(path: Path) -> tuple[Feed, ...]:
    """The feeds of a feeds.yaml. Raises OrdersInvalid with all Problems of it."""
    shown_path = bounded.printable(path)
    try:
        octets = bounded.octets(path.resolve(), yamltext.MAX_OCTETS, WORDS)
    except bounded.Refused as refused:
        raise OrdersInvalid([Problem(id=refused.id, path=shown_path, message=str(refused))]) from refused
    feeds, problems = parse(octets, path)
    if problems:
        raise OrdersInvalid(problems)
    return feeds


def parse(octets: bytes, path: Path) -> tuple[tuple[Feed, ...], list[Problem]]:
    """The feeds in the octets of the file at this path, in the order in which they are written."""
    root, problems = yamltext.read(octets, bounded.printable(path))
    if root is None:
        return (), problems
    complaints = Complaints(bounded.printable(path), problems)
    fields = {"feeds": Field(read=several_or_none(_read), required="list the feeds in it; [] for none.")}
    values = read_mapping(root, complaints, fields, "feeds.yaml").get("feeds", ())
    _check_names(root, values, complaints)
    if complaints:
        return (), complaints.all()
    return tuple(_feed(one, path.parent) for one in values), []


def _read(node: Node, complaints: Complaints) -> Any:
    before = len(complaints)
    values = read_mapping(node, complaints, _FEED, "a feed")
    if len(complaints) != before:
        return MISSING
    if ("review_after" in values) == ("until" in values):
        complaints.add(
            "feed-end-unclear",
            node,
            "a feed's orders end, or are reviewed; write one of 'until' and 'review_after' (180d).",
        )
    is_transfer = isinstance(values["source"], dict)
    if is_transfer != (values["format"] == "axfr"):
        complaints.add(
            "feed-source-invalid",
            yamltext.place(node, "source"),
            "a zone is transferred with 'format: axfr' and a source such as "
            "{primary: 192.0.2.1, zone: rpz.example, "
            "key: rpz.key}; the other formats have a path or an https URL.",
        )
    return values if len(complaints) == before else MISSING


def _check_names(root: Node, values: Any, complaints: Complaints) -> None:
    seen: set[str] = set()
    for position, one in enumerate(values):
        if one["name"] in seen:
            complaints.add(
                "duplicate-feed",
                yamltext.place(root, "feeds", position, "name"),
                f"{shown(one['name'])} is the name of two feeds; each needs its own.",
            )
        seen.add(one["name"])
    for position, one in enumerate(values):
        for other in values:
            if one["folder"] == other["folder"] and re.fullmatch(
                re.escape(other["name"]) + f"-[0-9]{{6}}({re.escape(COMING)})?", one["name"]
            ):
                complaints.add(
                    "duplicate-feed",
                    yamltext.place(root, "feeds", position, "name"),
                    f"{shown(one['name'])} is what amends of {shown(other['name'])} are called; name it "
                    "otherwise, or give it a folder of its own.",
                )


def _feed(values: dict[str, Any], folder: Path) -> Feed:
    source = values["source"]
    if isinstance(source, dict):
        source = Axfr(**{**source, "key": (folder / source["key"]).resolve()})
    elif not source.startswith("https://"):
        source = (folder / source).absolute()
    own = {
        "source": source,
        "authority": Authority(**values["authority"]),
        "publication": Publication(values["publication"]),
        "match": Match(values.get("match", Match.SUBTREE)),
        "keeps_absent": values.get("absence", _absence(values["format"])) == "kept",
    }
    return Feed(**{key: value for key, value in (values | own).items() if key != "absence"})


def _absence(format_: str) -> str:
    return "lifted" if FORMATS[format_].absence_lifts else "kept"


def _segment(value: str) -> str:
    if not re.match(r"[a-z0-9_-][a-z0-9_-]{0,59}\Z", value):
        raise Rejected(
            "feed-name-invalid",
            f"{shown(value)} can't be part of an order's id; write up to 60 of a-z, 0-9, '_' and '-'.",
        )
    return value


def _place(value: str) -> str:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]*):", value)
    if scheme is not None and (scheme[1] != "https" or not re.match(r"https://[^\s/@]+(?:/\S*)?\Z", value)):
        raise Rejected(
            "feed-source-invalid",
            f"{shown(value)} is not a source; write the path of a file, or https://… without a password in "
            "it.",
        )
    return value


def _source(node: Node, complaints: Complaints) -> Any:
    if isinstance(node, yamltext.Mapping):
        before = len(complaints)
        values = read_mapping(node, complaints, _AXFR, "a zone to transfer")
        return values if len(complaints) == before else MISSING
    return text(_place)(node, complaints)


_AXFR = {
    "primary": Field(read=text(endpoint(53)), required="write the address of the zone's primary."),
    "zone": Field(read=text(zone), required="write the zone's name."),
    "key": Field(read=text(), required="name the file of the TSIG key, as `tsig-keygen` writes it."),
}

_FEED = {
    "name": Field(read=text(_segment), required="name it; its orders are called by it."),
    "format": Field(
        read=text(one_of(FORMATS, "feed-format-unknown")), required=f"write one of {', '.join(FORMATS)}."
    ),
    "source": Field(read=_source, required="write where the list is: a path or an https URL."),
    "folder": Field(read=text(_segment), required="name the folder of its orders below the orders folder."),
    **{key: COMMON[key] for key in ("authority", "legal_basis", "reference", "deadline", "publication")},
    **{key: DIRECTIVE[key] for key in ("regions", "match", "action", "until")},
    "review_after": Field(read=text(duration)),
    "minimum": Field(read=text(number(1, 100_000_000)), required="write how many names it always has."),
    "max_change": Field(read=text(number(0, 1, whole=False))),
    "interval": Field(read=text(duration)),
    "absence": Field(read=text(one_of(("lifted", "kept"), "feed-absence-unknown"))),
}
