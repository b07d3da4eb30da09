"""`blocker release`: ends a withhold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from blocker.policy.records import Withheld


_SHOWN = 50


@click.command("release")
@click.argument("refs", metavar="[REF...]", nargs=-1)
@click.option("--rollback", metavar="GENERATION", help="All that a rollback to it withheld.")
@click.pass_obj
def command(site: Path, refs: Sequence[str], rollback: str | None) -> None:
    """Enforce withheld directives or orders again, at once; all of them, or none if one is not withheld.

    What was withheld more than once, by hand and by a rollback or by several rollbacks, stays withheld until
    the last of them is ended: REF ends what was done by hand or, where nothing was, lets it out of rollbacks.
    Without any it lists what is withheld, since when, by whom and why, and changes nothing.
    """
    from blocker.cli import approvals, show
    from blocker.cli.inputs import generation, whoami
    from blocker.policy.rollback import is_of
    from blocker.policy.withholding import release, withheld

    loaded = approvals.load(site)
    acts = [(ref, act) for ref, several in withheld(loaded.state).items() for act in several]
    if not refs and rollback is None:
        show.table(
            ("withheld", "since", "by", "why"),
            [(ref, show.moment(act.at), act.by, act.reason) for ref, act in acts],
        )
        if not acts:
            click.echo("nothing is withheld")
        return
    number = None if rollback is None else generation(loaded, rollback)
    if number is not None and not refs and not any(is_of(act.reason, number) for _, act in acts):
        raise click.BadParameter(
            f"nothing is withheld by a rollback to generation {number}", param_hint="--rollback"
        )
    still = release(
        loaded.state,
        tuple(dict.fromkeys(refs)),
        rollback=number,
        by=whoami(loaded),
        now=time.time(),
        warn=show.warning,
    )
    for ref in list(still)[:_SHOWN]:
        click.echo(f"released: {ref}{_after(ref, still[ref])}")
    if len(still) > _SHOWN:
        click.echo(f"… and {len(still) - _SHOWN:,} more; `blocker release` lists what is still withheld")


def _after(ref: str, still: Mapping[str, Sequence[Withheld]]) -> str:
    """Whether it is enforced again, or what withholds it still."""
    if not still:
        return " is enforced again where it is in force."
    name = ref if ref in still else min(still)
    whole = "" if name == ref else f" with {name}"
    why = "; ".join(act.reason for act in still[name])
    return f", and still withheld{whole}: {why}. `blocker release {name}` ends that"
