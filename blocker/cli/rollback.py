"""`blocker rollback`: undo a mistaken apply, at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from blocker.policy.rollback import Left, Undoing


_SHOWN = 50
_TOLD = 5


@click.command("rollback", context_settings={"ignore_unknown_options": True})  # -1 is no option
@click.argument("generation")
@click.option("--reason", required=True, help="Why; it is kept and shown with each directive.")
@click.option("--dry-run", is_flag=True, help="Say what would be withheld, and change nothing.")
@click.pass_obj
def command(site: Path, generation: str, reason: str, dry_run: bool) -> int:
    """Stop enforcing everything that came into force since GENERATION, at once.

    `blocker ledger` tells which apply made which generation. What was lifted or excepted since stays so:
    nothing is ever blocked by undoing. Nothing is freed that GENERATION still blocks itself; names that it
    blocks by orders which were lifted or narrowed since are told. A directive of then that only grew (its
    end was put off, names it was spared came back) is left, and told with the way. The exit code is 3 if
    something is left or freed so (4 if an order can't be read back, so that it isn't known what it
    changed). It is the operator's own act, as `withhold` is, never shown as the authority's; it survives
    every later apply until `blocker release`.
    """
    from blocker.cli import approvals, inputs, show
    from blocker.policy.records import Withheld
    from blocker.policy.rollback import reason_of
    from blocker.policy.withholding import roll_back

    if not reason.strip():
        raise click.UsageError("--reason TEXT: say why; it is kept and shown with each directive")
    loaded = approvals.load(site)
    number = inputs.generation(loaded, generation)
    one = Withheld(reason=reason_of(number, reason), at=time.time(), by=inputs.whoami(loaded))
    return _say(roll_back(loaded, number, one, dry_run=dry_run, warn=show.warning), number, dry_run)


def _say(done: Undoing, number: int, dry_run: bool) -> int:
    """Print what was withheld and what was left; the exit code."""
    from blocker.errors import PlanRefused, StoreError

    later = {ref: f"; {_later(at, number)}" for ref, at in done.later.items()}
    stays = "which goes on with names of"
    _list(
        f"{'would be withheld' if dry_run else 'withheld'}: ",
        [f"{ref}{later.get(ref, '')}" for ref in done.refs],
        "more; `blocker release` lists all that is withheld",
    )
    _list(
        "stays: ",
        [f"{ref}, {stays} {older}, as generation {number} has them" for ref, older in done.kept.items()],
        "more stay",
    )
    _list("freed: ", [_freed(ref, count, number) for ref, count in done.freed.items()], "more are freed")
    left = [*(_left(one, number) for one in done.left), *map(_unread, done.unread)]
    _list("left: ", left, "more are left")
    way = "A rollback leaves it; undo it in site.yaml, and `blocker apply`"
    _list("site: ", [f"{change}. {way}" for change in done.site], "more")
    if done.refs and not dry_run:
        click.echo(
            "no longer enforced here, whatever is applied later; `blocker release REF...` ends that for one "
            f"or several, `blocker release --rollback {number}` for all"
        )
    if left or done.site or done.freed:
        what = "what is left is not undone: " if left or done.site else ""
        click.echo(f"{what}not all is as it was in generation {number}")
        return StoreError.exit_code if done.unread else PlanRefused.exit_code
    if not done.refs:
        click.echo(f"nothing that came into force since generation {number} is enforced here")
    return 0


def _list(head: str, found: Sequence[str], rest: str) -> None:
    """The first of them, each behind its head, and how many there are beside."""
    from blocker.cli import show

    for one in found[:_SHOWN]:
        show.hanging(head, one)
    if len(found) > _SHOWN:
        click.echo(f"… and {len(found) - _SHOWN:,} {rest}")


def _freed(ref: str, count: int, generation: int) -> str:
    """That a generation blocks what is free now, why, and the ways."""
    from blocker.cli import show

    return (
        f"at least {show.counted(count, 'name')} of {ref}, which generation {generation} blocks by orders "
        "that were lifted, suspended or narrowed since; a rollback brings nothing back. `blocker release "
        f"{ref.rpartition('/')[0]}` blocks all of it again, an order of its own (`blocker new`) what is to be"
    )


def _unread(order: str) -> str:
    """Why what an order changed of others is not undone, and the ways."""
    return (
        f"{order}: it, or an order about the same block, can't be read back, so what it changed of older "
        "orders is not known. `blocker check` says which files are damaged and how to mend them; then roll "
        f"back again. `blocker explain NAME --live` says which order blocks a name now, `blocker withhold` "
        "stops that"
    )


def _later(at: float, generation: int) -> str:
    from blocker.cli import show

    return f"in generation {generation} it is in force from {show.moment(at)} on, release it for then"


def _left(one: Left, generation: int) -> str:
    """Why it is not withheld, what of it came since and by which orders, and the ways."""
    from blocker.cli import show

    freed = ", ".join(one.shields[:_TOLD]) or "what"
    grown = []
    if one.longer:
        start, end = one.longer
        till = "without an end" if end is None else f"until {show.moment(end)}"
        grown.append(f"not in force from {show.moment(start)} on, now it is {till}")
    if one.cuts:
        grown.append(f"without the names of {', '.join(one.cuts[:_TOLD])}, now it has them")
    by = f", by {', '.join(one.by[:_TOLD])}" if one.by else ""
    return (
        f"{one.ref}: to withhold it would free {freed}{', which' if one.shields else ''} generation "
        f"{generation} blocks itself. There it is {'; '.join(grown)}{by}. An order undoes that "
        f"(`blocker new --kind amend --of {one.ref}`); `blocker withhold {one.ref} --reason TEXT` withholds "
        "all of it, at once"
    )
