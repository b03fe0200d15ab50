"""Draws figures as inline SVG: line panels and interval panels, 340 units wide, in the page's own letters.

The width is that of a phone held upright, so a panel is read at its own size there and set side by side on a wider
page. A series is told by colour, dash and marker together: the colours keep 4:1 against white and stay apart for
colour-blind eyes. Every panel has a title and a description for those who hear the page read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from math import floor, isfinite, log10, sqrt

from markupsafe import Markup, escape

WIDTH = 340
HEIGHT = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 10, 40

COLOURS = ("#0b62a4", "#c2500a", "#00735c", "#a3387f", "#6b5400", "#3d3d3d")
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
MARKERS = ("circle", "square", "diamond", "triangle")

Point = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How one series looks wherever it appears; made from its number by `style`. marker: none draws the line alone."""

    colour: str
    dash: str
    marker: str


def style(number: int) -> Style:
    """Colour, dash and marker of the series of that number; 24 differ before any returns."""
    turn = number + number // len(COLOURS)
    return Style(COLOURS[number % len(COLOURS)], DASHES[turn % len(DASHES)], MARKERS[turn % len(MARKERS)])


@dataclass(frozen=True)
class Series:
    """One line of a panel. weights: how large each point's marker is drawn, by its square root; no markers if empty.

    band: lower and upper limit at each point, drawn as a pale area; none if empty.
    """

    label: str
    points: tuple[Point, ...]
    style: Style
    weights: tuple[float, ...] = ()
    band: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Axis:
    """An axis: its words and its range; a range of None is taken from the points. log: logarithmic, for values above 0."""

    label: str
    low: float | None = None
    high: float | None = None
    log: bool = False


@dataclass(frozen=True)
class Bar:
    """One row of an interval panel. seeds: single runs' values, drawn as ticks."""

    label: str
    value: float
    low: float
    high: float
    seeds: tuple[float, ...]
    style: Style


@dataclass(frozen=True)
class Figure:
    """A panel with its caption. legend: what its lines are, where the page does not say it elsewhere."""

    drawing: Markup
    caption: str
    legend: tuple[tuple[Markup, str], ...] = ()


def line_panel(
    title: str, description: str, series: Sequence[Series], x: Axis, y: Axis, diagonal: bool = False
) -> Markup:
    """Lines over two axes. diagonal: also the line on which x equals y, thin and grey."""
    points = [point for one in series for point in one.points]
    heights = [point[1] for point in points] + [limit for one in series for limits in one.band for limit in limits]
    x_ticks = (_log_ticks if x.log else _ticks)(x, [point[0] for point in points])
    y_ticks = _ticks(y, heights)
    place_x = (_log_scale if x.log else _scale)(x_ticks[0], x_ticks[-1], _LEFT, WIDTH - _RIGHT)
    place_y = _scale(y_ticks[0], y_ticks[-1], HEIGHT - _BOTTOM, _TOP)
    parts = []
    for tick in x_ticks:
        at = place_x(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - _BOTTOM + 14}" text-anchor="middle">{_number(tick)}</text>')
    for tick in y_ticks:
        at = place_y(tick)
        parts.append(f'<line class="grid" x1="{_LEFT}" y1="{at:.1f}" x2="{WIDTH - _RIGHT}" y2="{at:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{_number(tick)}</text>')
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(
        f'<text x="{(_LEFT + WIDTH - _RIGHT) / 2}" y="{HEIGHT - 7}" text-anchor="middle">{escape(x.label)}</text>'
    )
    parts.append(
        f'<text x="11" y="{middle}" text-anchor="middle" transform="rotate(-90 11 {middle})">{escape(y.label)}</text>'
    )
    if diagonal:
        low, high = max(x_ticks[0], y_ticks[0]), min(x_ticks[-1], y_ticks[-1])
        parts.append(
            f'<line class="chance" x1="{place_x(low):.1f}" y1="{place_y(low):.1f}" '
            f'x2="{place_x(high):.1f}" y2="{place_y(high):.1f}"/>'
        )
    for one in series:
        if one.band:
            across = [px for px, _ in one.points]
            lower, upper = (list(zip(across, limits, strict=True)) for limits in zip(*one.band, strict=True))
            area = " ".join(f"{place_x(px):.1f},{place_y(py):.1f}" for px, py in [*lower, *reversed(upper)])
            parts.append(f'<polygon points="{area}" fill="{one.style.colour}" fill-opacity="0.12"/>')
    for one in series:
        placed = [(place_x(px), place_y(py)) for px, py in one.points]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in placed)
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{one.style.colour}" stroke-width="1.8" '
            f'stroke-dasharray="{one.style.dash}" stroke-linejoin="round"/>'
        )
        for (px, py), weight in zip(placed, one.weights, strict=False):
            parts.append(_marker(one.style, px, py, 2 + 3 * sqrt(weight)))
    return _svg(title, description, HEIGHT, parts)


def interval_panel(title: str, description: str, bars: Sequence[Bar], x: Axis, chance: float | None = None) -> Markup:
    """One row per bar: its name and figures in words above, its interval and value below on one common axis."""
    step, top = 34, 6
    height = top + step * len(bars) + 36
    limits = [limit for bar in bars for limit in (bar.value, bar.low, bar.high, *bar.seeds) if isfinite(limit)]
    ticks = _ticks(x, limits)
    place = _scale(ticks[0], ticks[-1], 8, WIDTH - 12)
    bottom = height - 36
    parts = []
    for tick in ticks:
        at = place(tick)
        parts.append(f'<line class="grid" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
        anchor = "start" if tick == ticks[0] else "end" if tick == ticks[-1] else "middle"
        shift = {"start": -4, "end": 8, "middle": 0}[anchor]
        parts.append(f'<text x="{at + shift:.1f}" y="{bottom + 14}" text-anchor="{anchor}">{_number(tick)}</text>')
    parts.append(f'<text x="{WIDTH / 2}" y="{height - 5}" text-anchor="middle">{escape(x.label)}</text>')
    if chance is not None and ticks[0] <= chance <= ticks[-1]:
        at = place(chance)
        parts.append(f'<line class="chance" x1="{at:.1f}" y1="{top}" x2="{at:.1f}" y2="{bottom}"/>')
    for row, bar in enumerate(bars):
        line = top + row * step + 25
        parts.append(f'<text class="name" x="8" y="{line - 11}">{escape(_shortened(bar.label, 38))}</text>')
        if not isfinite(bar.value):
            parts.append(f'<text x="{WIDTH - 12}" y="{line - 11}" text-anchor="end">no value</text>')
            continue
        parts.append(f'<text x="{WIDTH - 12}" y="{line - 11}" text-anchor="end">{bar.value:.3f}</text>')
        if isfinite(bar.low) and isfinite(bar.high):
            parts.append(
                f'<line x1="{place(bar.low):.1f}" y1="{line}" x2="{place(bar.high):.1f}" y2="{line}" '
                f'stroke="{bar.style.colour}" stroke-width="2.4"/>'
            )
        for seed in bar.seeds if len(bar.seeds) > 1 else ():
            at = place(seed)
            parts.append(
                f'<line x1="{at:.1f}" y1="{line - 5}" x2="{at:.1f}" y2="{line + 5}" stroke="{bar.style.colour}"/>'
            )
        parts.append(_marker(bar.style, place(bar.value), line, 4.2))
    return _svg(title, description, height, parts)


def legend_of(series: Sequence[Series]) -> tuple[tuple[Markup, str], ...]:
    """Whose each line is, for a figure that says so itself."""
    return tuple((swatch(one.style), one.label) for one in series)


def swatch(look: Style) -> Markup:
    """The sample of a series for a legend in the page's text."""
    line = (
        f'<line x1="1" y1="6" x2="31" y2="6" stroke="{look.colour}" stroke-width="2" stroke-dasharray="{look.dash}"/>'
    )
    mark = _marker(look, 16, 6, 4)
    return Markup(
        f'<svg class="swatch" viewBox="0 0 32 12" width="32" height="12" aria-hidden="true">{line}{mark}</svg>'
    )


def _svg(title: str, description: str, height: int, parts: Sequence[str]) -> Markup:
    return Markup(
        f'<svg class="panel" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}. {escape(description)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _marker(look: Style, x: float, y: float, radius: float) -> str:
    if look.marker == "none":
        return ""
    if look.marker == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="{look.colour}"/>'
    corners = {
        "square": ((-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)),
        "diamond": ((0, -1.2), (1.2, 0), (0, 1.2), (-1.2, 0)),
        "triangle": ((0, -1.2), (1.1, 0.8), (-1.1, 0.8)),
    }[look.marker]
    path = " ".join(f"{x + radius * dx:.1f},{y + radius * dy:.1f}" for dx, dy in corners)
    return f'<polygon points="{path}" fill="{look.colour}"/>'


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps low to high onto start to end, linearly."""
    slope = (end - start) / ((high - low) or 1.0)
    return lambda value: start + (value - low) * slope


def _log_scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    """Maps low to high onto start to end, logarithmically."""
    place = _scale(log10(low), log10(high), start, end)
    return lambda value: place(log10(value))


def _log_ticks(axis: Axis, values: Sequence[float]) -> list[float]:
    """1, 2 and 5 times powers of ten that enclose the axis's range; the powers alone if these are many."""
    above = [value for value in values if isfinite(value) and value > 0] or [1.0, 10.0]
    low = min(above) if axis.low is None else axis.low
    high = max(above) if axis.high is None else axis.high
    powers = range(floor(log10(low)), floor(log10(high)) + 2)
    for factors in ((1, 2, 5), (1,)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        first = max((place for place, tick in enumerate(ticks) if tick <= low * (1 + 1e-9)), default=0)
        last = min(place for place, tick in enumerate(ticks) if tick >= high * (1 - 1e-9))
        if last == first:
            last += 1
        if last - first < _MOST_LOG_TICKS:
            break
    return ticks[first : last + 1]


_MOST_LOG_TICKS = 8


def _ticks(axis: Axis, values: Sequence[float]) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that enclose the axis's range, four to seven of them."""
    finite = [value for value in values if isfinite(value)] or [0.0, 1.0]
    low = min(finite) if axis.low is None else axis.low
    high = max(finite) if axis.high is None else axis.high
    if high <= low:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    power = 10 ** floor(log10((high - low) / 4))
    step = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 5)
    first = floor(low / step + 1e-9)
    ticks = []
    for number in count(first):
        ticks.append(round(number * step, 12))
        if number * step >= high - 1e-9 * step:
            return ticks
    raise AssertionError("count does not end")


def _number(value: float) -> str:
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
