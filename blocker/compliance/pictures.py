"""Pictures of an order's life as SVG text: a timeline, and what was seen where.

Pure: values in, text out, the same text for the same values. No script and nothing from elsewhere. Places
across are percentages and sizes are pixels, so that text stays readable from a telephone to a printed page.
Nothing is told by colour alone: shapes, hatching and numbers say it too, and every part has a title for those
who hear it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

INK, FAINT, LINE = "#1e293b", "#64748b", "#cbd5e1"
FONT = "font-family='system-ui,sans-serif'"

# Fill of each sort of bar. Hatched ones refer to patterns of the picture.
_BARS = {"law": "#475569", "seen": "#0f766e", "trouble": "url(#{}-trouble)", "unsure": "url(#{}-unsure)"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of time: what the `law` says, what was `seen`, `trouble`, or what was `unsure`; `end` None:
    open.
    """

    sort: str
    start: float
    end: float | None
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """An instant: `block` and `lift` were first seen then; `due` is a deadline."""

    sort: str
    at: float
    says: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One line of the timeline."""

    label: str
    bars: tuple[Bar, ...] = ()
    marks: tuple[Mark, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """How much was kept of one point in one variant: fine, bad, and not to be told."""

    fine: int = 0
    bad: int = 0
    unsure: int = 0


def timeline(lanes: Sequence[Lane], start: float, end: float, *, title: str, says: str) -> str:
    """The lanes from `start` to `end` (epoch seconds), one below the other."""
    span = max(1.0, end - start)

    def place(at: float) -> float:
        return min(100.0, max(0.0, 100.0 * (at - start) / span))

    parts = [_ticks(start, span, 26 + 46 * len(lanes))]
    for number, lane in enumerate(lanes):
        top = 30 + 46 * number
        parts.append(_text(0, top + 11, lane.label, weight=600))
        parts.append(f"<rect x='0' y='{top + 17}' width='100%' height='18' rx='3' fill='#f1f5f9'/>")
        for bar in lane.bars:
            left = place(bar.start)
            right = 100.0 if bar.end is None else place(bar.end)
            fill = _BARS[bar.sort].format("time")
            parts.append(
                f"<g><title>{escape(bar.says)}</title>"
                f"<rect x='{left:.3f}%' y='{top + 17}' width='{max(0.0, right - left):.3f}%' height='18'"
                f" fill='{fill}'/>"
                # However short: it is seen.
                f"<rect x='{left:.3f}%' y='{top + 17}' width='3' height='18' fill='{fill}'/></g>"
            )
        parts += [
            f"<svg x='{place(mark.at):.3f}%' y='{top + 26}' overflow='visible'>"
            f"<title>{escape(mark.says)}</title>{_shape(mark.sort)}</svg>"
            for mark in lane.marks
        ]
    return _picture("time", 34 + 46 * len(lanes), parts, title, says)


def heat(
    rows: Sequence[str],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Cell],
    *,
    title: str,
    says: str,
) -> str:
    """A cell for each row and column: how much was fine, and how much was not."""
    head = 14 + round(6.7 * max((len(column) for column in columns), default=0))
    left, width = 34.0, min(11.0, 66.0 / max(1, len(columns)))
    parts = []
    for at, column in enumerate(columns):
        parts.append(
            f"<svg x='{left + width * (at + 0.5):.3f}%' y='{head - 6}' overflow='visible'>"
            f"<text transform='rotate(-90)' x='0' y='4' font-size='12' fill='{INK}'>"
            f"{escape(column)}</text></svg>"
        )
    for number, row in enumerate(rows):
        top = head + 30 * number
        label = row if len(row) <= 17 else f"{row[:16]}…"
        parts.append(f"<g><title>{escape(row)}</title>{_text(0, top + 18, label, weight=600)}</g>")
        for at, column in enumerate(columns):
            parts.append(_cell(row, column, cells.get((row, column)), left + width * at, width, top))
    return _picture("heat", head + 30 * len(rows) + 4, parts, title, says)


def swatch(sort: str) -> str:
    """A small sample of a bar, mark or cell, for a legend."""
    if sort in _BARS:
        inner = f"<rect y='1' width='16' height='14' rx='2' fill='{_BARS[sort].format('key')}'/>"
    elif sort in ("fine", "bad", "none"):
        inner = f"<rect x='1' y='1' width='14' height='14' rx='2' {_CELLS[sort]}/>"
    else:
        inner = f"<svg x='8' y='8' overflow='visible'>{_shape(sort)}</svg>"
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' width='16' height='16' aria-hidden='true'>"
        f"{_patterns('key')}{inner}</svg>"
    )


def moment(at: float, span: float) -> str:
    """An instant as finely as a picture of `span` seconds shows it, in UTC."""
    form = "%H:%M:%S" if span <= 600 else "%m-%d %H:%M" if span < 20 * 86400 else "%Y-%m-%d"
    return datetime.fromtimestamp(at, UTC).strftime(form)


# A number on hatching is read when it has some room around it.
_HALO = " paint-order='stroke' stroke='#fef3c7' stroke-width='5' stroke-linejoin='round'"
_CELLS = {
    "fine": "fill='#ccfbf1' stroke='#0f766e'",
    "bad": "fill='#b91c1c' stroke='#7f1d1d'",
    "unsure": "fill='url(#heat-unsure)' stroke='#92400e'",
    "none": f"fill='none' stroke='{LINE}' stroke-dasharray='3 2'",
}


def _cell(row: str, column: str, cell: Cell | None, left: float, width: float, top: int) -> str:
    if cell is None:
        sort, shown, says = "none", "-", "nothing kept"
    else:
        sort = "bad" if cell.bad else "unsure" if cell.unsure else "fine"
        count = cell.bad or cell.unsure or cell.fine
        shown = f"{count}{'!' if cell.bad else '?' if cell.unsure else ''}"
        says = f"{cell.fine} as ordered, {cell.bad} not as ordered, {cell.unsure} that can't be told"
    ink = {"bad": "#ffffff", "none": FAINT}.get(sort, INK)
    middle = left + width / 2
    return (
        f"<g><title>{escape(f'{row}, {column}: {says}')}</title>"
        f"<rect x='{left + width * 0.06:.3f}%' y='{top + 1}' width='{width * 0.88:.3f}%' height='25' rx='3'"
        f" {_CELLS[sort]}/>"
        f"<text x='{middle:.3f}%' y='{top + 18}' text-anchor='middle' font-size='12' fill='{ink}'"
        f" font-weight='{600 if sort == 'bad' else 400}'{_HALO if sort == 'unsure' else ''}>"
        f"{_short(shown)}</text></g>"
    )


def _short(shown: str) -> str:
    """A number of many digits in few."""
    digits = shown.rstrip("!?")
    if len(digits) < 4 or not digits.isdecimal():
        return shown
    return f"{int(digits) // 1000}k{shown[len(digits) :]}"


def _shape(sort: str) -> str:
    """A mark around the origin."""
    if sort == "block":
        return "<path d='M0,-8 L7,6 L-7,6 Z' fill='#134e4a' stroke='#ffffff' stroke-width='1.5'/>"
    if sort == "lift":
        return "<path d='M0,8 L7,-6 L-7,-6 Z' fill='#ffffff' stroke='#134e4a' stroke-width='2'/>"
    return (
        f"<path d='M0,-13 V13' stroke='{INK}' stroke-width='1.5' stroke-dasharray='3 2'/>"
        f"<path d='M0,-5 L5,0 L0,5 L-5,0 Z' fill='#fbbf24' stroke='{INK}'/>"
    )


def _ticks(start: float, span: float, height: int) -> str:
    parts = []
    for share, anchor in ((0, "start"), (0.5, "middle"), (1, "end")):
        label = moment(start + share * span, span)
        parts.append(
            f"<line x1='{share * 100:g}%' x2='{share * 100:g}%' y1='18' y2='{height}' stroke='{LINE}'/>"
            f"<text x='{share * 100:g}%' y='12' text-anchor='{anchor}' font-size='12' fill='{FAINT}'>"
            f"{label}</text>"
        )
    return "".join(parts)


def _text(left: float, top: int, text: str, *, weight: int = 400) -> str:
    return (
        f"<text x='{left:g}%' y='{top}' font-size='12' font-weight='{weight}' fill='{INK}'>"
        f"{escape(text)}</text>"
    )


def _patterns(ident: str) -> str:
    """Hatching that is seen without colour, too; ids are of the whole page, so each picture has its own."""
    return (
        f"<defs><pattern id='{ident}-trouble' width='6' height='6' patternUnits='userSpaceOnUse'"
        " patternTransform='rotate(45)'><rect width='6' height='6' fill='#fecaca'/>"
        "<rect width='3' height='6' fill='#b91c1c'/></pattern>"
        f"<pattern id='{ident}-unsure' width='6' height='6' patternUnits='userSpaceOnUse'>"
        "<rect width='6' height='6' fill='#fef3c7'/><circle cx='3' cy='3' r='1.2' fill='#b45309'/>"
        "</pattern></defs>"
    )


def _picture(ident: str, height: int, parts: Iterable[str], title: str, says: str) -> str:
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' role='img' aria-labelledby='{ident}-title {ident}-says'"
        f" width='100%' height='{height}' {FONT}>"
        f"<title id='{ident}-title'>{escape(title)}</title><desc id='{ident}-says'>{escape(says)}</desc>"
        f"{_patterns(ident)}{''.join(parts)}</svg>"
    )
