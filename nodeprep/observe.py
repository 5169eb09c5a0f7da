"""Observing: ask every artefact what it is now. Reads, and changes nothing."""

from __future__ import annotations

from collections.abc import Iterable

from nodeprep.errors import HostError
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Observation, Reading, Unreadable, Values

# State that only a machine which joined a cluster has: nodeprep never renews an identity under it.
JOINED_STATE = (
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/etcd/member",
    "/etc/rancher/node/password",
    "/var/lib/rancher/k3s/server/db",
    "/var/lib/rancher/rke2/server/db",
    "/var/snap/microk8s/current/var/kubernetes/backend",
)


def observe(artefacts: Iterable[Artefact], machine: MachineView) -> dict[str, Reading]:
    """Return artefact → reading; one that cannot be read says so and spoils no other."""
    return {artefact.name: _read(artefact, machine) for artefact in artefacts}


def _read(artefact: Artefact, machine: MachineView) -> Reading:
    try:
        return artefact.observe(machine)
    except HostError as error:
        return Unreadable(str(error))


def presented(artefacts: Iterable[Artefact], machine: MachineView, observation: Observation) -> dict[Claim, Values]:
    """Return claim → values that this machine presents on the wire."""
    claims: dict[Claim, Values] = {}
    for artefact in artefacts:
        if artefact.claim is None:
            continue
        values = artefact.present(machine) if artefact.present else observation.get(artefact.name)
        if isinstance(values, frozenset) and values:
            claims[artefact.claim] = values
    return claims


def joined(machine: MachineView) -> tuple[str, ...]:
    """Return the joined cluster state that lies on this machine."""
    return tuple(path for path in JOINED_STATE if machine.exists(path))
