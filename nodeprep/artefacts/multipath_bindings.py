"""Multipath bindings and WWIDs: which disk is mpatha, and which are multipath disks at all (multipath.conf(5))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import removals, set_aside
from nodeprep.steps import Action

FILES = ("/etc/multipath/bindings", "/etc/multipath/wwids", "/var/lib/multipath/bindings", "/var/lib/multipath/wwids")


def observe(machine: MachineView) -> Reading:
    """Return path and text of every entry; the head of the files is comment."""
    return frozenset(
        f"{path} {line.strip()}"
        for path in FILES
        for line in (machine.read_text(path) or "").splitlines()
        if line.strip() and not line.lstrip().startswith("#")
    )


def used(machine: MachineView) -> str:
    """Say which device-mapper device is a multipath map: the root file system may lie on it."""
    for path in machine.glob("/sys/block/dm-*/dm/uuid"):
        if (machine.read_text(path) or "").startswith("mpath-"):
            return f"{path.split('/')[3]} is a multipath map"
    return ""


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take them out of the image."""
    return removals(machine, FILES)


ARTEFACT = Artefact(
    name="multipath-bindings",
    title="multipath bindings",
    reason="Names of disks that are not here are taken, and other disks bear other names than on the template.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    restart=("multipathd.service",),
    used=used,
    remedy="multipath -W, which keeps the WWIDs of present maps only; update-initramfs -u",
    seal=seal,
)
