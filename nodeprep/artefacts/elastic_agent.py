"""Elastic Agent: its enrolment in Fleet (elastic.co/docs, "Installation layout")."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import places, removals, set_aside
from nodeprep.steps import Action

ENROLMENT = ("/opt/Elastic/Agent/fleet.enc", "/etc/elastic-agent/fleet.enc", "/var/lib/elastic-agent/fleet.enc")
"""It is written anew with each policy, so that being there is what counts."""


def observe(machine: MachineView) -> Reading:
    """Return the enrolment that lies there."""
    return places(machine, ENROLMENT)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the enrolment out of the image."""
    return removals(machine, ENROLMENT)


ARTEFACT = Artefact(
    name="elastic-agent",
    title="Elastic Agent's enrolment",
    reason="Fleet takes both for one agent, and each check-in of the one undoes what the other acknowledged.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    holds=("elastic-agent.service",),
    remedy="rm /opt/Elastic/Agent/fleet.enc; systemctl restart nodeprep.service; elastic-agent enroll",
    seal=seal,
)
