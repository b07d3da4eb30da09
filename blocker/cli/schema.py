"""`blocker schema`: the order format for editors, and the list of checks."""

from __future__ import annotations

import click


@click.command("schema")
@click.option("--checks", is_flag=True, help="The id and meaning of every check instead.")
@click.option("--json", "as_json", is_flag=True, help="JSON for --checks too; the schema always is JSON.")
def command(checks: bool, as_json: bool) -> None:
    """Print the JSON Schema of order files.

    Save it and name it in a file's first line, and editors complete and check as you type:
    "# yaml-language-server: $schema=order.schema.json".
    """
    from blocker.approvals.judge import CHECKS
    from blocker.cli import show
    from blocker.orders.check import REGISTRY
    from blocker.orders.schema import order_schema

    if not checks:
        show.as_json(order_schema())
    elif as_json:
        show.as_json(REGISTRY | CHECKS)
    else:
        show.table(("check", "what is wrong"), (REGISTRY | CHECKS).items())
