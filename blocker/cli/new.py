"""`blocker new`: an order file from flags and answers."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from blocker.orders.questions import QUESTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from blocker.orders.compose import Answer
    from blocker.orders.names_file import Listing
    from blocker.orders.questions import Setting
    from blocker.site import Site

MOST_INLINE = 50
"""Names that an order lists itself; more go into a names_file beside it."""

SCHEMA = "order.schema.json"


def _flags(command: Callable[..., int]) -> Callable[..., int]:
    """An option for each question but that for names, which are the arguments."""
    for question in reversed(QUESTIONS):
        if question.key != "names":
            command = click.option(
                _flag(question.key),
                question.key,
                multiple=question.is_list,
                metavar="TEXT",
                help=f"{question.meaning[0].upper()}{question.meaning[1:]}."
                + (" May be given more than once." if question.is_list else ""),
            )(command)
    return command


def _flag(key: str) -> str:
    return "NAME" if key == "names" else f"--{key.replace('_', '-')}"


def _refuse(wrong: Iterable[tuple[str, str]]) -> None:
    """Stop if there are flags that something is wrong with. Raises UsageError."""
    if said := "; ".join(f"{_flag(key)} {what}" for key, what in wrong):
        raise click.UsageError(said)


@click.command("new")
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option(
    "--names-file",
    metavar="FILE",
    help="Take the names from a file, one a line; - is standard input. More than 50 become a names_file.",
)
@_flags
@click.option("--dry-run", is_flag=True, help="Print the order and write nothing.")
@click.pass_obj
def command(
    site: Path, /, names: tuple[str, ...], names_file: str | None, dry_run: bool, **flags: Any
) -> int:
    """Write an order file: on a terminal, ask for what no flag says.

    The file is checked before it is written, lands below the orders folder and never replaces another.
    `now` is the present instant wherever a time is asked for. Long lists of names come by --names-file.
    """
    from blocker.cli import approvals, asking
    from blocker.errors import OrdersInvalid
    from blocker.orders import questions

    if names and names_file:
        raise click.UsageError("give names as arguments or by --names-file, not both")
    loaded = approvals.load(site)
    setting = _setting(loaded)
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    empty = [key for key, value in given.items() if value == "" or (isinstance(value, tuple) and "" in value)]
    _refuse((key, "is empty; give it a value, or leave it out") for key in empty)
    answers: dict[str, Answer] = {key: asking.timed(key, value) for key, value in given.items()}
    if "redirect" in answers:
        answers.setdefault("action", "redirect")
    listed = _listed(loaded, names, names_file)
    if listed is not None:
        answers |= listed.answer
    missing = questions.missing(answers, setting)
    is_asking = bool(missing) and sys.stdin.isatty() and sys.stderr.isatty()
    if missing and not is_asking:
        flag = ", ".join(_flag(one.key) for one in missing)
        raise click.UsageError(
            f"missing: {flag}; give them, or call this on a terminal, where they are asked for"
        )
    if asking.tell(asking.flagged(questions.wrong(answers, setting))):
        return OrdersInvalid.exit_code
    _refuse(questions.unfit(answers, so_far=is_asking))
    if is_asking:
        asking.ask(answers, setting)
        _refuse(questions.unfit(answers))
        if isinstance(typed := answers.get("names"), tuple) and len(typed) > MOST_INLINE:
            listed = _List(answer={}, octets=_lines(typed), listing=None).read()
            del answers["names"]
            answers |= listed.answer
    found = questions.judged(answers, setting, listed.listing.names if listed and listed.listing else None)
    composed = questions.written(answers, setting)
    if is_asking or dry_run:
        click.echo(composed.text, nl=False, err=not dry_run)
    if asking.tell(found):
        return OrdersInvalid.exit_code
    return 0 if dry_run else _write(loaded, setting, answers, composed.text, listed, is_asking)


def _setting(site: Site) -> Setting:
    """The orders that are there, and what the site knows."""
    import time
    from datetime import datetime

    from blocker.cli import show
    from blocker.orders import check
    from blocker.orders.questions import Setting
    from blocker.policy.examine import examine, recall

    with show.progress() as progress:
        examined = examine(site, now=time.time(), progress=progress)
    known = dict(examined.loaded.filed)
    for id_, order in examined.standing.orders.items():
        if id_ not in known:  # Its file is gone or broken; it stands as it was applied.
            known[id_] = recall(site, id_, order.digest)
    schema = next(
        (path for path in (site.path.parent / SCHEMA, site.orders / SCHEMA) if path.is_file()), None
    )
    return Setting(
        facts=check.Facts.of(site),
        known=known,
        today=datetime.now().astimezone().date(),
        folder=str(site.orders),
        # An order lies in the folder of its authority, one below the orders folder.
        schema=os.path.relpath(schema, site.orders / "authority") if schema else "",
        taken=examined.loaded.broken | examined.loaded.quarantined,
    )


class _List(NamedTuple):
    """Names from a file or in a number: the answer they make; for a names_file its octets and its names."""

    answer: dict[str, Answer]
    octets: bytes
    listing: Listing | None

    def read(self, path: str = "", *, there: str = "") -> _List:
        """The list as an answer. `there` is its path if it lies in its place. Raises OrdersInvalid."""
        import hashlib

        from blocker import names
        from blocker.errors import OrdersInvalid
        from blocker.orders import names_file

        listing, problems = names_file.parse(self.octets, path or "the list of names")
        if problems:
            raise OrdersInvalid(problems)
        if len(listing.names) <= MOST_INLINE:
            below = tuple(f"*.{names.to_text(key)}" for key in listing.names.below)
            return self._replace(answer={"names": (*map(names.to_text, listing.names.keys), *below)})
        digest = hashlib.sha256(self.octets).hexdigest()
        place: dict[str, Answer] = {"names_file": there} if there else {}
        return self._replace(answer={"sha256": digest, **place}, listing=listing)


def _lines(names: tuple[str, ...]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode("utf-8", "surrogateescape")


def _listed(site: Site, names: tuple[str, ...], file: str | None) -> _List | None:
    """The names of the arguments or the file, if there are any."""
    if names and len(names) <= MOST_INLINE:
        return _List(answer={"names": names}, octets=b"", listing=None)
    if names:
        return _List(answer={}, octets=_lines(names), listing=None).read("the names given")
    if file is None:
        return None
    from blocker.bounded import Refused, Words, octets, printable
    from blocker.errors import OrdersInvalid, Problem
    from blocker.orders.files import MAX_LIST_OCTETS

    large = "the list is larger than 512 MiB; split it over several orders."
    if file == "-":
        content = sys.stdin.buffer.read(MAX_LIST_OCTETS + 1)
        if len(content) > MAX_LIST_OCTETS:
            raise OrdersInvalid([Problem(id="names-file-too-large", path="standard input", message=large)])
        return _List(answer={}, octets=content, listing=None).read("standard input")
    words = Words(
        unreadable="names-file-unreadable",
        irregular="names-file-unreadable",
        large="names-file-too-large",
        too_large=large,
    )
    from pathlib import Path

    path = Path(os.path.realpath(file))
    try:
        content = octets(path, MAX_LIST_OCTETS, words)
    except Refused as refused:
        raise OrdersInvalid([Problem(id=refused.id, path=printable(path), message=str(refused))]) from refused
    inside = path.is_relative_to(os.path.realpath(site.orders))
    there = os.path.relpath(path, Path(os.path.realpath(site.orders)) / "authority") if inside else ""
    return _List(answer={}, octets=content, listing=None).read(printable(path), there=there)


def _write(
    site: Site, setting: Setting, answers: dict[str, Answer], text: str, listed: _List | None, is_asking: bool
) -> int:
    from blocker.orders import filing, questions
    from blocker.orders.model import Publication

    full = questions.filled(answers, setting)
    id_ = str(full["id"])
    beside: dict[str, bytes] = {}
    if listed is not None and listed.listing is not None and "names_file" not in listed.answer:
        beside[str(full["names_file"])] = listed.octets
    if is_asking:
        click.confirm(f"\nwrite this as {site.orders / id_}.yaml?", default=True, abort=True, err=True)
    # What is sealed is for the group alone, as the state folder is.
    mode = 0o666 if full["publication"] == Publication.PUBLIC else 0o640
    path = filing.place(site.orders, id_, text.encode(), beside, mode=mode)
    for name in beside:
        click.echo(f"written: {path.parent / name}")
    click.echo(f"written: {path}")
    click.echo("next: `blocker check` and `blocker plan`, then `blocker apply`", err=True)
    return 0
