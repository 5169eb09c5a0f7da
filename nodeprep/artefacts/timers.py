"""Timers: when those that catch up on missed runs ran last, as the time of a file (systemd.timer(5), Persistent=)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import removals, set_aside
from nodeprep.steps import Action

STAMPS = ("/var/lib/systemd/timers/stamp-*",)


def observe(machine: MachineView) -> Reading:
    """Return path and time of every stamp; they are empty."""
    return frozenset(f"{path} {machine.modified(path)}" for pattern in STAMPS for path in machine.glob(pattern))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take them out of the image."""
    return removals(machine, STAMPS)


ARTEFACT = Artefact(
    name="timers",
    title="stamps of timers",
    reason="All clones of an old template catch up on every missed run at once.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=set_aside,
    volatile=True,
    seal=seal,
)
