"""Ports: what the node's roles need open, as a table or as those who apply it write it down.

Anybody may ask, also of roles that this machine has not; nothing is changed. What only root may read is left out, and
named.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

from nodeprep import config, roles
from nodeprep.cni import FOLDERS
from nodeprep.errors import HostError
from nodeprep.formats import aws, azure, firewalld, gcp, iptables, nft, table, terraform, ufw
from nodeprep.formats.sheet import Sheet, Written
from nodeprep.host.local import LocalMachine
from nodeprep.openings import PEERS, needed, of_peers

FORMATS: dict[str, Callable[[Sheet], Written]] = {
    "table": table.write,
    "json": table.write_json,
    "nft": nft.write,
    "iptables": iptables.write,
    "ufw": ufw.write,
    "firewalld": firewalld.write,
    "aws": aws.write,
    "gcp": gcp.write,
    "azure": azure.write,
    "terraform": terraform.write,
    "terraform-aws": terraform.write_aws,
    "terraform-gcp": terraform.write_gcp,
    "terraform-azure": terraform.write_azure,
}


class Visible(LocalMachine):
    """This machine as the one who asks may see it."""

    def __init__(self, root: str = "") -> None:
        super().__init__("ports", root)
        self.hidden: list[str] = []

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's content, or None where there is none, or none for this user. Raises HostError."""
        try:
            return super().read_bytes(path)
        except HostError as error:
            if not isinstance(error.__cause__, PermissionError):
                raise
            self.hidden.append(path)
            return None


def sheet_of(machine: Visible, names: tuple[str, ...]) -> Sheet:
    """Return the openings of these roles, or of the node's own where none is named, and that of the peers' own port.

    Raises NodeprepError.
    """
    settings = config.load(machine)
    if names:
        origins = (*settings.origins, ("node.roles", "--role"))
        settings = replace(settings, node=replace(settings.node, roles=names), origins=origins)
    chosen = needed(machine, settings).roles(machine)
    cluster, ports, beside = settings.cluster, settings.ports, of_peers(settings.peers)
    by_role = tuple((role.name, roles.openings((role,), cluster, ports)) for role in chosen)
    return Sheet(
        (*roles.openings(chosen, cluster, ports), *beside),
        (*by_role, *(((PEERS, beside),) if beside else ())),
    )


def warnings(sheet: Sheet, machine: Visible) -> list[str]:
    """Return what somebody who applies this has to know."""
    told = []
    if sheet.unknown:
        titles = ", ".join(opening.title for opening in sheet.unknown)
        told.append(f"open to anyone, since [cluster] in {config.FILE} does not say from where: {titles}")
    hidden = [*machine.hidden, *(folder for folder in FOLDERS if _is_hidden(machine.real(folder)))]
    if hidden:
        told.append(f"left out, since only root may read it: {', '.join(hidden)}")
    return told


def _is_hidden(folder: str) -> bool:
    return os.path.isdir(folder) and not os.access(folder, os.R_OK | os.X_OK, effective_ids=True)
