"""Clock drift: how wrong this machine's own oscillator runs, as chronyd, ntpd and openntpd learnt it (chrony.conf(5)).

/var/lib/systemd/timesync/clock stays: it is no drift but a moment, and keeps a machine without a clock of its own from
starting in the past.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

DRIFTS = (
    "/var/lib/chrony/*.drift",
    "/var/lib/ntpsec/ntp.drift",
    "/var/lib/ntp/ntp.drift",
    "/var/lib/openntpd/db/ntpd.drift",
)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of every drift file."""
    return digests(machine, DRIFTS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the drift out of the image."""
    return removals(machine, DRIFTS)


ARTEFACT = Artefact(
    name="clock-drift",
    title="clock drift",
    reason="The clock is corrected by another oscillator's error, and runs wrong until it is learnt anew.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    volatile=True,
    # They write what they have learnt when they stop.
    idle=("chrony.service", "ntp.service", "ntpsec.service", "openntpd.service"),
    seal=seal,
)
