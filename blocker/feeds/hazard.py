"""The Polish register of gambling domains (`pl-hazard`): XML of the Ministry of Finance.

`Rejestr` holds `PozycjaRejestru` with the number `Lp`, `AdresDomeny`, `DataWpisu` and sometimes
`DataWykreslenia`; times are Warsaw's, without a zone. Names that left the register are mostly just absent.

Read by expat itself, event by event: it gives lines, builds no tree, and lets us refuse a document type at
once, without which there are no entities of one's own to expand. Pure.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from xml.parsers import expat
from zoneinfo import ZoneInfo

from blocker.feeds.extract import Damaged, Edition

if TYPE_CHECKING:
    from blocker.feeds.extract import Extract, Rows

NAMESPACE = "http://www.hazard.mf.gov.pl/2017/03/21/"
MAX_TEXT = 4096

_WARSAW = ZoneInfo("Europe/Warsaw")
_TIME = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.[0-9]{1,9})?")
_FIELDS = frozenset({"AdresDomeny", "DataWpisu", "DataWykreslenia"})
_ROOT, _ENTRY = "Rejestr", "PozycjaRejestru"


def read(octets: bytes, rows: Rows) -> Extract:
    """The register. Raises Damaged."""
    parser = expat.ParserCreate("utf-8", namespace_separator=" ")
    reader = _Reader(parser, rows)
    try:
        parser.Parse(octets, True)
    except expat.ExpatError as error:
        id_, why = _why(error)
        raise Damaged(id_, why, error.lineno) from error
    return reader.extract()


def _why(error: expat.ExpatError) -> tuple[str, str]:
    text = expat.ErrorString(error.code)
    if error.code in _CUT:
        return "feed-cut-off", f"the document ends before its end ({text}); fetch it anew."
    if error.code == _CHARSET:
        return "feed-charset", "the document is not UTF-8; fetch it anew."
    return "feed-format", f"the document is not XML ({text}); fetch it anew."


_CUT = frozenset(
    expat.errors.codes[one]
    for one in (
        expat.errors.XML_ERROR_NO_ELEMENTS,
        expat.errors.XML_ERROR_UNCLOSED_TOKEN,
        expat.errors.XML_ERROR_PARTIAL_CHAR,
        expat.errors.XML_ERROR_UNCLOSED_CDATA_SECTION,
    )
)
_CHARSET = expat.errors.codes[expat.errors.XML_ERROR_INVALID_TOKEN]


class _Reader:
    """The register while expat goes through it."""

    def __init__(self, parser: expat.XMLParserType, rows: Rows) -> None:
        self._parser, self._rows = parser, rows
        self._depth = 0
        self._field = ""
        self._entry: dict[str, str] = {}
        self._number = 0
        self._line = 0
        self._numbers: set[int] = set()
        self._newest = datetime.min.replace(tzinfo=UTC)
        parser.XmlDeclHandler = self._declared
        parser.StartDoctypeDeclHandler = self._doctype
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text

    def extract(self) -> Extract:
        if not self._numbers:
            raise Damaged("feed-empty", "the register has no entry; fetch it anew.")
        when = self._newest
        return self._rows.extract(
            edition=Edition((int(when.timestamp()),), when.isoformat(), at=when.timestamp())
        )

    def _damaged(self, id_: str, message: str) -> Damaged:
        return Damaged(id_, message, self._parser.CurrentLineNumber)

    def _declared(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "us-ascii"):
            raise self._damaged(
                "feed-charset", f"the document is {encoding[:30]!r}, not UTF-8; fetch it anew."
            )

    def _doctype(self, *_: object) -> None:
        raise self._damaged(
            "feed-doctype",
            "the document declares a document type, which the register never has and attacks need; fetch it "
            "anew.",
        )

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        namespace, _, name = tag.rpartition(" ")
        if self._depth == 1:
            if name.lower() == "html":
                raise self._damaged("feed-html", "a web page came instead of the register; fetch it anew.")
            if namespace != NAMESPACE:
                raise self._damaged(
                    "feed-namespace",
                    f"the namespace is {namespace[:80]!r}, not {NAMESPACE!r}: the register's form may have "
                    "changed. Have the importer changed before these names are.",
                )
            if name != _ROOT:
                raise self._damaged(
                    "feed-header", f"the root is {name[:40]!r}, not {_ROOT!r}; fetch it anew."
                )
        elif self._depth == 2 and namespace == NAMESPACE and name == _ENTRY:
            self._entry = {}
            self._line = self._parser.CurrentLineNumber
            self._number = self._lp(attributes.get("Lp", ""))
        elif self._depth == 3 and namespace == NAMESPACE and name in _FIELDS:
            if name in self._entry:
                raise self._damaged("feed-format", f"an entry has {name!r} twice; fetch it anew.")
            self._field = name
            self._entry[name] = ""
        else:
            raise self._damaged("feed-format", f"{name[:40]!r} has no place here; fetch it anew.")

    def _lp(self, written: str) -> int:
        if not re.fullmatch(r"[0-9]{1,9}", written):
            raise self._damaged("feed-format", f"an entry has the number {written[:20]!r}; fetch it anew.")
        number = int(written)
        if number in self._numbers:
            raise self._damaged("feed-row-twice", f"two entries have the number {number}; fetch it anew.")
        self._numbers.add(number)
        return number

    def _text(self, text: str) -> None:
        if self._field:
            self._entry[self._field] += text
            if len(self._entry[self._field]) > MAX_TEXT:
                raise self._damaged(
                    "feed-format", f"{self._field!r} is longer than {MAX_TEXT}; fetch it anew."
                )
        elif text.strip():
            raise self._damaged(
                "feed-format", f"{text.strip()[:40]!r} stands outside of entries; fetch it anew."
            )

    def _end(self, _tag: str) -> None:
        self._field = ""
        if self._depth == 2:
            self._take()
        self._depth -= 1

    def _take(self) -> None:
        """One entry, whole."""
        listed = self._entry.get("AdresDomeny", "").strip()
        if not listed or "DataWpisu" not in self._entry:
            raise self._damaged(
                "feed-format", f"the entry {self._number} has no address or no date; fetch it anew."
            )
        since = self._moment("DataWpisu")
        until = self._moment("DataWykreslenia") if self._entry.get("DataWykreslenia", "").strip() else None
        self._newest = max(self._newest, since, until or since)
        self._rows.entry(listed, self._line, since, until)

    def _moment(self, field: str) -> datetime:
        """A time of Warsaw; of an hour that comes twice the first one is meant, if it can be."""
        written = self._entry[field].strip()
        found = _TIME.fullmatch(written)
        try:
            return datetime.fromisoformat(found[1] if found else "").replace(tzinfo=_WARSAW)
        except ValueError as error:
            raise self._damaged(
                "feed-date",
                f"{field!r} of the entry {self._number} is {written[:40]!r}, not a time such as "
                "2026-01-10T12:00:00; fetch it anew.",
            ) from error
