"""Docker's engine ID: engine-id since 23.0, before that derived from the key in key.json (docker-system-info(1))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

FILES = ("/etc/docker/key.json", "/var/lib/docker/engine-id")
"""An engine that finds no engine-id takes over the ID of a key.json that it finds."""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of what the ID is taken from."""
    return digests(machine, FILES)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the ID out of the image; the engine makes one when it starts."""
    return removals(machine, FILES)


ARTEFACT = Artefact(
    name="docker-engine-id",
    title="Docker's engine ID",
    reason="Engines are counted as one, and take one another's place in what manages them.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    restart=("docker.service",),
    seal=seal,
)
