"""A zone of a million names from a BIND with TSIG: transferred, made into an order; then a difference of it.

The peer is `dig AXFR` with the same key, which writes the same zone to nowhere; what a difference costs is
compared with what the whole zone costs.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from blocker import sitefile
from blocker.feeds import feedsfile, importing, polling
from tests.bench.engines import say
from tests.servers import bind_lab, lab
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from blocker.feeds.contract import Feed
    from blocker.site import Site
    from tests.bench.options import Options
    from tests.servers.bind_lab import Bind

TARGET = 60.0
"""Seconds for a million names."""

CHANGED = 100
"""Records that the next version has more or less."""

_SITE = """\
site: {operator: "Bench Net", contact: "mailto:bench@isp.example", node: bench}
state: state
orders: orders
feeds: feeds.yaml
regions: {ID: ["192.0.2.0/24"]}
"""
_FEEDS = """\
feeds:
  - name: big
    format: axfr
    source: {{primary: "127.0.0.1:{port}", zone: {zone}, key: feed.key}}
    folder: big
    authority: {{name: "Bench", jurisdiction: ID, contact: "tel:1"}}
    legal_basis: ["Bench Act"]
    publication: public
    regions: [ID]
    review_after: 180d
    minimum: 1
"""


def run(options: Options) -> None:
    """Print how long each step takes, the ratios to dig and to the whole zone, and the memory."""
    count = options.names or (20_000 if options.quick else 1_000_000)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        records = "".join(f"name-{number}.example CNAME .\n" for number in range(count))
        with bind_lab.primary(folder / "bind", records=records) as bind:
            while bind.serial() is None:
                time.sleep(0.2)
            say(f"{count:,} names in the zone")
            (folder / "site.yaml").write_text(_SITE)
            (folder / "feeds.yaml").write_text(_FEEDS.format(port=bind.port, zone=ZONE))
            (folder / "feed.key").write_text(bind_lab.KEY)
            (folder / "orders").mkdir()
            begun = time.perf_counter()
            key = ["-k", str(folder / "feed.key")]
            words = [lab.program("dig"), *key, "@127.0.0.1", "-p", str(bind.port), ZONE, "AXFR"]
            subprocess.run(words, stdout=subprocess.DEVNULL, check=True)
            dig = time.perf_counter() - begun
            site = sitefile.load(folder / "site.yaml")
            (feed,) = feedsfile.load(folder / "feeds.yaml")
            first = _import(site, feed)
            say(f"dig AXFR               {dig:8.1f} s")
            say(f"transfer, as a document {first.transfer:7.1f} s   {first.transfer / dig:.1f} of dig")
            say(f"order with its files   {first.order:8.1f} s")
            million = (first.transfer + first.order) / count * 1_000_000
            say(
                f"a million names        {million:8.1f} s   target {TARGET:.0f} s: "
                f"{'met' if million <= TARGET else 'missed'}"
            )
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            say(f"memory, at most        {peak:8.0f} MB")
            _change(bind)
            changed = _import(site, feed)
            (site.state / "feeds" / "big.zone").unlink()
            whole = _import(site, feed)
        assert changed.digest == whole.digest
        say(f"the next version, {CHANGED} records changed")
        say(f"transfer, whole        {whole.transfer:8.1f} s")
        ratio = changed.transfer / whole.transfer
        say(f"transfer, by difference {changed.transfer:7.1f} s   {ratio:.2f} of the whole")
        say(f"amend with its files   {changed.order:8.1f} s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Seconds of an import's two parts, and the digest of its document."""

    transfer: float
    order: float
    digest: str


def _import(site: Site, feed: Feed) -> Cost:
    begun = time.perf_counter()
    with polling.alone(site, warn=print):
        source = polling.fetch(site, feed, int(time.time()))
    fetched = time.perf_counter()
    made = importing.make(site, feed, source)
    assert not made.problems, made.problems
    if made.files:
        importing.write(site, made)
    return Cost(transfer=fetched - begun, order=time.perf_counter() - fetched, digest=source.digest)


def _change(bind: Bind) -> None:
    """Half of the records go, half are new."""
    for number in range(0, CHANGED // 2, 10):
        change = bind_lab.changing()
        for one in range(number, number + 10):
            change.delete(f"name-{one}.example")
            change.add(f"new-{one}.example", 30, "CNAME", ".")
        bind_lab.send(bind, change)
