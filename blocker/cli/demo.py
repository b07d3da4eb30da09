"""`blocker demo`: one order's life on the real daemon, without network or files."""

from __future__ import annotations

import tempfile
from dataclasses import asdict
from pathlib import Path

import click

SHAPE = (
    "An object: block_delay, lift_delay, confirmed_block_delay, confirmed_lift_delay (seconds after the "
    "instants), faults."
)


@click.command("demo")
@click.option("--json", "as_json", is_flag=True, help=SHAPE)
def command(as_json: bool) -> int:
    """Watch an order take effect in 10 seconds and be lifted 20 seconds later.

    It makes a scratch site with a small upstream of its own, applies an order, runs the real daemon and
    tells what a client, the prober and the metrics see. Exit code 0 only if all went as ordered.
    """
    from blocker.cli import show
    from blocker.demo.story import Story

    def say(offset: float, who: str, what: str) -> None:
        if not as_json:
            show.hanging(f"{offset:+7.2f} s {who:<8}", what)

    with tempfile.TemporaryDirectory(prefix="blocker-demo-") as folder:
        result = Story(Path(folder), say).run()
    if as_json:
        show.as_json(asdict(result))
    elif result.faults:
        click.echo(f"\nnot as ordered: {'; '.join(dict.fromkeys(result.faults))}")
    else:
        click.echo("\nall went as ordered")
    return 1 if result.faults else 0
