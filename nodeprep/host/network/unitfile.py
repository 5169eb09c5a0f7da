"""Files in systemd's syntax (systemd.syntax(7)): read entry by entry, edited line by line so that the rest stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """One assignment, and the lines that it takes."""

    section: str
    block: int
    """Which section of the file it is in, counted from its top: several may have one name."""
    key: str
    value: str
    first: int
    last: int


def entries(text: str) -> tuple[Entry, ...]:
    """Return the assignments of a file in their order; lines that are none are passed over."""
    lines = text.splitlines()
    found: list[Entry] = []
    section, block, number = "", 0, 0
    while number < len(lines):
        first, line = number, lines[number].strip()
        number += 1
        if not line or line[0] in "#;":
            continue
        if line.startswith("[") and line.endswith("]"):
            section, block = line[1:-1], block + 1
            continue
        while line.endswith("\\") and number < len(lines):
            following = lines[number].strip()
            number += 1
            if not following.startswith(("#", ";")):  # a comment within a continued line is no part of it
                line = f"{line[:-1].rstrip()} {following}"
        key, equals, value = line.partition("=")
        if equals:
            found.append(Entry(section, block, key.strip(), value.strip(), first, number - 1))
    return tuple(found)


def edited(text: str, values: Mapping[Entry, str | None], added: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """Return text with the values of entries replaced, or the entries removed where the value is None.

    added: section → lines to be put below its first header; the section is made where there is none.
    """
    lines = text.splitlines()
    for entry, value in sorted(values.items(), key=lambda item: -item[0].first):
        lines[entry.first : entry.last + 1] = [] if value is None else [f"{entry.key}={value}"]
    for section, new in (added or {}).items():
        header = f"[{section}]"
        place = next((number for number, line in enumerate(lines) if line.strip() == header), None)
        if place is None:
            lines += ["", header, *new] if lines else [header, *new]
        else:
            lines[place + 1 : place + 1] = new
    return "\n".join(lines) + "\n"
