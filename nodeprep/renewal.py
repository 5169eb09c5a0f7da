"""The renewal under way: what the template holds, written before the first change and removed after the stamp.

A run that was cut off finds it at the next boot and goes on; what is not the template's any more is left alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from nodeprep.errors import StampError
from nodeprep.machine import MachineView
from nodeprep.model import Origin, Values

PATH = "/var/lib/nodeprep/renewal.json"
LIVE = "/run/nodeprep/renewing-live"
"""There since the daemon began to renew the machine ID under a running system, until the next boot."""
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Renewal:
    """Why a renewal was begun, and the fingerprints that must be gone when it ends."""

    origin: Origin
    reason: str
    inherited: Mapping[str, Values]
    reboots: int = 0
    """How often it has rebooted the machine; once is the most."""


def read(machine: MachineView) -> Renewal | None:
    """Return the renewal under way, or None. A torn one never took effect: it is written before the first change.

    Raises HostError.
    """
    text = machine.read_text(PATH)
    try:
        return decode(text) if text is not None else None
    except StampError:
        return None


def encode(renewal: Renewal) -> str:
    """Return the text of the file."""
    body = {
        "schema": SCHEMA,
        "origin": renewal.origin.value,
        "reason": renewal.reason,
        "inherited": {name: sorted(values) for name, values in sorted(renewal.inherited.items())},
        "reboots": renewal.reboots,
    }
    return json.dumps(body | {"checksum": checksum(body)}, indent=1)


def decode(text: str) -> Renewal:
    """Return the renewal of a file's text. Raises StampError where it is torn or of another schema."""
    try:
        document = json.loads(text)
        if document.pop("checksum") != checksum(document):
            raise StampError("the renewal's checksum does not match")
        if document["schema"] != SCHEMA:
            raise StampError(f"the renewal's schema is {document['schema']!r}, not {SCHEMA}")
        return Renewal(
            origin=Origin(document["origin"]),
            reason=document["reason"],
            inherited={name: frozenset(values) for name, values in document["inherited"].items()},
            reboots=int(document["reboots"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise StampError(f"the renewal cannot be read: {error}") from error


def checksum(body: Mapping[str, object]) -> str:
    """Return the SHA-256 of the file's text but for the checksum itself."""
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
