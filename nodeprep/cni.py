"""CNI: which network the pods have, told by the configuration that its plugin installed (cni.dev, "Specification").

The runtime takes the first file by name; so does this, but for those of plugins that no role is known of, such as
loopback, or a plugin that calls others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from nodeprep.machine import MachineView
from nodeprep.roles import Role

FOLDERS = (
    "/etc/cni/net.d",
    "/var/lib/rancher/k3s/agent/etc/cni/net.d",
    "/var/snap/microk8s/current/args/cni-network",
)
ENDINGS = ("conf", "conflist", "json")
"""What libcni reads."""


def recognise(machine: MachineView, roles: Iterable[Role]) -> Role | None:
    """Return the role of the network that is installed, or None. Raises HostError for a file that cannot be read.

    A file that is no configuration, as one that is just being written, tells nothing.
    """
    by_plugin = {plugin: role for role in roles for plugin in role.cni_plugins}
    for folder in FOLDERS:
        for path in sorted(path for ending in ENDINGS for path in machine.glob(f"{folder}/*.{ending}")):
            for plugin in _types(machine.read_text(path) or ""):
                if plugin in by_plugin:
                    return by_plugin.get(_title(path), by_plugin[plugin])
    return None


def _title(path: str) -> str:
    """Return a file's name without number and ending: the only thing that tells Canal from Calico."""
    return re.sub(r"^[0-9]+-", "", path.rsplit("/", 1)[1]).rpartition(".")[0]


def _types(text: str) -> list[str]:
    """Return the types of the plugins that a configuration names, in its order."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, dict):
        return []
    plugins = document.get("plugins", [document])
    types = [plugin.get("type") for plugin in plugins if isinstance(plugin, dict)] if isinstance(plugins, list) else []
    return [each for each in types if isinstance(each, str)]
