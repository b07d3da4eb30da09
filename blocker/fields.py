"""From Nodes to values by tables: which keys a mapping has and how each one is read.

A reader takes a Node and says what is wrong with it to Complaints; it never raises and never stops at the
first Problem, so a person sees all of a file at once. Where a reader complained, its value is missing.
The readers here know texts, times, durations, digests and addresses; what an order or a site is made of
stands in `orders.parse` and `sitefile`. Pure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final

from blocker.errors import Problem
from blocker.yamltext import MAX_PROBLEMS, Mapping, Mark, Node, Scalar, Sequence

if TYPE_CHECKING:
    from collections import abc

    from blocker.site import Network

MISSING: Final = object()

_TIME = re.compile(
    r"(?P<day>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[T ](?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?P<fraction>[.,][0-9]+)?"
    r"(?P<zone>Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])?)?\Z"
)
_DURATION = re.compile(r"([0-9]{1,6})([smhd])\Z")
_MAPPED = 96  # bits before the IPv4 address
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Rejected(ValueError):
    """A text that isn't what it should be: the id of the check and its sentence."""

    def __init__(self, id_: str, message: str) -> None:
        super().__init__(message)
        self.id = id_


class Complaints:
    """The Problems of one file while it is read; bounded, for a hostile file has many."""

    def __init__(self, path: str, problems: abc.Iterable[Problem] = ()) -> None:
        self._path = path
        self._found = list(problems)
        self._hidden = 0

    def __len__(self) -> int:
        return len(self._found) + self._hidden

    def add(self, id_: str, at: Node | Mark, message: str, *, severity: str = "error") -> None:
        """One more Problem, at a Node or its place."""
        mark = at if isinstance(at, Mark) else at.mark
        if len(self._found) >= MAX_PROBLEMS:
            self._hidden += 1
            return
        self._found.append(
            Problem(
                id=id_,
                path=self._path,
                line=mark.line,
                column=mark.column,
                message=message,
                severity=severity,
            )
        )

    def all(self) -> list[Problem]:
        """Every Problem by place, the first hundred of them, and how many more there are."""
        found = sorted(self._found, key=lambda one: (one.line, one.column))
        if self._hidden:
            found.append(more(self._path, self._hidden))
        return found


def more(path: str, hidden: int) -> Problem:
    """The Problem that stands for those that aren't shown."""
    return Problem(
        id="more-problems", path=path, message=f"and {hidden:,} more problems; mend the ones above first."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """How the value of a key is read, and what to say if the key is missing (nothing: it may be)."""

    read: abc.Callable[[Node, Complaints], Any]
    required: str = ""
    missing: str = "missing-key"


def read_mapping(
    node: Node, complaints: Complaints, fields: abc.Mapping[str, Field], what: str
) -> dict[str, Any]:
    """The values of the keys that are there and right; unknown and missing keys are Problems."""
    values: dict[str, Any] = {}
    if not isinstance(node, Mapping):
        complaints.add("not-a-mapping", node, f"{what} is written as keys with values, 'key: value'.")
        return values
    present = set()
    for key, value in node.entries:
        field = fields.get(key.text)
        if field is None:
            complaints.add(
                "unknown-key", key, f"{key.text[:60]!r} is not a key of {what}; it has {', '.join(fields)}."
            )
            continue
        present.add(key.text)
        found = field.read(value, complaints)
        if found is not MISSING:
            values[key.text] = found
    for name, field in fields.items():
        if field.required and name not in present:
            complaints.add(field.missing, node, f"{what} has no '{name}'; {field.required}")
    return values


def mapping(fields: abc.Mapping[str, Field], what: str) -> abc.Callable[[Node, Complaints], dict[str, Any]]:
    """A reader of a mapping with these keys."""
    return lambda node, complaints: read_mapping(node, complaints, fields, what)


def text(convert: abc.Callable[[str], Any] = str) -> abc.Callable[[Node, Complaints], Any]:
    """A reader of one text, which `convert` turns into a value or rejects."""

    def read(node: Node, complaints: Complaints) -> Any:
        if not isinstance(node, Scalar):
            shape = "a list" if isinstance(node, Sequence) else "a mapping"
            complaints.add("not-text", node, f"{shape} stands where one text belongs; write one value.")
        elif node.is_empty or not node.text.strip():
            complaints.add("value-empty", node, "there is no value; write one, or remove the key.")
        else:
            try:
                return convert(node.text)
            except Rejected as rejected:
                complaints.add(rejected.id, node, str(rejected))
        return MISSING

    return read


def several(read: abc.Callable[[Node, Complaints], Any]) -> abc.Callable[[Node, Complaints], Any]:
    """A reader of a list with at least one value."""

    def read_all(node: Node, complaints: Complaints) -> Any:
        if not isinstance(node, Sequence):
            way = "write it in brackets, even for one: […]."
            if isinstance(node, Mapping):
                way = "begin each of its values with '- '."
            complaints.add("not-a-list", node, f"a list belongs here; {way}")
            return MISSING
        if not node.items:
            complaints.add("value-empty", node, "the list is empty; write a value, or remove the key.")
            return MISSING
        values = [read(item, complaints) for item in node.items]
        return tuple(value for value in values if value is not MISSING)

    return read_all


def one_of(choices: abc.Iterable[str], id_: str) -> abc.Callable[[str], str]:
    """A text from a short list."""
    known = tuple(choices)

    def convert(value: str) -> str:
        if value not in known:
            raise Rejected(id_, f"{shown(value)} is unknown; write one of {', '.join(known)}.")
        return value

    return convert


def shown(value: str) -> str:
    """The text in quotes, cut to what fits on a line, odd characters escaped."""
    return repr(value) if len(value) <= 80 else f"{value[:77]!r}…"


def moment(value: str) -> datetime:
    """An aware time in whole seconds; a date is its 00:00 UTC (RFC 3339, the zone required)."""
    match = _TIME.match(value)
    if match is None:
        raise Rejected(
            "time-invalid",
            f"{shown(value)} is not a time; write 2026-01-10 or 2026-01-10T12:00:00+07:00.",
        )
    if match["fraction"]:
        raise Rejected(
            "time-with-fraction",
            f"{value[:60]!r} has a fraction of a second; caches count whole seconds, write those.",
        )
    if match["time"] and not match["zone"]:
        raise Rejected(
            "time-without-zone", f"{value!r} has no zone; add the authority's, such as +07:00, or Z for UTC."
        )
    # RFC 3339 knows 23:59:60 and ISO 8601 knows 24:00; the clocks that enforce know neither.
    if match["time"] in ("23:59:60", "24:00", "24:00:00"):
        raise Rejected("time-invalid", f"{value!r} is past the last second; write 00:00:00 of the next day.")
    try:
        when = datetime.fromisoformat(value)
    except ValueError as error:
        raise Rejected("time-invalid", f"{value!r} is not a time: {error}; mend it.") from error
    if not 1970 < when.year < 2970:
        raise Rejected("time-invalid", f"{value!r} is in the year {when.year}; check the year.")
    return when if match["time"] else when.replace(tzinfo=UTC)


def duration(value: str) -> int:
    """Whole seconds from `30s`, `30m`, `24h` or `2d`; never none."""
    match = _DURATION.match(value)
    if match is None or not int(match[1]):
        raise Rejected("duration-invalid", f"{shown(value)} is not a duration; write 30s, 30m, 24h or 2d.")
    return int(match[1]) * _SECONDS[match[2]]


def sha256(value: str) -> str:
    """A SHA-256 in lower-case hex."""
    if not re.match(r"[0-9a-fA-F]{64}\Z", value):
        raise Rejected(
            "digest-invalid", f"{shown(value)} is not a SHA-256; it has 64 hex digits, as sha256sum prints."
        )
    return value.lower()


def contact(value: str) -> str:
    """Where a person can turn to: mailto, https or tel (RFC 6068, 9110, 3966)."""
    if not re.match(r"(mailto:[^\s@]+@[^\s@]+|https://[^\s/]+\S*|tel:[+]?[0-9().-]+)\Z", value):
        raise Rejected(
            "contact-invalid",
            f"{shown(value)} is no way to reach someone; write mailto:…, https://… or tel:…",
        )
    return value


def region(value: str) -> str:
    """A region: a country's code, or one nested in it as `ID-JK`."""
    if not re.match(r"[A-Za-z0-9]{1,16}(?:-[A-Za-z0-9]{1,16}){0,7}\Z", value):
        raise Rejected("region-invalid", f"{shown(value)} is not a region; write a code such as ID or ID-JK.")
    return value


def address(value: str) -> IPv4Address | IPv6Address:
    """An IP address; an IPv4-mapped one (RFC 4291 §2.5.5.2) is the IPv4 address that it means.

    Raises ValueError for anything else.
    """
    found = ip_address(value)
    return found.ipv4_mapped or found if isinstance(found, IPv6Address) else found


def network(value: str) -> Network:
    """An IPv4 or IPv6 prefix without host bits; an address is its own prefix.

    An IPv4-mapped one is the IPv4 prefix that it means: clients are known by that.
    """
    try:
        found = ip_network(value)
    except ValueError as error:
        raise Rejected(
            "network-invalid", f"{shown(value)} is not a network: {error}; write 192.0.2.0/24."
        ) from error
    carried = address(str(found.network_address))
    if carried.version < found.version and found.prefixlen >= _MAPPED:
        return IPv4Network((carried, found.prefixlen - _MAPPED))
    return found
