"""`blocker withhold`: the operator's own refusal to enforce, with a reason."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("withhold")
@click.argument("ref")
@click.option("--reason", required=True, help="Why; it is kept and shown with the directive.")
@click.pass_obj
def command(site: Path, ref: str, reason: str) -> None:
    """Stop enforcing one directive, or one whole order, at once.

    REF is <order-id>/<directive-id> or an order's id. It is the operator's own act, never shown as the
    authority's; it survives every later apply until `blocker release REF`.
    """
    from blocker.cli import approvals, show
    from blocker.cli.inputs import whoami
    from blocker.policy.records import Withheld
    from blocker.policy.rollback import is_by_hand
    from blocker.policy.withholding import withhold

    if not reason.strip():
        raise click.UsageError("--reason TEXT: say why; it is kept and shown with the directive")
    if not is_by_hand(reason):
        raise click.UsageError("--reason TEXT: it begins as the reasons of rollbacks do; put a word before")
    loaded = approvals.load(site)
    one = Withheld(reason=reason, at=time.time(), by=whoami(loaded))
    withhold(loaded.state, ref, one, warn=show.warning)
    click.echo(f"withheld: {ref} is no longer enforced here. `blocker release {ref}` ends that.")
