"""A plan as a page on a terminal: who asks for what, where and when, and what is held.

It lays out what `policy.proposal` made: a short table, then each order with its facts beside their labels.
Lines are wrapped to the terminal and nothing is cut; in a pipe each fact is one line.
"""

from __future__ import annotations

import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import click

from blocker.cli import show

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MOST = 50
"""Orders shown in full; the others are in the page that --html writes."""

NAMES = 5
"""Names shown of those that speak for one reason."""

STATES = {"held": "HELD", "waits": "waits", "new": "new"}

_LABEL = 12  # columns of the facts' labels
_STYLES: dict[str, dict[str, Any]] = {
    "held": {"fg": "red", "bold": True},
    "waits": {"fg": "yellow", "bold": True},
    "new": {"bold": True},
}


def write(plan: dict[str, Any]) -> None:
    """Print the page."""
    orders = plan["orders"]
    if len(orders) > 1:
        rows = [
            (STATES[one["state"]], one["id"], one["kind"], f"{one['names']:,}" if one["names"] else "")
            for one in orders
        ]
        show.table(("", "order", "kind", "names"), rows[: MOST * 2])
        click.echo()
    for number, one in enumerate(orders[:MOST]):
        click.echo("\n" * (number > 0), nl=False)
        _order(one)
    if len(orders) > MOST:
        click.echo(
            f"\n… and {show.counted(len(orders) - MOST, 'order')} more: `blocker plan --html FILE` has all"
        )
    changes = [one for one in plan["changes"] if one["what"] != "added"]
    if changes:
        click.echo("\nof what was applied before")
    for one in changes[:MOST]:
        _change(one)
    if len(changes) > MOST:
        click.echo(f"  … and {len(changes) - MOST:,} more")
    for what in plan["site_changes"]:
        click.echo(f"site: {REVIEW[plan['review']] if what == 'review' else f'{what} changes'}")
    for line in plan["regions"]:
        _paragraph(f"site: {line}")


REVIEW = {
    "lapse": "review: what is overdue for review is not enforced any more",
    "keep": "review: what is overdue for review is enforced again",
}


def close(plan: dict[str, Any]) -> None:
    """Print the sums, the digest, and the way past what is held."""
    withheld = f" ({plan['withheld']:,} of them withheld: not enforced)" if plan["withheld"] else ""
    _paragraph(
        f"{show.counted(plan['added'], 'name')} blocked that were not{withheld}, {plan['removed']:,} freed "
        f"unasked, {plan['live_names']:,} live now"
    )
    _paragraph(judged_by(plan["lists"]))
    click.echo(f"plan {plan['digest']}")


def judged_by(lists: dict[str, Any]) -> str:
    """What the names were judged by; empty if there was nothing to judge."""
    if not lists["suffixes"]:
        return ""
    suffixes = f"judged by the Public Suffix List of {lists['suffixes']}"
    if lists["missing"]:
        return (
            f"{suffixes} alone: the lists of popular sites, banks, universities and the like are not "
            "installed; `pip install 'blocker[radius]'` brings them"
        )
    return f"{suffixes} and {len(lists['editions'])} lists of {lists['package']}"


def ask(digest: str, held: Sequence[str], waits: Sequence[str], emergency: Sequence[str] = ()) -> None:
    """Print what `apply` does about what is held, and the way past it."""
    about = f", and {show.counted(len(waits), 'order')} about it" if waits else ""
    click.echo()
    _paragraph(
        f"{show.counted(len(held), 'order')} held{about}: {', '.join([*held, *waits])}. `blocker apply` "
        "leaves that out and applies the rest. If all of this plan is right:"
    )
    urgent = "".join(f"--emergency {order} " for order in emergency)
    click.echo(f"  blocker apply {urgent}--reason TEXT \\\n    --accept {digest}")


def _order(one: dict[str, Any]) -> None:
    state = one["state"]
    click.echo(click.style(f"{STATES[state]}  {one['id']}", **_STYLES[state]))
    for label, text in facts(one):
        _fact(label, text, is_loud=label == "held for")


def facts(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What is to be said of one order, with its labels."""
    for why in one["why"]:
        yield "held for", _why(why)
    if one["waits_for"]:
        yield "waits for", f"{one['waits_for']}, which is held"
    authority = one["authority"]
    reference = f", {one['reference']}" if one["reference"] else ""
    yield "asked by", f"{authority['name']} ({authority['jurisdiction']}){reference}"
    yield "contested", f"at {authority['contact']}"
    yield "basis", "; ".join(one["legal_basis"])
    dates = [
        f"issued {one['issued']}",
        *([f"received {one['received']}"] if one["received"] else []),
        *([f"due {one['due']}"] if one["due"] else []),
        one["publication"],
    ]
    yield "dates", "; ".join(dates)
    people = ", ".join(
        f"{each['who']} ({', '.join(each['roles'])}, {each['key']})" for each in one["approved_by"]
    )
    if people:
        yield "approved by", f"{people}, for an emergency" if one["is_emergency"] else people
    if one["act"]:
        yield one["kind"], one["act"]
    for directive in one["directives"]:
        yield from _directive(directive)
    if depths := [(name, count) for name, count in one["depths"].items() if count]:
        yield "these are", ", ".join(show.counted(count, _DEPTHS[name]) for name, count in depths)
    if one["covers"]:
        covers = [f"{show.counted(each['count'], 'name')} below {each['name']}" for each in one["covers"]]
        yield "also ordered", "; ".join(covers[:NAMES])


_DEPTHS = {"suffix": "suffix name", "registrable": "registrable domain", "deeper": "deeper name"}


def _directive(one: dict[str, Any]) -> Iterator[tuple[str, str]]:
    more = one["written"] - len(one["first"])
    names = ", ".join(one["first"]) + (f" and {more:,} more" if more > 0 else "")
    yield "directive", one["ref"]
    if one["is_cut"]:
        below = ", at or below these" if one["names"] > one["written"] else ""
        yield "frees", f"{show.counted(one['names'], 'name')}{below}: {names}"
    else:
        yield "blocks", f"{show.counted(one['names'], 'name')}: {names}"
        if one["excepts"]:
            rest = one["excepts_count"] - len(one["excepts"])
            yield "but not", ", ".join(one["excepts"]) + (f" and {rest:,} more" if rest else "")
        yield "answer", f"{one['action']} in {', '.join(one['regions'])}"
    review = f"; to be reviewed by {one['review_by']}" if one["review_by"] else ""
    yield "in force", f"{one['in_force']}{review}"
    if one["until_accepted"]:
        yield "without held", one["until_accepted"]
    if one["withheld"]:
        yield "withheld", one["withheld"]


def _why(why: dict[str, Any]) -> str:
    if not why["first"]:
        return f"{why['sentence']} [{why['id']}]"
    more = why["count"] - min(NAMES, len(why["first"]))
    names = ", ".join(why["first"][:NAMES]) + (f" and {more:,} more" if more else "")
    return f"{why['sentence']}: {names} [{why['id']}]"


def _change(one: dict[str, Any]) -> None:
    click.echo(click.style(f"  {one['ref']}", bold=True))
    names = show.counted(one["names"], "name")
    if one["what"] == "dropped":
        _fact("gone", f"{names}, {one['was']}")
        return
    _fact("in force", f"{one['in_force']}; {names}")
    if one["was"] != one["in_force"]:
        _fact("before", one["was"])
    if one["withheld"]:
        _fact("withheld", one["withheld"])


def _width() -> int:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else 1_000_000


def _fact(label: str, text: str, *, is_loud: bool = False) -> None:
    room = max(20, _width() - _LABEL - 4)
    lines = textwrap.wrap(text, room, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        lead = f"  {label if not number else '':<{_LABEL}}  "
        click.echo(click.style(lead, dim=True) + (click.style(line, fg="red") if is_loud else line))


def _paragraph(text: str) -> None:
    if text:
        click.echo("\n".join(textwrap.wrap(text, _width(), break_on_hyphens=False)))
