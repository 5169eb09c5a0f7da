"""Snapd device: the key and serial under which the snap store knows this machine (snapcraft.io/docs, "Serial")."""

from __future__ import annotations

import json

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals
from nodeprep.steps import Action, Fresh, Situation, WriteFile

KEYS = ("/var/lib/snapd/device/private-keys-v1/*",)
STATE = "/var/lib/snapd/state.json"
REGISTRATION = ("key-id", "serial", "session-macaroon")
"""Without them snapd makes a key and asks for a serial; brand and model stay."""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the device key."""
    return digests(machine, KEYS)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: key and registration can only be taken away together, from a file that snapd keeps writing."""
    return ()


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take key and registration out of the image; the snaps stay."""
    return (*_forgotten(machine), *removals(machine, KEYS))


def _forgotten(machine: MachineView) -> tuple[Action, ...]:
    content = machine.read_bytes(STATE)
    if content is None:
        return ()
    try:
        state = json.loads(content)
        device = state["data"]["auth"]["device"]
        left = {key: value for key, value in device.items() if key not in REGISTRATION}
    except (ValueError, KeyError, TypeError, AttributeError):
        return ()  # never registered
    if left == device:
        return ()
    state["data"]["auth"]["device"] = left
    return (WriteFile(STATE, json.dumps(state).encode(), 0o600),)


ARTEFACT = Artefact(
    name="snapd",
    title="snapd device key",
    reason="The store counts both as one device, and ends the sessions of the one for the other.",
    # Its service is never held: it starts all that is a snap, MicroK8s among them.
    kind=Kind.R,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    remedy="seal the template: `nodeprep seal` takes the device's key and serial out of it",
    seal=seal,
)
