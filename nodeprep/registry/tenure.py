"""Tenure: by what this machine, and no copy of its disk, speaks for its claims in the registry.

Claims name an owner, a random number in /var/lib/nodeprep. A copy of the disk has it as well, and so the owner has a
record in the registry with a ticket, which each boot replaces by a new one in a transaction that wants the old one to
be there, and remembers. Of all copies of one disk only one can be first: the others find a ticket that they have never
drawn. What the disk has drawn is written down before it is sent, so that a power cut makes nobody a stranger to itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import Enum

from nodeprep.errors import StampError
from nodeprep.machine import MachineView
from nodeprep.registry.gateway import Entry
from nodeprep.renewal import checksum

PATH = "/var/lib/nodeprep/registry.json"
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Tenure:
    """The owner that this disk knows itself to be."""

    owner: str
    machine: str
    """The fingerprint of the machine ID that it is bound to: a copy that gets another one gets another owner."""
    tickets: tuple[str, ...] = ()
    """Those that the registry may have, if nobody else has taken its place."""
    claims: tuple[str, ...] = ()
    """The keys that were claimed."""


@dataclass(frozen=True, slots=True)
class Record:
    """What the registry has on an owner."""

    ticket: str
    boot: str
    """The boot of the machine that wrote it."""
    up: bool
    """It has not been shut down since in order."""


class Standing(Enum):
    """How an owner's record stands to the disk that wants to speak for it."""

    FREE = "free"
    OURS = "ours"
    """Ours alone: this very boot wrote it, or one of this disk that was shut down."""
    RUNNING = "running"
    """Ours, by a boot that did not end in order: it was cut off, or it is a copy that runs now."""
    ANOTHERS = "another's"
    """Written by a copy of this disk."""


def standing(tenure: Tenure, record: Record | None, boot: str) -> Standing:
    """Return how the record of this disk's owner stands to it."""
    if record is None:
        return Standing.FREE
    if record.boot == boot:
        return Standing.OURS
    if record.ticket not in tenure.tickets:
        return Standing.ANOTHERS
    return Standing.RUNNING if record.up else Standing.OURS


def bound(tenure: Tenure, machine: str, template: frozenset[str], fresh: str, *, renews: bool) -> Tenure:
    """Return the tenure that a machine of this machine ID goes on with; fresh is a random owner.

    template: fingerprints of machine IDs that are a template's. Where nothing is renewed the owner stays, whatever an
    operator has made of the machine ID.
    """
    if not tenure.owner or (renews and (tenure.machine != machine or machine in template)):
        return Tenure(fresh, machine)
    return replace(tenure, machine=machine)


def write_record(record: Record) -> str:
    """Return the value of a record; equal records have equal values."""
    return json.dumps({"boot": record.boot, "ticket": record.ticket, "up": record.up}, sort_keys=True)


def read_record(entry: Entry | None) -> Record | None:
    """Return the record of an entry; one that cannot be read is a stranger's that is gone."""
    if entry is None:
        return None
    try:
        row = json.loads(entry.value)
        return Record(str(row["ticket"]), str(row["boot"]), row["up"] is True)
    except (ValueError, LookupError, TypeError):
        return Record("", "", up=False)


def read(machine: MachineView) -> Tenure | None:
    """Return the tenure of this disk, or None where there is none that can be read. Raises HostError."""
    text = machine.read_text(PATH)
    try:
        return decode(text) if text is not None else None
    except StampError:
        return None


def encode(tenure: Tenure) -> str:
    """Return the text of the file."""
    body = {
        "schema": SCHEMA,
        "owner": tenure.owner,
        "machine": tenure.machine,
        "tickets": list(tenure.tickets),
        "claims": list(tenure.claims),
    }
    return json.dumps(body | {"checksum": checksum(body)}, indent=1) + "\n"


def decode(text: str) -> Tenure:
    """Return the tenure of a file's text. Raises StampError where it is torn or of another schema."""
    try:
        document = json.loads(text)
        if document.pop("checksum") != checksum(document) or document["schema"] != SCHEMA:
            raise StampError("the tenure's checksum or schema is another")
        return Tenure(
            str(document["owner"]),
            str(document["machine"]),
            tuple(map(str, document["tickets"])),
            tuple(map(str, document["claims"])),
        )
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise StampError(f"the tenure cannot be read: {error}") from error
