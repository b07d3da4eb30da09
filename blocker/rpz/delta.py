"""The way from one zone to another in steps small enough to send, none saying what neither zone says.

Pure. While the steps are taken, and every step is whole or not at all, each name is answered as the old zone
answers it or as the new one does, and goes over once: nothing is blocked that neither blocks, nothing passes
that both block. For that

- changes below one changed name go in one step, and changes elsewhere can't touch them: resolvers look for a
  name's rule at the name and above it only;
- where these are too many for a step, the old zone is first *expanded*: every changed name gets a record of
  its own and one for its wildcard that say what the old zone says there already, from the top down. Then
  rules are *flipped*, name by name, which changes no name's closest encloser (RFC 4592 §3.3.1). Then what
  the new zone says without them is *contracted*, from the bottom up.

Both zones are closed, in the order of `zone.entries`. What is kept are the changes below one name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from blocker.names import ROOT, Key
from blocker.rpz.zone import PASSTHRU, STAR, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Edit(NamedTuple):
    """What happens to one owner: its rule before and after; None is no record."""

    owner: Key
    was: str | None
    now: str | None


Step = tuple[Edit, ...]


class _Side(NamedTuple):
    """What a zone says at a name and below it, and what it says there by what is above."""

    own: str | None
    below: str | None
    inherited: str | None

    def expanded(self) -> _Side:
        """The same with records of its own."""
        said = self.inherited or PASSTHRU
        return _Side(self.own or said, self.below or said, said)


class _Node(NamedTuple):
    """One name in both zones."""

    key: Key
    held: _Side
    wanted: _Side


def edits(held: Iterable[Entry], wanted: Iterable[Entry]) -> Iterator[Edit]:
    """All owners of both zones in order, changed or not."""
    old, new = iter(held), iter(wanted)
    had, has = next(old, None), next(new, None)
    while had is not None and has is not None:
        if had.owner < has.owner:
            yield Edit(had.owner, had.rule, None)
            had = next(old, None)
        elif has.owner < had.owner:
            yield Edit(has.owner, None, has.rule)
            has = next(new, None)
        else:
            yield Edit(has.owner, had.rule, has.rule)
            had, has = next(old, None), next(new, None)
    while had is not None:
        yield Edit(had.owner, had.rule, None)
        had = next(old, None)
    while has is not None:
        yield Edit(has.owner, None, has.rule)
        has = next(new, None)


def steps(
    held: Iterable[Entry], wanted: Iterable[Entry], *, cost: Callable[[Edit], int], most: int
) -> Iterator[Step]:
    """The steps from `held` to `wanted`, of changed owners alone; the edits of a step cost `most` together.

    The edits of one name and its wildcard are in one step whatever they cost.
    """
    step: dict[Key, Edit] = {}
    spent = 0
    for group in _groups(_nodes(edits(held, wanted))):
        whole = [edit for node in group for edit in _edits(node.key, node.held, node.wanted)]
        fits = len(group) == 1 or sum(map(cost, whole)) <= most
        for part in [whole] if fits else _apart(group):
            price = sum(map(cost, part))
            if step and spent + price > most:
                yield _step(step)
                step, spent = {}, 0
            for edit in part:
                before = step.get(edit.owner)
                step[edit.owner] = edit if before is None else Edit(edit.owner, before.was, edit.now)
            spent += price
    if step:
        yield _step(step)


def _step(found: dict[Key, Edit]) -> Step:
    return tuple(edit for edit in found.values() if edit.was != edit.now)


def _edits(key: Key, was: _Side, now: _Side) -> list[Edit]:
    pairs = [Edit(key, was.own, now.own), Edit(Key(key + STAR), was.below, now.below)]
    return [edit for edit in pairs if edit.was != edit.now]


def _apart(group: list[_Node]) -> Iterator[list[Edit]]:
    """The changes below one name in parts that may come in steps of their own, in this order."""
    for node in group:
        yield _edits(node.key, node.held, node.held.expanded())
    for node in group:
        yield _edits(node.key, node.held.expanded(), node.wanted.expanded())
    for node in reversed(group):
        yield _edits(node.key, node.wanted.expanded(), node.wanted)


def _nodes(found: Iterable[Edit]) -> Iterator[_Node]:
    """The changed names, each with what stands above it."""
    above: list[tuple[Key, str | None, str | None]] = [(ROOT, None, None)]
    waiting: Edit | None = None
    for edit in found:
        if waiting is not None:
            if edit.owner == waiting.owner + STAR:
                yield from _node(above, waiting, edit)
                waiting = None
                continue
            yield from _node(above, waiting, None)
            waiting = None
        if edit.owner.endswith(STAR):
            yield from _node(above, None, edit)
        else:
            waiting = edit
    if waiting is not None:
        yield from _node(above, waiting, None)


def _node(
    above: list[tuple[Key, str | None, str | None]], own: Edit | None, wild: Edit | None
) -> Iterator[_Node]:
    key = own.owner if own is not None else Key(wild.owner[: -len(STAR)]) if wild is not None else ROOT
    while not key.startswith(above[-1][0]):
        above.pop()
    _, held, wanted = above[-1]
    own = own or Edit(key, None, None)
    wild = wild or Edit(key, None, None)
    above.append((key, wild.was or held, wild.now or wanted))
    if own.was != own.now or wild.was != wild.now:
        yield _Node(key, _Side(own.was, wild.was, held), _Side(own.now, wild.now, wanted))


def _groups(nodes: Iterable[_Node]) -> Iterator[list[_Node]]:
    """The changed names, those below another changed one together with it."""
    group: list[_Node] = []
    for node in nodes:
        if group and not node.key.startswith(group[0].key):
            yield group
            group = []
        group.append(node)
    if group:
        yield group
