"""`blocker verify`: one probe round, judged."""

from __future__ import annotations

import signal
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    help="Ask about every name of every list in force, at each address, not only about a sample.",
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
    outside (shown as insufficient): what can't be told counts as not fine. The round asks about up to twenty
    names of each directive, in every type and way. If that leaves names out they are asked for A over UDP:
    every name of each order with a short list, and of a long one a sample drawn at random; with what
    confidence it speaks for the others is said. With --all every name is, at each address of the point, and a
    sample for AAAA and HTTPS and over TCP. Ctrl-C ends that at once with what was seen so far.
    """
    from blocker import sitefile
    from blocker.cli import approvals, show
    from blocker.errors import OrdersInvalid, Problem
    from blocker.prober.book import FINE
    from blocker.prober.daemon import LIMIT, verify
    from blocker.prober.judge import Kind
    from blocker.sweep.swept import STOPPED

    loaded = sitefile.load(site)
    if not loaded.points:
        problem = Problem(
            id="site-incomplete", path=str(site), message="there are no points to verify; add some"
        )
        raise OrdersInvalid([problem])
    if not as_json:
        approvals.say_unsigned(loaded, err=True)
    with show.progress() as progress:
        verified = verify(loaded, told=progress)
    found = list(verified.findings)
    counts = Counter(one.kind for one in found)
    is_fine = not verified.unjudged and FINE.issuperset(counts)
    lists = _lists(loaded, whole=everything, rate=rate, is_left_out=verified.unasked > 0)
    found += [finding for one in lists for finding in one.findings]
    is_fine = is_fine and all(one.is_fine for one in lists)
    stopped = any(one.trouble == STOPPED for one in lists)
    code = 130 if stopped else 0 if is_fine else 1
    if verified.unasked:
        click.echo(
            f"{verified.unasked:,} expectations were not asked about in the round, the policy is too long "
            f"for one; `blocker watch` takes them in turn",
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
    _show([one for one in found if findings or one.kind not in FINE], names=names)
    _say(lists)
    seen = ", ".join(f"{counts[kind]:,} {kind}" for kind in Kind if counts[kind]) or "nothing to ask"
    click.echo(f"round, up to {LIMIT} names of each directive in every type and way: {seen}")
    moot = any(one.kind is Kind.MOOT for one in found)
    fine = f"all that was asked is as ordered{', or moot' if moot else ''}"
    click.echo({0: fine, 1: "not all is as ordered"}.get(code, "stopped"))
    return code


def _show(found: list[Finding], *, names: bool) -> None:
    """What was found, alike findings together; on a terminal each on two lines, which fit it."""
    from blocker.cli import show

    rows = Counter(_row(one, names=names) for one in found)
    if not sys.stdout.isatty():
        show.table((), [(*row, str(number)) for row, number in rows.items()])
        return
    for (kind, point, order, way, rule, detail), number in rows.items():
        click.echo(f"{number:,} x {kind} at {point} over {way}, {order}")
        show.hanging("     ", f"{rule}: {detail}")


def _lists(site: Site, *, whole: bool, rate: int | None, is_left_out: bool) -> list[Surveyed]:
    """What the lists come to, if the round left names out; Ctrl-C ends it with what was seen."""
    from blocker.cli import show
    from blocker.prober import daemon
    from blocker.sweep import survey

    if not (whole or is_left_out or survey.is_sampled(site, daemon.LIMIT)):
        return []
    stopped: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: stopped.append(number))
    try:
        with show.progress() as progress:
            return survey.survey(site, whole=whole, rate=rate, stop=lambda: bool(stopped), told=progress)
    finally:
        signal.signal(signal.SIGINT, before)


def _say(lists: list[Surveyed], *, err: bool = False) -> None:
    """One paragraph for each point and way."""
    from blocker.cli import show

    for one in lists:
        lead = f"{one.point}, {one.way}: "
        for said in _told(one):
            if err:
                click.echo(lead + said, err=True)
            else:
                show.hanging(lead, said)


def _told(one: Surveyed) -> Iterator[str]:
    swept = one.swept
    if swept is not None:
        yield f"{swept.asked:,} names asked, {swept.ok:,} as ordered at first sight" + "".join(
            f", {number:,} {what}" for what, number in _unlike(swept) if number
        )
        yield f"{swept.sent:,} queries in {swept.seconds:.1f} s, {swept.rate:,.0f} a second" + "".join(
            f", {number:,} {what}" for what, number in _losses(swept) if number
        )
    if one.again:
        hidden = f", {one.hidden:,} were not looked at again" if one.hidden else ""
        yield f"{one.again:,} looked at again: {len(one.findings) - one.bad:,} fine, {one.bad:,} not{hidden}"
    if one.trouble:
        yield f"not all names were asked: {one.trouble}"
    for part in one.parts:
        for bound in part.bounds:
            yield f"{part.what}: {bound}" if part.what else str(bound)


def _unlike(swept: Swept) -> tuple[tuple[str, int], ...]:
    return (
        ("in the ordered form without attribution", swept.formed),
        ("in doubt", swept.odd),
        ("without an answer", swept.lost),
        ("while the policy changed", swept.void),
        ("while the controls failed", swept.unproven),
        ("still under way", swept.unanswered),
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
