"""The openings of a node: what the roles that its configuration names, and its network, need to be reachable."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_network

from nodeprep import cni, config, roles
from nodeprep.config import Config, Peers
from nodeprep.machine import MachineView
from nodeprep.model import Opening
from nodeprep.roles import Role

PEERS = "peers"
"""Stands for a role in the opening of nodeprep's own port."""


@dataclass(frozen=True, slots=True)
class Needed:
    """What a node is, as its configuration says; the network may come later, with the cluster."""

    chosen: tuple[Role, ...]
    settings: Config
    known: Mapping[str, Role]

    def roles(self, machine: MachineView) -> tuple[Role, ...]:
        """Return the roles that the node has now, that of its network last. Raises HostError."""
        match self.settings.cluster.cni:
            case "none":
                found = None
            case "auto":
                found = cni.recognise(machine, self.known.values())
            case name:
                found = self.known[name]
        return (*self.chosen, *((found,) if found and found not in self.chosen else ()))

    def openings(self, machine: MachineView) -> tuple[Opening, ...]:
        """Return what has to be open now. Raises HostError."""
        wanted = roles.openings(self.roles(machine), self.settings.cluster, self.settings.ports)
        return (*wanted, *of_peers(self.settings.peers))


def needed(machine: MachineView, settings: Config) -> Needed:
    """Return what the node's configuration says that it is.

    Raises ConfigError for a role that is not there or not usable, and for what this release does not do.
    """
    files = config.role_files(machine)
    known = {name: roles.parse(name, config.role_table(machine, path), path) for name, path in files.items()}
    chosen = roles.select(settings.node.roles, known, settings.origin("node.roles"))
    if settings.cluster.cni not in ("auto", "none"):
        roles.select((settings.cluster.cni,), known, settings.origin("cluster.cni"), "cluster.cni")
    return Needed(chosen, settings, known)


def openings_of(machine: MachineView, settings: Config) -> tuple[Opening, ...]:
    """Return what the node needs open. Raises ConfigError as `needed` does, and HostError."""
    return needed(machine, settings).openings(machine)


def of_peers(peers: Peers) -> tuple[Opening, ...]:
    """Return the opening of the peers beyond routers, to whom alone it is made."""
    sources = tuple(dict.fromkeys(str(ip_network(peer.address)) for peer in peers.endpoints))
    return (Opening("udp", peers.port, peers.port, "nodeprep", PEERS, sources, ("nodes",)),) if sources else ()
