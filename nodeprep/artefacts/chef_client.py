"""Chef client: the key under which a server knows this node (docs.chef.io, "client.rb", client_key)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

KEYS = ("/etc/chef/client.pem", "/etc/cinc/client.pem")
"""Chef's, and that of its free distribution. The validator's key beside it belongs to the organisation."""


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the key."""
    return digests(machine, KEYS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the key out of the image."""
    return removals(machine, KEYS)


ARTEFACT = Artefact(
    name="chef-client",
    title="Chef client's key",
    reason="Copies overwrite each other's node object on the server, and so what searches and run lists go by.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    confidential=True,
    holds=("chef-client.service", "chef-client.timer", "cinc-client.service", "cinc-client.timer"),
    remedy="rm /etc/chef/client.pem; systemctl restart nodeprep.service; then bootstrap it under its own node name",
    seal=seal,
)
