"""The orders that tests begin with, as text."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from blocker import names
from blocker.orders import check

if TYPE_CHECKING:
    from pathlib import Path

BLOCK = """\
order: a/b
kind: block
authority: {name: "Example Court", jurisdiction: ID, contact: "mailto:court@court.example"}
legal_basis: ["Act 1, section 2"]
reference: "7/2026"
issued: 2026-01-10
received: 2026-01-10T09:12:00+07:00
deadline: 24h
publication: public
directives:
  - id: one
    names: [blocked.example]
    regions: [ID]
    from: 2026-01-10T12:00:00+07:00
    until: 2026-04-10
"""

FACTS = check.Facts(
    regions=frozenset({"ID", "GB-SCT"}),
    protected=frozenset({names.to_key("isp.example"), names.to_key("www.shop.example")}),
)


def act(
    id_: str, kind: str, of: str, *more: str, start: str = "2026-02-01", issued: str = "2026-01-20"
) -> str:
    """The text of an order about another; `more` are lines of its own."""
    lines = [
        f"order: {id_}",
        f"kind: {kind}",
        'authority: {name: "Example Court", jurisdiction: ID, contact: "mailto:court@court.example"}',
        'legal_basis: ["Act 1, section 2"]',
        f"issued: {issued}",
        "publication: public",
        f"of: {of}",
        f"from: {start}",
        *more,
    ]
    return "\n".join(lines) + "\n"


def listed(content: bytes, *, sha256: str = "", file: str = "list.txt", extra: str = "") -> dict[str, bytes]:
    """The files of a block with a names_file of this content."""
    digest = sha256 or hashlib.sha256(content).hexdigest()
    written = f"    names_file: {{file: {file}, sha256: {digest}}}{extra}"
    return {
        "a/b.yaml": BLOCK.replace("    names: [blocked.example]", written).encode(),
        "a/list.txt": content,
    }


def lay(folder: Path, content: dict[str, bytes]) -> None:
    """Put files below a folder."""
    for name, octets in content.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
