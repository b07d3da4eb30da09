"""`blocker serve`: the embedded resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("serve")
@click.pass_obj
def command(site: Path) -> int:
    """Answer queries by the live policy.

    It never applies anything: `blocker apply` does, and a running resolver has the new policy within 0.1 s.
    SIGHUP re-reads site.yaml; SIGTERM or Ctrl-C ends it within 2 s.
    """
    from blocker.cli.daemons import start

    return start(site, serve=True)
