"""Which processes a site's points need so that all of them hold the policy of now."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from blocker.fleet import purge, report
from blocker.fleet.purger import Purger
from blocker.fleet.push import Pusher
from blocker.plugins.dnsdist import Dnsdist
from blocker.rpz.files import ZoneFile
from blocker.rpz.primary import Primary
from blocker.supervisor import Child

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocker.fleet.push import Make, Target
    from blocker.site import Endpoint, Site

HEARTBEAT = 60.0
"""Seconds; a primary may take its time for one batch of updates."""


def children(site: Site) -> list[Child]:
    """A child for each target, and one for all caches that are purged."""
    with suppress(OSError):  # What is no longer pushed to must not be shown for ever.
        for old in (site.state / report.FOLDER).glob("*.json"):
            old.unlink(missing_ok=True)
    found = [
        Child(name=f"push {name}", run=partial(_push, site.state, make), heartbeat=HEARTBEAT, alone=True)
        for name, make in targets(site).items()
    ]
    if caches(site):
        found.append(Child(name="purge", run=partial(_purge, site), heartbeat=HEARTBEAT, alone=True))
    return found


def caches(site: Site) -> list[str]:
    """The points whose caches are purged."""
    return [point.name for point in site.points if point.control and (point.kind, point.by) in purge.WAYS]


def targets(site: Site) -> dict[str, Make]:
    """What makes each target of the site, by its name; to be called after the fork, with a pulse."""
    found: dict[str, Make] = {}
    rpz = site.rpz
    if rpz is not None:
        for point in site.points:
            if point.by != "rpz":
                continue
            zone = rpz.zone_of(point.region)
            # Knot Resolver reads files. Without a primary the others get theirs from files, too.
            if point.kind == "knot" or rpz.primary is None or rpz.key is None:
                found[f"file {zone}"] = partial(_file, site, zone, point.region)
            else:
                found[f"rpz {zone}"] = partial(_primary, site, rpz.primary, rpz.key, zone, point.region)
    if any(point.by == "lmdb" for point in site.points):
        found["dnsdist"] = partial(_dnsdist, site)
    return found


def _file(site: Site, zone: str, region: str, pulse: Callable[[], None]) -> Target:
    return ZoneFile(zone=zone, region=region, state=site.state, pulse=pulse)


def _primary(
    site: Site, endpoint: Endpoint, key: Path, zone: str, region: str, pulse: Callable[[], None]
) -> Target:
    return Primary(zone=zone, region=region, endpoint=endpoint, key=key, state=site.state, pulse=pulse)


def _dnsdist(site: Site, pulse: Callable[[], None]) -> Target:
    return Dnsdist(site.state, pulse=pulse)


def _push(state: Path, make: Make, beat: Callable[[], None]) -> None:
    Pusher(make, state, beat=beat).run()


def _purge(site: Site, beat: Callable[[], None]) -> None:
    asyncio.run(Purger(site.points, site.state, beat).run())
