"""`blocker explain`: which order is the reason."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from blocker.cli.show import Instant

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from blocker.names import Key
    from blocker.orders.model import Order
    from blocker.policy.decide import Verdict
    from blocker.policy.explain import Explanation, Standing
    from blocker.site import Site


@click.command("explain")
@click.argument("name")
@click.option("--at", "at", type=Instant(), help="The instant; now, if not given.")
@click.option("--region", help="The clients' region; the site's default, if not given.")
@click.option("--type", "qtype", default="A", show_default=True, help="The query type.")
@click.option("--live", is_flag=True, help="Read the applied policy, not the orders folder.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="An object: name, region, at, blocked, action (as ordered), answer (as sent), because, ttl_cap, "
    "until, directives (a list of {ref, state, by, since, reason, authority, legal_basis, windows}).",
)
@click.pass_obj
def command(
    site: Path, name: str, at: float | None, region: str | None, qtype: str, live: bool, as_json: bool
) -> None:
    """Say whether NAME is blocked, by which orders, or why it is not."""
    from blocker import names
    from blocker.cli import approvals, inputs, show
    from blocker.policy import still
    from blocker.policy.explain import explain
    from blocker.policy.index import Index

    loaded = approvals.load(site)
    at = time.time() if at is None else at
    region = region or loaded.enforcement.default_region
    key, number = inputs.question(name, qtype)
    if region is not None and not any(
        own == region or own.startswith(f"{region}-") for own in loaded.enforcement.regions
    ):
        known = ", ".join(sorted(loaded.enforcement.regions)) or "none"
        raise click.BadParameter(
            f"{region!r} is no region of this site; it has {known}", param_hint="--region"
        )
    asked: dict[str, Any] = {"region": region, "t": at, "qtype": number}
    if live:
        orders: Mapping[str, Order] = inputs.live_orders(loaded)
        with inputs.live(loaded) as policy:
            found = explain(policy, orders, key, **asked, enforcement=policy.enforcement)
    else:
        examined = inputs.read_orders(loaded)
        standing = examined.standing
        orders = standing.orders
        if standing.still.unread:  # The store alone has their names.
            with inputs.live(loaded) as policy:
                kept = still.named(policy, standing.still, key)
            standing = replace(standing, still=replace(standing.still, directives=kept))
        scheduled = standing.scheduled(examined.enforcement.lapses_from)
        # Beside a store its own word is asked below. Without, an apply takes over what the ledger knows.
        withheld = {} if examined.live.number else examined.live.withheld
        index = Index(scheduled, examined.read, withheld=withheld, only=frozenset(names.ancestry(key)))
        found = explain(index, orders, key, **asked, enforcement=loaded.enforcement)
    shown = names.to_text(key)
    if as_json:
        show.as_json(_record(shown, region, at, found, orders))
        return
    where = f"in {region}" if region else "for clients in no region"
    click.echo(f"{shown} is {_state(found.verdict)} {where} at {show.moment(at)}")
    if not live and (applied := _applied(loaded, key, region, at)) not in ("", _state(found.verdict)):
        show.warning(f"that is what the orders folder says; by what is applied it is {applied}: see --live")
    _display(qtype.upper(), found, orders)


def _state(verdict: Verdict) -> str:
    return "BLOCKED" if verdict.is_blocked else "not blocked"


def _applied(site: Site, key: Key, region: str | None, at: float) -> str:
    """What the applied policy says of the name; empty if that can't be read."""
    from blocker.cli import inputs
    from blocker.errors import StoreError
    from blocker.policy.decide import decide

    try:
        with inputs.live(site) as policy:
            return _state(decide(policy, key, region, at))
    except StoreError:
        return ""


def _record(
    name: str, region: str | None, at: float, found: Explanation, orders: Mapping[str, Order]
) -> dict[str, Any]:
    from blocker.cli import show

    verdict = found.verdict
    return {
        "name": name,
        "region": region,
        "at": show.moment(at),
        "blocked": verdict.is_blocked,
        "action": None if verdict.action is None else str(verdict.action),
        "answer": "pass" if found.answer is None else str(found.answer),
        "because": list(verdict.because),
        "ttl_cap": found.ttl_cap,
        "until": None if verdict.until is None else show.moment(verdict.until),
        "directives": [
            {
                "ref": one.directive.ref,
                "state": one.state,
                "by": one.by,
                "since": None if one.since is None else show.moment(one.since),
                "reason": one.reason,
                "authority": order.authority.name if (order := orders.get(one.directive.order)) else None,
                "legal_basis": list(order.legal_basis) if order else [],
                "windows": [[show.moment(a), show.moment(b)] for a, b in one.directive.windows],
            }
            for one in found.standings
        ],
    }


def _display(qtype: str, found: Explanation, orders: Mapping[str, Order]) -> None:
    from blocker.cli import show

    verdict = found.verdict
    if verdict.is_blocked:
        answer = "passes (something below the name is free)" if found.answer is None else f"is {found.answer}"
        click.echo(
            f"  ordered: {verdict.action}; the answer to {qtype} {answer}, TTL at most {found.ttl_cap}"
        )
    elif not found.standings:
        click.echo("  no order speaks of this name or of a name above it")
    if verdict.until is not None:
        click.echo(f"  next change: {show.moment(verdict.until)}")
    for one in found.standings:
        click.echo()
        show.hanging(f"{one.directive.ref}: ", _sentence(one))
        _details(one, orders)


def _sentence(one: Standing) -> str:
    from blocker.cli import show

    since = "" if one.since is None else f" since {show.moment(one.since)}"
    match one.state:
        case "in-force":
            renewed = "" if one.by == one.directive.order else f", renewed by {one.by}"
            return f"in force{since}, until {show.moment(one.until)}{renewed}"
        case "excepted":
            return "its own except leaves this name free"
        case "removed":
            return f"this name was removed{since} by {one.by}"
        case "other-region":
            return f"it holds in {', '.join(one.directive.regions)} only"
        case "withheld":
            why = f": {one.reason}" if one.reason else ""
            return f"withheld by this operator ({one.by}{why}); the authority did not lift it"
        case "suspended":
            till = (
                "until it is reinstated or ends" if one.until is None else f"until {show.moment(one.until)}"
            )
            return f"suspended{since} by {one.by}, {till}"
        case "lapsed":
            till = "" if one.until is None else f", until {show.moment(one.until)}"
            due = "then" if one.due in (None, one.since) else show.moment(one.due)
            return (
                f"lapsed{since}{till}: its review was due {due}, and this site lapses unreviewed orders; "
                "the authority did not lift it"
            )
        case "lifted":
            return f"lifted{since} by {one.by}"
        case "ended":
            renewed = "" if one.by == one.directive.order else f", as {one.by} says"
            return f"ended{since.replace('since', 'at')}{renewed}"
    return (
        "never in force" if one.since is None else f"not yet in force; it starts at {show.moment(one.since)}"
    )


def _details(one: Standing, orders: Mapping[str, Order]) -> None:
    from blocker.cli import show

    order = orders.get(one.directive.order)
    if order is None:
        click.echo("  who ordered it and why can't be read back; `blocker check` says more")
        return
    directive = next(
        (each for each in order.directives if f"{order.id}/{each.id}" == one.directive.ref), None
    )
    rows = [
        ("authority", f"{order.authority.name} ({order.authority.jurisdiction}), {order.authority.contact}"),
        ("legal basis", "; ".join(order.legal_basis)),
        ("reference", order.reference or "none given"),
        ("issued", order.issued.isoformat()),
        ("received", order.received.isoformat() if order.received else "not recorded"),
        ("action", f"{one.directive.action}, regions {', '.join(one.directive.regions)}"),
    ]
    if directive is not None:
        until = "open" if directive.until is None else directive.until.isoformat()
        rows.append(("ordered", f"{directive.start.isoformat()} → {until}"))
    rows += [("in force", window) for window in show.windows(one.directive.windows).splitlines()]
    rows.append(("publication", str(order.publication)))
    if one.by != order.id and (act := orders.get(one.by)) is not None:
        rows += [
            (f"the {act.kind}", f"{act.id}, issued {act.issued.isoformat()} by {act.authority.name}"),
            ("its basis", "; ".join(act.legal_basis)),
        ]
    for name, value in rows:
        show.hanging(f"  {name:<12} ", value)
