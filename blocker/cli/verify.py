"""`blocker verify`: one probe round, judged."""

from __future__ import annotations

import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.prober.judge import Finding
    from blocker.site import Site
    from blocker.sweep.survey import Surveyed
    from blocker.sweep.swept import Swept


@click.command("verify")
@click.option("--names", is_flag=True, help="Show the names too; sealed ones among them.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Ask about every name of every list in force, not only about a sample of the long ones.",
)
@click.option(
    "--rate",
    type=click.IntRange(min=1),
    help="Queries a second to one point while lists are asked about; the site's rate, if not given.",
)
@click.option("--findings", is_flag=True, help="Every finding, not only those that need a look.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {kind, rule, point, order, transport, detail}; all findings.",
)
@click.pass_obj
def command(
    site: Path, names: bool, everything: bool, rate: int | None, findings: bool, as_json: bool
) -> int:
    """Probe every point once and judge what comes back.

    Exit code 1 if anything is not as ordered, a point can't be reached, or something can't be told from
    outside (shown as insufficient): what can't be told counts as not fine. A long policy is asked about in
    part; how much was left out is said. Of long lists a sample is asked about, drawn at random, and with what
    confidence it speaks for the others is said; with --all every name is, which Ctrl-C ends at once with what
    was seen so far.
    """
    from blocker import sitefile
    from blocker.cli import show
    from blocker.errors import OrdersInvalid, Problem
    from blocker.prober.book import FINE
    from blocker.prober.daemon import verify
    from blocker.prober.judge import Kind
    from blocker.sweep.swept import STOPPED

    loaded = sitefile.load(site)
    if not loaded.points:
        problem = Problem(
            id="site-incomplete", path=str(site), message="there are no points to verify; add some"
        )
        raise OrdersInvalid([problem])
    verified = verify(loaded)
    found = list(verified.findings)
    is_fine = not verified.unjudged and all(one.kind in FINE for one in found)
    lists = _lists(loaded, whole=everything, rate=rate)
    found += [finding for one in lists for finding in one.findings]
    is_fine = is_fine and all(one.is_fine for one in lists)
    stopped = any(one.swept.trouble == STOPPED for one in lists)
    code = 130 if stopped else 0 if is_fine else 1
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
        _say(lists, err=True)
        return code
    shown = [one for one in found if findings or one.kind not in FINE]
    if shown:
        headings = ("finding", "point", "order", "over", "rule", "what was seen")
        show.table(headings, [_row(one, names=names) for one in shown])
    _say(lists)
    counts = Counter(one.kind for one in found)
    click.echo(", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts[kind]) or "nothing to probe")
    return code


def _lists(site: Site, *, whole: bool, rate: int | None) -> list[Surveyed]:
    """What the long lists come to; Ctrl-C ends it with what was seen."""
    from blocker.cli import show
    from blocker.prober import daemon
    from blocker.sweep import survey

    if not whole and not survey.is_sampled(site, daemon.LIMIT):
        return []
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    try:
        with show.progress() as progress:
            return survey.survey(
                site,
                whole=whole,
                rate=rate,
                stop=lambda: bool(stopped),
                told=lambda done, total: progress("asking about every name", done, total),
            )
    finally:
        signal.signal(signal.SIGINT, before)


def _say(lists: list[Surveyed], *, err: bool = False) -> None:
    """One paragraph for each point."""
    for one in lists:
        swept = one.swept
        click.echo(
            f"{swept.point}: {swept.asked:,} of {one.count:,} names asked, {swept.ok:,} as ordered"
            + "".join(f", {number:,} {what}" for what, number in _unlike(one) if number),
            err=err,
        )
        click.echo(
            f"{swept.point}: {swept.sent:,} queries in {swept.seconds:.1f} s, {swept.rate:,.0f} a second"
            + "".join(f", {number:,} {what}" for what, number in _losses(swept) if number),
            err=err,
        )
        if swept.trouble:
            click.echo(f"{swept.point}: not all names were asked: {swept.trouble}", err=err)
        for bound in one.bounds:
            click.echo(f"{swept.point}: {bound}", err=err)


def _unlike(one: Surveyed) -> tuple[tuple[str, int], ...]:
    swept = one.swept
    return (
        ("in the ordered form without attribution", swept.formed),
        ("otherwise", swept.odd),
        ("without an answer", swept.lost),
        ("while the policy changed", swept.void),
        ("while the controls failed", swept.unproven),
        ("still under way", swept.unanswered),
        ("of them not looked at again", one.hidden),
    )


def _losses(swept: Swept) -> tuple[tuple[str, int], ...]:
    return (
        ("sent again", swept.retried),
        ("answers lost for want of room here", swept.dropped),
        ("answers to other questions", swept.mismatched),
        ("answers that are no messages", swept.malformed),
        ("answers late or twice", swept.stray),
    )


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
