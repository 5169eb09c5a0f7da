"""Consul agent: its node ID, and a server's Raft log (developer.hashicorp.com/consul, "node_id", "data_dir")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

FOLDERS = ("/opt/consul", "/var/lib/consul")
"""The data folder of the vendor's package, and the other that is common."""
NODE_ID = tuple(f"{folder}/node-id" for folder in FOLDERS)
BESIDE = tuple(f"{folder}/{name}" for folder in FOLDERS for name in ("raft", "serf/*.snapshot"))
"""What an agent of another ID must not take up. The gossip key (serf/*.keyring) is the cluster's, and stays."""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the node ID."""
    return digests(machine, NODE_ID)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside the membership, last the node ID."""
    return (*(SetAside(pattern) for pattern in BESIDE), *set_aside(finding, fresh, situation))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image."""
    return removals(machine, (*BESIDE, *NODE_ID))


ARTEFACT = Artefact(
    name="consul",
    title="Consul node ID",
    reason='The cluster refuses the second: "Member has conflicting node ID".',
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    holds=("consul.service",),
    remedy="rm -r /opt/consul/node-id /opt/consul/raft /opt/consul/serf/*.snapshot; systemctl restart nodeprep.service",
    seal=seal,
)
