"""UUIDs of file systems and partitions, as fstab(5) names them."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, Situation

PATH = "/etc/fstab"
NAMES = ("UUID=", "PARTUUID=", "/dev/disk/by-uuid/", "/dev/disk/by-partuuid/")


def observe(machine: MachineView) -> Reading:
    """Return the UUIDs by which file systems are mounted."""
    rows = (line.split() for line in (machine.read_text(PATH) or "").splitlines())
    return frozenset(row[0].replace('"', "") for row in rows if row and row[0].startswith(NAMES))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: the boot loader, the initramfs and fstab name them too."""
    return ()


ARTEFACT = Artefact(
    name="filesystem-uuids",
    title="file system UUIDs",
    reason="Of two copies attached to one host, either may be mounted for the other.",
    kind=Kind.R,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    remedy="nothing, as long as no two copies are attached to one host; there: tune2fs -U random DEVICE, "
    "or xfs_admin -U generate DEVICE, on the unmounted copy",
)
