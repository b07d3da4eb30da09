"""`blocker plan`: what `blocker apply` would change."""

from __future__ import annotations

import pathlib
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.policy.apply import Prepared
    from blocker.site import Point


SHAPE = (
    "An object: digest, base, next, generation, added, removed, withheld (how many of the added are), "
    "live_names, refusal, orders_added, orders_dropped, held and waits (ids of orders), orders (a list of "
    "{id, state, kind, authority, "
    "legal_basis, reference, issued, received, due, publication, file, document, act, waits_for, names, "
    "directives, depths, covers, why (a list of {id, count, first, sentence}), approved_by, is_emergency}), "
    "site_changes, regions (who is in them newly, or no more), review, "
    "changes (a list of {ref, what, names, windows, in_force, withheld, was}), lists "
    "({missing, package, suffixes, editions}), quarantined, reach (by point, the ids of what it can't do), "
    "approvals_required (whether the site asks for any), approvals_changed (whether its rules are new), "
    "approvals_before and approvals_after (the rules in words), "
    "approvals (by order, as approvals --json has them), emergency (orders that one lets in), "
    "approvals_owed (by order, when), problems (as check)."
)


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help=SHAPE)
@click.option(
    "--html",
    metavar="FILE",
    type=click.Path(path_type=pathlib.Path, dir_okay=False),
    help="Write it as a page to this file too.",
)
@click.option(
    "--emergency",
    multiple=True,
    metavar="ORDER",
    help="As if `apply --emergency` let this order in.",
)
@click.pass_obj
def command(site: Path, as_json: bool, html: Path | None, emergency: tuple[str, ...]) -> int:
    """Show the difference between the live policy and the orders folder; change nothing.

    Exit code 2 if some order has a problem, 3 if `apply` would refuse the plan for its size or leave out an
    order that is held.
    """
    from blocker import sitefile
    from blocker.cli import page, show
    from blocker.errors import OrdersInvalid, PlanRefused
    from blocker.policy.apply import prepare
    from blocker.policy.plan import guard

    loaded = sitefile.load(site)
    with show.progress() as progress:
        prepared = prepare(loaded, now=time.time(), emergency=emergency, progress=progress)
    refusal = ""
    try:
        refuse_unsupported(prepared)
        guard(prepared.plan, loaded.limits)
    except PlanRefused as refused:
        refusal = str(refused)
    if html is not None:
        from blocker.web.plan import page as drawn

        html.touch(mode=0o600)  # It has the names of sealed orders.
        html.write_text(drawn(record(prepared, refusal), loaded), encoding="utf-8")
    if as_json:
        show.as_json(record(prepared, refusal))
    else:
        display(prepared)
        if refusal:
            click.echo(f"\n{refusal}")
        if prepared.plan.held:
            page.ask(prepared.plan.digest, prepared.plan.held, prepared.judged.waits, emergency)
    errors = [one for one in prepared.problems if one.severity == "error"]
    if errors:
        return OrdersInvalid.exit_code
    return PlanRefused.exit_code if refusal or prepared.plan.held else 0


def refuse_unsupported(prepared: Prepared) -> None:
    """Raises UnsupportedAction if a point of the site can't say what the plan demands."""
    from blocker.fleet import refusal

    site = prepared.site
    refusal.check(
        site.points,
        site.rpz,
        prepared.scheduled,
        prepared.read,
        new=prepared.unseen,
        now=time.time(),
    )


def record(prepared: Prepared, refusal: str) -> dict[str, Any]:
    """The plan for machines."""
    from blocker.cli import approvals, show

    plan = shown(prepared)
    for change in plan["changes"]:
        change["windows"] = [[show.moment(start), show.moment(end)] for start, end in change["windows"]]
    return {
        **plan,
        "refusal": refusal,
        "quarantined": list(prepared.quarantined),
        "reach": {point.name: list(reach_of(point)) for point in prepared.site.points},
        **approvals.record(prepared),
        "problems": [show.problem(one) for one in prepared.problems],
    }


def shown(prepared: Prepared) -> dict[str, Any]:
    """The plan as a document."""
    from blocker.policy.proposal import document

    return document(
        prepared.plan,
        prepared.live,
        prepared.orders,
        prepared.scheduled,
        prepared.judged,
        prepared.read,
        emergency=prepared.signed.emergency,
        unasked=prepared.unasked.scheduled,
    )


def reach_of(point: Point) -> tuple[str, ...]:
    """The ids of what the point doesn't get to, see ops/docs/conformance.md."""
    from blocker import capabilities

    return capabilities.reach_of(point)


def display(prepared: Prepared) -> None:
    """The plan for people."""
    from blocker.cli import approvals, page, show

    approvals.say_unsigned(prepared.site)
    show.problems(prepared.problems)
    if prepared.quarantined:
        click.echo(f"left out, or in their last applied form: {', '.join(prepared.quarantined)}\n", err=True)
    approvals.display(prepared)
    if prepared.is_idle:
        click.echo(f"nothing to change: generation {prepared.live.number} has these orders")
        return
    plan = shown(prepared)
    page.write(plan)
    for point in prepared.site.points:
        if reach := reach_of(point):
            way = f"{point.kind} by {point.by}"
            show.hanging(f"{point.name} ({way}) has limits: ", f"{', '.join(reach)}; ops/docs/conformance.md")
    click.echo()
    page.close(plan)
