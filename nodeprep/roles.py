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

from nodeprep.errors import ConfigError
from nodeprep.model import Opening

PROTOCOLS = ("tcp", "udp")
REACHED_FROM = ("control-plane", "nodes", "clients")
"""Who may have to reach an opening: the words that `from` knows."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Need:
    """A range of ports that a role is reached on, before anyone said where the cluster ends."""

    protocol: str
    """"tcp" or "udp"."""
    first_port: int
    last_port: int
    purpose: str
    reached_from: tuple[str, ...]
    """Words of REACHED_FROM."""


@dataclass(frozen=True, slots=True)
class Role:
    """What a node is in the cluster, as far as others must reach it."""

    name: str
    title: str
    needs: tuple[Need, ...]


def parse(name: str, mapping: Mapping[str, object], file: str) -> Role:
    """Return the role that a parsed file of roles.d describes.

    `name` is the file's stem, `file` what errors call it. Raises ConfigError for a name that no firewall could carry,
    unknown or missing keys, and values outside their vocabulary.
    """
    if not _NAME.fullmatch(name):
        raise ConfigError(file, "name", f"{name!r} cannot name a role", "use up to 31 of a-z, 0-9 and -")
    _only_keys(mapping, ("title", "opening"), file, "")
    tables = mapping.get("opening", [])
    if not isinstance(tables, list):
        raise ConfigError(file, "opening", "is not a list of tables", "write each opening as [[opening]]")
    needs: list[Need] = []
    for index, table in enumerate(tables):
        if not isinstance(table, Mapping):
            raise ConfigError(file, f"opening[{index}]", "is not a table", "write each opening as [[opening]]")
        needs.extend(_needs(table, file, f"opening[{index}]."))
    return Role(name, _text(mapping, "title", file, ""), tuple(needs))


def select(names: Sequence[str], available: Mapping[str, Role], file: str) -> tuple[Role, ...]:
    """Return the roles of these names, each once, in the order of `names`.

    Raises ConfigError, naming `file` (nodeprep.toml), node.roles and the known roles, for a name that is not there.
    """
    for name in names:
        if name not in available:
            known = ", ".join(sorted(available)) or "none: roles.d is empty"
            close = get_close_matches(name, available, n=1)
            meant = f"did you mean {close[0]!r}? " if close else ""
            raise ConfigError(file, "node.roles", f"there is no role {name!r}", f"{meant}known roles: {known}")
    return tuple(available[name] for name in dict.fromkeys(names))


def openings(roles: Sequence[Role], nodes: tuple[str, ...], clients: tuple[str, ...] = ()) -> tuple[Opening, ...]:
    """Return what must be open for all of these roles together, sorted by port, each range and protocol once.

    `nodes` and `clients` are CIDRs. Without `nodes` the sources are (), which is anyone. With `nodes` every opening is
    limited to them; `clients` are then let in beside them, but only where a role names "clients", so that those who
    use the API server are not let in to etcd. Where roles share an opening, its sources are the union of theirs, and
    its role and purpose name both. Raises ConfigError for what is not a CIDR.
    """
    inner = tuple(_network(cidr, "cluster.nodes") for cidr in nodes)
    outer = (*inner, *(_network(cidr, "cluster.clients") for cidr in clients))
    claims: dict[tuple[int, int, str], list[tuple[Role, Need]]] = {}
    for role in roles:
        for need in role.needs:
            claims.setdefault((need.first_port, need.last_port, need.protocol), []).append((role, need))
    return tuple(
        Opening(
            protocol=protocol,
            first_port=first_port,
            last_port=last_port,
            purpose="; ".join(dict.fromkeys(need.purpose for _, need in claims[first_port, last_port, protocol])),
            role=", ".join(dict.fromkeys(role.name for role, _ in claims[first_port, last_port, protocol])),
            sources=_union(
                network
                for _, need in claims[first_port, last_port, protocol]
                for network in ((outer if "clients" in need.reached_from else inner) if inner else ())
            ),
        )
        for first_port, last_port, protocol in sorted(claims)
    )


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


def _union(networks: Iterable[IPv4Network | IPv6Network]) -> tuple[str, ...]:
    """Return the fewest CIDRs that cover these networks, IPv4 first; () when they cover every address there is."""
    given = tuple(networks)
    ipv4 = collapse_addresses(network for network in given if isinstance(network, IPv4Network))
    ipv6 = collapse_addresses(network for network in given if isinstance(network, IPv6Network))
    cidrs = tuple(str(network) for family in (ipv4, ipv6) for network in family)
    return () if cidrs == ("0.0.0.0/0", "::/0") else cidrs


def _needs(table: Mapping[str, object], file: str, prefix: str) -> Iterable[Need]:
    """Yield what one [[opening]] asks for, one Need a protocol."""
    _only_keys(table, ("ports", "protocol", "purpose", "from"), file, prefix)
    first_port, last_port = _ports(_text(table, "ports", file, prefix), file, f"{prefix}ports")
    purpose = _text(table, "purpose", file, prefix)
    reached_from = _words(table, "from", REACHED_FROM, file, prefix)
    for protocol in _words(table, "protocol", PROTOCOLS, file, prefix):
        yield Need(protocol, first_port, last_port, purpose, reached_from)


def _ports(text: str, file: str, key: str) -> tuple[int, int]:
    match = _PORTS.fullmatch(text)
    first_port = int(match[1]) if match else 0
    last_port = int(match[2] or match[1]) if match else 0
    if not 1 <= first_port <= last_port <= 65535:
        remedy = 'write "6443" or "30000-32767", within 1-65535 and the lower port first'
        raise ConfigError(file, key, f"{text!r} is neither a port nor a range", remedy)
    return first_port, last_port


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
