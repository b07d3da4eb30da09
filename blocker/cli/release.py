"""`blocker release`: ends a withhold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("release")
@click.argument("ref")
@click.pass_obj
def command(site: Path, ref: str) -> None:
    """Enforce a withheld directive or order again, at once."""
    from blocker import sitefile
    from blocker.cli import show
    from blocker.cli.inputs import whoami
    from blocker.policy.withholding import release

    loaded = sitefile.load(site)
    release(loaded.state, ref, by=whoami(loaded), now=time.time(), warn=show.warning)
    click.echo(f"released: {ref} is enforced again where it is in force.")
