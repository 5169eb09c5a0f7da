"""Numbers: the {index} of hostnames, as drawn from 1 upwards, and the one that this machine has drawn. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nodeprep.machine import MachineView
from nodeprep.model import Values

PATH = "/var/lib/nodeprep/number.json"
NUMBER_MAX = 9999


@dataclass(frozen=True, slots=True)
class Number:
    """A number, and the fingerprint of the machine ID that it was drawn for: a copy draws its own."""

    number: int
    machine: str


def digits(number: int) -> str:
    """Return a number as it stands in hostnames: two digits at least."""
    return f"{number:02d}"


def names(name_of: Callable[[str], str], first: int | None, excluded: Values) -> Iterator[tuple[str, int]]:
    """Yield hostname and number of each that may be drawn: the one that was drawn before, and then from 1 upwards."""
    numbers = (*(() if first is None else (first,)), *(n for n in range(1, NUMBER_MAX + 1) if n != first))
    for number in numbers:
        name = name_of(digits(number))
        if name not in excluded:
            yield name, number


def read(machine: MachineView) -> Number | None:
    """Return the number that was drawn on this disk, or None where there is none to be read. Raises HostError."""
    text = machine.read_text(PATH)
    try:
        row = json.loads(text) if text is not None else None
        return Number(int(row["number"]), str(row["machine"])) if row else None
    except (ValueError, LookupError, TypeError, OverflowError):
        return None  # torn: then another is drawn


def encode(number: Number) -> str:
    """Return the text of the file."""
    return json.dumps({"number": number.number, "machine": number.machine}) + "\n"
