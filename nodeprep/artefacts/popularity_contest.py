"""The ID under which Debian's popularity contest counts this machine (popularity-contest(8))."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, ReplaceSecret, Situation

PATH = "/etc/popularity-contest.conf"
NONE = 'MY_HOSTID=""'
HOST_ID = re.compile(r"^[ \t]*MY_HOSTID=.+$", re.MULTILINE)


def observe(machine: MachineView) -> Reading:
    """Return the assignments of the ID, in the shell's language; that of a sealed image is empty, and replaced too."""
    return frozenset(HOST_ID.findall(machine.read_text(PATH) or ""))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Assign another one of the same form."""
    fresh_id = fresh.derived("popularity-contest").hex()[:32]
    return tuple(ReplaceSecret(PATH, value, f'MY_HOSTID="{fresh_id}"') for value in sorted(finding.values))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Empty the assignments, so that the first boot finds where another ID belongs."""
    found = HOST_ID.findall(machine.read_text(PATH) or "")
    return tuple(ReplaceSecret(PATH, value, NONE) for value in dict.fromkeys(found) if value != NONE)


ARTEFACT = Artefact(
    name="popularity-contest",
    title="popularity contest's ID",
    reason="Many machines are counted as one.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    seal=seal,
)
