"""scapy's `sr` over so many names at once: how many a second were answered, as JSON."""

from __future__ import annotations

import json
import sys
import time
from itertools import islice
from pathlib import Path

from scapy.config import conf
from scapy.layers.dns import DNS, DNSQR
from scapy.layers.inet import IP, UDP
from scapy.packet import bind_layers
from scapy.sendrecv import sr
from scapy.supersocket import L3RawSocket

TIMEOUT = 0.5


def main(port: int, listed: Path, count: int) -> None:
    """Ask about the first `count` names of the file; needs CAP_NET_RAW."""
    conf.L3socket = L3RawSocket  # The way to loopback.
    bind_layers(UDP, DNS, sport=port)
    with listed.open() as lines:
        asked = [line.split()[0] for line in islice(lines, count)]
    # Each has a port of its own, as a prober would.
    packets = [
        IP(dst="127.0.0.1") / UDP(sport=40_000 + at, dport=port) / DNS(id=at, rd=1, qd=DNSQR(qname=name))
        for at, name in enumerate(asked)
    ]
    began = time.monotonic()
    answered, _ = sr(packets, timeout=TIMEOUT, verbose=0)
    seconds = time.monotonic() - began
    json.dump({"sent": len(packets), "answered": len(answered), "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
