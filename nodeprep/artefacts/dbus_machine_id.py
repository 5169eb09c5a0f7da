"""D-Bus machine ID: libdbus's own copy (dbus-uuidgen(1)), which Debian links to the machine ID."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, LinkFile, Situation

PATH = "/var/lib/dbus/machine-id"


def observe(machine: MachineView) -> Reading:
    """Return the copy, or nothing where it is a symbolic link and follows by itself."""
    if machine.is_symlink(PATH):
        return frozenset()
    return frozenset({(machine.read_text(PATH) or "").strip()} - {""})


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Put a symbolic link in its place."""
    return (LinkFile(PATH, "/etc/machine-id"),)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Let it follow the machine ID."""
    return (LinkFile(PATH, "/etc/machine-id"),) if observe(machine) else ()


ARTEFACT = Artefact(
    name="dbus-machine-id",
    title="D-Bus copy of the machine ID",
    reason="systemd takes the machine ID from it when its own file is empty, and the template's comes back.",
    kind=Kind.A,
    stage=Stage.EARLY,
    after=("machine-id",),
    observe=observe,
    plan=plan,
    confidential=True,
    seal=seal,
)
