"""`blocker rejudge`: kept evidence, judged by the rules of today."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from blocker.cli.show import Instant

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.prober.evidence import Change


@click.command("rejudge")
@click.option("--since", type=Instant(), help="Only what was observed since then.")
@click.option("--names", is_flag=True, help="Show the names too; sealed ones among them.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {at, point, order, transport, rules, was: {kind, rule}, now: {kind, rule}}; now is null "
    "where today's rules don't judge.",
)
@click.pass_obj
def command(site: Path, since: float | None, names: bool, as_json: bool) -> int:
    """Judge the kept evidence again, offline, and show what today's rules say otherwise.

    Nothing is asked of any point and nothing is changed. Exit code 1 if anything is said to be wrong that was
    not said before, 4 if the evidence is not whole.
    """
    from blocker.cli import approvals, show
    from blocker.errors import StoreError
    from blocker.prober import evidence
    from blocker.prober.shelf import Shelf

    loaded = approvals.load(site)
    shelf = Shelf(loaded.state)
    counted: Counter[str] = Counter()

    def chosen() -> Any:
        for kept in shelf.records():
            if since is None or kept.record.finding.at >= since:
                counted["records"] += 1
                yield kept.record

    found = list(evidence.rejudge(chosen()))
    for flaw in shelf.flaws:
        show.warning(flaw)
    if as_json:
        show.as_json([_record(one, names=names) for one in found])
    else:
        if found:
            headings = ("at", "point", "order", "over", "rules", "was", "now")
            show.table(headings, [_row(one, names=names) for one in found])
        click.echo(
            f"{show.counted(counted['records'], 'record')} judged again, "
            f"{len(found):,} otherwise, {sum(one.is_bad for one in found):,} newly not as ordered"
        )
    if shelf.flaws:
        return StoreError.exit_code
    return 1 if any(one.is_bad for one in found) else 0


def _record(one: Change, *, names: bool) -> dict[str, Any]:
    from blocker.cli.show import moment
    from blocker.names import to_text

    was = one.record.finding
    record = {
        "at": moment(was.at),
        "point": was.point,
        "order": was.order,
        "transport": str(was.variant),
        "rules": one.record.rules,
        "was": {"kind": str(was.kind), "rule": was.rule},
        "now": None if one.now is None else {"kind": str(one.now.kind), "rule": one.now.rule},
    }
    return {**record, "name": to_text(was.name)} if names else record


def _row(one: Change, *, names: bool) -> tuple[str, ...]:
    made = _record(one, names=names)
    order = f"{made['order'] or '-'} {made['name']}" if names else made["order"] or "-"
    now = made["now"]
    return (
        made["at"],
        made["point"],
        order,
        made["transport"],
        str(made["rules"]),
        f"{made['was']['kind']} ({made['was']['rule']})",
        "not judged" if now is None else f"{now['kind']} ({now['rule']})",
    )
