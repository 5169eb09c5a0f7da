"""Naming: the hostname that the template gives a machine (hostname(5), RFC 1123)."""

from __future__ import annotations

import hmac
import re
import uuid
from collections.abc import Callable, Mapping, Sequence

from nodeprep.config import Config, credential
from nodeprep.errors import ConfigError
from nodeprep.host import platform
from nodeprep.machine import MachineView

INDEX = "nodeprep.index"
"""The credential that passes a machine its number."""
APPLICATION = uuid.UUID("5d0c7f6e-2a34-4f57-9f0e-3f1b8f4a6c21")
"""The application of the app-specific machine ID in hostnames (sd_id128_get_machine_app_specific(3))."""


def hostname_for(machine: MachineView, settings: Config, machine_id: str, macs: Sequence[str], number: str = "") -> str:
    """Return the hostname that the template gives this machine; number stands for {index} where none is passed.

    Raises ConfigError.
    """
    return namer(machine, settings, machine_id, macs)(number)


def namer(
    machine: MachineView, settings: Config, machine_id: str, macs: Sequence[str]
) -> Callable[[str], str]:  # fmt: skip
    """Return what gives this machine's hostname for a number."""
    short = app_specific(machine_id)[:6] if machine_id else ""
    passed = credential(machine, INDEX)
    values = {
        "role": settings.node.roles[0],
        "id": short,
        "mac": macs[0].replace(":", "")[-6:] if macs else "",
        # Its last twelve characters, without blanks: VMware puts one between any two bytes.
        "serial": "".join(platform.serial().split())[-12:],
    }
    return lambda number: render_hostname(settings, {**values, "index": passed or number})


def is_numbered(machine: MachineView, settings: Config) -> bool:
    """Whether the hostname has a number that this machine draws itself."""
    return "{index}" in settings.node.hostname and not credential(machine, INDEX)


def render_hostname(config: Config, values: Mapping[str, str]) -> str:
    """Return the hostname that the template gives (RFC 1123, lower case, at most 63 characters).

    values: placeholder → value; those that cannot be told on this machine are missing or empty. Raises ConfigError.
    """
    template = config.node.hostname
    for placeholder in re.findall(r"{(\w*)}", template):
        if not values.get(placeholder):
            raise ConfigError(
                config.origin("node.hostname"),
                "node.hostname",
                f"{{{placeholder}}} cannot be told on this machine",
                "use another placeholder, or pass the credential nodeprep.hostname",
            )
    rendered = re.sub(r"{(\w*)}", lambda match: values[match.group(1)], template)
    label = re.sub("[^a-z0-9.-]+", "-", rendered.lower())[:63]
    label = ".".join(part for raw in label.split(".") if (part := raw.strip("-")))
    if not label:
        problem = f"gives {rendered!r}, which is no hostname"
        raise ConfigError(config.origin("node.hostname"), "node.hostname", problem, "use letters and digits")
    return label


def app_specific(machine_id: str) -> str:
    """Return the app-specific machine ID for hostnames, computed from the text: libsystemd caches the old one."""
    raw = bytearray(hmac.digest(bytes.fromhex(machine_id), APPLICATION.bytes, "sha256")[:16])
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    return raw.hex()
