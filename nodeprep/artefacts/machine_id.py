"""Machine ID: what systemd, D-Bus, DHCP and the CNI derive other identities from (machine-id(5)).

The new one is random. systemd-machine-id-setup(1) is not asked: it may hand back the D-Bus copy, the product UUID or a
credential, all of which a clone can share. A file that is missing or says "uninitialized" never occurs on the way,
because systemd would take the boot for a first one and apply presets.
"""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Lacking, Reading, Stage, Unreadable
from nodeprep.steps import Action, Fresh, RunProgram, Situation, WriteFile

PATH = "/etc/machine-id"
MOUNT = r"etc-machine\x2did.mount"


def observe(machine: MachineView) -> Reading:
    """Return the machine ID."""
    # systemd looks at PID 1's own arguments in a container, and at the kernel's elsewhere.
    if any("systemd.machine_id=" in (machine.read_text(path) or "") for path in ("/proc/cmdline", "/proc/1/cmdline")):
        return Unreadable("systemd.machine_id= on the kernel command line fixes it")
    text = (machine.read_text(PATH) or "").strip()
    return frozenset({text}) if re.fullmatch("[0-9a-f]{32}", text) else Lacking(f"{PATH} holds no machine ID")


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Write the fresh one.

    PID 1 mounts a transient ID over the file while the root file system is read-only; no rename gets past that. It is
    asked to take the mount away: umount(8) would do so in our own mount namespace only.
    """
    uncover = (RunProgram(("systemctl", "stop", MOUNT)),) if PATH in situation.mount_points else ()
    return (*uncover, WriteFile(PATH, f"{fresh.machine_id}\n".encode(), 0o444))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Empty it in the image: systemd takes a file that is missing, or says otherwise, for a first boot."""
    return (WriteFile(PATH, b"", 0o444),)


ARTEFACT = Artefact(
    name="machine-id",
    title="machine ID",
    reason="Same DHCP identity and lease, same derived addresses and MACs, merged journals, one Node in the cluster.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    claim=Claim.MACHINE_ID,
    confidential=True,
    restart=("systemd-journald.service", "systemd-hostnamed.service", "systemd-networkd.service"),
    seal=seal,
)
