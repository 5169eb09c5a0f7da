"""The line of /etc/hosts in which Debian keeps the machine's own name (hosts(5), Debian Reference 5.1.1)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATH = "/etc/hosts"


def observe(machine: MachineView) -> Reading:
    """Return the lines for 127.0.1.1."""
    lines = (machine.read_text(PATH) or "").splitlines(keepends=True)
    return frozenset(line for line in lines if line.split()[:1] == ["127.0.1.1"])


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Name the machine as it is called now."""
    new = f"127.0.1.1\t{situation.hostname}\n"
    return tuple(ReplaceText(PATH, line, new) for line in sorted(finding.values) if situation.hostname and line != new)


ARTEFACT = Artefact(
    name="hosts-entry",
    title="own line in /etc/hosts",
    reason="The machine resolves its own name to the template's.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("hostname",),
    observe=observe,
    plan=plan,
)
