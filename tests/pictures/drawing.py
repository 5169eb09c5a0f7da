"""A text of a terminal as SVG: equal texts give equal bytes, whatever is installed.

Rich draws such pictures as well, but otherwise with each of its releases, and a test could not tell a picture that is
out of date from a library that is newer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

FOLDER = Path(__file__).parents[2] / "docs/pictures"
PROMPT = "# "
COLUMNS = 118
ADVANCE, LINE, SIZE, MARGIN, TITLE = 8.4, 18, 14, 16, 30
PAPER, BAR, INK, DIM = "#1d1f21", "#2d3033", "#d8dbdd", "#9aa0a6"
COLOURS = {31: "#f07178", 32: "#a5d66a", 33: "#f0c674", 34: "#81a2be", 35: "#c397d8", 36: "#70c0b1", 90: DIM}
SGR = re.compile("\x1b\\[([0-9;]*)m")


class Pen(NamedTuple):
    """How a piece of text is written; what SGR sequences change (ECMA-48, 8.3.117)."""

    colour: str = INK
    bold: bool = False

    def after(self, codes: str) -> Pen:
        """Return the pen after a sequence; what a picture cannot show is passed over."""
        pen = self
        for code in (int(word or 0) for word in codes.split(";")):
            if code == 0:
                pen = Pen()
            elif code == 1:
                pen = pen._replace(bold=True)
            elif code == 2:
                pen = pen._replace(colour=DIM)
            elif code == 22:
                pen = pen._replace(bold=False)
            elif code == 39:
                pen = pen._replace(colour=INK)
            else:
                pen = pen._replace(colour=COLOURS.get(code, COLOURS.get(code - 60, pen.colour)))
        return pen


def drawings() -> dict[Path, str]:
    """Return path → picture of every text in the folder."""
    return {path.with_suffix(".svg"): draw(path.read_text()) for path in sorted(FOLDER.glob("*.txt"))}


def draw(text: str) -> str:
    """Return the picture of a text, whose first command is its title."""
    lines = [row for line in text.rstrip("\n").split("\n") for row in _folded(line)]
    title = next((line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)), "")
    columns = max(len(SGR.sub("", line)) for line in lines)
    width = round(columns * ADVANCE) + 2 * MARGIN
    height = TITLE + len(lines) * LINE + 2 * MARGIN
    middle = f'x="{width / 2:g}" y="20" text-anchor="middle"'
    rows = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="{PAPER}"/>',
        f'<path d="M0 {TITLE}V8a8 8 0 0 1 8-8H{width - 8}a8 8 0 0 1 8 8V{TITLE}Z" fill="{BAR}"/>',
        f'<text {middle} font-family="sans-serif" font-size="13" fill="{DIM}">{escape(title)}</text>',
        f'<g font-family="ui-monospace,DejaVu Sans Mono,Liberation Mono,monospace" font-size="{SIZE}" fill="{INK}">',
    ]
    pen = Pen()
    for number, line in enumerate(lines, 1):
        pieces, pen = _pieces(line, pen)
        if pieces:
            y = TITLE + MARGIN + number * LINE - 5
            # The length is told, so that columns stand one below the other in whatever font there is.
            length = f'textLength="{len(SGR.sub("", line)) * ADVANCE:g}" lengthAdjust="spacingAndGlyphs"'
            rows.append(f'<text x="{MARGIN}" y="{y}" xml:space="preserve" {length}>{pieces}</text>')
    return "\n".join((*rows, "</g>", "</svg>", ""))


def _folded(line: str) -> list[str]:
    """Return the rows that a line takes on a terminal, which folds it wherever the row ends."""
    rows, row, column = [], "", 0
    for part in re.split("(\x1b\\[[0-9;]*m)", line):
        if SGR.fullmatch(part):
            row += part
            continue
        for character in part:
            if column == COLUMNS:
                rows.append(row)
                row, column = "", 0
            row, column = row + character, column + 1
    return [*rows, row]


def _pieces(line: str, pen: Pen) -> tuple[str, Pen]:
    """Return the spans of a line, and the pen that the next one begins with."""
    if line.startswith(PROMPT):
        return f'<tspan font-weight="bold">{escape(line)}</tspan>', Pen()
    told = []
    for number, part in enumerate(SGR.split(line)):
        if number % 2:
            pen = pen.after(part)
        elif part:
            style = f' fill="{pen.colour}"' if pen.colour != INK else ""
            style += ' font-weight="bold"' if pen.bold else ""
            told.append(f"<tspan{style}>{escape(part)}</tspan>" if style else escape(part))
    return "".join(told), pen
