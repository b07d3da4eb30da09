"""The compliance report as a page: one file that needs nothing else, for a screen, a telephone and paper.

Everything in the document is escaped; the pictures alone are taken as they are, for they are ours and escape
what they hold.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from blocker.compliance.document import CHANGES, document, duration
from blocker.compliance.life import heat_picture, time_picture
from blocker.compliance.pictures import swatch
from blocker.web import drawn

if TYPE_CHECKING:
    from blocker.compliance.observed import Facts

_SWATCHES = ("law", "seen", "trouble", "unsure", "block", "lift", "due", "fine", "bad", "none")


def page(facts: Facts) -> str:
    """The report on one order as HTML."""
    return drawn.page(
        "compliance.html",
        {"duration": duration, "instant": _instant},
        report=document(facts),
        changes=CHANGES,
        timeline=_picture(time_picture(facts)),
        heat=_picture(heat_picture(facts)),
        swatch={sort: _picture(swatch(sort)) for sort in _SWATCHES},
    )


def _picture(text: str) -> Markup:
    return Markup(text)  # noqa: S704  # pictures escape their own texts


def _instant(at: str) -> Any:
    """ISO 8601 as people read it: the day, then the time."""
    found = datetime.fromisoformat(at)
    day, time = found.strftime("%Y-%m-%d"), found.strftime("%H:%M:%S")
    fraction = f".{found.microsecond // 1000:03d}" if found.microsecond else ""
    return f"{day} {time}{fraction}"
