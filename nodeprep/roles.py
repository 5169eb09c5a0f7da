"""Roles: which openings a node needs for what it is in the cluster.

A role is data, one file of config/roles.d each; reading files is the caller's. With `[cluster] nodes` set no opening
that is computed here is wider than the cluster (Kubernetes, "Ports and Protocols").
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network

from nodeprep.cluster import MOVABLE, PORT_REMEDY, Cluster, Ports, parse_range
from nodeprep.errors import ConfigError
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

WITH_PORTS = ("tcp", "udp")
PROTOCOLS = (*WITH_PORTS, *IP_PROTOCOLS, ICMP_ECHO)
REACHED_FROM = ("control-plane", "nodes", "load-balancers", "clients", "pods", "metrics")
"""Who may have to reach an opening: the words that `from` knows."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class Need:
    """A range of ports that a role is reached on, before anyone said where the cluster ends."""

    protocol: str
    """A word of PROTOCOLS."""
    first_port: int
    """0 where the protocol has no ports, as the last one."""
    last_port: int
    purpose: str
    reached_from: tuple[str, ...]
    """Words of REACHED_FROM."""
    setting: str = ""
    """The key of [ports] that moves it, if there is one."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a node is in the cluster, as far as others must reach it."""

    name: str
    title: str
    needs: tuple[Need, ...]
    cni_plugins: tuple[str, ...] = ()
    """By which types of plugin in a conflist its network is recognised, where the role is that of a network."""


def parse(name: str, mapping: Mapping[str, object], file: str) -> Role:
    """Return the role that a parsed file of roles.d describes.

    `name` is the file's stem, `file` what errors call it. Raises ConfigError for a name that no firewall could carry,
    unknown or missing keys, and values outside their vocabulary.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(file, "name", f"{name!r} cannot name a role", "use up to 31 of a-z, 0-9 and -")
    _only_keys(mapping, ("title", "cni_plugins", "opening"), file, "")
    tables = mapping.get("opening", [])
    if not isinstance(tables, list):
        raise ConfigError(file, "opening", "is not a list of tables", "write each opening as [[opening]]")
    needs: list[Need] = []
    for index, table in enumerate(tables):
        if not isinstance(table, Mapping):
            raise ConfigError(file, f"opening[{index}]", "is not a table", "write each opening as [[opening]]")
        needs.extend(_needs(table, file, f"opening[{index}]."))
    plugins = mapping.get("cni_plugins", [])
    if not isinstance(plugins, list) or not all(isinstance(plugin, str) and plugin for plugin in plugins):
        raise ConfigError(file, "cni_plugins", f"{plugins!r} is not a list of texts", 'write it as in ["calico"]')
    return Role(name, _text(mapping, "title", file, ""), tuple(needs), tuple(plugins))


def select(names: Sequence[str], available: Mapping[str, Role], file: str, key: str = "node.roles") -> tuple[Role, ...]:
    """Return the roles of these names, each once, in the order of `names`.

    Raises ConfigError, naming `file` (nodeprep.toml), `key` and the known roles, for a name that is not there.
    """
    for name in names:
        if name not in available:
            known = ", ".join(sorted(available)) or "none: roles.d is empty"
            close = get_close_matches(name, available, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(file, key, f"there is no role {name!r}", f"{meant}known roles: {known}")
    return tuple(available[name] for name in dict.fromkeys(names))


def openings(roles: Sequence[Role], cluster: Cluster = Cluster(), ports: Ports = Ports()) -> tuple[Opening, ...]:
    """Return what must be open for all of these roles together, sorted by port, each range and protocol once.

    Its sources are those of everybody who needs it (see `_sources`), its role and purpose name all that do. What is
    needed only by who was not named, pods or for metrics, is not opened. Raises ConfigError for what is not a CIDR.
    """
    known = _sources(cluster)
    claims: dict[tuple[int, int, str], list[tuple[Role, Need]]] = {}
    for role in roles:
        for need in role.needs:
            if any(known[word] != () for word in need.reached_from):
                to = getattr(ports, need.setting) if need.setting else ""
                first_port, last_port = parse_range(to) if to else (need.first_port, need.last_port)
                claims.setdefault((first_port, last_port, need.protocol), []).append((role, need))
    return tuple(
        Opening(
            protocol=protocol,
            first_port=first_port,
            last_port=last_port,
            purpose="; ".join(dict.fromkeys(need.purpose for _, need in claims[first_port, last_port, protocol])),
            role=", ".join(dict.fromkeys(role.name for role, _ in claims[first_port, last_port, protocol])),
            sources=_union(known[word] for word in words),
            needed_by=words,
        )
        for first_port, last_port, protocol in sorted(claims)
        for words in (_together(known, (need for _, need in claims[first_port, last_port, protocol])),)
    )


def _sources(cluster: Cluster) -> dict[str, tuple[IPv4Network | IPv6Network, ...] | None]:
    """Return the networks behind each word of REACHED_FROM; None where nobody said, so that it may be anyone.

    With `nodes` no word is wider than what the operator named for it: clients are let in beside the nodes, and only
    where a role names them, so that those who use the API server are not let in to etcd. Control planes and load
    balancers are the nodes until they are named.
    """
    networks = {
        key: tuple(_network(cidr, f"cluster.{key}") for cidr in getattr(cluster, key))
        for key in ("nodes", "clients", "control_planes", "load_balancers", "pods", "metrics_from")
    }
    nodes = (*networks["nodes"], *networks["pods"]) if cluster.nodes else None
    return {
        "control-plane": networks["control_planes"] or networks["nodes"] or None,
        "nodes": nodes,
        "load-balancers": networks["load_balancers"] or networks["nodes"] or None,
        "clients": None if nodes is None else (*nodes, *networks["clients"]),
        "pods": networks["pods"],
        "metrics": networks["metrics_from"],
    }


def _together(known: Mapping[str, object], needs: Iterable[Need]) -> tuple[str, ...]:
    """Return the words of all of these needs that are not nobody, in the order of REACHED_FROM."""
    words = {word for need in needs for word in need.reached_from}
    return tuple(word for word in REACHED_FROM if word in words and known[word] != ())


def _network(cidr: str, key: str) -> IPv4Network | IPv6Network:
    """Return a CIDR as a network; a firewall that guessed at host bits would be wider than what was written."""
    try:
        return ip_network(cidr)
    except ValueError as error:
        try:
            remedy = f'write "{ip_network(cidr, strict=False)}" or the address alone'
        except ValueError:
            remedy = 'write an address and a prefix length, as "10.0.0.0/16"'
        raise ConfigError("nodeprep.toml", key, str(error), remedy) from None


def _union(groups: Iterable[tuple[IPv4Network | IPv6Network, ...] | None]) -> tuple[str, ...]:
    """Return the fewest CIDRs that cover these networks, IPv4 first; () when one of the groups may be anyone."""
    given: list[IPv4Network | IPv6Network] = []
    for group in groups:
        if group is None:
            return ()
        given.extend(group)
    ipv4 = collapse_addresses(network for network in given if isinstance(network, IPv4Network))
    ipv6 = collapse_addresses(network for network in given if isinstance(network, IPv6Network))
    return tuple(str(network) for family in (ipv4, ipv6) for network in family)


def _needs(table: Mapping[str, object], file: str, prefix: str) -> Iterable[Need]:
    """Yield what one [[opening]] asks for, one Need a protocol."""
    _only_keys(table, ("ports", "protocol", "purpose", "from", "setting"), file, prefix)
    protocols = _words(table, "protocol", PROTOCOLS, file, prefix)
    if not set(protocols) & set(WITH_PORTS):
        if found := {"ports", "setting"} & set(table):
            problem = f"{protocols[0]} has no ports"
            raise ConfigError(file, f"{prefix}{found.pop()}", problem, 'leave it out, or take "tcp" or "udp"')
        first_port = last_port = 0
    elif set(protocols) <= set(WITH_PORTS):
        first_port, last_port = _ports(_text(table, "ports", file, prefix), file, f"{prefix}ports")
    else:
        problem = f"of {', '.join(protocols)} only {' and '.join(WITH_PORTS)} have ports"
        raise ConfigError(file, f"{prefix}protocol", problem, "write two openings")
    purpose = _text(table, "purpose", file, prefix)
    reached_from = _words(table, "from", REACHED_FROM, file, prefix)
    setting = _text(table, "setting", file, prefix) if "setting" in table else ""
    if setting and setting not in MOVABLE:
        raise ConfigError(file, f"{prefix}setting", f"there is no ports.{setting}", f"known are {', '.join(MOVABLE)}")
    for protocol in protocols:
        yield Need(protocol, first_port, last_port, purpose, reached_from, setting)


def _ports(text: str, file: str, key: str) -> tuple[int, int]:
    try:
        return parse_range(text)
    except ValueError as error:
        raise ConfigError(file, key, str(error), PORT_REMEDY) from error


def _text(table: Mapping[str, object], key: str, file: str, prefix: str) -> str:
    value = table.get(key)
    if not isinstance(value, str) or not value.strip() or not value.isprintable():
        problem = "is missing" if value is None else f"{value!r} is not a line of text"
        raise ConfigError(file, f"{prefix}{key}", problem, f'write {key} = "…"')
    return value


def _words(table: Mapping[str, object], key: str, known: Sequence[str], file: str, prefix: str) -> tuple[str, ...]:
    """Return one word or a list of words, each once, all of them known."""
    value = table.get(key)
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not words or any(word not in known for word in words):
        problem = "is missing" if value is None else f"{value!r} is not understood"
        choices = ", ".join(f'"{word}"' for word in known)
        raise ConfigError(file, f"{prefix}{key}", problem, f"write one or several of {choices}")
    return tuple(dict.fromkeys(words))


def _only_keys(table: Mapping[str, object], known: Sequence[str], file: str, prefix: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(file, f"{prefix}{key}", "is not known", f"keys here are {', '.join(known)}")
