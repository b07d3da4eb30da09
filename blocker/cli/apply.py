"""`blocker apply`: make the orders folder the live policy."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("apply")
@click.option("--yes", is_flag=True, help="Don't ask; the site's limits still hold.")
@click.option("--accept", metavar="DIGEST", default="", help="Let the plan with this digest past the limits.")
@click.option(
    "--emergency",
    multiple=True,
    metavar="ORDER",
    help="Let this order in on the emergency's approvals; the others are owed.",
)
@click.option("--reason", default="", help="Why; required with --accept and --emergency.")
@click.option(
    "--json", "as_json", is_flag=True, help="The plan as plan --json has it, and generation (a number)."
)
@click.pass_obj
def command(
    site: Path, yes: bool, accept: str, emergency: tuple[str, ...], reason: str, as_json: bool
) -> int:
    """Show the plan, ask, and make it the live policy.

    Orders with problems are left out, or stay in their last applied form; the rest is applied and the exit
    code is 2. Running daemons pick the new generation up within 0.1 s.
    """
    from blocker import sitefile
    from blocker.cli import inputs, plan, show
    from blocker.errors import OrdersInvalid, PlanRefused
    from blocker.policy import apply
    from blocker.policy.plan import guard

    if bool(accept or emergency) != bool(reason.strip()):
        raise click.UsageError("--accept DIGEST, or --emergency ORDER, and --reason TEXT go together")
    if as_json and not (yes or accept):
        raise click.UsageError("--json doesn't ask; give --yes, or --accept DIGEST --reason TEXT")
    loaded = sitefile.load(site)
    with show.progress() as progress:
        prepared = apply.prepare(loaded, now=time.time(), emergency=emergency, progress=progress)
    if not as_json:
        plan.display(prepared)
    number = prepared.live.number
    settled = apply.settle(prepared, now=time.time(), warn=show.warning)
    if settled and not as_json:
        click.echo(f"the approvals owed are there now: {', '.join(settled)}")
    if not prepared.is_idle:
        plan.refuse_unsupported(prepared)
        if not accept:
            guard(prepared.plan, loaded.limits)
        if not (yes or accept) and not click.confirm("apply this plan?"):
            click.echo("not applied")
            return PlanRefused.exit_code
        with show.progress() as progress:
            generation = apply.apply(
                prepared,
                by=inputs.whoami(loaded),
                now=time.time(),
                accept=accept,
                reason=reason,
                progress=progress,
                warn=show.warning,
            )
        number = generation.number
        if not as_json:
            click.echo(f"applied: generation {number}, policy {generation.digest[:16]}")
    if as_json:
        show.as_json({**plan.record(prepared, ""), "generation": number})
    errors = [one for one in prepared.problems if one.severity == "error"]
    return OrdersInvalid.exit_code if errors else 0
