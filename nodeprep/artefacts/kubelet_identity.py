"""Kubelet identity: the certificates and manifests of a machine that kubeadm(8) made a node of a cluster."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

JOINED = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/admin.conf",
    "/etc/kubernetes/super-admin.conf",
    "/etc/kubernetes/controller-manager.conf",
    "/etc/kubernetes/scheduler.conf",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/etc/kubernetes/manifests/kube-apiserver.yaml",
    "/etc/kubernetes/manifests/kube-controller-manager.yaml",
    "/etc/kubernetes/manifests/kube-scheduler.yaml",
    "/var/lib/kubelet/pki/kubelet-client-*",
)
"""What only a join leaves. Images are baked with a cloud.conf, a bootstrap token, a CA, or the manifest of kube-vip."""
BESIDE = (
    "/etc/kubernetes/pki",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
    "/var/lib/kubelet/*_manager_state",
    "/var/lib/kubelet/pki/kubelet.*",
)
"""What `kubeadm join` finds in its way, or the kubelet would take up again."""


def observe(machine: MachineView) -> Reading:
    """Return what a join leaves; a kubelet that was only installed has none of it."""
    return places(machine, JOINED)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside what makes it a node, last what is observed."""
    return (*(SetAside(pattern) for pattern in BESIDE), *set_aside(finding, fresh, situation))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the membership out of the image."""
    return removals(machine, (*BESIDE, *JOINED))


ARTEFACT = Artefact(
    name="kubelet-identity",
    title="kubelet's identity",
    reason="Two kubelets with one Node name and certificate take turns at being the Node.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    joins=True,
    remedy="kubeadm reset",
    seal=seal,
)
