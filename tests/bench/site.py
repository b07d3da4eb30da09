"""A scratch site with a long list, for benchmarks: its files, and the verbs run on it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

SITE = """\
site: {{operator: Bench, contact: "mailto:legal@isp.example", info_url: "https://isp.example/blocked"}}
state: state
orders: orders
protected: protected.yaml
regions: {{ID: ["127.0.0.0/8", "::1/128"]}}
default_region: ID
answers: {{ttl: 30s, max_ttl: 1h}}
limits: {{max_added: 1000, max_added_ratio: 0.3, max_removed_ratio: 0.3}}
resolver:
  listen: ["127.0.0.1:{port}"]
  workers: {workers}
  upstreams: ["127.0.0.1:{upstream}"]
  allow: [loopback]
"""

ORDER = """\
order: {id}
kind: block
authority: {{name: "Bench Authority", jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Bench Act, section 1"]
issued: 2026-11-01
publication: public
directives:
  - id: list
    {names}
    match: subtree
    regions: [ID]
    from: {start}
    until: {until}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """One verb as a whole process: wall seconds are the caller's, CPU time its own; memory in octets."""

    code: int
    output: str
    peak: int
    wall: float
    cpu: float


def listed(count: int, *, first: int = 0) -> Iterator[str]:
    """Distinct names as lists have them: 20 octets or so, spread over some top-level names."""
    for number in range(first, first + count):
        spread = hashlib.blake2b(number.to_bytes(4), digest_size=5).hexdigest()
        yield f"{spread}{number:x}.{('com', 'net', 'org', 'xyz', 'co.id')[number % 5]}"


def make(folder: Path, *, upstream: int = 9, workers: int = 1) -> int:
    """The site's files, without orders; the port its resolver listens on."""
    (folder / "orders" / "bench").mkdir(parents=True)
    port = lab.free_port()
    (folder / "site.yaml").write_text(SITE.format(port=port, upstream=upstream, workers=workers))
    (folder / "protected.yaml").write_text("protected: [protected.example]\n")
    return port


def order(folder: Path, slug: str, *, names: str, start: datetime, days: int = 365) -> None:
    """One more order; `names` is a line of the directive."""
    (folder / "orders" / "bench" / f"{slug}.yaml").write_text(
        ORDER.format(
            id=f"bench/{slug}",
            names=names,
            start=start.isoformat(),
            until=(start + timedelta(days=days)).isoformat(),
        )
    )


def write(path: Path, names: Iterable[str]) -> str:
    """A list; its digest."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for name in names:
            line = f"{name}\n".encode()
            digest.update(line)
            file.write(line)
    return digest.hexdigest()


def bulk(
    folder: Path, slug: str, count: int, *, first: int = 0, start: datetime | None = None, days: int = 365
) -> None:
    """An order with a names_file of `count` names."""
    digest = write(folder / "orders" / "bench" / f"{slug}.txt", listed(count, first=first))
    order(
        folder,
        slug,
        names=f'names_file: {{file: {slug}.txt, sha256: "{digest}"}}',
        start=start or datetime.now(UTC).replace(microsecond=0),
        days=days,
    )


def blocker(folder: Path, *arguments: str) -> Ran:
    """Run one verb and account for it. Its code is compiled before, as it is wherever it is installed."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "blocker", "--site", str(folder / "site.yaml"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"},
    )
    assert process.stdout is not None
    output = process.stdout.read()
    process.stdout.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Ran(
        code=process.returncode,
        output=output,
        peak=usage.ru_maxrss * 1024,
        wall=time.monotonic() - began,
        cpu=usage.ru_utime + usage.ru_stime,
    )
