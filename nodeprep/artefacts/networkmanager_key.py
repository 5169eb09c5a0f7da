"""NetworkManager's secret key: what stable MACs, IPv6 addresses and client IDs are made from (nm-settings(5))."""

from __future__ import annotations

from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.reading import removals
from nodeprep.steps import Action, Fresh, SetAside, Situation

PATH = "/var/lib/NetworkManager/secret_key"
TIMESTAMPS = "/var/lib/NetworkManager/timestamps"


def observe(machine: MachineView) -> Reading:
    """Return a digest of the key; the key itself is a secret."""
    key = machine.read_bytes(PATH)
    return frozenset({sha256(key).hexdigest()}) if key else frozenset()


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set it aside with the timestamps; NetworkManager makes a new one when it starts."""
    return (SetAside(TIMESTAMPS), SetAside(PATH))


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take it out of the image, with the record of when and where profiles were used."""
    return removals(machine, (TIMESTAMPS, "/var/lib/NetworkManager/seen-bssids", PATH))


ARTEFACT = Artefact(
    name="networkmanager-key",
    title="NetworkManager's secret key",
    reason="Same stable MAC, IPv6 address and DHCP client identifier on every clone.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    idle=("NetworkManager.service",),
    seal=seal,
)
