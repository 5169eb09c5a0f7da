"""Longhorn disk: the ID by which Longhorn knows a disk and the replicas on it (longhorn.io/docs)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

PATH = "/var/lib/longhorn/longhorn-disk.cfg"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the disk's description."""
    return digests(machine, (PATH,))


def used(machine: MachineView) -> str:
    """Say which replica lies on the disk: whose it is Longhorn knows by the disk's ID."""
    replicas = machine.glob("/var/lib/longhorn/replicas/*")
    return f"{replicas[0]} is a replica" if replicas else ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the ID out of the image, unless replicas would lose their place."""
    return () if used(machine) else removals(machine, (PATH,))


ARTEFACT = Artefact(
    name="longhorn-disk",
    title="Longhorn disk ID",
    reason="Replicas wander between machines whose disks have one ID.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    used=used,
    remedy=f"mv /var/lib/longhorn/replicas /var/lib/longhorn/replicas.template; rm {PATH}",
    seal=seal,
)
