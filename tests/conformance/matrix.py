"""What every engine can and can't, as a page (ops/docs/conformance.md, by `make docs`) and in numbers.

The page holds no numbers of a run, for it must be the same whoever runs it: which limits are met is a
property of the engines and their configuration in ops/. The run prints the numbers.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from blocker.capabilities import REACH
from blocker.orders.model import Form
from tests.conformance.engines import ENGINES
from tests.conformance.rows import Outcome

if TYPE_CHECKING:
    from tests.conformance.engines import Engine
    from tests.conformance.session import Results

_MOOT = {
    "aliases": ("alias-form", "alias-addresses", "excepted-aliases", "cached-aliases"),
    "ede": ("forged", "reason"),
}
"""What a limit leaves no room for."""

_HEAD = """# Conformance

One table of orders, questions and answers, and one generator of random ones, hold every enforcer to the
policy's meaning. `python -m tests.conformance 10000` runs both against real servers and prints what was seen;
the tests run a shorter one. What is not listed as a limit here works there, and each limit was met by the
real server: the tests hold `blocker/capabilities.py`, of which this page is made, to both. A limit without
`control` is one of points whose control command site.yaml doesn't give.

An order in a *form* that a point can't say is refused by `blocker plan`. A limit of *reach* is printed by it.

"""


def page() -> str:
    """The page."""
    lines = [_HEAD, limits(), "\n\n| limit | meaning |\n|---|---|\n"]
    lines += [f"| `{limit}` | {meaning} |\n" for limit, meaning in REACH.items()]
    return "".join(lines)


def limits() -> str:
    """Every engine with its limits, as a table."""
    names = list(ENGINES)
    rows = [["", *names], ["---", *("---" for _ in names)]]
    rows += [
        [f"form `{form}`", *("yes" if form in ENGINES[name].can.forms else "refused" for name in names)]
        for form in Form
    ]
    rows.append(
        [
            "every name of 253 octets",
            *("refused if too long for the zone" if ENGINES[name].can.is_zone else "yes" for name in names),
        ]
    )
    rows += [[f"`{limit}`", *(_reaches(limit, ENGINES[name]) for name in names)] for limit in REACH]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _reaches(limit: str, engine: Engine) -> str:
    if limit in engine.can.reach:
        return "limit"
    if limit in engine.can_uncontrolled.reach:
        return "limit without `control`"
    return "-" if any(limit in _MOOT.get(one, ()) for one in engine.can.reach) else "works"


def tally(results: Results) -> str:
    """What was seen, in numbers."""
    kinds = list(Outcome)
    lines = ["\t".join(["engine", *kinds])]
    for name, found in results.cells.items():
        counts = Counter(cell.outcome for cell in found)
        lines.append("\t".join([name, *(str(counts[kind]) for kind in kinds)]))
        for kind in (Outcome.DECLARED, Outcome.REFUSED, Outcome.WORKS):
            limits = Counter(cell.limit for cell in found if cell.outcome is kind)
            if limits:
                shown = ", ".join(f"{limit} {count}" for limit, count in sorted(limits.items()))
                lines.append(f"\t{kind}: {shown}")
    lines += [f"{name}\tmissing: {why}" for name, why in results.missing.items()]
    return "\n".join(lines)
