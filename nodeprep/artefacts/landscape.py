"""Landscape client: the secure ID under which a server knows this computer (landscape-config(1), data_path)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

REGISTRATION = ("/var/lib/landscape/client/broker.bpickle",)
"""It is written anew with each exchange, so that being there is what counts."""
MESSAGES = "/var/lib/landscape/client/messages"


def observe(machine: MachineView) -> Reading:
    """Return the registration that lies there."""
    return places(machine, REGISTRATION)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside what the template had still to tell, last the registration."""
    return (SetAside(MESSAGES), *set_aside(finding, fresh, situation))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the registration out of the image."""
    return removals(machine, (MESSAGES, *REGISTRATION))


ARTEFACT = Artefact(
    name="landscape",
    title="Landscape registration",
    reason="The server takes both for one computer, and asks each in turn to send all of its inventory again.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    # It runs what the server has scheduled; nobody logs in through it.
    holds=("landscape-client.service",),
    remedy=f"rm -r {REGISTRATION[0]} {MESSAGES}; systemctl restart nodeprep.service; landscape-config",
    seal=seal,
)
