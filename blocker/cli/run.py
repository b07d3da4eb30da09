"""`blocker run`: all that site.yaml names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("run")
@click.pass_obj
def command(site: Path) -> int:
    """Answer queries, push to the points, probe them and serve /metrics, in one supervised tree.

    SIGHUP re-reads site.yaml; SIGTERM or Ctrl-C ends it within 2 s.
    """
    from blocker.cli.daemons import start

    return start(site, serve=True, watch=True, push=True)
