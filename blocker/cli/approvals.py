"""`blocker approvals`: who approved which order, and what is missing."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from blocker.approvals.judge import Approval
    from blocker.policy.apply import Prepared
    from blocker.policy.examine import Examined
    from blocker.site import Site

UNSIGNED = "unsigned site: orders are applied without approvals"


@click.command("approvals")
@click.argument("order", required=False, default="")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="A list of {order, state (missing, approved, owed or applied), approvals (a list of {who, key, "
    "roles, signature}), missing, due}.",
)
@click.pass_obj
def command(site: Path, order: str, as_json: bool) -> int:
    """Show who approved the orders that aren't applied yet, and what they lack; of one order, applied or not.

    Exit code 2 if an order lacks approvals. Applied orders show what the ledger says of them.
    """
    from blocker import sitefile
    from blocker.cli import show
    from blocker.errors import OrdersInvalid
    from blocker.policy.examine import examine

    loaded = sitefile.load(site)
    examined = examine(loaded, now=time.time())
    rows = [one for one in (*_waiting(examined), *_told(loaded, order)) if not order or one["order"] == order]
    if order and not rows and order not in examined.live.orders and order not in examined.loaded.filed:
        raise click.BadParameter(f"no order here has the id {order!r}", param_hint="ORDER")
    if as_json:
        show.as_json(rows)
    else:
        say_unsigned(loaded)
        show.problems([one for one in examined.problems if one.id in IDS])
        show.table(
            ("order", "", "approved by", "missing"),
            [(one["order"], one["state"], _people(one["approvals"]), one["missing"]) for one in rows],
        )
    return OrdersInvalid.exit_code if any(one["state"] == "missing" for one in rows) else 0


IDS = frozenset({"signers-missing", "signers-early", "signers-older", "signers-unsigned", "verifier-missing"})
"""The Problems that keep every new order out."""


def load(path: Path) -> Site:
    """The site. On a terminal it is said to be unsigned, if it is; in a pipe those verbs alone say so that
    are about what comes in. Raises OrdersInvalid.
    """
    from blocker import sitefile

    loaded = sitefile.load(path)
    if sys.stderr.isatty():
        say_unsigned(loaded, err=True)
    return loaded


def say_unsigned(site: Site, *, err: bool = False) -> None:
    """Say on a screen that nobody's approval is asked for, where it is so."""
    if site.approvals is None:
        click.echo(UNSIGNED, err=err)


def record(prepared: Prepared) -> dict[str, Any]:
    """What a plan says of approvals, for machines."""
    from blocker.cli import show

    plan = prepared.plan
    return {
        "approvals_required": prepared.site.approvals is not None,
        "approvals_changed": bool(plan.rules),
        "approvals_before": plan.rules_before,
        "approvals_after": plan.rules_after,
        "approvals": {id_: _listed(found) for id_, found in plan.approvals.items()},
        "emergency": sorted(prepared.signed.emergency),
        "approvals_owed": {id_: show.moment(one.due) for id_, one in sorted(prepared.live.owed.items())},
    }


def display(prepared: Prepared) -> None:
    """What a plan says of approvals, for people."""
    from blocker.cli import show

    if prepared.plan.rules:
        click.echo("site: approvals changes")
        show.hanging("  before    ", prepared.plan.rules_before)
        show.hanging("  from now  ", prepared.plan.rules_after)
    for id_, one in sorted(prepared.live.owed.items()):
        given = prepared.signed.approved.get(id_)
        how = f"due {show.moment(one.due)}"
        if given and prepared.plan.rules:  # `approving.settle` does not take it either.
            how += f"; {_people(_listed(given))} gave it as the new rules have it, and nobody accepted those"
        elif given:
            how = f"given now by {_people(_listed(given))}"
        show.hanging(f"{id_} ", f"was let in by the emergency; its approval is owed, {how}")


def _waiting(examined: Examined) -> Iterator[dict[str, Any]]:
    """The orders that somebody is still to approve, or could be applied."""
    from blocker.cli import show

    signed, owed = examined.signed, examined.live.owed
    for id_, found in sorted(signed.given.items()):
        state = "owed" if id_ in owed else "missing" if id_ in signed.missing else "approved"
        yield {
            "order": id_,
            "state": state,
            "approvals": _listed(found),
            "missing": signed.missing.get(id_, ""),
            "due": show.moment(owed[id_].due) if id_ in owed else None,
        }
    for id_ in sorted(owed.keys() - signed.given.keys()):
        yield {
            "order": id_,
            "state": "owed",
            "approvals": [],
            "missing": "a file as it was applied, to be signed; `blocker check` says more",
            "due": show.moment(owed[id_].due),
        }


def _told(site: Site, order: str) -> Iterator[dict[str, Any]]:
    """What the ledger says of an applied order."""
    from blocker.policy import ledger

    if not order:
        return
    for one in ledger.entries(site.state, only=("approved", "emergency")):
        if one.subject == order:
            yield {
                "order": order,
                "state": "applied",
                "approvals": one.facts.get("approvals", []),
                "missing": "",
                "due": None,
            }


def _listed(found: Iterable[Approval]) -> list[dict[str, Any]]:
    return [
        {"who": one.who, "key": one.key, "roles": [*one.roles], "signature": one.signature} for one in found
    ]


def _people(found: Iterable[Mapping[str, Any]]) -> str:
    return ", ".join(f"{one['who']} ({', '.join(one['roles'])}, {one['key']})" for one in found) or "nobody"
