"""`blocker check`: all that is wrong with the orders, at once."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("check")
@click.option(
    "--json", "as_json", is_flag=True, help="A list of {id, severity, path, line, column, message}."
)
@click.pass_obj
def command(site: Path, as_json: bool) -> int:
    """Check every order file, names and lists included.

    Each problem is one line: file:line:column, the id of the check, what is wrong and the way out. Exit
    code 2 if there is an error; warnings don't count.
    """
    from blocker import sitefile
    from blocker.cli import approvals, show
    from blocker.errors import OrdersInvalid
    from blocker.policy.examine import examine

    count = 0
    try:
        loaded = sitefile.load(site)
        if not as_json:
            approvals.say_unsigned(loaded, err=True)
        with show.progress() as progress:
            examined = examine(loaded, now=time.time(), whole=True, progress=progress)
        found, count = examined.problems, len(examined.standing.orders)
    except OrdersInvalid as invalid:
        found = invalid.problems
    if as_json:
        show.as_json([show.problem(one) for one in found])
    else:
        show.problems(found, err=False)
    errors = [one for one in found if one.severity == "error"]
    if not as_json:
        click.echo(f"{show.counted(count, 'order')} good, {show.counted(len(errors), 'problem')}", err=True)
    return OrdersInvalid.exit_code if errors else 0
