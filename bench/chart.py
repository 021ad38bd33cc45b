"""Bars on a logarithmic scale, as SVG: for light and dark pages, without scripts or fonts of its own."""

import math
from collections.abc import Iterator, Sequence
from html import escape

from bench.harness import Spread
from bench.report import Bar, milliseconds

WIDTH = 760
MARGIN = 16
LABELS = 170
VALUES = 90
TOP = 70
ROW = 36
BAR = 20
FOOT = 44
PLOT = WIDTH - LABELS - VALUES

SUBTITLE = "milliseconds, logarithmic; less is better; medians, with the least and the most"
STYLE = """
    text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328 }
    .page { fill: #ffffff; stroke: #d1d9e0 }
    .title { font-weight: 600; font-size: 15px }
    .faint { fill: #59636e; font-size: 12px }
    .grid { stroke: #d1d9e0 }
    .whisker { stroke: #1f2328; stroke-width: 1.5 }
    .ours { fill: #1a7f37 } .peer { fill: #818b98 } .limit { fill: #0969da }
    @media (prefers-color-scheme: dark) {
      text { fill: #f0f6fc }
      .page { fill: #0d1117; stroke: #3d444d }
      .faint { fill: #9198a1 }
      .grid { stroke: #3d444d }
      .whisker { stroke: #f0f6fc }
      .ours { fill: #3fb950 } .peer { fill: #656c76 } .limit { fill: #4493f8 }
    }
"""


def chart(title: str, bars: Sequence[Bar]) -> str:
    """One bar each, in seconds: the median, with a line from the least to the most."""
    height = TOP + ROW * len(bars) + FOOT
    scale = _Scale(bars)
    told = "; ".join(f"{bar.label} {milliseconds(bar.spread.median)} ms" for bar in bars)
    body = [*_grid(scale, height), *(line for row, bar in enumerate(bars) for line in _bar(scale, row, bar))]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
            ' role="img" aria-labelledby="title told">',
            f'  <title id="title">{escape(title)}</title>',
            f'  <desc id="told">{escape(told)}</desc>',
            f"  <style>{STYLE}  </style>",
            f'  <rect class="page" x="0.5" y="0.5" width="{WIDTH - 1}" height="{height - 1}" rx="6"/>',
            f'  <text class="title" x="{MARGIN}" y="28">{escape(title)}</text>',
            f'  <text class="faint" x="{MARGIN}" y="47">{SUBTITLE}</text>',
            *(f"  {line}" for line in body),
            "</svg>",
            "",
        ]
    )


class _Scale:
    """From seconds to where they are in the plot: whole decades, and room for the shortest bar."""

    def __init__(self, bars: Sequence[Bar]) -> None:
        self.first = math.floor(math.log10(min(bar.spread.low for bar in bars) / 2))
        self.last = math.ceil(math.log10(max(bar.spread.high for bar in bars)))
        if self.first == self.last:
            self.last += 1

    def x(self, seconds: float) -> float:
        return LABELS + PLOT * (math.log10(seconds) - self.first) / (self.last - self.first)


def _grid(scale: _Scale, height: int) -> Iterator[str]:
    for power in range(scale.first, scale.last + 1):
        x = scale.x(10.0**power)
        yield f'<line class="grid" x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - FOOT + 4}"/>'
        label = f"{10.0 ** (power + 3):,g}"
        yield f'<text class="faint" x="{x:.1f}" y="{height - FOOT + 20}" text-anchor="middle">{label}</text>'


def _bar(scale: _Scale, row: int, bar: Bar) -> Iterator[str]:
    y = TOP + ROW * row
    middle, text = y + BAR / 2, y + BAR / 2 + 4.5
    end = scale.x(bar.spread.median)
    yield f'<text x="{LABELS - 10}" y="{text}" text-anchor="end">{escape(bar.label)}</text>'
    yield f'<rect class="{bar.kind}" x="{LABELS}" y="{y}" width="{end - LABELS:.1f}" height="{BAR}" rx="2"/>'
    yield from _whisker(scale, middle, bar.spread)
    x = max(end, scale.x(bar.spread.high)) + 8
    yield f'<text x="{x:.1f}" y="{text}">{milliseconds(bar.spread.median)} ms</text>'


def _whisker(scale: _Scale, middle: float, spread: Spread) -> Iterator[str]:
    low, high = scale.x(spread.low), scale.x(spread.high)
    ends = f"M{low:.1f} {middle - 4}v8M{high:.1f} {middle - 4}v8"
    yield f'<path class="whisker" d="{ends}M{low:.1f} {middle}H{high:.1f}"/>'
