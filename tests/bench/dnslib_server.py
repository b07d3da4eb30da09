"""dnslib's own server with plugins/dnslib in it, on the store of a site: what a first attempt looks like."""

from __future__ import annotations

import sys
from pathlib import Path

from dnslib.server import DNSLogger, DNSServer

from blocker.plugins.dnslib import Resolver

if __name__ == "__main__":
    resolver = Resolver(Path(sys.argv[1]))
    DNSServer(resolver, address="127.0.0.1", port=int(sys.argv[2]), logger=DNSLogger("-log")).start()
