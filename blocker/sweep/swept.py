"""What a sweep came to: one point's figures, in names and in queries.

Pure values.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from blocker.prober.expect import Expectation

STOPPED = "stopped"
WINDOW = 192
"""Queries under way: so many fit into the socket buffer that Linux gives by default, ours and the point's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How hard a point is asked. `rate` in queries a second (None: as fast as it answers), `most` queries
    in all, `timeout` in seconds for each try.
    """

    rate: float | None = None
    most: int | None = None
    window: int = WINDOW
    timeout: float = 1.0


@dataclass(slots=True, kw_only=True)
class Swept:
    """What one point was asked and what came of it, in names.

    Of those asked, `ok` are as ordered; `formed` have the ordered form and no attribution; `odd` are anything
    else; `lost` were never answered; of `void` ones the policy changed; `unproven` had failing controls;
    `unanswered` were under way when the sweep was stopped. `retried` counts queries sent again and
    `controls` canaries asked, which are not among `asked`. `stray`: answers to nothing under way, second ones
    and late ones. `dropped`: what found no room in our own sockets. `ok_of` and `formed_of` count by the
    order on whose account was asked. `doubts` are some of what is odd or lost, drawn evenly, and `samples`
    some of the formed ones. `trouble` says why not everything was asked, if so.
    """

    point: str
    asked: int = 0
    ok: int = 0
    formed: int = 0
    odd: int = 0
    lost: int = 0
    void: int = 0
    unproven: int = 0
    unanswered: int = 0
    retried: int = 0
    controls: int = 0
    stray: int = 0
    mismatched: int = 0
    malformed: int = 0
    dropped: int = 0
    read: int = 0
    seconds: float = 0.0
    ok_of: Counter[str] = field(default_factory=Counter)
    formed_of: Counter[str] = field(default_factory=Counter)
    doubts: list[Expectation] = field(default_factory=list)
    samples: list[Expectation] = field(default_factory=list)
    instances: set[bytes] = field(default_factory=set)
    trouble: str = ""

    @property
    def sent(self) -> int:
        """Queries, in all."""
        return self.asked + self.retried + self.controls

    @property
    def rate(self) -> float:
        """Queries a second."""
        return self.sent / self.seconds if self.seconds else 0.0

    @property
    def unaccounted(self) -> int:
        """Names asked of which nothing is known: none, or there is a bug."""
        told = self.ok + self.formed + self.odd + self.lost + self.void + self.unproven + self.unanswered
        return self.asked - told

    @property
    def is_fine(self) -> bool:
        """Whether all there was to ask was asked, and all of it is as ordered."""
        return not self.trouble and self.ok == self.asked
