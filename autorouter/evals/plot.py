"""Cost against quality as an SVG: a point for each contestant, a log axis of dollars, and the Pareto front.

On the front lie those of whom nobody else is both as good and as cheap. A cost of nothing has no place on a log axis: such
points stand at the left edge and are said to be free.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, log10
from xml.sax.saxutils import escape

WIDTH, HEIGHT = 860, 520
LEFT, RIGHT, TOP, BOTTOM = 80, 220, 50, 70
"""Margins; to the right there is room for a name."""
OURS, OTHERS, INK, GRID = "#0b6e99", "#b0561c", "#222222", "#dddddd"
LINE_PX = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class PlotPoint:
    """A contestant: USD per case, quality 0..1 with its interval."""

    name: str
    usd: float
    quality: float
    low: float
    high: float
    ours: bool


def pareto_front(points: Sequence[PlotPoint]) -> list[PlotPoint]:
    """The points that nobody beats, cheapest first."""
    found: list[PlotPoint] = []
    for point in sorted(points, key=lambda p: (p.usd, -p.quality, p.name)):
        if not found or point.quality > found[-1].quality:
            found.append(point)
    return found


def render_svg(points: Sequence[PlotPoint], title: str) -> str:
    """The picture; ValueError without points."""
    if not points:
        raise ValueError("there is nothing to draw")
    scale = _Scale.of(points)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<title>{escape(title)}</title><rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        _text(LEFT, 24, title, size=15, weight="bold"),
        *_axes(scale),
        *_front(points, scale),
        *_points(points, scale),
        _text(LEFT, HEIGHT - 8, "Blue: the router. Brown: single models. Dashed: Pareto front. Bars: 95 % (Wilson)."),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


@dataclass(frozen=True, slots=True)
class _Scale:
    """Decades of dollars from `low` to `high`."""

    low: int
    high: int

    @staticmethod
    def of(points: Sequence[PlotPoint]) -> _Scale:
        costs = [p.usd for p in points if p.usd > 0] or [0.001]
        low, high = floor(log10(min(costs))), ceil(log10(max(costs)))
        return _Scale(low, max(high, low + 1))

    def x(self, usd: float) -> float:
        if usd <= 0:
            return LEFT
        return LEFT + (log10(usd) - self.low) / (self.high - self.low) * (WIDTH - LEFT - RIGHT)

    def y(self, quality: float) -> float:
        return TOP + (1 - quality) * (HEIGHT - TOP - BOTTOM)


def _axes(scale: _Scale) -> list[str]:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = []
    for power in range(scale.low, scale.high + 1):
        x = scale.x(10.0**power)
        parts.append(_line(x, TOP, x, bottom, GRID))
        parts.append(_text(x, bottom + 18, f"${10.0**power:.{max(0, -power)}f}", anchor="middle"))
    for fifth in range(6):
        y = scale.y(fifth / 5)
        parts.append(_line(LEFT, y, right, y, GRID))
        parts.append(_text(LEFT - 8, y + 4, f"{20 * fifth} %", anchor="end"))
    parts.append(_line(LEFT, bottom, right, bottom, INK) + _line(LEFT, TOP, LEFT, bottom, INK))
    parts.append(_text((LEFT + right) / 2, bottom + 40, "mean cost per case, USD (log scale)", anchor="middle"))
    turned = f'transform="rotate(-90 20 {(TOP + bottom) / 2:.0f})"'
    parts.append(_text(20, (TOP + bottom) / 2, "mean score, % (higher is better)", anchor="middle", more=turned))
    return parts


def _front(points: Sequence[PlotPoint], scale: _Scale) -> list[str]:
    corners = " ".join(f"{scale.x(p.usd):.1f},{scale.y(p.quality):.1f}" for p in pareto_front(points))
    return [f'<polyline points="{corners}" fill="none" stroke="{INK}" stroke-dasharray="5 4"/>']


def _points(points: Sequence[PlotPoint], scale: _Scale) -> list[str]:
    parts: list[str] = []
    taken: list[float] = []
    for p in sorted(points, key=lambda p: (-p.quality, p.usd, p.name)):
        x, y, colour = scale.x(p.usd), scale.y(p.quality), OURS if p.ours else OTHERS
        name = p.name if p.usd > 0 else f"{p.name} (free)"
        # Names stand in a column at the right, each on a line of its own, with a thin line to its point.
        line = max(y + 4, taken[-1] + LINE_PX if taken else TOP)
        taken.append(line)
        parts.append(_line(x, scale.y(p.high), x, scale.y(p.low), colour))
        parts.append(_line(x, y, WIDTH - RIGHT + 6, line - 4, GRID))
        parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>')
        parts.append(_text(WIDTH - RIGHT + 10, line, name, colour=colour))
    return parts


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"/>'


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = INK,
    more: str = "",
) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f"<text {place} {more}>{escape(text)}</text>"
