"""Withhold and release: the operator's own refusal to enforce, at once and until taken back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from blocker.errors import OrdersInvalid, Problem
from blocker.policy import ledger, writer
from blocker.policy.chain import Event
from blocker.policy.reader import Reader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from blocker.policy.records import Withheld


def withhold(state: Path, ref: str, one: Withheld, *, warn: Callable[[str], None] | None = None) -> None:
    """Stop enforcing what has this ref or order id. Raises OrdersInvalid if nothing applied has it.

    `warn` is told if the ledger can't be written: the act holds all the same.
    """
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
    detail = {"by": one.by, "reason": one.reason}
    _note(state, Event(at=one.at, event="withheld", subject=ref, detail=detail), warn)


def release(state: Path, ref: str, *, by: str, now: float, warn: Callable[[str], None] | None = None) -> None:
    """Enforce it again. Raises OrdersInvalid if it is not withheld. `warn` as in `withhold`."""
    reader = Reader(state)
    try:
        with reader.snapshot() as policy:
            held = sorted(policy.withheld)
    finally:
        reader.close()
    if ref not in held:
        message = f"{ref!r} is not withheld; withheld are: {', '.join(held) or 'none'}"
        raise OrdersInvalid([Problem(id="not-withheld", path=ref, message=message)])
    writer.release(state, ref, at=now)
    _note(state, Event(at=now, event="released", subject=ref, detail={"by": by}), warn)


def _note(state: Path, event: Event, warn: Callable[[str], None] | None) -> None:
    if (trouble := ledger.note(state, event)) and warn is not None:
        warn(trouble)
