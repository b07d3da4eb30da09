"""`blocker release`: ends a withhold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


@click.command("release")
@click.argument("refs", metavar="REF...", nargs=-1, required=True)
@click.pass_obj
def command(site: Path, refs: Sequence[str]) -> None:
    """Enforce withheld directives or orders again, at once; all of them, or none if one is not withheld."""
    from blocker import sitefile
    from blocker.cli import show
    from blocker.cli.inputs import whoami
    from blocker.policy.withholding import release

    loaded = sitefile.load(site)
    release(loaded.state, tuple(dict.fromkeys(refs)), by=whoami(loaded), now=time.time(), warn=show.warning)
    for ref in dict.fromkeys(refs):
        click.echo(f"released: {ref} is enforced again where it is in force.")
