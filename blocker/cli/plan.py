"""`blocker plan`: what `blocker apply` would change."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.policy.apply import Prepared
    from blocker.site import Point


SHAPE = (
    "An object: digest, base, next, added, removed, live_names, refusal, orders_added, orders_dropped, "
    "site_changes, changes (a list of {ref, what, names, windows}), quarantined, reach (by point, the ids of "
    "what it can't do), approvals_required (whether the site asks for any), "
    "approvals_changed (whether its rules are new), approvals (by order, as approvals --json has them), "
    "emergency (orders that one lets in), approvals_owed (by order, when), problems (as check)."
)


@click.command("plan")
@click.option("--json", "as_json", is_flag=True, help=SHAPE)
@click.pass_obj
def command(site: Path, as_json: bool) -> int:
    """Show the difference between the live policy and the orders folder; change nothing.

    Exit code 2 if some order has a problem, 3 if `apply` would refuse the plan for its size.
    """
    from blocker import sitefile
    from blocker.cli import show
    from blocker.errors import OrdersInvalid, PlanRefused
    from blocker.policy.apply import prepare
    from blocker.policy.plan import guard

    loaded = sitefile.load(site)
    with show.progress() as progress:
        prepared = prepare(loaded, now=time.time(), progress=progress)
    refusal = ""
    try:
        refuse_unsupported(prepared)
        guard(prepared.plan, loaded.limits)
    except PlanRefused as refused:
        refusal = str(refused)
    if as_json:
        show.as_json(record(prepared, refusal))
    else:
        display(prepared)
        if refusal:
            click.echo(f"\n{refusal}")
    errors = [one for one in prepared.problems if one.severity == "error"]
    if errors:
        return OrdersInvalid.exit_code
    return PlanRefused.exit_code if refusal else 0


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

    plan = prepared.plan
    return {
        "digest": plan.digest,
        "base": plan.base,
        "next": plan.next,
        "added": plan.added,
        "removed": plan.removed,
        "live_names": plan.live_names,
        "refusal": refusal,
        "orders_added": list(plan.orders_added),
        "orders_dropped": list(plan.orders_dropped),
        "site_changes": list(plan.site_changes),
        "changes": [
            {
                "ref": change.ref,
                "what": change.what,
                "names": change.names,
                "windows": [[show.moment(start), show.moment(end)] for start, end in change.windows],
            }
            for change in plan.changes
        ],
        "quarantined": list(prepared.quarantined),
        "reach": {point.name: list(reach_of(point)) for point in prepared.site.points},
        **approvals.record(prepared),
        "problems": [show.problem(one) for one in prepared.problems],
    }


def reach_of(point: Point) -> tuple[str, ...]:
    """The ids of what the point doesn't get to, see ops/docs/conformance.md."""
    from blocker import capabilities

    return capabilities.reach_of(point)


def display(prepared: Prepared) -> None:
    """The plan for people."""
    from blocker.cli import approvals, show

    plan = prepared.plan
    approvals.say_unsigned(prepared.site)
    show.problems(prepared.problems)
    if prepared.quarantined:
        click.echo(f"left out, or in their last applied form: {', '.join(prepared.quarantined)}\n", err=True)
    approvals.display(prepared)
    if prepared.is_idle:
        click.echo(f"nothing to change: generation {prepared.live.number} has these orders")
        return
    show.table(
        ("", "directive", "names", "in force"),
        [
            (_SIGNS[change.what], change.ref, f"{change.names:,}", show.windows(change.windows))
            for change in plan.changes
        ],
    )
    for what in plan.site_changes:
        click.echo(f"site: {_REVIEW[plan.review] if what == 'review' else f'{what} changes'}")
    for point in prepared.site.points:
        if reach := reach_of(point):
            way = f"{point.kind} by {point.by}"
            show.hanging(f"{point.name} ({way}) has limits: ", f"{', '.join(reach)}; ops/docs/conformance.md")
    click.echo(
        f"\n{show.counted(plan.added, 'name')} blocked that were not, {plan.removed:,} freed unasked, "
        f"{plan.live_names:,} live now"
    )
    click.echo(f"plan {plan.digest}")


_REVIEW = {
    "lapse": "review: what is overdue for review is not enforced any more",
    "keep": "review: what is overdue for review is enforced again",
}
_SIGNS = {"added": "+ added", "dropped": "- dropped", "retimed": "~ retimed"}
