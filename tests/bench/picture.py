# SPDX-License-Identifier: BSD-2-Clause
"""Where a boot's time goes, as an SVG picture: a bar for each VMM, by kernel and command line.
Text has the colour of a light or a dark page's, as the reader prefers.
"""

from __future__ import annotations

import itertools
from typing import Any
from xml.sax.saxutils import escape

PARTS = {"set-up": "#8c6bb1", "load": "#d95f0e", "unpacking": "#e8b400", "kernel": "#3d85c6",
         "init": "#38a169"}
NAMES = {"linux-12": "Debian 12", "linux-13": "Debian 13"}
TOP, LEFT, WIDTH, RIGHT = 54, 150, 560, 60
BAR, BASE, STEP = 14, 11, 20  # a bar's height, a text's base line in it, from one to the next
TICK = 0.25

STYLE = """text { font: 12px sans-serif; fill: #222; } .heading { font-weight: bold; }
.axis { stroke: #888; stroke-opacity: .4; }
@media (prefers-color-scheme: dark) { text { fill: #ddd; } }"""

Row = dict[str, Any]


def text(x: float, y: int, words: str, more: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y}"{more}>{escape(words)}</text>'


def legend(y: int) -> list[str]:
    out = []
    x = LEFT
    for part, colour in PARTS.items():
        out.append(f'<rect x="{x}" y="{y - 10}" width="12" height="12" fill="{colour}"/>')
        out.append(text(x + 17, y, part))
        x += 100
    return out


def bar(y: int, value: dict[str, float], scale: float) -> list[str]:
    out = []
    x = float(LEFT)
    for part, colour in PARTS.items():
        width = value[part] * scale
        title = f"<title>{part}: {value[part]:.4f}</title>"
        out.append(f'<rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{BAR}" '
                   f'fill="{colour}">{title}</rect>')
        x += width
    total = sum(value[part] for part in PARTS)
    return out + [text(x + 5, y + BASE, f"{total:.2f}")]


def axis(top: int, bottom: int, scale: float) -> list[str]:
    out = []
    for i in range(int(WIDTH / scale / TICK) + 1):
        x = LEFT + i * TICK * scale
        out.append(f'<line class="axis" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>')
        out.append(text(x, bottom + 14, f"{i * TICK:g}", ' text-anchor="middle"'))
    return out


def draw(rows: list[Row]) -> str:
    rows = [row for row in rows if row["value"]]
    scale = WIDTH / max(sum(row["value"][part] for part in PARTS) for row in rows)
    bars: list[str] = []
    y = TOP
    for about, group in itertools.groupby(rows, lambda row: (row["kernel"], row["words"])):
        y += STEP
        bars.append(text(LEFT, y, f"{NAMES[about[0]]}, {about[1]}", ' class="heading"'))
        y += 6
        for row in group:
            bars.append(text(LEFT - 8, y + BASE, row["vmm"], ' text-anchor="end"'))
            bars += bar(y, row["value"], scale)
            y += STEP
    title = "From exec to the guest's init: 10^9 instructions of guest, VMM and host kernel"
    size = f"0 0 {LEFT + WIDTH + RIGHT} {y + 30}"
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{size}" role="img">',
        f"<title>{escape(title)}</title>", f"<style>{STYLE}</style>",
        text(LEFT, 18, title, ' class="heading"'), *legend(42), *axis(TOP, y, scale), *bars,
        "</svg>", "",
    ])
