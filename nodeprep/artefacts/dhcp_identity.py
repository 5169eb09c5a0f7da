"""DHCP identity and leases of NetworkManager, networkd, dhclient and dhcpcd (RFC 2131, RFC 4361, RFC 8415)."""

from __future__ import annotations

from hashlib import sha256

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, SetAside, Situation

PATTERNS = (
    "/var/lib/NetworkManager/*.lease",
    "/var/lib/NetworkManager/dhcp6-duid",
    "/var/lib/dhcp/dhclient*.lease*",
    "/var/lib/dhcpcd*/duid",
    "/var/lib/dhcpcd*/*.lease*",
    "/etc/dhcpcd.duid",
    "/var/lib/systemd/network/leases/*",
)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of every lease and client identifier."""
    return frozenset(
        f"{path} {sha256(content).hexdigest()}"
        for pattern in PATTERNS
        for path in machine.glob(pattern)
        if (content := machine.read_bytes(path))
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set them aside; the client makes its identity anew from the machine ID."""
    return tuple(SetAside(path.split(" ", 1)[0]) for path in sorted(finding.values))


ARTEFACT = Artefact(
    name="dhcp-identity",
    title="DHCP identity and leases",
    reason="Two machines, one lease: the commonest fault of clones.",
    kind=Kind.A,
    stage=Stage.EARLY,
    after=("machine-id",),
    observe=observe,
    plan=plan,
    volatile=True,
    confidential=True,
    idle=("NetworkManager.service",),
)
