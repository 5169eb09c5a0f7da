"""Ubuntu Pro: the token by which this machine is attached to a contract (documentation.ubuntu.com/pro-client)."""

from __future__ import annotations

import json
from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import removals, set_aside
from nodeprep.steps import Action

FILE = "/var/lib/ubuntu-advantage/private/machine-token.json"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the token; what the file says of the contract beside it is refreshed by a timer."""
    content = machine.read_bytes(FILE)
    if not content:
        return frozenset()
    try:
        token = json.loads(content)["machineToken"].encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        token = content
    return frozenset({f"{FILE} {sha256(token).hexdigest()}"})


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the token out of the image."""
    return removals(machine, (FILE,))


ARTEFACT = Artefact(
    name="ubuntu-pro",
    title="Ubuntu Pro machine token",
    reason="The contract counts both as one machine, and what is detached on the one is lost on the other.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    holds=("ua-timer.service", "ua-timer.timer"),
    # Not `pro detach`: it would detach the template.
    remedy=f"rm {FILE}; systemctl restart nodeprep.service; pro attach",
    seal=seal,
)
