"""`blocker timeline`: every coming and past change of force."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("timeline")
@click.option("--live", is_flag=True, help="Read the applied policy, not the orders folder.")
@click.option("--all", "everything", is_flag=True, help="The past too, not only what is to come.")
@click.option("--json", "as_json", is_flag=True, help="A list of {at, ref, event}.")
@click.pass_obj
def command(site: Path, live: bool, everything: bool, as_json: bool) -> None:
    """Show when each directive starts, is suspended, lapses, resumes and ends.

    A directive lapses when its review is due and none is recorded, on sites that choose so (`review` in
    site.yaml); that is the site's doing, and no lift.
    """
    from blocker.cli import approvals, inputs, show
    from blocker.orders.timetable import timeline

    loaded = approvals.load(site)
    if live:
        scheduled = inputs.live_directives(loaded)
    else:
        examined = inputs.read_orders(loaded)
        scheduled = examined.standing.scheduled(examined.enforcement.lapses_from)
    now = time.time()
    events = [event for event in timeline(scheduled) if everything or as_json or event.at > now]
    if as_json:
        show.as_json([{"at": show.moment(one.at), "ref": one.ref, "event": one.event} for one in events])
        return
    if not events:
        click.echo("nothing is to come" if not everything else "there are no directives")
        return
    show.table(
        ("at", "event", "directive"),
        [(f"{show.moment(one.at)} ({show.distance(one.at - now)})", one.event, one.ref) for one in events],
    )
