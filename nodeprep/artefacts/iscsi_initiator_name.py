"""iSCSI initiator name: as whom this machine asks for block devices (RFC 7143, 4.2.7; iscsid(8))."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATH = "/etc/iscsi/initiatorname.iscsi"
NAME = re.compile(r"^\s*InitiatorName\s*=\s*(\S+)", re.MULTILINE)
SIGNS = {
    "/sys/class/iscsi_session/session*": "there is a session",
    "/etc/iscsi/nodes/*": "has records of targets",
    "/var/lib/iscsi/nodes/*": "has records of targets",
    "/etc/iscsi/iscsi.initramfs": "says that the machine boots from iSCSI",
}


def observe(machine: MachineView) -> Values:
    """Return the name; a file that asks for one to be generated (GenerateName=yes) has none."""
    return frozenset(NAME.findall(machine.read_text(PATH) or ""))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Replace the part that names the machine, and keep that which names the authority, as iscsi-iname(8) makes it."""
    own = fresh.derived("iscsi-initiator-name").hex()[:12]
    return tuple(
        ReplaceText(PATH, old, f"{old.rpartition(':')[0] or 'iqn.1993-08.org.debian:01'}:{own}")
        for old in sorted(finding.values)
    )


def used(machine: MachineView) -> str:
    """Say what shows that targets know the machine by this name."""
    return next((f"{path}: {sign}" for pattern, sign in SIGNS.items() for path in machine.glob(pattern)), "")


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Have a name generated when iscsid starts."""
    found = re.search(r"^\s*InitiatorName\s*=.*$", machine.read_text(PATH) or "", re.MULTILINE)
    return (ReplaceText(PATH, found[0], "GenerateName=yes"),) if found else ()


ARTEFACT = Artefact(
    name="iscsi-initiator-name",
    title="iSCSI initiator name",
    reason="Targets drop the one session for the other, or let both write to one disk.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    restart=("iscsid.service",),
    used=used,
    remedy=f'iscsiadm -m node -u; echo "InitiatorName=$(iscsi-iname)" >{PATH}; systemctl restart iscsid.service; '
    "allow the new name on the targets; iscsiadm -m node -l",
    seal=seal,
)
