"""The stamp: which identity this machine held at its last good run, and on which hardware.

A stamp is versioned, checksummed and written last. It holds fingerprints, never values. Encoding and comparing are
pure; `Stamp.hardware_digest` stands in the file as text, so that the boot fast path finds it without parsing.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nodeprep.errors import StampError
from nodeprep.machine import MachineView
from nodeprep.model import Observation, Values

PATH = "/var/lib/nodeprep/stamp.json"
PREVIOUS = PATH + ".prev"
SCHEMA = 1


def fingerprint(name: str, value: str) -> str:
    """Return 32 hex digits that stand for a value of an artefact or of a signal."""
    return hashlib.blake2s(value.encode(), key=name.encode()[:32], digest_size=16).hexdigest()


def fingerprints(name: str, values: Iterable[str]) -> Values:
    """Return the fingerprints of several values of one name."""
    return frozenset(fingerprint(name, value) for value in values)


@dataclass(frozen=True, slots=True)
class Stamp:
    """Fingerprints of an identity and of the hardware that it was held on."""

    hardware: Mapping[str, Values] = field(default_factory=dict)
    hardware_digest: str = ""
    artefacts: Mapping[str, Values] = field(default_factory=dict)
    inherited: Mapping[str, Values] = field(default_factory=dict)
    """What is still a template's, by policy or because its owner uses it: it is reported as long as it is there."""


def take(
    observation: Observation,
    volatile: frozenset[str],
    signals: Mapping[str, Values],
    hardware_digest: str,
    inherited: Mapping[str, Values],
) -> Stamp:
    """Return the stamp of what was observed; unreadable and volatile artefacts are left out.

    inherited: artefact → values that are still a template's.
    """
    return Stamp(
        hardware={kind: fingerprints(kind, values) for kind, values in signals.items() if values},
        hardware_digest=hardware_digest,
        artefacts={
            name: fingerprints(name, reading)
            for name, reading in observation.items()
            if isinstance(reading, frozenset) and reading and name not in volatile
        },
        inherited={
            name: fingerprints(name, values) for name, values in inherited.items() if values and name not in volatile
        },
    )


def _body(stamp: Stamp) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "hardware_digest": stamp.hardware_digest,
        "hardware": {kind: sorted(values) for kind, values in sorted(stamp.hardware.items())},
        "artefacts": {name: sorted(values) for name, values in sorted(stamp.artefacts.items())},
        "inherited": {name: sorted(values) for name, values in sorted(stamp.inherited.items())},
    }


def _checksum(body: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def read(machine: MachineView) -> Stamp | None:
    """Return the stamp, or the one before where it is torn, or None where there is none. Raises HostError."""
    for path in (PATH, PREVIOUS):
        text = machine.read_text(path)
        if text is None:
            continue
        try:
            return decode(text)
        except StampError:
            continue
    return None


def fault(machine: MachineView) -> str:
    """Return why the newest stamp cannot be read, or "" where it can, or none was ever written. Raises HostError."""
    text = machine.read_text(PATH)
    if text is None:
        return f"{PATH} is not there, though the one before it is" if machine.exists(PREVIOUS) else ""
    try:
        decode(text)
    except StampError as error:
        return f"{PATH}: {error}"
    return ""


def encode(stamp: Stamp) -> str:
    """Return the text of the stamp file."""
    body = _body(stamp)
    return json.dumps(body | {"checksum": _checksum(body)}, indent=1) + "\n"


def decode(text: str) -> Stamp:
    """Return the stamp of a file's text.

    Raises StampError where the text is torn, was changed by hand, or is of another schema.
    """
    try:
        document = json.loads(text)
        checksum = document.pop("checksum")
        if document.get("schema") != SCHEMA:
            raise StampError(f"the stamp's schema is {document.get('schema')!r}, and this release reads {SCHEMA}")
        if checksum != _checksum(document):
            raise StampError("the stamp's checksum does not match")
        return Stamp(
            hardware={kind: frozenset(values) for kind, values in document["hardware"].items()},
            hardware_digest=document["hardware_digest"],
            artefacts={name: frozenset(values) for name, values in document["artefacts"].items()},
            inherited={name: frozenset(values) for name, values in document.get("inherited", {}).items()},
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StampError(f"the stamp cannot be read: {error}") from error
