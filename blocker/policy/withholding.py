"""Withhold and release: the operator's own refusal to enforce, at once and until taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.errors import OrdersInvalid, Problem
from blocker.policy import writer
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from pathlib import Path

    from blocker.policy.records import Withheld


def withhold(state: Path, ref: str, one: Withheld) -> None:
    """Stop enforcing what has this ref or order id. Raises OrdersInvalid if nothing applied has it."""
    reader = Reader(state)
    try:
        with reader.snapshot() as policy:
            known = {name for directive in policy.directives.values() for name in directive.lineage}
            known |= policy.orders.keys()
    finally:
        reader.close()
    if ref not in known:
        close = sorted(name for name in known if ref in name or name in ref)[:3]
        hint = f"; did you mean {' or '.join(close)}?" if close else "; `blocker timeline` lists them"
        raise OrdersInvalid(
            [Problem(id="ref-unknown", path=ref, message=f"no applied order or directive is {ref!r}{hint}")]
        )
    writer.withhold(state, ref, one)


def release(state: Path, ref: str) -> None:
    """Enforce it again. Raises OrdersInvalid if it is not withheld."""
    reader = Reader(state)
    try:
        with reader.snapshot() as policy:
            held = sorted(policy.withheld)
    finally:
        reader.close()
    if ref not in held:
        message = f"{ref!r} is not withheld; withheld are: {', '.join(held) or 'none'}"
        raise OrdersInvalid([Problem(id="not-withheld", path=ref, message=message)])
    writer.withhold(state, ref, None)
