"""`blocker push`: zones, dnsdist and caches, at each instant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("push")
@click.pass_obj
def command(site: Path) -> int:
    """Keep the resolvers that can't read the timetable at the policy of now.

    Zones go to the RPZ primary and into state/rpz, dnsdist's set ids into state/dnsdist.lmdb: prepared before
    each instant, sent at it. Points with a 'control' forget what no longer holds. SIGHUP re-reads site.yaml;
    SIGTERM or Ctrl-C ends it within 2 s.
    """
    from blocker.cli.daemons import start

    return start(site, push=True)
