"""The openings of a node: what the roles that its configuration names need to be reachable."""

from __future__ import annotations

from nodeprep import config, roles
from nodeprep.config import Config
from nodeprep.errors import ConfigError
from nodeprep.machine import MachineView
from nodeprep.model import Opening

DRIVEN = ("auto", "nftables")
"""The firewall backends of this release."""


def openings_of(machine: MachineView, settings: Config) -> tuple[Opening, ...]:
    """Return what the node's roles need open.

    Raises ConfigError for a role that is not there or not usable, and for what this release does not do.
    """
    firewall = settings.firewall
    unmet = {
        "firewall.backend": firewall.backend if firewall.backend not in DRIVEN and firewall.mode != "off" else None,
        "peers.unicast": settings.peers.unicast,
    }
    for key, value in unmet.items():
        if value:
            problem = f"{value!r} is not in this release"
            raise ConfigError(settings.origin(key), key, problem, "leave the key at its default")
    files = config.role_files(machine)
    known = {name: roles.parse(name, config.role_table(machine, path), path) for name, path in files.items()}
    chosen = roles.select(settings.node.roles, known, settings.origin("node.roles"))
    return roles.openings(chosen, settings.cluster.nodes, settings.cluster.clients)
