"""What unfiltered resolvers say: whether a name exists at all.

Shell. Asked one after the other until one answers; replies are kept for a while, for the same names are
asked about at every transition. A reference that blocks (EDE 16) is no reference. None of the points may
be one: it would vouch for itself.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from blocker.errors import PointError
from blocker.prober.observe import NOERROR, NXDOMAIN, OVER_TCP, PLAIN
from blocker.prober.transports import probe
from blocker.resolver import upstream
from blocker.site import Point

if TYPE_CHECKING:
    from collections.abc import Sequence

    from blocker.names import Key
    from blocker.prober.observe import Observation, Reply
    from blocker.site import Endpoint, Site

_KEPT = 4096
_KEEP = 60.0  # seconds
_KEEP_FAILURE = 5.0
_REST = 5.0  # seconds in which nobody is asked after nobody answered: a dead reference must not slow rounds
_FAILURES = 3  # names in a row that nobody answered: one may be dead by itself


class Reference:
    """The reference resolvers of a site with a small memory."""

    def __init__(self, endpoints: Sequence[Endpoint], *, timeout: float = 1.5) -> None:
        self._endpoints = tuple(endpoints)
        self._timeout = timeout
        self._memory: OrderedDict[tuple[Key, int], tuple[float, Observation | None]] = OrderedDict()
        self._resting_until = 0.0
        self._failures = 0

    async def ask(self, name: Key, qtype: int) -> Reply | None:
        """The reply of the first reference that knows; None if none does."""
        seen = await self.observe(name, qtype)
        return None if seen is None else seen.reply

    async def observe(self, name: Key, qtype: int) -> Observation | None:
        """As `ask`, with its octets and when they came, up to a minute ago; its `point` is the address."""
        now = time.monotonic()
        kept = self._memory.get((name, qtype))
        if kept is not None and now < kept[0]:
            return kept[1]
        if now < self._resting_until:
            return None
        seen = await self._fresh(name, qtype)
        self._failures = 0 if seen is not None else self._failures + 1
        if self._failures >= _FAILURES:
            self._resting_until = time.monotonic() + _REST
        keep = _KEEP if seen is not None else _KEEP_FAILURE
        self._memory[name, qtype] = (now + keep, seen)
        self._memory.move_to_end((name, qtype))
        if len(self._memory) > _KEPT:
            self._memory.popitem(last=False)
        return seen

    async def _fresh(self, name: Key, qtype: int) -> Observation | None:
        unsure: Observation | None = None
        for endpoint in self._endpoints:
            point = Point(name=str(endpoint), kind="reference", address=endpoint, region="")
            for variant in (PLAIN, OVER_TCP):
                seen = await probe(point, (name, qtype), variant, timeout=self._timeout)
                if seen.reply is None or not seen.reply.is_truncated:
                    break
            if seen.reply is None:
                continue
            if seen.reply.rcode in (NOERROR, NXDOMAIN) and not seen.reply.is_attributed:
                return seen
            unsure = seen
        return unsure


def endpoints(site: Site) -> tuple[Endpoint, ...]:
    """The site's reference resolvers: its own choice, else the upstreams, else the host's."""
    chosen: Sequence[Endpoint] = site.prober.reference if site.prober else ()
    if not chosen and site.resolver:
        chosen = site.resolver.upstreams
    if not chosen:
        chosen = _of_the_host()
    ours = {point.address for point in site.points} | set(site.resolver.listen if site.resolver else ())
    return tuple(one for one in chosen if one not in ours)


def _of_the_host(path: Path = Path("/etc/resolv.conf")) -> tuple[Endpoint, ...]:
    """The host's own resolvers; none if it has none to name."""
    try:
        return upstream.system(path)
    except PointError:
        return ()
