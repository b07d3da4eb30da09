"""`blocker rpz`: the policy as a response policy zone."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

import click

from blocker.cli.show import Instant

if TYPE_CHECKING:
    from pathlib import Path


@click.command("rpz")
@click.option("--at", "at", type=Instant(), help="The instant; now, if not given.")
@click.option("--region", help="The region; the site's default, if not given.")
@click.pass_obj
def command(site: Path, at: float | None, region: str | None) -> None:
    """Print the applied policy of one region and instant as a response policy zone.

    Its serial is the instant. What a zone can't say is said as nearly as it can: REFUSED as NODATA.
    """
    from blocker.cli import approvals, inputs, show
    from blocker.rpz import zone
    from blocker.site import Rpz

    loaded = approvals.load(site)
    at = time.time() if at is None else at
    region = region or loaded.enforcement.default_region
    regions = sorted(loaded.enforcement.regions)
    if region is None or not any(own == region or own.startswith(f"{region}-") for own in regions):
        known = ", ".join(regions) or "none"
        raise click.BadParameter(
            f"{region!r} is no region of this site; it has {known}"
            if region
            else f"the site has no default region; name one of {known}",
            param_hint="--region",
        )
    name = (loaded.rpz or Rpz()).zone_of(region)
    with inputs.live(loaded) as policy:
        comment = (
            f"generation {policy.generation.number} of {policy.generation.digest[:16]}, "
            f"as of {show.moment(at)}; written by blocker rpz"
        )
        ttl = policy.enforcement.ttl
        serial = zone.successor(0, at)
        sys.stdout.write(zone.header(name, serial=serial, ttl=ttl, comment=comment))
        unsaid = zone.Unsaid()
        for entry in zone.entries(policy, name, region, at, unsaid=unsaid):
            sys.stdout.write(zone.lines(entry))
    if unsaid.count:
        click.echo(unsaid.sentence(name), err=True)
