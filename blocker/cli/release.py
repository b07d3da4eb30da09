"""`blocker release`: ends a withhold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


_SHOWN = 50


@click.command("release")
@click.argument("refs", metavar="[REF...]", nargs=-1)
@click.option("--rollback", metavar="GENERATION", help="All that a rollback to it withheld.")
@click.pass_obj
def command(site: Path, refs: Sequence[str], rollback: str | None) -> None:
    """Enforce withheld directives or orders again, at once; all of them, or none if one is not withheld.

    Without any it lists what is withheld, since when, by whom and why, and changes nothing.
    """
    from blocker import sitefile
    from blocker.cli import show
    from blocker.cli.inputs import generation, whoami
    from blocker.policy.rollback import is_of
    from blocker.policy.withholding import release, withheld

    loaded = sitefile.load(site)
    chosen = list(dict.fromkeys(refs))
    if not chosen or rollback is not None:
        held = withheld(loaded.state)
        if rollback is None:
            show.table(
                ("withheld", "since", "by", "why"),
                [(ref, show.moment(one.at), one.by, one.reason) for ref, one in held.items()],
            )
            if not held:
                click.echo("nothing is withheld")
            return
        number = generation(loaded, rollback)
        chosen += [ref for ref, one in held.items() if is_of(one.reason, number) and ref not in chosen]
        if not chosen:
            raise click.BadParameter(
                f"nothing is withheld by a rollback to generation {number}", param_hint="--rollback"
            )
    release(loaded.state, tuple(chosen), by=whoami(loaded), now=time.time(), warn=show.warning)
    for ref in chosen[:_SHOWN]:
        click.echo(f"released: {ref} is enforced again where it is in force.")
    if len(chosen) > _SHOWN:
        click.echo(f"… and {len(chosen) - _SHOWN:,} more")
