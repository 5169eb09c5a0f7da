"""Cluster: who is in it and which of its ports were moved, the sections [cluster] and [ports] of nodeprep.toml(5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from ipaddress import ip_network

from nodeprep.errors import ConfigError

_RANGE = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")

PORT_REMEDY = 'write "6443" or "30000-32767", within 1-65535 and the lower port first'


@dataclass(frozen=True, slots=True)
class Cluster:
    """Who may reach openings: `[cluster]`. All but `cni` are CIDRs, and empty where nobody said."""

    nodes: tuple[str, ...] = ()
    clients: tuple[str, ...] = ()
    control_planes: tuple[str, ...] = ()
    load_balancers: tuple[str, ...] = ()
    pods: tuple[str, ...] = ()
    metrics_from: tuple[str, ...] = ()
    cni: str = "auto"
    """A role of that name, "none", or "auto" for the one that is installed."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the operator moved what roles need: `[ports]`. Empty where it is where the role says."""

    api_server: str = ""
    kubelet: str = ""
    kube_proxy_health: str = ""
    node_ports: str = ""
    etcd_client: str = ""
    etcd_peer: str = ""
    scheduler: str = ""
    controller_manager: str = ""
    supervisor: str = ""
    vxlan: str = ""
    wireguard: str = ""


MOVABLE = tuple(field.name for field in fields(Ports))
RANGES = ("node_ports", "wireguard")
"""Those that may be several ports."""


def parse_range(text: str) -> tuple[int, int]:
    """Return the first and the last port of "6443" or "30000-32767". Raises ValueError for anything else."""
    match = _RANGE.fullmatch(text)
    first_port = int(match[1]) if match else 0
    last_port = int(match[2] or match[1]) if match else 0
    if not 1 <= first_port <= last_port <= 65535:
        raise ValueError(f"{text!r} is neither a port nor a range")
    return first_port, last_port


def value(file: str, section: str, name: str, given: object) -> str | tuple[str, ...]:
    """Return a checked value of [cluster] or [ports]. Raises ConfigError."""
    if section == "ports":
        return _moved(file, f"ports.{name}", given, several=name in RANGES)
    key = f"cluster.{name}"
    if name == "cni":  # whether there is such a role is not known here
        if not isinstance(given, str) or not _NAME.fullmatch(given):
            remedy = 'write "auto", "none" or the name of a role, as in "calico"'
            raise ConfigError(file, key, f"{given!r} is not the name of a network", remedy)
        return given
    if not isinstance(given, list) or not all(isinstance(cidr, str) for cidr in given):
        raise ConfigError(file, key, f"{given!r} is not a list of texts", 'write it as in ["10.77.0.0/24"]')
    try:
        return tuple(str(ip_network(cidr)) for cidr in given)
    except ValueError as error:
        raise ConfigError(file, key, str(error), 'write it as in ["10.77.0.0/24"]') from error


def _moved(file: str, key: str, given: object, *, several: bool) -> str:
    if not isinstance(given, str):
        raise ConfigError(file, key, f"{given!r} is not a text", PORT_REMEDY)
    if given:
        try:
            first_port, last_port = parse_range(given)
        except ValueError as error:
            raise ConfigError(file, key, str(error), PORT_REMEDY) from error
        if first_port != last_port and not several:
            raise ConfigError(file, key, f"{given!r} is more than one port", 'write one, as in "6443"')
    return given


def check(cluster: Cluster, origins: Mapping[str, str], file: str) -> None:
    """Check what the keys of [cluster] say together: control planes are nodes. Raises ConfigError.

    Else one that is told of in one key only would let in what the other keeps out.
    """
    nodes = [ip_network(cidr) for cidr in cluster.nodes]
    for network in map(ip_network, cluster.control_planes if nodes else ()):
        if not any(network.network_address in other and network.prefixlen >= other.prefixlen for other in nodes):
            problem = f"{network} is not within cluster.nodes ({', '.join(cluster.nodes)})"
            path = origins.get("cluster.control_planes", file)
            raise ConfigError(path, "cluster.control_planes", problem, "add it to cluster.nodes, or correct it")
