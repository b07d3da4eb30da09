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

Both zones are closed, in the order of `zone.entries`, and mostly alike: what is alike is passed over in runs.
What is kept are the changes below one name.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from blocker.names import Key, ancestry
from blocker.rpz.zone import PASSTHRU, STAR, Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


_RUN = 1024  # entries compared at once


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
    """A changed name: the edits of itself and of its wildcard, one of them at least."""

    key: Key
    edits: list[Edit]


def edits(held: Iterable[Entry], wanted: Iterable[Entry]) -> Iterator[Edit]:
    """The owners that the zones differ in, in order."""
    old, new = iter(held), iter(wanted)
    had: list[Entry] = []
    has: list[Entry] = []
    while True:
        had += islice(old, _RUN - len(had))
        has += islice(new, _RUN - len(has))
        if had == has:
            if not had:
                return
            had, has = [], []
            continue
        at, to = 0, 0
        while at < len(had) and to < len(has):
            (mine, rule), (theirs, other) = had[at], has[to]
            if mine == theirs:
                at, to = at + 1, to + 1
                if rule != other:
                    yield Edit(mine, rule, other)
            elif mine < theirs:
                at += 1
                yield Edit(mine, rule, None)
            else:
                to += 1
                yield Edit(theirs, None, other)
        if not has:
            yield from (Edit(owner, rule, None) for owner, rule in had)
            at = len(had)
        if not had:
            yield from (Edit(owner, None, rule) for owner, rule in has)
            to = len(has)
        had, has = had[at:], has[to:]


def steps(
    held: Iterable[Entry],
    wanted: Iterable[Entry],
    *,
    rule_of: Callable[[Key], str | None],
    cost: Callable[[Edit], int],
    most: int,
) -> Iterator[Step]:
    """The steps from `held` to `wanted`, of changed owners alone; the edits of a step cost `most` together.

    The edits of one name and its wildcard are in one step whatever they cost. `rule_of` finds the rule of an
    owner in `held`. An empty step comes now and then where many names take none.
    """
    step: dict[Key, Edit] = {}
    spent = 0
    for group in _groups(_nodes(edits(held, wanted))):
        whole = [edit for node in group for edit in node.edits]
        fits = len(group) == 1 or sum(map(cost, whole)) <= most
        for count, part in enumerate([whole] if fits else _apart(group, rule_of), 1):
            if count % _RUN == 0:
                yield ()
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


def _nodes(found: Iterable[Edit]) -> Iterator[_Node]:
    """The edits of each name and its wildcard together."""
    node: _Node | None = None
    for edit in found:
        key = Key(edit.owner.removesuffix(STAR))
        if node is not None and node.key == key:
            node.edits.append(edit)
            continue
        if node is not None:
            yield node
        node = _Node(key, [edit])
    if node is not None:
        yield node


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


def _apart(group: list[_Node], rule_of: Callable[[Key], str | None]) -> Iterator[list[Edit]]:
    """The changes below one name in parts that may come in steps of their own, in this order."""
    changed = {edit.owner: edit for node in group for edit in node.edits}

    def held(owner: Key) -> str | None:
        edit = changed.get(owner)
        return rule_of(owner) if edit is None else edit.was

    def wanted(owner: Key) -> str | None:
        edit = changed.get(owner)
        return rule_of(owner) if edit is None else edit.now

    for node in group:
        side = _side(node.key, held)
        yield _between(node.key, side, side.expanded())
    for node in group:
        yield _between(node.key, _side(node.key, held).expanded(), _side(node.key, wanted).expanded())
    for node in reversed(group):
        side = _side(node.key, wanted)
        yield _between(node.key, side.expanded(), side)


def _side(key: Key, rule_of: Callable[[Key], str | None]) -> _Side:
    above = (rule_of(Key(one + STAR)) for one in reversed([*ancestry(key)][:-1]))
    inherited = next((rule for rule in above if rule is not None), None)
    return _Side(rule_of(key), rule_of(Key(key + STAR)), inherited)


def _between(key: Key, was: _Side, now: _Side) -> list[Edit]:
    pairs = [Edit(key, was.own, now.own), Edit(Key(key + STAR), was.below, now.below)]
    return [edit for edit in pairs if edit.was != edit.now]
