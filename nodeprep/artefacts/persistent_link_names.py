"""Persistent link names: udev rules of old that name links by their MAC (70-persistent-net.rules, udev(7)).

udev has done its work when nodeprep comes: links bear other names from the next boot on, and this changes nothing now.
"""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, SetAside, Situation

PATH = "/etc/udev/rules.d/70-persistent-net.rules"
MAC = re.compile(r"""^[^#\n]*ATTR\{address\}=="([0-9a-fA-F:]{17})\"""", re.MULTILINE)


def observe(machine: MachineView) -> Reading:
    """Return the MACs that rules wait for, if no link of this machine is among them.

    A file that names a link which is here does its work still. Where no link can be seen, nothing can be told.
    """
    named = frozenset(mac.lower() for mac in MAC.findall(machine.read_text(PATH) or ""))
    here = {mac for link in machine.links() for mac in (link.mac, link.permanent_mac)}
    return named if here and not named & here else frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set the rules aside."""
    return (SetAside(PATH),)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the rules out of the image."""
    return removals(machine, (PATH,))


ARTEFACT = Artefact(
    name="persistent-link-names",
    title="persistent link names",
    reason="A rule for the template's network card names none of this machine's, or gives its name away.",
    kind=Kind.A,
    stage=Stage.MAIN,
    observe=observe,
    plan=plan,
    # On the template the rule names a link that is there, so that the stamp knows nothing of it.
    volatile=True,
    seal=seal,
)
