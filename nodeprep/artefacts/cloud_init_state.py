"""cloud-init's state: the instance that it has configured, and a datasource that never makes another."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, Situation

INSTANCE = "/var/lib/cloud/data/instance-id"
STATE = ("/var/lib/cloud/instance", "/var/lib/cloud/instances", "/var/lib/cloud/data", "/var/lib/cloud/sem")
INSTALLER = "/etc/cloud/cloud.cfg.d/99-installer.cfg"
"""What Ubuntu's installer leaves: user data for DataSourceNone, which is the same instance for ever."""
NO_SOURCE = re.compile(r"^\s*[\"']?None[\"']?\s*:", re.MULTILINE)


def observe(machine: MachineView) -> Reading:
    """Return the instance's ID, and the file that pins it."""
    instance = (machine.read_text(INSTANCE) or "").strip()
    pinned = NO_SOURCE.search(machine.read_text(INSTALLER) or "")
    return frozenset({instance, INSTALLER if pinned else ""} - {""})


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Do nothing: cloud-init would take the boot for an instance's first, and reset users and keys."""
    return ()


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Do what `cloud-init clean` does, and let a datasource be looked for."""
    return removals(machine, (*STATE, *((INSTALLER,) if INSTALLER in str(observe(machine)) else ())))


ARTEFACT = Artefact(
    name="cloud-init-state",
    title="cloud-init's instance",
    reason="cloud-init takes a clone for the instance that it has configured long ago.",
    kind=Kind.R,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    remedy=f"in the template: cloud-init clean --logs; rm -f {INSTALLER}",
    seal=seal,
)
