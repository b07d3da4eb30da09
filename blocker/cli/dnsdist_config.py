"""`blocker dnsdist-config`: the rules that make dnsdist obey the policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pathlib import Path


@click.command("dnsdist-config")
@click.pass_obj
def command(site: Path) -> None:
    """Print dnsdist's rules for this site, in Lua, to be included by its own configuration.

    They change with regions, answers and state of site.yaml, never with orders. dnsdist needs the store they
    name when it starts: where state/dnsdist.lmdb is missing it is made, empty, for `blocker push` to fill.
    """
    from blocker import sitefile
    from blocker.plugins import dnsdist, dnsdist_config

    found = sitefile.load(site)
    try:
        text = dnsdist_config.render(found.enforcement, str(found.state / dnsdist.FILE))
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    store = dnsdist.Dnsdist(found.state)
    store.make(found.enforcement)
    store.close()
    click.echo(text, nl=False)
