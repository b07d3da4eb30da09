from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dns.rcode

from tests.servers import lab

if TYPE_CHECKING:
    from tests.servers.conftest import Lab

NAME = "cached.example"


def test_a_cache_in_front_obeys_within_a_second_and_never_early(site: Lab) -> None:
    """Unbound forwards to us and caches; TTL shaping alone must end both the pass and the block in time."""
    start = int(time.time()) + 8
    end = start + 5
    iso = [datetime.fromtimestamp(at, UTC).isoformat() for at in (start, end)]
    site.order("one", NAME, start=iso[0], until=iso[1])
    assert site.verb("apply", "--yes").returncode == 0
    log = site.folder / "serve.log"
    seen: list[tuple[float, float, bool]] = []
    with lab.started(lab.blocker(site.site, "serve"), log) as daemon:
        lab.until_answering(site.dns, daemon, log)
        with lab.unbound_in_front(site.folder / "unbound", site.dns) as port:
            while time.time() < end + 3:
                sent = time.time()
                answer = lab.ask(port, NAME)
                assert answer is not None
                assert answer.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN)
                seen.append((sent, time.time(), answer.rcode() == dns.rcode.NXDOMAIN))
                time.sleep(0.02)
    blocked = [one for one in seen if one[2]]
    first_block, last_block = blocked[0], blocked[-1]
    last_pass_before = max(one[0] for one in seen if not one[2] and one[0] < first_block[0])
    first_lifted = min(one[1] for one in seen if not one[2] and one[0] > last_block[0])
    print(
        f"first block {first_block[1] - start:+.3f} s, last pass {last_pass_before - start:+.3f} s, "
        f"last block {last_block[0] - end:+.3f} s, first lifted {first_lifted - end:+.3f} s"
    )
    assert any(not one[2] and one[0] < start - 1 for one in seen), "the real answer was cached before"
    assert first_block[1] >= start
    assert last_pass_before <= start + 1
    assert first_lifted >= end
    assert last_block[0] <= end + 1
