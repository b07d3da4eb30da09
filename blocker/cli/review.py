"""`blocker review`: which orders must be looked at again, and which of their names are gone."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import click

from blocker.cli.show import Length

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.orders.model import Order
    from blocker.policy.overdue import Review
    from blocker.prober.vanished import Looked


@click.command("review")
@click.option(
    "--within", type=Length(), default="30d", show_default=True, help="Those due so soon, and all overdue."
)
@click.option("--names", is_flag=True, help="List the names that no longer exist.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {order, due, days, overdue, directives, lapsed, authority, jurisdiction, contact, "
    "publication (these four null if the order can't be read back), names ({ordered, asked, gone, unknown}, "
    "with --names also list)}; days are negative when overdue.",
)
@click.pass_obj
def command(site: Path, within: int, names: bool, as_json: bool) -> int:
    """Show which applied orders are due for review, with whom to turn to.

    Some names of each order are asked for at the unfiltered reference, 20 at most: what exists nowhere need
    not be blocked. Names of sealed orders are not asked for, for the reference would learn of them. Exit
    code 1 if a review is overdue, 4 if one of these orders can't be read back.
    """
    from blocker.cli import approvals, inputs, show
    from blocker.errors import StoreError
    from blocker.policy.overdue import reviews
    from blocker.prober import vanished
    from blocker.prober.reference import endpoints

    loaded = approvals.load(site)
    now = time.time()
    with inputs.live(loaded) as policy:
        due = [one for one in reviews(policy.directives.values(), now) if one.due <= now + within]
        chosen = vanished.choose(policy, due, now)
        digests = policy.orders
    looked = vanished.look(chosen, endpoints(loaded))
    orders = inputs.readable(loaded, {one.order: digests[one.order] for one in due})
    if as_json:
        show.as_json(
            [_record(one, orders.get(one.order), looked[one.order], now, names=names) for one in due]
        )
    for one in () if as_json else due:
        _display(one, orders.get(one.order), looked[one.order], now, names=names)
    if not due and not as_json:
        click.echo(f"no review is overdue, and none is due within {show.duration(within)}")
    if any(one.order not in orders for one in due):
        return StoreError.exit_code
    return int(any(one.due <= now for one in due))


def _record(one: Review, order: Order | None, looked: Looked, now: float, *, names: bool) -> dict[str, Any]:
    from blocker.cli import show

    listed = {"list": list(looked.gone_names)} if names else {}
    return {
        "order": one.order,
        "due": show.moment(one.due),
        "days": int((one.due - now) // 86_400),
        "overdue": one.due <= now,
        "directives": list(one.refs),
        "lapsed": list(one.lapsed),
        "authority": order and order.authority.name,
        "jurisdiction": order and order.authority.jurisdiction,
        "contact": order and order.authority.contact,
        "publication": order and str(order.publication),
        "names": {
            "ordered": looked.ordered,
            "asked": looked.asked,
            "gone": looked.gone,
            "unknown": looked.unknown,
            **listed,
        },
    }


def _display(one: Review, order: Order | None, looked: Looked, now: float, *, names: bool) -> None:
    from blocker.cli import show

    late = one.due <= now
    span = show.duration(one.due - now)
    click.echo(f"{one.order}: {f'OVERDUE by {span}' if late else f'due in {span}'}, {show.moment(one.due)}")
    who = order and f"{order.authority.name} ({order.authority.jurisdiction}), {order.authority.contact}"
    rows = [
        ("authority", who or "can't be read back; `blocker check` says more"),
        ("directives", ", ".join(ref.rpartition("/")[2] for ref in one.refs)),
    ]
    if late:
        lapsed = "no: the site lets it lapse; the authority did not lift it"
        rows.append(("enforced", lapsed if one.lapsed else "as before; review: keep"))
    rows.append(("names", _of_names(looked)))
    if names:
        rows += [("gone", name) for name in looked.gone_names]
    for name, value in rows:
        show.hanging(f"  {name:<12} ", value)
    click.echo()


def _of_names(looked: Looked) -> str:
    if looked.is_sealed:
        return f"{looked.ordered:,}, not asked for: the order is sealed"
    if not looked.asked:
        return f"{looked.ordered:,}, not asked for: there is no reference to ask"
    found = f"{looked.gone:,} of {looked.asked:,} asked for no longer exist"
    if looked.unknown:
        found += f"; of {looked.unknown:,} the reference could not tell"
    return found if looked.asked >= looked.ordered else f"{found}; a sample of {looked.ordered:,}"
