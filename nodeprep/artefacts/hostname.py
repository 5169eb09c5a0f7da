"""Hostname: the name of the Node in the cluster (hostname(5), RFC 1123)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Lacking, Reading, Stage
from nodeprep.steps import Action, Fresh, SetHostname, Situation, WriteFile


def observe(machine: MachineView) -> Reading:
    """Return the static hostname."""
    name = machine.hostname()
    return frozenset({name}) if name else Lacking("the machine has no static hostname")


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Take the one that the template gives, unless that is the very one in question."""
    return () if situation.hostname in finding.values | {""} else (SetHostname(situation.hostname),)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Leave an image without a static hostname, which the first boot then misses (hostname(5))."""
    return (WriteFile("/etc/hostname", b""),)


ARTEFACT = Artefact(
    name="hostname",
    title="hostname",
    reason="Nodes of one name replace each other in the cluster.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("machine-id",),
    observe=observe,
    plan=plan,
    claim=Claim.HOSTNAME,
    # They say the name that they were started under: in the lines that a log server takes, and to whom metrics go.
    restart=("netdata.service", "rsyslog.service"),
    seal=seal,
)
