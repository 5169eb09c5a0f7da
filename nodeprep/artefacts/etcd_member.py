"""etcd member: the data folder of one voter of an etcd cluster (etcd.io/docs, "Runtime reconfiguration")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action

MEMBERS = ("/var/lib/etcd/member", "/var/lib/etcd/*/member")
"""kubeadm's place, and Debian's, which has the member's name in between (/etc/default/etcd)."""


def observe(machine: MachineView) -> Reading:
    """Return the folders that hold a member."""
    return places(machine, MEMBERS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the member out of the image."""
    return removals(machine, MEMBERS)


ARTEFACT = Artefact(
    name="etcd-member",
    title="etcd member",
    reason="A clone that starts as the same member corrupts the cluster's data.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    joins=True,
    remedy="systemctl stop etcd.service; mv /var/lib/etcd /var/lib/etcd.template",
    seal=seal,
)
