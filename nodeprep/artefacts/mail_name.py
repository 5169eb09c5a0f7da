"""Mail name: the domain of mail that names none (mailname(5)), where it is the machine's own name.

Renewed before the hostname: by comparison with it a name of the machine is told from the domain of a whole fleet.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATH = "/etc/mailname"
SEALED = "sealed-image"
"""Stands for the machine's part in an image: Postfix does not start without the file, and the domain is the fleet's."""


def label(name: str) -> str:
    """Return the machine's part of a domain name."""
    return name.partition(".")[0].lower()


def observe(machine: MachineView) -> Reading:
    """Return the mail name if its first label is that of the hostname, or of the machine's own line in /etc/hosts.

    Or that of a sealed image.
    """
    lines = (line.split() for line in (machine.read_text("/etc/hosts") or "").splitlines())
    own = {machine.hostname(), *(name for names in lines if names[:1] == ["127.0.1.1"] for name in names[1:])}
    name = (machine.read_text(PATH) or "").strip()
    return (
        frozenset({name}) if label(name) in {label(one) for one in own} - {"", "localhost"} | {SEALED} else frozenset()
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Put the hostname to come in its place, with the domain that was there."""
    renamed = {old: label(situation.hostname) + old[len(label(old)) :] for old in finding.values if situation.hostname}
    return tuple(ReplaceText(PATH, old, new) for old, new in sorted(renamed.items()) if old != new)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Leave the domain in the image, with a name that is nobody's."""
    found = observe(machine)
    assert isinstance(found, frozenset)
    return tuple(
        ReplaceText(PATH, name, SEALED + name[len(label(name)) :]) for name in sorted(found) if label(name) != SEALED
    )


ARTEFACT = Artefact(
    name="mail-name",
    title="mail name",
    reason="Mail from every clone says that it comes from the template.",
    kind=Kind.A,
    stage=Stage.MAIN,
    observe=observe,
    plan=plan,
    restart=("exim4.service", "postfix.service"),
    seal=seal,
)
