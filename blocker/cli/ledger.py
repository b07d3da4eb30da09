"""`blocker ledger`: what was done and seen, whether it is whole, and a copy of it to publish."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocker.cli.show import Instant

if TYPE_CHECKING:
    from collections.abc import Iterable

    from blocker.policy.chain import Entry, Head, Veiled
    from blocker.site import Site

_ENTRIES = 50  # rows of a ledger that nobody narrowed down
_TIMES = ("since", "last", "first", "received", "review_by", "due", "lapses_from")
"""The members of a detail that are instants."""
_LINE = 1 << 24  # octets of an export's line; an apply names every order that came with it


class HeadText(click.ParamType["Head"]):
    """A head as `ledger verify` prints it: how many events, a colon, the hash of the last."""

    name = "head"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Head:
        from blocker.policy.chain import Head

        if isinstance(value, Head):
            return value
        try:
            return Head.read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.group("ledger", invoke_without_command=True)
@click.option(
    "--order", help="Only what concerns this order: its own events, and applies that brought it or took it."
)
@click.option("--since", type=Instant(), help="Only what happened since then.")
@click.option("--all", "everything", is_flag=True, help=f"Every event, not only the last {_ENTRIES}.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {seq, at, event, subject, detail, hash}; all of them.",
)
@click.pass_context
def command(
    context: click.Context, order: str | None, since: float | None, everything: bool, as_json: bool
) -> int:
    """Show what was done and seen: the last events of the ledger.

    It holds ids of orders and no names, no clients and no queries. Exit code 4 if it lacks a generation of
    the policy.
    """
    from blocker.cli import approvals, show
    from blocker.errors import StoreError
    from blocker.policy import ledger

    context.obj = loaded = approvals.load(context.obj)
    if context.invoked_subcommand is not None:
        return 0
    code = StoreError.exit_code if _lacks(loaded.state) else 0
    is_whole = everything or as_json or since is not None or order is not None
    count = 0 if is_whole else ledger.head(loaded.state).count
    found = ledger.entries(loaded.state, since=since, after=max(0, count - _ENTRIES))
    shown = [one for one in found if order is None or one.concerns(order)]
    if as_json:
        show.as_json([_record(one) for one in shown])
        return code
    if show.is_narrow():
        for one in shown:
            seq, at, event, of, what = _row(one)
            show.hanging(f"{seq:>4} {at} ", f"{event} {'' if of == '-' else of}".strip() + f": {what}")
    elif shown:
        show.table(("#", "at", "event", "of", "what"), [_row(one) for one in shown])
    if count > _ENTRIES:
        click.echo(f"the last {len(shown)} of {show.counted(count, 'event')}; --all shows all")
    if not shown:
        click.echo("nothing of that is in the ledger" if is_whole else "the ledger has no event yet")
    return code


def _lacks(state: Path) -> bool:
    """Say what the ledger has not, beside what is applied; whether that is for good."""
    from blocker.cli import show
    from blocker.policy import outbox

    waiting, flaws = outbox.compare(state)
    for flaw in flaws:
        show.warning(flaw)
    if waiting:
        verb, them = ("is", "it") if waiting == 1 else ("are", "them")
        said = f"{show.counted(waiting, 'event')} {verb} not in the ledger yet"
        show.warning(f"{said}; the next `blocker apply` writes {them}")
    return bool(flaws)


@command.command("verify")
@click.option(
    "--head",
    "known",
    type=HeadText(),
    help="A head that was written down earlier (COUNT:HASH): the ledger must have had it. Without one, an "
    "end that was cut off can't be seen.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Check this export instead of the site's own ledger.",
)
@click.pass_obj
def verify(site: Site, known: Head | None, file: Path | None) -> int:
    """Find what was changed, removed or reordered, and print the head.

    Every generation of the policy must be in it. Exit code 4 if anything is wrong. Write the head down
    elsewhere: it speaks for all that came before it.
    """
    from blocker.cli import show
    from blocker.errors import StoreError
    from blocker.policy import chain, ledger

    last = chain.Head()

    def noted(entries: Iterable[Entry | Veiled]) -> Iterable[Entry | Veiled]:
        nonlocal last
        for one in entries:
            last = one.head
            yield one

    if file is None:
        flaws = [*chain.flaws(noted(ledger.entries(site.state)), known), *ledger.unguarded(site.state)]
    else:
        with file.open("rb") as lines:
            exported = chain.Export(iter(lambda: lines.readline(_LINE), b""))
            flaws = [*chain.flaws(noted(exported.entries()), known), *exported.flaws]
    for flaw in flaws:
        show.warning(flaw)
    if (file is None and _lacks(site.state)) or flaws:
        return StoreError.exit_code
    click.echo(f"{show.counted(last.count, 'event')}, whole\n{last}")
    return 0


@command.command("export")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False, allow_dash=True))
@click.option(
    "--sealed",
    is_flag=True,
    help="Tell what concerns sealed orders, too: for those whom they concern, not for publication.",
)
@click.pass_obj
def export(site: Site, file: Path, sealed: bool) -> int:
    """Write every event to FILE as JSON Lines, and the head as its last line; `-` is the standard output.

    Whoever has the file can check it: `ledger verify --file`. Of what concerns a sealed order, or one in the
    folder that can't be read, and of an apply that brought one, only the place and the hash are told. Exit
    code 4 if the ledger lacks a generation of the policy; nothing is written if it is gone.
    """
    from blocker.cli import show
    from blocker.errors import StoreError
    from blocker.policy import chain, disclosure, ledger, listed, unapplied
    from blocker.web.gather import every_order

    if not file.parent.is_dir():
        raise click.BadParameter(f"there is no folder {str(file.parent)!r}", param_hint="FILE")
    code = StoreError.exit_code if _lacks(site.state) else 0
    if code and not ledger.head(site.state).count:
        return code
    orders, unread = ({}, {}) if sealed else every_order(site)
    if unread:  # Whether such an order is sealed, and which names it has, nobody knows.
        raise next(iter(unread.values()))
    public = disclosure.public_orders(orders.values(), time.time())
    hidden = [order for id_, order in orders.items() if id_ not in public]
    waiting = disclosure.NOTHING if sealed else unapplied.waiting(site, orders, public)
    head, veiled = chain.Head(), 0
    if sealed:
        os.umask(0o027)
        if file.is_file():  # It is replaced by one of the same mode.
            file.chmod(0o640)
    with (
        click.open_file(str(file), "w", encoding="utf-8", atomic=str(file) != "-") as output,
        listed.asked(site, hidden) as lists,
    ):
        may_be_told = disclosure.teller(orders, public, lists, waiting)
        for one in ledger.entries(site.state):
            is_told = sealed or may_be_told(one)
            output.write(chain.line(one) if is_told else chain.veiled_line(one))
            veiled += not is_told
            head = one.head
        output.write(chain.last_line(head))
    if str(file) != "-":
        by_hash = f", {veiled:,} of them by their hash alone: they concern sealed orders" if veiled else ""
        click.echo(f"{file}: {show.counted(head.count, 'event')}{by_hash}\n{head}")
    return code


def _record(one: Entry) -> dict[str, Any]:
    from blocker.cli.show import moment

    return {
        "seq": one.seq,
        "at": moment(one.at),
        "event": one.event,
        "subject": one.subject,
        "detail": one.facts,
        "hash": one.hash,
    }


def _row(one: Entry) -> tuple[str, ...]:
    from blocker.cli.show import moment

    return str(one.seq), moment(one.at), one.event, one.subject or "-", _said(one.facts)


def _said(facts: dict[str, Any]) -> str:
    """What an event's detail says, for people: hashes cut short, what holds many counted."""
    from blocker.cli.show import moment

    found = []
    for key, value in facts.items():
        if value in (None, "", [], {}) or (key, value) == ("lapses_from", 0):  # 0 is always
            continue
        if isinstance(value, dict | list) and len(value) > 3:
            text = f"{len(value):,}"
        elif isinstance(value, dict):
            text = ", ".join(value)
        elif isinstance(value, list):
            text = ", ".join(_item(one) for one in value)
        elif key in _TIMES and isinstance(value, int | float):
            text = moment(value)
        else:
            text = value if isinstance(value, str) else json.dumps(value)
        found.append(f"{key} {text[:12] if _is_hash(text) else text}")
    return "; ".join(found)


def _item(value: object) -> str:
    """One of several: an order, a ref, or somebody's approval."""
    return f"{value['who']} ({', '.join(value['roles'])})" if isinstance(value, dict) else str(value)


def _is_hash(text: str) -> bool:
    return len(text) == 64 and set(text) <= set("0123456789abcdef")
