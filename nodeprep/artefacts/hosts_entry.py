"""The line of /etc/hosts in which Debian keeps the machine's own name (hosts(5), Debian Reference 5.1.1)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATH = "/etc/hosts"
UNNAMED = "localhost"


def observe(machine: MachineView) -> Values:
    """Return the lines for 127.0.1.1."""
    lines = (machine.read_text(PATH) or "").splitlines(keepends=True)
    return frozenset(line for line in lines if line.split()[:1] == ["127.0.1.1"])


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Put the name of now where the first name of the line stands, with its domain; aliases stay."""
    renamed = {line: rename(line, situation.hostname) for line in sorted(finding.values) if situation.hostname}
    return tuple(ReplaceText(PATH, line, new) for line, new in renamed.items() if line != new)


def rename(line: str, hostname: str) -> str:
    """Return a line of hosts(5) in which hostname stands for the first name, in its short and its full form."""
    address, *names = line.split()
    old = names[0].partition(".")[0] if names else ""
    short = hostname.partition(".")[0]
    forms = {old: hostname} | {name: short + name[len(old) :] for name in names if name.startswith(f"{old}.")}
    return f"{address}\t{' '.join(forms.get(name, name) for name in names or [old])}\n"


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Put the name there that a machine without a hostname has until its first boot gives it one (hostname(5))."""
    renamed = {line: rename(line, UNNAMED) for line in sorted(observe(machine))}
    return tuple(ReplaceText(PATH, line, new) for line, new in renamed.items() if line != new)


ARTEFACT = Artefact(
    name="hosts-entry",
    title="own line in /etc/hosts",
    reason="The machine resolves its own name to the template's.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("hostname",),
    observe=observe,
    plan=plan,
    seal=seal,
)
