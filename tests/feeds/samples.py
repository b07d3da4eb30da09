"""Documents of every format, made from the formats alone: none is copied from a real list.

Each lists `casino-0.example` … `casino-9.example`, a URL and an address where the format may have them.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NAMES = tuple(f"casino-{number}.example" for number in range(10))
LATER = ("newcomer.example", *NAMES[:4], *NAMES[5:])
"""One lifted, one new."""

OTHERS = tuple(f"other-{number}.example" for number in range(10))
URL, ADDRESS = "https://shop.example/casino", "192.0.2.7"
REGISTER = "http://www.hazard.mf.gov.pl/2017/03/21/"


def lines(listed: Sequence[str], edition: int = 1) -> str:
    del edition
    return "".join(f"{name}\n" for name in listed)


def hosts(listed: Sequence[str], edition: int = 1) -> str:
    del edition
    return "# a list\n127.0.0.1 localhost\n" + "".join(f"0.0.0.0 {name}\n" for name in listed)


def adm(listed: Sequence[str], edition: int = 1) -> str:
    return f"{edition:07}_2025.29.08\n" + lines(listed)


def cncpo(listed: Sequence[str], edition: int = 1) -> str:
    del edition
    return "ID;SITE;DATE\n" + "".join(f"{at};{name};2025\n" for at, name in enumerate(listed, 1))


def zone(listed: Sequence[str], edition: int = 1) -> str:
    head = (
        "$ORIGIN rpz.example.\n$TTL 60\n@ IN SOA localhost. root.localhost. (\n"
        f"    {edition} ; serial\n    60 60 60 60 )\n    IN NS localhost.\n"
    )
    return head + "".join(f"{name} CNAME .\n*.{name} 60 IN CNAME .\n" for name in listed)


def entry(number: int, name: str, more: str = "", since: str = "2026-01-10T12:00:00") -> str:
    return (
        f'  <PozycjaRejestru Lp="{number}">\n    <AdresDomeny>{name}</AdresDomeny>\n'
        f"    <DataWpisu>{since}</DataWpisu>{more}\n  </PozycjaRejestru>\n"
    )


def hazard(listed: Sequence[str], edition: int = 1) -> str:
    entries = [entry(at, name, since=f"2026-01-{edition:02}T12:00:00") for at, name in enumerate(listed, 1)]
    head = f'<?xml version="1.0" encoding="utf-8"?>\n<Rejestr xmlns="{REGISTER}">\n'
    return f"{head}{''.join(entries)}</Rejestr>\n"


def position(number: int, name: str, since: str, until: str | None = None) -> dict[str, object]:
    return {
        "RegisterPositionId": number,
        "DomainAddress": name,
        "InsertDate": since,
        "DeleteDate": until,
    }


def certpl(listed: Sequence[str], edition: int = 1) -> str:
    """Names that are gone are said to be deleted."""
    entries = [position(at, name, f"2026-01-{edition:02}T12:00:00") for at, name in enumerate(listed, 1)]
    gone = [name for name in NAMES if name not in listed]
    entries += [
        position(1000 + at, name, "2026-01-01T12:00:00", "2026-01-02T12:00:00+01:00")
        for at, name in enumerate(gone)
    ]
    return json.dumps(entries, indent=1).replace("\n", "\r\n")


MAKERS: dict[str, Callable[..., str]] = {
    "pl-hazard": hazard,
    "cert-pl": certpl,
    "it-adm": adm,
    "it-cncpo": cncpo,
    "names": lines,
    "hosts": hosts,
    "rpz": zone,
}
