"""`blocker verify`: one probe round, judged."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.prober.judge import Finding


@click.command("verify")
@click.option("--names", is_flag=True, help="Show the names too; sealed ones among them.")
@click.option("--all", "everything", is_flag=True, help="Every finding, not only those that need a look.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {kind, rule, point, order, transport, detail}; all findings.",
)
@click.pass_obj
def command(site: Path, names: bool, everything: bool, as_json: bool) -> int:
    """Probe every point once and judge what comes back.

    Exit code 1 if anything is not as ordered, a point can't be reached, or something can't be told from
    outside (shown as insufficient): what can't be told counts as not fine. A long policy is asked about in
    part; how much was left out is said.
    """
    from blocker import sitefile
    from blocker.cli import show
    from blocker.errors import OrdersInvalid, Problem
    from blocker.prober.book import FINE
    from blocker.prober.daemon import verify
    from blocker.prober.judge import Kind

    loaded = sitefile.load(site)
    if not loaded.points:
        problem = Problem(
            id="site-incomplete", path=str(site), message="there are no points to verify; add some"
        )
        raise OrdersInvalid([problem])
    verified = verify(loaded)
    found = verified.findings
    is_fine = not verified.unjudged and all(one.kind in FINE for one in found)
    if verified.unasked:
        click.echo(
            f"{verified.unasked:,} expectations were not asked about, the policy is too long for one round; "
            f"`blocker watch` takes them in turn",
            err=True,
        )
    if verified.unjudged:
        click.echo(
            f"{verified.unjudged:,} probes were not judged, for the policy changed under way; verify again",
            err=True,
        )
    if as_json:
        show.as_json([_record(one, names=names) for one in found])
        return 0 if is_fine else 1
    shown = [one for one in found if everything or one.kind not in FINE]
    if shown:
        headings = ("finding", "point", "order", "over", "rule", "what was seen")
        show.table(headings, [_row(one, names=names) for one in shown])
    counts = Counter(one.kind for one in found)
    click.echo(", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts[kind]) or "nothing to probe")
    return 0 if is_fine else 1


def _record(one: Finding, *, names: bool) -> dict[str, Any]:
    from blocker.names import to_text

    record = {
        "kind": str(one.kind),
        "rule": one.rule,
        "point": one.point,
        "order": one.order,
        "transport": str(one.variant),
        "detail": one.detail,
    }
    return {**record, "name": to_text(one.name)} if names else record


def _row(one: Finding, *, names: bool) -> tuple[str, ...]:
    from blocker.names import to_text

    order = f"{one.order or '-'} {to_text(one.name)}" if names else one.order or "-"
    return (str(one.kind), one.point, order, str(one.variant), one.rule, one.detail)
