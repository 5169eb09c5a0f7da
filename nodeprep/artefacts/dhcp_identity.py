"""DHCP identity and leases of NetworkManager, dhclient, dhcpcd and dhcp6c (RFC 2131, RFC 4361, RFC 8415).

networkd keeps none on the disk: its identity follows the machine ID (its leases lie in /run), unless DUIDRawData= in
networkd.conf(5) or a .network file says another, which is the operator's word and stays. networkd is restarted where
the machine ID is renewed; what a client of ifupdown's still holds goes with the next activation of its profile.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Kind, Reading, Stage
from nodeprep.reading import digests, removals, set_aside
from nodeprep.steps import Action

PATTERNS = (
    "/var/lib/NetworkManager/*.lease",
    "/var/lib/NetworkManager/dhcp6-duid",
    # The identity that ifupdown has dhclient use (-i) is in its leases.
    "/var/lib/dhcp/dhclient*.lease*",
    "/var/lib/dhcpcd*/duid",
    # What stable private addresses (RFC 7217) are made from.
    "/var/lib/dhcpcd*/secret",
    "/var/lib/dhcpcd*/*.lease*",
    "/etc/dhcpcd.duid",
    "/etc/dhcpcd.secret",
    "/var/lib/dhcpv6/dhcp6c_duid",
    "/var/lib/systemd/network/leases/*",
)


def observe(machine: MachineView) -> Reading:
    """Return path and digest of every lease and client identifier."""
    return digests(machine, PATTERNS)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take them out of the image."""
    return removals(machine, PATTERNS)


ARTEFACT = Artefact(
    name="dhcp-identity",
    title="DHCP identity and leases",
    reason="Two machines, one lease: the commonest fault of clones.",
    kind=Kind.A,
    stage=Stage.EARLY,
    after=("machine-id",),
    observe=observe,
    plan=set_aside,  # the client makes its identity anew from the machine ID
    volatile=True,
    confidential=True,
    idle=("NetworkManager.service", "dhcpcd.service"),
    seal=seal,
)
