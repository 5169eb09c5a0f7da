"""Pretty hostname: what graphical tools and mDNS browsers show for this machine (machine-info(5))."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATH = "/etc/machine-info"


def observe(machine: MachineView) -> Values:
    """Return the lines that set it."""
    lines = (machine.read_text(PATH) or "").splitlines(keepends=True)
    return frozenset(line for line in lines if line.startswith("PRETTY_HOSTNAME=") and line.strip()[16:].strip("\"'"))


def without(values: Values) -> tuple[Action, ...]:
    """Take lines out; hostnamed then shows the hostname."""
    return tuple(ReplaceText(PATH, line, "") for line in sorted(values))


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Take out what the template was called."""
    return without(finding.values)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image."""
    return without(observe(machine))


ARTEFACT = Artefact(
    name="pretty-hostname",
    title="pretty hostname",
    reason="Machines of one title are taken for one another by people.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    seal=seal,
)
