"""Wazuh agent: the ID and key under which a manager knows it (documentation.wazuh.com, "Client keys file")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

KEYS = ("/var/ossec/etc/client.keys",)
MANAGER = "/var/ossec/bin/wazuh-remoted"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the key. On a manager the file lists all agents, and is nobody's identity."""
    return frozenset() if machine.exists(MANAGER) else digests(machine, KEYS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the key out of the image."""
    return () if machine.exists(MANAGER) else removals(machine, KEYS)


ARTEFACT = Artefact(
    name="wazuh-agent",
    title="Wazuh agent's key",
    reason="The manager takes the events of all copies for one agent's, and drops those out of sequence.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    holds=("wazuh-agent.service",),
    remedy=f"rm {KEYS[0]}; systemctl restart nodeprep.service",
    seal=seal,
)
