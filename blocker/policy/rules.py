"""A site's rules of approval as they are kept and read: who decides on who may sign, and how many must.

Pure. As they are kept they are JSON, empty where a site asks for no approval.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from blocker import sshkeys
from blocker.approvals import judge

if TYPE_CHECKING:
    from blocker.policy.records import Trust
    from blocker.site import Approvals

NONE = "none: orders come in without approvals"


def kept(asked: Approvals | None) -> str:
    """The rules as they are kept."""
    if asked is None:
        return ""
    urgent = asked.emergency
    said = [
        sorted(map(str, asked.roots)),
        {kind: [sorted(seat) for seat in seats] for kind, seats in asked.rules.items()},
        [[sorted(seat) for seat in urgent.seats], urgent.within] if urgent is not None else None,
    ]
    return json.dumps(said, sort_keys=True)


def before(trust: Trust) -> str:
    """The rules that orders came in by until now, in words; of rules that nobody kept only the digest."""
    if trust.rules and not trust.said:
        return f"rules that were not kept, with the digest {trust.rules[:16]}"
    return words(trust.said)


def words(text: str) -> str:
    """Rules as they are kept, in words."""
    if not text:
        return NONE
    roots, rules, urgent = json.loads(text)
    kinds: dict[str, list[str]] = {}
    for kind, seats in rules.items():
        kinds.setdefault(_seats(seats), []).append(kind)
    said = [f"{', '.join(several)}: {seats}" for seats, several in kinds.items()]
    if urgent is not None:
        seats, within = urgent
        said.append(f"emergency: {_seats(seats)}, the others within {_duration(within)}")
    keys = ", ".join(sshkeys.read(root).fingerprint for root in roots)
    return "; ".join([*said, f"who may sign is said by {keys}"])


def _seats(seats: list[list[str]]) -> str:
    return judge.said([frozenset(seat) for seat in seats])


def _duration(seconds: int) -> str:
    """As site.yaml has it."""
    units = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
    return next(f"{seconds // each}{unit}" for unit, each in units if seconds % each == 0)
