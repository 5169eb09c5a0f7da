"""LUKS volumes: a copy of the header keeps the volume key, whatever passphrase it is given (cryptsetup(8))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, Situation

PATH = "/etc/crypttab"


def observe(machine: MachineView) -> Reading:
    """Return the devices that crypttab(5) opens; one with a key made at boot is nobody's legacy."""
    rows = (line.split() for line in (machine.read_text(PATH) or "").splitlines())
    return frozenset(
        row[1] for row in rows if len(row) > 1 and not row[0].startswith("#") and "random" not in "".join(row[2:3])
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: it takes the passphrase, and hours."""
    return ()


ARTEFACT = Artefact(
    name="luks-volumes",
    title="LUKS volume keys",
    reason="Every clone can decrypt the disks of all the others.",
    kind=Kind.R,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    remedy="cryptsetup reencrypt DEVICE for each, which makes a new volume key while it is in use",
)
