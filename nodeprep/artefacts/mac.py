"""MAC addresses of the links, and the pins that profiles set on them (IEEE 802-2014; nm-settings(5)).

A doubled MAC is the worst of the doubles: frames reach either machine, and conflict detection after RFC 5227 is blind.
"""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Reading, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, SetLinkMac, SetProfile, Situation

KEYFILES = "/etc/NetworkManager/system-connections/*"
PIN = re.compile(r"(?im)^(cloned|assigned)-mac-address[ \t]*=[ \t]*([0-9a-f]{2}:){5}[0-9a-f]{2}[ \t]*$\n?")
"""A literal MAC; words such as "stable" and "random" give every machine its own."""


def observe(machine: MachineView) -> Reading:
    """Return the MACs that the links bear now."""
    return frozenset(link.mac for link in machine.links())


def handed_down(machine: MachineView, reading: Values) -> Values:
    """Return what profiles pin: a link's own MAC is nobody's legacy."""
    return frozenset(profile.pinned_mac for profile in machine.profiles() if profile.pinned_mac)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Drop the pin where the link has a MAC of its own beneath, else take a locally administered one.

    Where the address is renewed as well, its own step does both in a single activation.
    """
    if situation.mac_on_conflict != "renew":
        return ()
    doubled = [link for link in situation.links if link.mac in finding.values]
    actions: list[Action] = []
    for index, link in enumerate(sorted(doubled, key=lambda link: link.name)):
        original = link.permanent_mac
        profile = next((profile for profile in situation.profiles if profile.link == link.name), None)
        if profile and profile.pinned_mac and original and original not in finding.values:
            actions.append(SetProfile(profile.key, link.name, mac=""))
        elif profile:
            actions.append(SetProfile(profile.key, link.name, mac=numbered(fresh.mac, index)))
        else:
            actions.append(SetLinkMac(link.name, numbered(fresh.mac, index)))
    return tuple(actions)


def numbered(mac: str, index: int) -> str:
    """Return the MAC whose last byte is index further on, for the links of one machine."""
    head, last = mac.rsplit(":", 1)
    return f"{head}:{(int(last, 16) + index) % 256:02x}"


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take the pins out of NetworkManager's files; what it has in memory, and its links, stay as they are."""
    return tuple(
        ReplaceText(path, pin[0], "")
        for path in machine.glob(KEYFILES)
        for pin in PIN.finditer(machine.read_text(path) or "")
    )


ARTEFACT = Artefact(
    name="mac",
    title="MAC addresses",
    reason="Frames go to either machine, and address conflict detection is blind to it.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("machine-id",),
    observe=observe,
    plan=plan,
    claim=Claim.MAC,
    handed_down=handed_down,
    seal=seal,
)
