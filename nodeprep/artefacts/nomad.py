"""Nomad agent: a client's ID and secret, and a server's (developer.hashicorp.com/nomad, "client", state_dir)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

FOLDERS = ("/opt/nomad/data", "/opt/nomad", "/var/lib/nomad")
"""The data folder of the vendor's package, and the others that are common."""
IDS = tuple(f"{folder}/{name}" for folder in FOLDERS for name in ("client/client-id", "client/secret-id"))
SERVERS = tuple(f"{folder}/server/node-id" for folder in FOLDERS)
BESIDE = tuple(
    f"{folder}/{name}" for folder in FOLDERS for name in ("client/state.db", "server/raft", "server/serf/snapshot")
)
"""What an agent of another ID must not take up. Keyrings are the cluster's, and stay."""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of IDs and secret."""
    return digests(machine, (*IDS, *SERVERS))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside what goes with the IDs, last these."""
    return (*(SetAside(pattern) for pattern in BESIDE), *set_aside(finding, fresh, situation))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image."""
    return removals(machine, (*BESIDE, *IDS, *SERVERS))


ARTEFACT = Artefact(
    name="nomad",
    title="Nomad node ID",
    reason="The servers take both for one node: allocations of the one are stopped by the other.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    holds=("nomad.service",),
    remedy="rm -r /opt/nomad/data/client /opt/nomad/data/server/raft; systemctl restart nodeprep.service",
    seal=seal,
)
