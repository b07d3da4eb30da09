"""Withhold, release and roll back: the operator's own refusal to enforce, at once and until taken back."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from blocker.errors import OrdersInvalid, Problem
from blocker.orders.schedule import schedule
from blocker.policy import outbox, still, writer
from blocker.policy.chain import Event
from blocker.policy.examine import recall_all
from blocker.policy.freed import freed, reaching_further
from blocker.policy.plan import changed_settings
from blocker.policy.reader import Reader
from blocker.policy.rollback import is_by_hand, is_of, kind, undoing

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence
    from pathlib import Path

    from blocker.policy.records import Withheld
    from blocker.policy.rollback import Undoing
    from blocker.policy.store import Snapshot
    from blocker.site import Enforcement, Site


_TOLD = 5  # refs of many in one sentence


def withhold(state: Path, ref: str, one: Withheld, *, warn: Callable[[str], None] | None = None) -> None:
    """Stop enforcing what has this ref or order id. Raises OrdersInvalid if nothing applied has it, or if it
    is an act without names to block: what an authority freed is not the operator's to refuse.

    `warn` is told if the ledger can't be written: the act holds all the same.
    """
    with _looking(state) as policy:
        every = list(policy.directives.values())
        orders = policy.orders
    known = {name for one in every if not one.is_cut for name in one.lineage}
    if ref not in known and (ref in orders or any(ref == one.ref for one in every)):
        message = f"{ref} blocks no names of its own; it changes what others block. Withhold what it is about"
        raise OrdersInvalid([Problem(id="ref-blocks-nothing", path=ref, message=message)])
    if ref not in known:
        close = sorted(name for name in known if ref in name or name in ref)[:3]
        hint = f"; did you mean {' or '.join(close)}?" if close else "; `blocker timeline` lists them"
        raise OrdersInvalid(
            [Problem(id="ref-unknown", path=ref, message=f"no applied order or directive is {ref!r}{hint}")]
        )
    detail = {"by": one.by, "reason": one.reason}
    writer.withhold(state, one, ref, events=[Event(at=one.at, event="withheld", subject=ref, detail=detail)])
    outbox.tell(state, warn)


def release(
    state: Path,
    refs: Sequence[str],
    *,
    rollback: int | None = None,
    by: str,
    now: float,
    warn: Callable[[str], None] | None = None,
) -> dict[str, dict[str, tuple[Withheld, ...]]]:
    """End what withholds these, all or none, and all that a rollback to the generation `rollback` did.

    Of a ref it ends what was done by hand or, where nothing was, what rollbacks did. What another act still
    withholds is not enforced again: for each ref released, those acts by what they withhold it with. Raises
    OrdersInvalid if one of them is not withheld. `warn` as in `withhold`.
    """
    with _looking(state) as policy:
        held, directives = policy.withheld, list(policy.directives.values())
    unknown = [ref for ref in refs if ref not in held]
    if unknown:
        raise OrdersInvalid(
            [Problem(id="not-withheld", path=ref, message=_not_withheld(ref, held)) for ref in unknown]
        )
    ended = {ref: tuple(act for act in held[ref] if is_by_hand(act.reason)) or held[ref] for ref in refs}
    if rollback is not None:
        for ref, acts in sorted(held.items()):
            if of := tuple(act for act in acts if is_of(act.reason, rollback)):
                ended[ref] = (*ended.get(ref, ()), *of)
    left = {ref: tuple(act for act in acts if act not in ended.get(ref, ())) for ref, acts in held.items()}
    others = {}
    for ref in ended:
        reached = [one.lineage for one in directives if ref in one.lineage]
        whole = frozenset.intersection(*reached) if reached else frozenset([ref])
        others[ref] = {name: acts for name, acts in left.items() if acts and name in whole}
    events = [
        Event(
            at=now,
            event="released",
            subject=ref,
            detail={"by": by, **(_partly(acts) if others[ref].get(ref) else {})},
        )
        for ref, acts in ended.items()
    ]
    writer.release(state, ended, at=now, events=events)
    outbox.tell(state, warn)
    return others


def roll_back(
    site: Site,
    generation: int,
    one: Withheld,
    *,
    dry_run: bool = False,
    warn: Callable[[str], None] | None = None,
) -> Undoing:
    """Stop enforcing what came into force after this generation, in one: what is withheld for it, and what
    can't be.

    With `dry_run` nothing is done. Of a family of which an order can't be read what came since is withheld,
    and what was there before is taken to have been as it is. Raises OrdersInvalid if there is no such earlier
    generation, StoreError. `warn` as in `withhold`.
    """
    state = site.state
    with _looking(state) as policy:
        last, first, held = policy.generation.number, policy.first, policy.withheld
        arrivals = policy.arrivals
        digests, enforced = policy.orders, policy.enforcement
        live = {each.ref: each for each in policy.directives.values()}
        was = policy.site_at(generation)
    if generation and not first <= generation < last:
        raise no_such_generation(str(generation), last, first)
    orders, lost = recall_all(site, digests)
    unread = {id_: digests[id_] for id_ in lost}
    stays = still.keep(unread, orders, live, {}, lapses_from=enforced.lapses_from)
    came = {id_ for id_ in digests if arrivals[id_] > generation}
    known = [order for id_, order in orders.items() if id_ not in stays.members]
    before = schedule(
        (order for order in known if order.id not in came), lapses_from=(was or enforced).lapses_from
    )
    before += [each for each in stays.directives if each.order not in came]
    found = undoing(
        before,
        [*schedule(known, lapses_from=enforced.lapses_from), *stays.directives],
        one.at,
        orders=orders,
        came=came & orders.keys(),
    )
    others = _less(held, generation)
    with _looking(state) as policy:
        further = reaching_further(policy, before, others, found.kept, one.at)
    every = sorted({*found.refs, *further})
    refs = tuple(ref for ref in every if others.get(ref, ()) == held.get(ref, ()))
    if refs and not dry_run:
        detail = {
            "generation": generation,
            "from": last,
            "by": one.by,
            "reason": one.reason,
            "refs": [*refs],
            "left": [left.ref for left in found.left],
        }
        writer.withhold(state, one, *refs, events=[Event(at=one.at, event="rolled-back", detail=detail)])
        outbox.tell(state, warn)
    with _looking(state) as policy:  # After the withholding, which must not wait for it.
        lost_names = freed(policy, before, others, every, one.at)
    return replace(
        found,
        refs=refs,
        kept={ref: older for ref, older in found.kept.items() if ref not in further},
        freed=lost_names,
        site=_site_since(was, enforced) if generation else (),
        unread=tuple(sorted((came & stays.members).difference(every))),
    )


@contextmanager
def _looking(state: Path) -> Iterator[Snapshot]:
    """The applied policy. Raises StoreError."""
    reader = Reader(state)
    try:
        with reader.snapshot() as policy:
            yield policy
    finally:
        reader.close()


def _less(held: Mapping[str, tuple[Withheld, ...]], generation: int) -> dict[str, tuple[Withheld, ...]]:
    """What is withheld but for rollbacks to this generation."""
    left = {
        ref: tuple(act for act in acts if not is_of(act.reason, generation)) for ref, acts in held.items()
    }
    return {ref: acts for ref, acts in left.items() if acts}


def _site_since(was: Enforcement | None, site: Enforcement) -> tuple[str, ...]:
    """What site.yaml changed of the site, in words: no order did, and nothing that is withheld undoes it."""
    if was is None:
        return ("what site.yaml said then is not known: a version applied it that did not keep it",)
    return tuple(
        f"{name} changed since; it was {_said(getattr(was, name))}, it is {_said(getattr(site, name))}"
        for name in changed_settings(was, site)
    )


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        shown = [
            f"{region}: {', '.join(map(str, several)) or 'nothing'}" for region, several in value.items()
        ]
        return f"{{{'; '.join(shown)}}}"
    return "not set" if value in (None, "") else str(value)


def no_such_generation(asked: str, last: int, first: int = 1) -> OrdersInvalid:
    """The refusal to roll back to what is no generation before the last one, with those that there are; the
    store has them from the `first` on.
    """
    since = "" if first == 1 else f" The store was made anew with generation {first}, and knows none before."
    least = 0 if first == 1 else first
    span = f"{least} to {last - 1}" if last - 1 > least else f"{least}"
    earlier = span if first == 1 else f"0 or {span}" if last > first else "0"
    message = (
        f"the live policy is generation {last}; roll back to one before it, {earlier} "
        f"(0 is before the first apply).{since} `blocker ledger` shows which apply made which."
    )
    return OrdersInvalid([Problem(id="no-such-generation", path=repr(asked), message=message)])


def _partly(ended: Collection[Withheld]) -> dict[str, object]:
    """What the ledger is told of a release after which other acts on the same ref go on: a store that is made
    anew has to know which.
    """
    return {"still": True, "ended": sorted({kind(act.reason) for act in ended})}


def _not_withheld(ref: str, held: Mapping[str, object]) -> str:
    if over := [other for other in held if ref.startswith(f"{other}/")]:
        return f"{ref!r} is withheld with all of its order; release {over[0]!r}"
    if under := [other for other in held if other.startswith(f"{ref}/")]:
        return f"not all of {ref!r} is withheld, only parts of it; release {', '.join(under[:_TOLD])}"
    known = ", ".join([*sorted(held)[:_TOLD], *(["…"] if len(held) > _TOLD else [])]) or "none"
    return f"{ref!r} is not withheld; withheld are: {known}"


def withheld(state: Path) -> dict[str, tuple[Withheld, ...]]:
    """What the operator does not enforce and by which acts, by ref or order id, sorted. Raises StoreError."""
    with _looking(state) as policy:
        return dict(sorted(policy.withheld.items()))
