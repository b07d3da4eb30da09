"""`blocker rollback`: undo a mistaken apply, at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


_SHOWN = 50


@click.command("rollback", context_settings={"ignore_unknown_options": True})  # -1 is no option
@click.argument("generation")
@click.option("--reason", required=True, help="Why; it is kept and shown with each directive.")
@click.option("--dry-run", is_flag=True, help="Say what would be withheld, and change nothing.")
@click.pass_obj
def command(site: Path, generation: str, reason: str, dry_run: bool) -> None:
    """Stop enforcing everything that came into force since GENERATION, at once.

    `blocker ledger` tells which apply made which generation. What was lifted or excepted since stays so:
    nothing is ever blocked by undoing. It is the operator's own act, as `withhold` is, never shown as the
    authority's; it survives every later apply until `blocker release`.
    """
    from blocker import sitefile
    from blocker.cli import inputs, show
    from blocker.policy.records import Withheld
    from blocker.policy.rollback import reason_of
    from blocker.policy.withholding import roll_back

    if not reason.strip():
        raise click.UsageError("--reason TEXT: say why; it is kept and shown with each directive")
    loaded = sitefile.load(site)
    number = inputs.generation(loaded, generation)
    one = Withheld(reason=reason_of(number, reason), at=time.time(), by=inputs.whoami(loaded))
    refs = roll_back(loaded, number, one, dry_run=dry_run, warn=show.warning)
    for ref in refs[:_SHOWN]:
        click.echo(f"{'would be withheld' if dry_run else 'withheld'}: {ref}")
    if len(refs) > _SHOWN:
        click.echo(f"… and {len(refs) - _SHOWN:,} more; `blocker release` lists all that is withheld")
    if not refs:
        click.echo(f"nothing that came into force since generation {number} is enforced here")
    elif not dry_run:
        click.echo(
            "no longer enforced here, whatever is applied later; `blocker release REF...` ends that for one "
            f"or several, `blocker release --rollback {number}` for all"
        )
