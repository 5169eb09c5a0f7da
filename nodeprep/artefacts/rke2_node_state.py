"""RKE2 node state: node password, agent's certificates and server's data (docs.rke2.io, "Node registration")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action

DATA = "/var/lib/rancher/rke2"
STATE = (
    "/etc/rancher/node/password",
    f"{DATA}/server/db",
    f"{DATA}/server/tls",
    f"{DATA}/server/cred",
    f"{DATA}/server/token",
    f"{DATA}/agent/*.crt",
    f"{DATA}/agent/*.key",
    f"{DATA}/agent/*.kubeconfig",
)
"""The node password is k3s's as well, and outlives an uninstallation."""


def observe(machine: MachineView) -> Reading:
    """Return the state that lies there."""
    return places(machine, STATE) if machine.exists(DATA) else frozenset()


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image; binaries and images stay."""
    return removals(machine, STATE)


ARTEFACT = Artefact(
    name="rke2-node-state",
    title="RKE2 node state",
    reason="Two nodes of one name, or two etcd members of one ID.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    joins=True,
    remedy="rke2-uninstall.sh",
    seal=seal,
)
