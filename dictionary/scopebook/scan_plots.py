"""Plots of a scan's report as inline SVG, which need neither a script nor a request."""

from collections.abc import Sequence
from html import escape
from math import ceil, floor
from typing import Any, Final

_WIDTH: Final = 860
_LABELS: Final = 330
_ROW: Final = 24
_TOP: Final = 26
_LONGEST: Final = 52


def clean(text: object) -> str:
    """Return text as HTML that stays what it is: escaped, and without control characters."""
    shown = "".join(" " if ord(one) < 32 or 127 <= ord(one) < 160 else one for one in str(text))
    return escape(shown, quote=True)


def short(text: str, longest: int = _LONGEST) -> str:
    """Return the beginning of a text that is too long for its place."""
    return text if len(text) <= longest else f"{text[: longest - 1]}\u2026"


def forest(rows: Sequence[tuple[str, float, float, float]], caption: str) -> str:
    """Return intervals of log2 ratios below each other: (name, estimate, low, high) each."""
    if not rows:
        return ""
    low = min(0.0, *(floor(row[2]) for row in rows))
    high = max(0.0, *(ceil(row[3]) for row in rows))
    low, high = max(low, -16.0), min(high, 16.0)
    span = max(high - low, 1.0)

    def x(value: float) -> float:
        return _LABELS + (min(max(value, low), high) - low) / span * (_WIDTH - _LABELS - 24)

    height = _TOP + _ROW * len(rows) + 22
    parts = [_axis(low, high, height, x)]
    for number, (name, estimate, least, most) in enumerate(rows):
        y = _TOP + _ROW * number + _ROW / 2
        kind = "over" if estimate > 0 else "under"
        parts.append(
            f'<g class="{kind}"><title>{clean(name)}: {estimate:+.2f} '
            f"({least:+.2f} to {most:+.2f})</title>"
            f'<text x="{_LABELS - 12}" y="{y + 4:.1f}" text-anchor="end">'
            f"{clean(short(name))}</text>"
            f'<line x1="{x(least):.1f}" x2="{x(most):.1f}" y1="{y:.1f}" y2="{y:.1f}"/>'
            f'<circle cx="{x(estimate):.1f}" cy="{y:.1f}" r="4"/></g>'
        )
    return _svg(height, "".join(parts), caption)


def _axis(low: float, high: float, height: int, x: Any) -> str:
    step = max(1, round((high - low) / 10))
    ticks = range(int(low), int(high) + 1, step)
    lines = [
        f'<line class="{"zero" if tick == 0 else "grid"}" x1="{x(tick):.1f}" x2="{x(tick):.1f}" '
        f'y1="{_TOP - 6}" y2="{height - 18}"/>'
        f'<text class="tick" x="{x(tick):.1f}" y="{_TOP - 10}" text-anchor="middle">'
        f"{_times(tick)}</text>"
        for tick in ticks
    ]
    return "".join(lines)


def _times(tick: int) -> str:
    """Return a power of two as a factor: `x4`, `x1/4`."""
    return f"\u00d7{2**tick}" if tick >= 0 else f"\u00d71/{2**-tick}"


def bars(rows: Sequence[tuple[str, float, str]], caption: str) -> str:
    """Return shares as bars: (name, share from 0 to 1, what stands beside it) each."""
    if not rows:
        return ""
    room = _WIDTH - _LABELS - 150
    parts = []
    for number, (name, share, beside) in enumerate(rows):
        y = _ROW * number + 6
        wide = max(0.0, min(share, 1.0)) * room
        parts.append(
            f'<g class="bar"><text x="{_LABELS - 12}" y="{y + 13}" text-anchor="end">'
            f"{clean(short(name))}</text>"
            f'<rect x="{_LABELS}" y="{y}" width="{wide:.1f}" height="{_ROW - 8}"/>'
            f'<text class="beside" x="{_LABELS + wide + 8:.1f}" y="{y + 13}">{clean(beside)}</text>'
            "</g>"
        )
    return _svg(_ROW * len(rows) + 12, "".join(parts), caption)


def _svg(height: int, inside: str, caption: str) -> str:
    return (
        f'<figure><div class="wide" tabindex="0"><svg viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'aria-label="{clean(caption)}">{inside}</svg></div>'
        f"<figcaption>{clean(caption)}</figcaption></figure>"
    )
