"""The page on performance: prose that is kept, around a table that a run writes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.bench.costs import Cost

BEGIN, END = "<!-- written by `make bench` -->\n", "<!-- end of what `make bench` writes -->\n"


def table(found: Iterable[tuple[str, str, float]]) -> str:
    """Return what was measured as a table; found: name of the cost, release or "", value."""
    values: dict[str, list[tuple[str, float]]] = {}
    for name, where, value in found:
        values.setdefault(name, []).append((where, value))
    lines = ["| what | against | goal | measured | |", "|---|---|---|---|---|"]
    for cost in Cost:
        if cost.name in values:
            told = ", ".join(
                f"{value:.2f} {cost.unit} {where}".replace("  ", " ") for where, value in values[cost.name]
            )
            met = cost.goal is None or all(value <= cost.goal for _, value in values[cost.name])
            goal = "" if cost.goal is None else f"{cost.goal:g} {cost.unit}".rstrip()
            lines.append(f"| {cost.what} | {cost.against} | {goal} | {told} | {'' if met else 'missed'} |")
    return "\n".join(lines) + "\n"


def write(path: Path, text: str) -> None:
    """Put a table between the marks of a page. Raises ValueError where it has none."""
    before, mark, rest = path.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (mark and end):
        raise ValueError(f"{path}: the marks are missing between which the table goes")
    path.write_text(before + BEGIN + "\n" + text + "\n" + END + after)
