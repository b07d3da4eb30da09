"""Every way the toolkit says no.

    BlockerError
    ├── OrdersInvalid     the input is wrong, with all problems      exit 2
    ├── PlanRefused       the change is unsafe                       exit 3
    │   └── TooMuchChange · UnsupportedAction · StalePlan · NotApproved
    ├── StoreError        the disk did not keep its word             exit 4
    │   └── NothingApplied
    └── PointError        a resolver, socket or port misbehaved      exit 5

A Problem is a complaint about input, with its place and an id; a finding of the prober is a value too,
never an exception.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One complaint about one place of the input: what, where, why and the way out.

    `id` is a stable kebab-case name of the rule; `line` and `column` count from 1, 0 means the whole file.
    `order` is the id of the order that the problem quarantines, empty where it concerns no single order.
    """

    id: str
    path: str
    message: str
    line: int = 0
    column: int = 0
    order: str = ""
    severity: str = "error"

    def __str__(self) -> str:
        place = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        return f"{place} {self.id}: {self.message}"


class BlockerError(Exception):
    """What went wrong, in a sentence for the person who reads it."""

    exit_code = 1


class OrdersInvalid(BlockerError):
    """The input is wrong; `problems` says all of it at once."""

    exit_code = 2

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class PlanRefused(BlockerError):
    """The change is unsafe as it was asked for."""

    exit_code = 3


class TooMuchChange(PlanRefused):
    """The plan exceeds the site's limits and was not accepted by its digest."""


class UnsupportedAction(PlanRefused):
    """A point can't say what an order demands, and would do something else instead."""


class StalePlan(PlanRefused):
    """The live policy is not the one the plan was made from."""


class NotApproved(PlanRefused):
    """An order can't come in the way that was asked for: the approvals for it aren't there."""


class StoreError(BlockerError):
    """The store or the disk below it did not keep its word."""

    exit_code = 4


class NothingApplied(StoreError):
    """There is no policy yet: no store, or one in which no apply was finished."""


class PointError(BlockerError):
    """A resolver, a socket or a port misbehaved."""

    exit_code = 5
