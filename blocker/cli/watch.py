"""`blocker watch`: the prober and the metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("watch")
@click.pass_obj
def command(site: Path) -> int:
    """Probe the site's points and serve /metrics.

    SIGHUP re-reads site.yaml; SIGTERM or Ctrl-C ends it within 2 s.
    """
    from blocker.cli.daemons import start

    return start(site, watch=True)
