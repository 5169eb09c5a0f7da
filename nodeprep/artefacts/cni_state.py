"""CNI state: addresses given to pods, and the node's name where a network plugin wrote it down (cni.dev)."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Stage, Values
from nodeprep.reading import digests, literal, removals, set_aside
from nodeprep.steps import Action

STATE = (
    "/var/lib/cni/cache/results/*",
    "/var/lib/cni/flannel/*",
    "/var/lib/cni/networks/*/[0-9a-f]*",
    "/var/lib/cni/networks/*/last_reserved_ip*",
    "/var/lib/cni/results/*",
    "/var/lib/calico/nodename",
)
NODE_NAME = re.compile(r'"node_?name"\s*:\s*"[^"]', re.IGNORECASE)


def named(machine: MachineView) -> tuple[str, ...]:
    """Return the configurations that say a node's name."""
    paths = machine.glob("/etc/cni/net.d/*.conf*")
    return tuple(path for path in paths if NODE_NAME.search(machine.read_text(path) or ""))


def observe(machine: MachineView) -> Values:
    """Return path and digest of all that is one node's."""
    return digests(machine, (*STATE, *map(literal, named(machine))))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image; its plugin writes it anew."""
    return removals(machine, (*STATE, *map(literal, named(machine))))


ARTEFACT = Artefact(
    name="cni-state",
    title="state of the pod network",
    reason="Pods of two nodes get one address, or the plugin runs under the template's name.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    volatile=True,
    remedy="kubeadm reset; rm -r /var/lib/cni /var/lib/calico /etc/cni/net.d",
    seal=seal,
)
