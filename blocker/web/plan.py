"""A plan as a page of its own: one file that needs nothing else, for a screen, a telephone and paper.

Everything in the plan is escaped; it came from order files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from blocker.web import drawn

if TYPE_CHECKING:
    from collections.abc import Mapping

    from blocker.site import Site


def page(plan: Mapping[str, Any], site: Site) -> str:
    """The plan, as `plan --json` has it, as HTML. The same plan makes the same page."""
    return drawn.page("plan.html", {"counted": _counted}, plan=plan, site=site)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
