"""Teleport agent: the UUID and the certificates under which a cluster knows this host (goteleport.com/docs)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action, Fresh, SetAside, Situation

HOST_UUID = "/var/lib/teleport/host_uuid"
CERTIFICATES = "/var/lib/teleport/proc"


def observe(machine: MachineView) -> Reading:
    """Return path and digest of the UUID."""
    return digests(machine, (HOST_UUID,))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set aside the certificates, last the UUID that stands in them."""
    return (SetAside(CERTIFICATES), *set_aside(finding, fresh, situation))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the host out of the image."""
    return removals(machine, (CERTIFICATES, HOST_UUID))


ARTEFACT = Artefact(
    name="teleport",
    title="Teleport's host UUID",
    reason="The cluster lists one host, and sessions meant for the one open on the other.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    # Nothing is held: it is made to be the way in.
    holds=(),
    remedy=f"from a console: systemctl stop teleport; rm -r {HOST_UUID} {CERTIFICATES}; join it with a new token",
    seal=seal,
)
