"""MicroK8s node state: its place in dqlite, and the credentials of its kubelet (microk8s.io/docs, "Clustering")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action

STATE = (
    "/var/snap/microk8s/*/var/kubernetes/backend/cluster.yaml",
    "/var/snap/microk8s/*/var/kubernetes/backend/info.yaml",
    "/var/snap/microk8s/*/credentials/kubelet.config",
)


def observe(machine: MachineView) -> Reading:
    """Return the state that lies there."""
    return places(machine, STATE)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image; binaries and images stay."""
    return removals(machine, STATE)


ARTEFACT = Artefact(
    name="microk8s-state",
    title="MicroK8s node state",
    reason="The same dqlite node twice.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    joins=True,
    remedy="microk8s leave",
    seal=seal,
)
