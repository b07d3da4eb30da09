"""A zone of a million names from a BIND with TSIG: transferred, made into an order, and that order checked.

The peer is `dig AXFR` with the same key, which writes the same zone to nowhere.
"""

from __future__ import annotations

import resource
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from blocker import sitefile
from blocker.feeds import feedsfile, importing, polling
from tests.bench.engines import say
from tests.servers import bind_lab, lab
from tests.servers.zone_lab import ZONE

if TYPE_CHECKING:
    from tests.bench.options import Options

TARGET = 60.0
"""Seconds for a million names."""

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
    """Print how long each step takes, the ratio to dig, and the memory."""
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
            begun = time.perf_counter()
            source = polling.fetch(site, feed, int(time.time()))
            fetched = time.perf_counter()
            made = importing.make(site, feed, source)
            assert not made.problems, made.problems
            importing.write(site, made)
            done = time.perf_counter()
        say(f"dig AXFR               {dig:8.1f} s")
        say(f"transfer, as a document {fetched - begun:7.1f} s   {(fetched - begun) / dig:.1f} of dig")
        say(f"order with its files   {done - fetched:8.1f} s")
        whole = (done - begun) / count * 1_000_000
        say(
            f"a million names        {whole:8.1f} s   target {TARGET:.0f} s: "
            f"{'met' if whole <= TARGET else 'missed'}"
        )
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        say(f"memory, at most        {peak:8.0f} MB")
