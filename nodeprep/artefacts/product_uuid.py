"""Product UUID: what the hypervisor calls this machine (SMBIOS 3.6, 7.2.1, System - UUID)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage, Values
from nodeprep.steps import Action, Fresh, Situation


def observe(machine: MachineView) -> Reading:
    """Return the UUID, or nothing where there is none or a filler."""
    return frozenset({machine.product_uuid()} - {""})


def handed_down(machine: MachineView, reading: Values) -> Values:
    """Return none: whether the hypervisor copied it from the template, a machine of unknown past cannot tell."""
    return frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: it is the hypervisor's."""
    return ()


ARTEFACT = Artefact(
    name="product-uuid",
    title="product UUID",
    reason="What is derived from it collides again: NVMe host names, machine IDs, cloud providers' node IDs.",
    kind=Kind.R,
    stage=Stage.MAIN,
    observe=observe,
    plan=plan,
    handed_down=handed_down,
    confidential=True,
    remedy=(
        "change it at the hypervisor: `qm set ID --smbios1 uuid=$(uuidgen)`, `virsh edit` (uuid), "
        '`uuid.action = "create"` in the VMX file, `VBoxManage modifyvm NAME --hardware-uuid $(uuidgen)`'
    ),
)
