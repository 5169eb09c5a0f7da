"""The openings of a node: what the roles that its configuration names need to be reachable."""

from __future__ import annotations

from ipaddress import ip_network

from nodeprep import config, roles
from nodeprep.config import Config, Peers
from nodeprep.errors import ConfigError
from nodeprep.machine import MachineView
from nodeprep.model import Opening

DRIVEN = ("auto", "nftables")
"""The firewall backends of this release."""


def openings_of(machine: MachineView, settings: Config) -> tuple[Opening, ...]:
    """Return what the node's roles need open.

    Raises ConfigError for a role that is not there or not usable, and for what this release does not do.
    """
    backend = settings.firewall.backend
    if backend not in DRIVEN and settings.firewall.mode != "off":
        key = "firewall.backend"
        problem = f"{backend!r} is not in this release"
        raise ConfigError(settings.origin(key), key, problem, "leave the key at its default")
    files = config.role_files(machine)
    known = {name: roles.parse(name, config.role_table(machine, path), path) for name, path in files.items()}
    chosen = roles.select(settings.node.roles, known, settings.origin("node.roles"))
    needed = roles.openings(chosen, settings.cluster.nodes, settings.cluster.clients)
    return (*needed, *_peers(settings.peers))


def _peers(peers: Peers) -> tuple[Opening, ...]:
    """Return the opening of the peers beyond routers, to whom alone it is made."""
    sources = tuple(dict.fromkeys(str(ip_network(peer.address)) for peer in peers.endpoints))
    return (Opening("udp", peers.port, peers.port, "nodeprep", "peers", sources),) if sources else ()
