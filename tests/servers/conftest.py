"""A site whose resolver stands between a small authority and whoever asks."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from blocker.demo import upstream
from tests.servers import lab

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SITE = """\
site: {{operator: Lab, contact: "mailto:legal@isp.example", info_url: "https://isp.example/b", node: lab}}
state: state
orders: orders
protected: protected.yaml
regions: {{LAB: ["127.0.0.0/8"]}}
default_region: LAB
resolver: {{listen: ["127.0.0.1:{dns}"], workers: 2, upstreams: ["127.0.0.1:{upstream}"], allow: [loopback]}}
web: {{listen: "127.0.0.1:{web}"}}
prober: {{interval: 5s, canaries: [canary.example]}}
points:
  - {{name: embedded, kind: embedded, address: "127.0.0.1:{dns}", region: LAB}}
"""

ORDER = """\
order: lab/{slug}
kind: block
authority: {{name: Lab Authority, jurisdiction: ID, contact: "mailto:contest@authority.example"}}
legal_basis: ["Lab Act, section 1"]
issued: 2026-01-01
publication: public
directives:
  - {{id: one, names: [{names}], regions: [LAB], from: {start}, until: {until}}}
"""


@dataclass(frozen=True)
class Lab:
    """Files and ports of the site."""

    folder: Path
    dns: int
    web: int
    upstream: int

    @property
    def site(self) -> Path:
        return self.folder / "site.yaml"

    def order(self, slug: str, *names: str, start: str, until: str) -> None:
        text = ORDER.format(slug=slug, names=", ".join(names), start=start, until=until)
        (self.folder / "orders" / "lab" / f"{slug}.yaml").write_text(text)

    def verb(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            lab.blocker(self.site, *words), capture_output=True, text=True, check=False, timeout=60
        )


@contextmanager
def made(folder: Path) -> Iterator[Lab]:
    """The site in a folder, and the authority behind it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        authority = multiprocessing.get_context("fork").Process(target=upstream.serve, args=(listening,))
        authority.start()
        found = Lab(
            folder,
            dns=lab.free_port(),
            web=lab.free_port(socket.SOCK_STREAM),
            upstream=listening.getsockname()[1],
        )
        (folder / "orders" / "lab").mkdir(parents=True)
        found.site.write_text(SITE.format(dns=found.dns, web=found.web, upstream=found.upstream))
        (folder / "protected.yaml").write_text("protected: [isp.example]\n")
        try:
            yield found
        finally:
            authority.terminate()
            authority.join()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Lab]:
    with made(tmp_path) as found:
        yield found
