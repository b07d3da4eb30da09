"""Knot Resolver, started from the files of ops/knot."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.servers import lab
from tests.servers.zone_lab import OPS, ZONE, filled

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOME = OPS / "knot"

_LAB = """
trust_anchors.remove('.')
policy.add(policy.all(policy.STUB('127.0.0.1@{upstream}')))
"""


@dataclass(frozen=True)
class Knot:
    """A running resolver."""

    port: int
    log: Path


def named(nsid: str) -> str:
    """The configuration with which it says this NSID."""
    return f"modules = {{nsid = {{name = '{nsid}'}}}}\n"


@contextmanager
def knot(folder: Path, upstream: int, zonefile: Path, *, after: str = "") -> Iterator[Knot]:
    """The resolver before the port `upstream`, with the zone of `zonefile`.

    `after` is further configuration.
    """
    path = lab.program("kresd")
    folder.mkdir(exist_ok=True)
    port = lab.free_port()
    own = {
        "'127.0.0.1', 53,": f"'127.0.0.1', {port},",
        "100 * MB, 'lmdb:///var/cache/knot-resolver'": f"10 * MB, 'lmdb://{folder}/cache'",
        f"/var/lib/blocker/state/rpz/{ZONE}.zone": str(zonefile),
        "/etc/knot-resolver/blocker.lua": str(HOME / "blocker.lua"),
    }
    conf = folder / "kresd.conf"
    conf.write_text(filled(HOME / "kresd.conf", own) + _LAB.format(upstream=upstream) + after)
    log = folder / "log"
    with lab.started([path, "-n", "-c", str(conf), str(folder)], log, cwd=folder) as process:
        lab.until_answering(port, process, log)
        yield Knot(port, log)
