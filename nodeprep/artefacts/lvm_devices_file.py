"""LVM devices file: the only devices that LVM looks at, by hardware ID (lvmdevices(8))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import removals, set_aside
from nodeprep.steps import Action

PATH = "/etc/lvm/devices/system.devices"


def observe(machine: MachineView) -> Reading:
    """Return path and text of every entry."""
    lines = (machine.read_text(PATH) or "").splitlines()
    return frozenset(f"{PATH} {line.strip()}" for line in lines if line.strip().startswith("IDTYPE="))


def used(machine: MachineView) -> str:
    """Say which logical volume is active: with this file, or regardless of it, the machine has what it needs."""
    for path in machine.glob("/sys/block/dm-*/dm/uuid"):
        if (machine.read_text(path) or "").startswith("LVM-"):
            return f"{path.split('/')[3]} is an active logical volume"
    return ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image; without it LVM looks at all devices."""
    return removals(machine, (PATH,))


ARTEFACT = Artefact(
    name="lvm-devices-file",
    title="LVM devices file",
    reason="LVM looks for the template's disks, and at no other.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    used=used,
    remedy=f"mv {PATH} {PATH}.template; vgimportdevices --all",
    seal=seal,
)
