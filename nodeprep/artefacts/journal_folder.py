"""Journal folder: /var/log/journal/MACHINE-ID (systemd-journald.service(8)).

Renamed after the machine ID, so that journalctl still shows the logs of this disk; set aside where journald has already
made the new one.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, RenameFolder, Situation

FOLDER = "/var/log/journal"


def observe(machine: MachineView) -> Reading:
    """Return the machine IDs that name a folder."""
    return frozenset(path.rsplit("/", 1)[1] for path in machine.glob(f"{FOLDER}/{'[0-9a-f]' * 32}"))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Name the inherited folders after the machine ID of now."""
    return tuple(
        RenameFolder(f"{FOLDER}/{name}", f"{FOLDER}/{situation.machine_id}")
        for name in sorted(finding.values)
        if situation.machine_id not in ("", name)
    )


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the logs out of the image, whatever their folders are called."""
    return removals(machine, (f"{FOLDER}/*",))


ARTEFACT = Artefact(
    name="journal-folder",
    title="journal folder",
    reason="The template's logs are hidden from journalctl, or counted as another machine's.",
    kind=Kind.A,
    stage=Stage.EARLY,
    after=("machine-id",),
    observe=observe,
    plan=plan,
    confidential=True,
    seal=seal,
)
