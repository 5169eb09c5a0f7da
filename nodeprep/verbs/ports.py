"""`nodeprep ports`: what roles need open, and from whom. For any user; what that one may not read is named."""

from __future__ import annotations

import sys

from nodeprep.ports import FORMATS, Visible, sheet_of, warnings
from nodeprep.verbs import Typed, UsageError


def main(typed: Typed) -> int:
    """Print the openings. Raises UsageError; NodeprepError where something keeps them from being told."""
    if typed.as_json and typed.value("--format", "json") != "json":
        raise UsageError("ports: --json is --format json")
    machine = Visible()
    sheet = sheet_of(machine, tuple(role for given in typed.values("--role") for role in given.split(",")))
    written = FORMATS["json" if typed.as_json else typed.value("--format", "table")](sheet)
    for warning in (*warnings(sheet, machine), *written.left_out):
        print(f"nodeprep: warning: {warning}", file=sys.stderr)
    print(written.text, end="")
    return 0
