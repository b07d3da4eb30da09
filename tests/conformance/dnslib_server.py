"""A dnslib server with the policy inside: `python -m tests.conformance.dnslib_server STATE PORT UPSTREAM`."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from dnslib.proxy import ProxyResolver
from dnslib.server import DNSLogger, DNSServer

from blocker.plugins.dnslib import Resolver


def main(state: str, port: str, upstream: str) -> None:
    fallback = ProxyResolver("127.0.0.1", int(upstream), timeout=3)
    resolver = Resolver(Path(state), fallback=fallback)
    for tcp in (False, True):
        quiet = DNSLogger("-request,-reply,-truncated,-data")
        DNSServer(resolver, address="127.0.0.1", port=int(port), tcp=tcp, logger=quiet).start_thread()
    signal.pause()


if __name__ == "__main__":
    main(*sys.argv[1:])
