"""Table: openings as a person reads them, and the same as JSON."""

from __future__ import annotations

import json

from nodeprep.formats.sheet import Sheet, Written

HEADER = ("OPENING", "FROM", "NEEDED BY", "PURPOSE", "ROLE")
NOBODY_SAID = "anyone (!)"


def write(sheet: Sheet) -> Written:
    """Return a line for each opening."""
    rows = [
        (
            opening.title,
            ", ".join(opening.sources) or NOBODY_SAID,
            ", ".join(opening.needed_by),
            opening.purpose,
            opening.role,
        )
        for opening in sheet.openings
    ]
    widths = [max(len(row[column]) for row in (HEADER, *rows)) for column in range(len(HEADER))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (HEADER, *rows)
    ]
    if sheet.unknown:
        lines += ["", f"{NOBODY_SAID}: [cluster] does not say from where; see nodeprep.toml(5)"]
    return Written("\n".join((*lines, "")))


def write_json(sheet: Sheet) -> Written:
    """Return a document with a versioned schema. "known" says whether "from" is what somebody named."""
    document = {
        "schema": 1,
        "roles": list(sheet.roles),
        "openings": [
            {
                "opening": opening.title,
                "protocol": opening.protocol,
                "first_port": opening.first_port or None,
                "last_port": opening.last_port or None,
                "from": list(opening.sources),
                "known": bool(opening.sources),
                "needed_by": list(opening.needed_by),
                "purpose": opening.purpose,
                "role": opening.role,
            }
            for opening in sheet.openings
        ],
    }
    return Written(json.dumps(document, indent=2) + "\n")
