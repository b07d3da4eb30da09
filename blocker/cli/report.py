"""`blocker report`: what was observed of one order, for its authority and for a court."""

from __future__ import annotations

import hashlib
import json
import os
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from blocker.compliance.observed import Facts


@click.command("report")
@click.argument("order", required=False)
@click.option(
    "--format",
    "form",
    type=click.Choice(["html", "json"]),
    default="html",
    show_default=True,
    help="A page for people, or the document for machines.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write it to this file, which only its owner and group can read.",
)
@click.option(
    "--names", is_flag=True, help="List every name; without it those of public orders with few names alone."
)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the document, and nothing else.")
@click.pass_obj
def command(
    site: Path, order: str | None, form: str, as_json: bool, out: Path | None, names: bool, schema: bool
) -> int:
    """Say what was observed by probe of one order: when it had to be in force, when it was first seen so at
    each point, what else was seen, and its end.

    It is made from the evidence, the ledger and the archive alone, so the same evidence gives the same
    octets, and it can be made long after the order is over. Names of sealed orders are in it only with
    --names. Exit code 4 if the evidence or the ledger is not whole; the report says so too.
    """
    from blocker.cli import approvals, show
    from blocker.compliance.schema import SCHEMA
    from blocker.errors import StoreError
    from blocker.policy import ledger
    from blocker.policy.chain import Event
    from blocker.web.gather import gather

    if schema:
        show.as_json(SCHEMA)
        return 0
    if order is None:
        raise click.UsageError("ORDER: the id of the order to report on")
    loaded = approvals.load(site)
    facts = gather(loaded, order, names=names)
    form = "json" if as_json else form
    text = _text(facts, form)
    if out is None:
        click.echo(text, nl=False)
    else:
        _write(out, text.encode())
        click.echo(f"written: {out}", err=True)
    detail = {"format": form, "names": names, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    told = Event(at=time.time(), event="reported", subject=order, detail=detail)
    if trouble := ledger.note(loaded.state, told):
        show.warning(trouble)
    for flaw in facts.flaws:
        show.warning(flaw)
    return StoreError.exit_code if facts.flaws else 0


def _text(facts: Facts, form: str) -> str:
    from blocker.compliance.document import document
    from blocker.web.compliance import page

    if form == "html":
        return page(facts)
    return json.dumps(document(facts), indent=2, ensure_ascii=False) + "\n"


def _write(out: Path, octets: bytes) -> None:
    """The whole report, or none. Raises StoreError."""
    from blocker.errors import StoreError

    aside = out.with_name(f"{out.name}.{os.getpid()}.new")
    try:
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
        with open(handle, "wb") as file:  # noqa: PTH123  # an open descriptor has no path
            file.write(octets)
        aside.replace(out)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise StoreError(f"{out}: the report can't be written: {error.strerror}") from error
