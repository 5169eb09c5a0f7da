"""Configuration: TOML text in, Config out. An error names file, key and remedy, and nothing is done with half a file.

Layers, each beating the one before: the defaults here, /etc/nodeprep/nodeprep.toml, nodeprep.toml.d/*.toml by name, and
the system credentials of this one machine (systemd.exec(5), System and Service Credentials).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from ipaddress import ip_interface
from typing import Any

from nodeprep import cluster
from nodeprep.cluster import Cluster, Ports
from nodeprep.endpoint import DEFAULT_PORT, Endpoint, parse_endpoint
from nodeprep.errors import ConfigError
from nodeprep.machine import MachineView
from nodeprep.pool import Pool, parse_pool
from nodeprep.values import CHOICES, MEMBER, NUMBERS, TEXTS, single

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FILE = "/etc/nodeprep/nodeprep.toml"
DROP_INS = "/etc/nodeprep/nodeprep.toml.d/*.toml"
ROLE_FOLDERS = ("/usr/share/nodeprep/roles.d", "/etc/nodeprep/roles.d")
CREDENTIALS = ("/run/credentials/@system", "/run/nodeprep/credentials")
"""Where systemd keeps them, and where nodeprep.service, from whose namespace that is hidden, has them bound to."""
PLACEHOLDERS = ("role", "id", "mac", "serial", "index")


@dataclass(frozen=True, slots=True)
class Node:
    """What this node is: `[node]`."""

    roles: tuple[str, ...] = ("worker",)
    hostname: str = "{role}-{id}"


@dataclass(frozen=True, slots=True)
class Identity:
    """What a change of hardware means: `[identity]`."""

    on_hardware_change: str = "decide"
    joined_clone: str = "hold"


@dataclass(frozen=True, slots=True)
class AddressPolicy:
    """What follows when a static address is doubled: `[address]`."""

    on_conflict: str = "report"
    pool: tuple[Pool, ...] = ()


@dataclass(frozen=True, slots=True)
class MacPolicy:
    """What follows when a MAC is doubled: `[mac]`."""

    on_conflict: str = "renew"


@dataclass(frozen=True, slots=True)
class Peers:
    """Where peers are looked for: `[peers]`."""

    links: tuple[str, ...] = ()
    """Link names; empty stands for "auto"."""
    unicast: tuple[Endpoint, ...] = ()
    """Peers beyond routers; those that name no port listen on `port`."""
    port: int = DEFAULT_PORT
    """UDP; listened on where there are such peers."""

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Where peers beyond routers listen."""
        return tuple(Endpoint(peer.address, peer.port or self.port) for peer in self.unicast)


@dataclass(frozen=True, slots=True)
class Registry:
    """Where fleets of many segments claim: `[registry]`."""

    etcd: tuple[str, ...] = ()
    """URLs of its members; empty stands for no registry."""
    prefix: str = "/nodeprep/"
    ca: str = ""
    cert: str = ""
    key: str = ""
    user: str = ""
    password_file: str = ""
    wait_s: int = 30


@dataclass(frozen=True, slots=True)
class Firewall:
    """How openings are made: `[firewall]`."""

    mode: str = "open"
    backend: str = "auto"


@dataclass(frozen=True, slots=True)
class Attic:
    """What is kept of what renewals replaced: `[attic]`."""

    keep: int = 10
    """Runs."""


@dataclass(frozen=True, slots=True)
class Config:
    """The whole configuration, section by section as in the file."""

    node: Node = Node()
    identity: Identity = Identity()
    address: AddressPolicy = AddressPolicy()
    mac: MacPolicy = MacPolicy()
    peers: Peers = Peers()
    registry: Registry = Registry()
    firewall: Firewall = Firewall()
    cluster: Cluster = Cluster()
    ports: Ports = Ports()
    attic: Attic = Attic()
    origins: tuple[tuple[str, str], ...] = ()
    """Key and file of every key that is set, for errors that only show later."""

    def origin(self, key: str) -> str:
        """Return the file that set a key, or the one that could."""
        return dict(self.origins).get(key, FILE)


def load(machine: MachineView) -> Config:
    """Return the configuration of a machine. Raises ConfigError, and HostError where a file cannot be read."""
    config = Config()
    origins: dict[str, str] = {}
    for path in (FILE, *machine.glob(DROP_INS)):
        text = machine.read_text(path)
        if text is not None:
            config = _overlay(config, _parse(text, path), path, origins)
    config = _with_credentials(config, machine, origins)
    _check_together(config, origins)
    return replace(config, origins=tuple(sorted(origins.items())))


def credential(machine: MachineView, name: str) -> str | None:
    """Return a system credential such as nodeprep.role, or None where none was passed."""
    texts = (machine.read_text(f"{folder}/{name}") for folder in CREDENTIALS)
    return next((text.strip() for text in texts if text is not None), None)


def _parse(text: str, path: str) -> dict[str, Any]:
    try:
        document: dict[str, Any] = tomllib.loads(text)
        return document
    except (ValueError, RecursionError) as error:  # TOMLDecodeError is one; so is a number too long to read
        raise ConfigError(
            path, "syntax", str(error), "correct the line; nothing of the file is used until then"
        ) from error


def _overlay(config: Config, document: Mapping[str, Any], path: str, origins: dict[str, str]) -> Config:
    sections = {field.name: getattr(config, field.name) for field in fields(config) if field.name != "origins"}
    for name, table in document.items():
        if name not in sections:
            raise ConfigError(path, name, "there is no such section", f"known are {', '.join(sections)}")
        if not isinstance(table, dict):
            raise ConfigError(path, name, "is not a section", f"write it as [{name}] with its keys below")
        known = [field.name for field in fields(sections[name])]
        for key, value in table.items():
            if key not in known:
                raise ConfigError(
                    path, f"{name}.{key}", "there is no such key", f"known in [{name}]: {', '.join(known)}"
                )
            origins[f"{name}.{key}"] = path
            sections[name] = replace(sections[name], **{key: _value(path, f"{name}.{key}", value)})
    return Config(**sections)


def _value(path: str, key: str, value: Any) -> Any:
    """Return a checked value for one key."""
    if key in (*CHOICES, *NUMBERS, *TEXTS):
        return single(path, key, value)
    if key == "node.hostname":
        return _template(path, key, value)
    if key == "peers.links" and value == "auto":
        return ()
    section, _, name = key.partition(".")
    if section in ("cluster", "ports"):
        return cluster.value(path, section, name, value)
    texts = _texts(path, key, value)
    if key == "registry.etcd" and (wrong := [text for text in texts if not MEMBER.fullmatch(text)]):
        raise ConfigError(path, key, f"{wrong[0]!r} is no member's URL", 'write it as in ["https://10.77.0.5:2379"]')
    try:
        if key == "address.pool":
            return tuple(parse_pool(text) for text in texts)
        if key == "peers.unicast":
            return tuple(parse_endpoint(text) for text in texts)
    except ValueError as error:
        example = {"peers": '10.1.2.3", "fd00::5", "10.1.2.4:7877'}.get(section, "10.77.0.100-10.77.0.199")
        raise ConfigError(path, key, str(error), f'write it as in ["{example}"]') from error
    if key == "node.roles" and not texts:
        raise ConfigError(path, key, "names no role", 'write it as in ["worker"]')
    return texts


def _texts(path: str, key: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigError(path, key, f"{value!r} is not a list of texts", 'write it as in ["one", "two"]')
    return tuple(value)


def _template(path: str, key: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ConfigError(path, key, f"{value!r} is not a template", 'write it as in "{role}-{id}"')
    remedy = f"known placeholders: {', '.join('{' + name + '}' for name in PLACEHOLDERS)}"
    for placeholder in re.findall(r"{(\w*)}", value):
        if placeholder not in PLACEHOLDERS:
            raise ConfigError(path, key, f"{{{placeholder}}} is no placeholder", remedy)
    if not re.fullmatch(r"[A-Za-z0-9.-]*", re.sub(r"{\w*}", "", value)):
        raise ConfigError(path, key, f"{value!r} has characters that no hostname has (RFC 1123)", remedy)
    return value


def _with_credentials(config: Config, machine: MachineView, origins: dict[str, str]) -> Config:
    if role := credential(machine, "nodeprep.role"):
        roles = tuple(part for part in re.split(r"[\s,]+", role) if part)
        if not roles:
            raise ConfigError("credential nodeprep.role", "node.roles", "names no role", "pass one, as in worker")
        config = replace(config, node=replace(config.node, roles=roles))
        origins["node.roles"] = "credential nodeprep.role"
    if hostname := credential(machine, "nodeprep.hostname"):
        origins["node.hostname"] = origin = "credential nodeprep.hostname"
        config = replace(config, node=replace(config.node, hostname=_template(origin, "node.hostname", hostname)))
    if address := credential(machine, "nodeprep.address"):
        try:
            host = ip_interface(address).ip
        except ValueError as error:
            raise ConfigError("credential nodeprep.address", "address.pool", str(error), "pass one address") from error
        config = replace(config, address=AddressPolicy("pool", (Pool(host, host),)))
    return config


def _check_together(config: Config, origins: Mapping[str, str]) -> None:
    if config.address.on_conflict == "pool" and not config.address.pool:
        path = origins.get("address.pool", origins.get("address.on_conflict", FILE))
        remedy = 'name a range, as in ["10.77.0.100-10.77.0.199"], or set address.on_conflict to "report" or "dhcp"'
        raise ConfigError(path, "address.pool", "is empty, and address.on_conflict = pool takes from it", remedy)
    registry = config.registry
    for key, needed in (("user", "password_file"), ("password_file", "user"), ("key", "cert")):
        if getattr(registry, key) and not getattr(registry, needed):
            path = origins.get(f"registry.{key}", FILE)
            raise ConfigError(path, f"registry.{needed}", f"is empty, and registry.{key} is set", "set both or none")
    cluster.check(config.cluster, origins, FILE)


def role_files(machine: MachineView) -> dict[str, str]:
    """Return role name → path of its file; the operator's beats the package's of the same name."""
    paths: Sequence[str] = [path for folder in ROLE_FOLDERS for path in machine.glob(f"{folder}/*.toml")]
    return {path.rsplit("/", 1)[1].removesuffix(".toml"): path for path in paths}


def role_table(machine: MachineView, path: str) -> dict[str, Any]:
    """Return the parsed table of a role's file. Raises ConfigError."""
    return _parse(machine.read_text(path) or "", path)
