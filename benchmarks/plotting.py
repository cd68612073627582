"""A plot of how time grows with size, both axes in powers of ten, as an SVG that a page of Markdown shows."""

from __future__ import annotations

import math
import statistics
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 560, 300, 64, 44, 16


def is_growth(table: dict[str, Any]) -> bool:
    """Tells whether the rows of a table are one thing at different sizes (`100,000 keys`)."""
    return len(table["rows"]) > 2 and all(size_of(row) for row in table["rows"])


def size_of(row: dict[str, Any]) -> int:
    """Returns the size that a row is named after, 0 where it is none."""
    number = row["contestant"].split(" ")[0].replace(",", "")
    return int(number) if number.isdecimal() else 0


def growth_svg(table: dict[str, Any]) -> str:
    """Returns the plot of a table: medians as points, and as a dashed line what growth in proportion to the size would be."""
    points = sorted((size_of(row), statistics.median(row["runs_s"])) for row in table["rows"])
    sizes, times = zip(*points, strict=True)
    low = (math.floor(math.log10(sizes[0])), math.floor(math.log10(min(times))))
    high = (math.ceil(math.log10(sizes[-1])), math.ceil(math.log10(max(times))))

    def place(size: float, seconds: float) -> tuple[float, float]:
        right = (math.log10(size) - low[0]) / max(1, high[0] - low[0])
        up = (math.log10(seconds) - low[1]) / max(1, high[1] - low[1])
        return LEFT + right * (WIDTH - LEFT - 20), HEIGHT - BOTTOM - up * (HEIGHT - BOTTOM - TOP)

    unit = table["rows"][0]["contestant"].split(" ", 1)[1]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
    ]
    for power in range(low[0], high[0] + 1):
        x, y = place(10.0**power, 10.0 ** low[1])
        lines.append(f'<path d="M{x:.1f} {TOP}V{y:.1f}" stroke="#ddd"/>')
        lines.append(f'<text x="{x:.1f}" y="{y + 18:.1f}" text-anchor="middle">{10**power:,}</text>')
    for power in range(low[1], high[1] + 1):
        x, y = place(10.0 ** low[0], 10.0**power)
        lines.append(f'<path d="M{x:.1f} {y:.1f}H{WIDTH - 20}" stroke="#ddd"/>')
        lines.append(f'<text x="{x - 8:.1f}" y="{y + 4:.1f}" text-anchor="end">{10.0**power:g} s</text>')
    begin, end = place(*points[0]), place(sizes[-1], times[0] * sizes[-1] / sizes[0])
    lines.append(f'<path d="M{begin[0]:.1f} {begin[1]:.1f}L{end[0]:.1f} {end[1]:.1f}" stroke="#888" stroke-dasharray="4 4"/>')
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in points))
    lines.append(f'<path d="M{path}" fill="none" stroke="#0969da" stroke-width="2"/>')
    lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="#0969da"/>' for x, y in (place(*point) for point in points)]
    lines.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 8}" text-anchor="middle">{unit}; dashed: in proportion to them</text>')
    return "\n".join([*lines, "</svg>", ""])
