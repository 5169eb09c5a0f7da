"""Tailscale: the machine key under which the tailnet knows this node (tailscale.com/kb, "Ephemeral nodes", state)."""

from __future__ import annotations

import json
from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import removals, set_aside
from nodeprep.steps import Action

STATE = "/var/lib/tailscale/tailscaled.state"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the machine key; the rest of the file changes by itself."""
    content = machine.read_bytes(STATE)
    if not content:
        return frozenset()
    try:
        key = json.loads(content)["_machinekey"].encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        key = content  # encrypted by the TPM, or of another version
    return frozenset({f"{STATE} {sha256(key).hexdigest()}"})


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the node out of the image."""
    return removals(machine, (STATE,))


ARTEFACT = Artefact(
    name="tailscale",
    title="Tailscale's machine key",
    reason="The tailnet takes both for one node, and its address leads to whichever was heard last.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    # Nothing is held: it may be the only way in.
    holds=(),
    remedy=f"from a console: systemctl stop tailscaled; rm {STATE}; systemctl start tailscaled; tailscale up",
    seal=seal,
)
