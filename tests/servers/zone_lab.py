"""Files of ops/ as they stand, but for what a lab must have otherwise: ports, folders, where the zone is
from.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import dns.rcode

from blocker.rpz import zone
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Mapping

OPS = Path(__file__).resolve().parents[2] / "ops"
ZONE = "id.rpz.isp.example"
"""The zone that the files of ops/ name."""

MARK = "mark.example"


def filled(path: Path, changes: Mapping[str, str]) -> str:
    """The text of a file of ops/ with every one of these pieces replaced."""
    text = path.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert old in text, f"{path}: there is no {old!r} to replace"
        text = text.replace(old, new)
    return text


def marked(zone_text: str, serial: int) -> str:
    """The zone with one more name, blocked in this serial of it alone: shows which one is enforced."""
    return f"{zone_text.rstrip()}\nm{serial}.{MARK} CNAME .\n"


def until_marked(port: int, serial: int, log: Path, *, seconds: float = 20) -> None:
    """Wait until the server enforces this serial."""
    until_blocked(port, f"m{serial}.{MARK}", log, seconds=seconds)


def until_blocked(port: int, name: str, log: Path, *, seconds: float = 20) -> None:
    """Wait until the server answers NXDOMAIN for the name."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = lab.ask(port, name)
        if answer is not None and answer.rcode() == dns.rcode.NXDOMAIN:
            return
        time.sleep(0.02)
    raise AssertionError(f"{name} is still not blocked:\n{log.read_text(errors='replace')[-3000:]}")


def replace(path: Path, serial: int, *records: str) -> None:
    """Give the zone's file these records, written aside and renamed."""
    aside = path.with_suffix(".new")
    head = zone.header(ZONE, serial=serial, ttl=30, comment="lab")
    aside.write_text(head + "".join(f"{record}\n" for record in records))
    aside.rename(path)
