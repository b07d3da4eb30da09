"""`blocker apply`: make the orders folder the live policy."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from blocker.cli.show import Digest

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.policy.apply import Prepared

_TOLD = 5  # refs of many in one sentence


@click.command("apply")
@click.option("--yes", is_flag=True, help="Don't ask; the site's limits still hold.")
@click.option(
    "--accept",
    type=Digest(),
    metavar="DIGEST",
    default="",
    help="Let the plan with this digest past the limits, with what is held in it.",
)
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
    code is 2. Orders that are held wait until the plan is accepted by its digest; the rest is applied and the
    exit code is 3. Running daemons pick the new generation up within 0.1 s.
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
    _settle(prepared, quietly=as_json)
    chosen = prepared.accepted(accept) if accept and not prepared.is_idle else prepared.unasked
    held = prepared.judged.holds if chosen is not prepared else {}
    _say_needless(prepared, chosen, accept)
    if chosen.is_idle:
        apply.keep(chosen)
    else:
        plan.refuse_unsupported(chosen)
        if not accept:
            guard(chosen.plan, loaded.limits)
        rest = f" without the {show.counted(len(held), 'order')} held" if held else ""
        if not (yes or accept) and not click.confirm(f"apply this plan{rest}?"):
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
            _say_withheld(prepared)
    if held:
        apply.note_held(prepared, now=time.time(), warn=show.warning)
        click.echo(left_held(prepared), err=True)
    if as_json:
        show.as_json({**plan.record(prepared, ""), "generation": number})
    errors = [one for one in prepared.problems if one.severity == "error"]
    return OrdersInvalid.exit_code if errors else PlanRefused.exit_code if held else 0


def _say_withheld(prepared: Prepared) -> None:
    """Say what a store that was made anew has taken over from the ledger."""
    from blocker.cli import show

    refs = [] if prepared.live.number else [*prepared.live.withheld]
    if refs:
        more = f" and {len(refs) - _TOLD:,} more" if len(refs) > _TOLD else ""
        show.hanging(
            "withheld: ",
            f"what the ledger knows to be withheld stays so: {', '.join(refs[:_TOLD])}{more}; "
            "`blocker release` lists it",
        )


def _say_needless(prepared: Prepared, chosen: Prepared, accept: str) -> None:
    """Say if the acceptance lets nothing past."""
    from blocker.errors import TooMuchChange
    from blocker.policy.plan import guard

    if accept and prepared.is_idle:
        other = f"there is nothing to apply, and {accept[:16]}… is another plan's digest"
        why = "this plan changes nothing" if accept == prepared.plan.digest else other
        click.echo(f"nothing was accepted: {why}", err=True)
    elif accept and chosen is prepared and not prepared.plan.held:
        with suppress(TooMuchChange):
            guard(prepared.plan, prepared.site.limits)
            needless = "nothing was held, and no limit stood in the way: the plan needed no acceptance"
            click.echo(needless, err=True)


def _settle(prepared: Prepared, *, quietly: bool) -> None:
    """Note the approvals that an emergency owed and that are there now."""
    from blocker.cli import inputs, show
    from blocker.policy import apply

    settled = apply.settle(prepared, by=inputs.whoami(prepared.site), now=time.time(), warn=show.warning)
    if settled and not quietly:
        click.echo(f"the approvals owed are there now: {', '.join(settled)}")


def left_held(prepared: Prepared) -> str:
    """Which orders were not applied, why, and the way."""
    judged = prepared.judged
    lines = [
        f"held: {order}: {'; '.join(why.sentence for why in whys)}" for order, whys in judged.holds.items()
    ]
    if judged.waits:
        lines.append(f"waiting with it: {', '.join(judged.waits)}")
    urgent = "".join(f"--emergency {id_} " for id_ in sorted(prepared.signed.emergency & judged.holds.keys()))
    way = (
        "these were not applied. Read them with `blocker plan`; if they are right, `blocker apply --accept "
        f"{prepared.afterwards} {urgent}--reason TEXT` applies them too"
    )
    return "\n".join([*lines, way])
