"""`blocker import`: an official list becomes an order file."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from blocker.cli.show import Digest

if TYPE_CHECKING:
    from blocker.feeds.contract import Feed
    from blocker.feeds.importing import Imported
    from blocker.site import Site


@click.command("import")
@click.argument("feed", required=False)
@click.argument("source", required=False)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder of the order, below the orders folder; the feed's own if not given.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be written, and write nothing.")
@click.option(
    "--poll", is_flag=True, help="Import every feed that is due, and remember when each is due again."
)
@click.option(
    "--accept",
    type=Digest(),
    metavar="DIGEST",
    default="",
    help="Let the document with this SHA-256 past the feed's limits; a damaged one is never taken.",
)
@click.option("--reason", default="", help="Why it is accepted; required with --accept, kept in the order.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {feed, source, sha256, edition, orders, files, rows, names, added, removed, skipped, "
    "not_names, problems}.",
)
@click.pass_obj
def command(
    site: Path,
    feed: str | None,
    source: str | None,
    out: Path | None,
    dry_run: bool,
    poll: bool,
    accept: str,
    reason: str,
    as_json: bool,
) -> int:
    """Make an order of what an official list says: at first a block, then amends that hold the difference.

    FEED is one of feeds.yaml; SOURCE, a path or an https URL, stands in for the feed's own. A document that
    is damaged, empty, too short, older than the last one, or that changes too much at once, changes nothing.
    URLs and addresses in it are told and never turned into names. Nothing is applied: `blocker plan` and
    `blocker apply` come next. What --poll says goes to a journal: of a feed that is not public it counts
    alone, and the problems by their check.
    """
    from blocker.cli import approvals, show
    from blocker.errors import OrdersInvalid
    from blocker.feeds import importing, polling

    if bool(accept) != bool(reason.strip()):
        raise click.UsageError("--accept DIGEST and --reason TEXT go together")
    if poll == (feed is not None):
        raise click.UsageError("name a FEED of feeds.yaml, or give --poll")
    if poll and (accept or dry_run or out):
        raise click.UsageError("--poll goes with --json alone")
    loaded = approvals.load(site)
    now = time.time()
    with polling.alone(loaded, warn=show.warning):
        if poll:
            made, worst = polling.poll(loaded, _feeds(loaded), now, warn=show.warning)
        else:
            one = _named(loaded, str(feed), source, out)
            document = polling.fetch(loaded, one, int(now))
            words = _words(source, out)
            made = [importing.make(loaded, one, document, accept=accept, reason=reason, words=words)]
            worst = 0
            if made[0].files and not dry_run:
                importing.write(loaded, made[0])
    hushed = {one.feed.name for one in made if poll and not polling.is_told(loaded, one.feed)}
    if as_json:
        show.as_json([_counted(one) if one.feed.name in hushed else _record(one) for one in made])
    for result in made:
        _complain(result, is_told=result.feed.name not in hushed)
        if not as_json:
            _display(result, dry_run=dry_run, is_told=result.feed.name not in hushed)
    wrong = any(problem.severity == "error" for result in made for problem in result.problems)
    return OrdersInvalid.exit_code if wrong else worst


def _complain(made: Imported, *, is_told: bool) -> None:
    """What is wrong; by its checks alone unless it `is_told` in its own words."""
    from blocker.cli import show
    from blocker.feeds import polling

    if is_told:
        show.problems(made.problems)
    elif made.problems:
        click.echo(f"{made.feed.name}: {polling.outline(made.feed, made.problems)}", err=True)


def _words(source: str | None, out: Path | None) -> str:
    """What was given beside the feed's name, as a shell takes it."""
    import shlex

    return "".join(f" {shlex.quote(one)}" for one in (source, *(("--out", str(out)) if out else ())) if one)


def _feeds(site: Site) -> tuple[Feed, ...]:
    from blocker.feeds import feedsfile

    if site.feeds is None:
        raise click.UsageError("site.yaml has no 'feeds'; name the file that describes them")
    return feedsfile.load(site.feeds)


def _named(site: Site, name: str, source: str | None, out: Path | None) -> Feed:
    """The feed with this name, with another source and folder if they are given."""
    from blocker.bounded import printable
    from blocker.errors import OrdersInvalid, Problem

    feeds = {one.name: one for one in _feeds(site)}
    if name not in feeds:
        known = ", ".join(feeds) or "none"
        problem = Problem(
            id="feed-unknown",
            path=printable(site.feeds) if site.feeds else "",
            message=f"no feed is called {name!r} (there are: {known}); add it, or mend its name.",
        )
        raise OrdersInvalid([problem])
    feed = feeds[name]
    if source is not None:
        if "://" in source and not source.startswith("https://"):
            message = f"{source!r}: only https URLs are fetched; name one, or the path of a file"
            raise click.BadParameter(message, param_hint="SOURCE")
        feed = replace(feed, source=source if source.startswith("https://") else Path(source).absolute())
    if out is not None:
        if out.resolve().parent != site.orders.resolve():
            raise click.UsageError(f"--out {out}: it is not a folder directly below {site.orders}")
        feed = replace(feed, folder=out.name)
    return feed


def _record(made: Imported) -> dict[str, Any]:
    """An import for machines."""
    from blocker.cli import show

    extract, change = made.extract, made.change
    return {
        "feed": made.feed.name,
        "source": made.source.place,
        "sha256": made.source.digest,
        "edition": extract.edition.text if extract and extract.edition else None,
        "orders": list(made.ids),
        "files": list(made.files),
        "rows": extract.rows if extract else 0,
        "names": len(extract.names) if extract else 0,
        "added": len(change.added),
        "removed": len(change.removed),
        "skipped": dict(extract.counts) if extract else {},
        "not_names": [row._asdict() for row in extract.skipped] if extract else [],
        "problems": [show.problem(one) for one in made.problems],
    }


def _counted(made: Imported) -> dict[str, Any]:
    """An import for machines, less all that tells a name, a row or an order."""
    message = f"not told by --poll; `blocker import {made.feed.name} --dry-run` says more"
    problems = [replace(one, path=made.feed.name, line=0, column=0, message=message) for one in made.problems]
    hidden: dict[str, Any] = {
        "source": None,
        "sha256": None,
        "edition": None,
        "orders": [],
        "files": [],
        "not_names": [],
    }
    return {**_record(replace(made, problems=tuple(problems))), **hidden}


def _display(made: Imported, *, dry_run: bool, is_told: bool) -> None:
    """An import for people; counts alone unless it `is_told` what was in it."""
    from blocker.cli import show

    if (extract := made.extract) is not None:
        edition = extract.edition.text if extract.edition else "date unknown"
        document = [
            ("document", f"{len(made.source.octets):,} octets, SHA-256 {made.source.digest}"),
            ("edition", edition),
        ]
        rows = [
            *(document if is_told else []),
            ("names", f"{len(extract.names):,} of {show.counted(extract.rows, 'row')}"),
            ("new", f"{len(made.change.added):,}"),
            ("gone", f"{len(made.change.removed):,}"),
            *(
                (f"not blocked: {kind}", f"{count:,}{_first(made, kind) if is_told else ''}")
                for kind, count in extract.counts.items()
            ),
        ]
        show.table(("", made.feed.name), rows)
    if made.files:
        done = "would write" if dry_run else "written"
        names = ", ".join(f"{made.feed.folder}/{name}" for name in made.files)
        click.echo(f"{done}: {names if is_told else show.counted(len(made.files), 'file')}")
        if not dry_run:
            click.echo("not applied: see `blocker plan`, then `blocker apply`", err=True)
    elif not any(one.severity == "error" for one in made.problems):
        click.echo(f"{made.feed.name}: nothing changed", err=True)


def _first(made: Imported, kind: str) -> str:
    """The first rows of a kind, with their lines."""
    rows = [row for row in made.extract.skipped if row.kind == kind][:3] if made.extract else []
    told = ", ".join(f"{row.text[:60]!r} (line {row.line})" for row in rows)
    return f": {told}" if told else ""
