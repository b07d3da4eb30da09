"""What verbs print alike: times with their zone, JSON, problems, tables that fit the screen.

Rich takes a while to import and draws for terminals alone: it is imported where something is drawn.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import textwrap
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from blocker import fields

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from rich.console import Console

    from blocker.errors import Problem
    from blocker.orders.timetable import Window


_WIDE = 120  # columns
_DIGEST = 64  # characters of a SHA-256


class Instant(click.ParamType[float]):
    """A point in time with its zone; a date alone is its 00:00 UTC."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, (int, float)):
            return float(value)
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is not a time; write it like 2026-01-15T00:00:00+07:00", param, ctx)
        if moment.tzinfo is None:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", value):
                self.fail(f"{value!r} has no zone; write it like {value}+07:00 or {value}Z", param, ctx)
            moment = moment.replace(tzinfo=UTC)
        return moment.timestamp()


class Digest(click.ParamType[str]):
    """A whole SHA-256 as we print it; nothing where nothing is said."""

    name = "digest"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text and (size := len(text)) != _DIGEST:
            odd = "short" if size < _DIGEST else "long"
            self.fail(f"it is too {odd}: {size} characters, and a digest has {_DIGEST}", param, ctx)
        if not set(text) <= set("0123456789abcdef"):
            self.fail("a digest has only the characters 0-9 and a-f; copy it as it was printed", param, ctx)
        return text


class Length(click.ParamType[int]):
    """A length of time in whole seconds: 30s, 30m, 24h or 2d, as site.yaml has them."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return fields.duration(value)
        except fields.Rejected as rejected:
            self.fail(str(rejected), param, ctx)


def moment(at: float | None) -> str:
    """An instant as ISO 8601 in UTC; None is an open end."""
    if at is None:
        return "open"
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{at:.0f} s"


def windows(found: Iterable[Window]) -> str:
    """Half-open windows, one a line."""
    return "\n".join(f"{moment(start)} → {moment(end)}" for start, end in found) or "never"


def duration(seconds: float) -> str:
    """A length of time for people: its two largest units."""
    left = timedelta(seconds=round(abs(seconds)))
    hours, rest = divmod(left.seconds, 3600)
    parts = [(left.days, "d"), (hours, "h"), (rest // 60, "min"), (rest % 60, "s")]
    shown = [f"{count} {unit}" for count, unit in parts if count][:2]
    return " ".join(shown) or "0 s"


def hanging(lead: str, text: str) -> None:
    """One paragraph, wrapped on a terminal with its later lines below the text; whole in a pipe."""
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 10_000
    indent = " " * min(len(lead), 18)
    lines = textwrap.wrap(text, max(20, width - len(indent)), break_on_hyphens=False, break_long_words=False)
    if len(lead) > len(indent):
        lines = textwrap.wrap(lead + text, width, subsequent_indent=indent, break_on_hyphens=False)
        click.echo("\n".join(lines))
        return
    click.echo(lead + f"\n{indent}".join(lines or [""]))


def is_narrow() -> bool:
    """Whether this is a terminal on which a table of many columns would be all folds."""
    return sys.stdout.isatty() and shutil.get_terminal_size().columns < _WIDE


def distance(seconds: float) -> str:
    """How far an instant is from now: `in 2 h 5 min`, `3 d 1 h ago`."""
    return f"in {duration(seconds)}" if seconds > 0 else f"{duration(seconds)} ago"


def as_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def console() -> Console:
    """Rich on a terminal; plain text, as wide as it needs to be, in a pipe."""
    from rich.console import Console

    return Console(highlight=False) if sys.stdout.isatty() else Console(highlight=False, width=200)


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table; in a pipe, the same cells with tabs between, one row a line."""
    if not sys.stdout.isatty():
        for row in rows:
            click.echo("\t".join(cell.replace("\n", "; ") for cell in row))
        return
    from rich.table import Table

    drawn = Table(box=None, header_style="bold", pad_edge=False)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console().print(drawn)


@contextmanager
def progress() -> Iterator[Callable[[str, int, int], None]]:
    """Where long tasks say how far they are: a bar on a terminal, nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress, TaskID

    with Progress(console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, TaskID] = {}

        def tell(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bars.add_task(what, total=total)
            bars.update(tasks[what], completed=done, total=total)

        yield tell


def problem(one: Problem) -> dict[str, Any]:
    """A problem for machines."""
    return {
        "id": one.id,
        "severity": one.severity,
        "path": one.path,
        "line": one.line,
        "column": one.column,
        "message": one.message,
    }


def problems(found: Sequence[Problem], *, err: bool = True) -> None:
    """Every problem, one a line, sorted by place."""
    for problem in sorted(found, key=lambda one: (one.path, one.line, one.column)):
        click.echo(str(problem), err=err)


def warning(sentence: str) -> None:
    """What went wrong beside the matter at hand."""
    click.echo(f"warning: {sentence}", err=True)


def counted(number: int, noun: str) -> str:
    """`1 order`, `2 orders`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
