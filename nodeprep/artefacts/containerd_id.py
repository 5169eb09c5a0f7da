"""containerd's UUID, which it gives its clients as the server's own (`ctr version`)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

FILES = ("/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid",)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the UUID."""
    return digests(machine, FILES)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image."""
    return removals(machine, FILES)


ARTEFACT = Artefact(
    name="containerd-id",
    title="containerd's UUID",
    reason="What collects from many machines takes their containerds for one.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    # No restart: containerd reads the file each time that it is asked, and makes one where there is none.
    seal=seal,
)
