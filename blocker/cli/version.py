"""`blocker version`."""

from __future__ import annotations

import click

from blocker import __version__


@click.command("version")
def command() -> None:
    """Print the version."""
    click.echo(f"blocker {__version__}")
