"""The vocabulary: what the six phases hand to one another.

Everything here is frozen and holds no behaviour beyond reading itself. Only the standard library is imported, so that
the boot fast path may reach it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from nodeprep.machine import MachineView
    from nodeprep.steps import Action, Fresh, Situation


class Verdict(str, Enum):
    """What the judge says of a subject. The set is closed."""

    OWN = "own"
    INHERITED = "inherited"
    """The template's: still the value this disk had before it was copied."""
    CONFLICT = "conflict"
    """A live peer presents it."""
    MISSING = "missing"
    """It should be there and is not."""
    ABSENT = "absent"
    """It is not there and need not be."""
    UNKNOWN = "unknown"
    """It could not be read: never renewed, always reported."""


class Kind(str, Enum):
    """What may be done about a duplicate artefact."""

    A = "A"
    """Renewed by itself on a first boot, clone or twin."""
    B = "B"
    """Renewed if the service that owns it has never been used on this machine."""
    C = "C"
    """Destructive: set aside, never deleted, and only if the policy allows."""
    R = "R"
    """Cannot be mended inside the guest: reported."""


class Stage(str, Enum):
    """Which of the two runs of a boot renews an artefact."""

    EARLY = "early"
    MAIN = "main"


class Origin(str, Enum):
    """How this boot relates to the machine that wrote the stamp."""

    FIRST_BOOT = "first-boot"
    SAME = "same"
    TWIN = "twin"
    CLONE = "clone"
    MOVED = "moved"
    NEW_NIC = "new-nic"
    WEAK = "weak"
    ADOPTED = "adopted"

    @property
    def renews(self) -> bool:
        """Whether class A artefacts are renewed without being asked."""
        return self in (Origin.FIRST_BOOT, Origin.CLONE, Origin.TWIN)


class Claim(str, Enum):
    """What a machine presents on the wire and nobody else may present."""

    MACHINE_ID = "machine-id"
    HOSTNAME = "hostname"
    MAC = "mac"
    IPV4 = "ipv4-address"
    IPV6 = "ipv6-address"
    SSH_HOST_KEY = "ssh-host-keys"


CONFINED = (Claim.MAC, Claim.IPV4, Claim.IPV6)
"""What is unique on its segment only."""

Values: TypeAlias = frozenset[str]


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An artefact that could not be read, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """An artefact that should be there and is not."""

    reason: str


Reading: TypeAlias = Values | Unreadable | Lacking


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface that carries Ethernet frames."""

    name: str
    index: int
    mac: str
    """Lower case, colon separated: what frames bear now."""
    permanent_mac: str | None
    """What the hardware says, or None where there is no hardware to ask (veth)."""
    carrier: bool
    addresses: tuple[LinkAddress, ...] = ()
    port: bool = False
    """Another link of the machine (a bond, a team, a bridge) stands for it, and speaks for it."""
    flaps: int = 0
    """How often its carrier came or went: a link that carries again may lead elsewhere."""

    @property
    def speaks(self) -> bool:
        """Whether frames of ours go over it."""
        return self.carrier and not self.port

    @property
    def own_addresses(self) -> tuple[LinkAddress, ...]:
        """The addresses that are this machine's alone, and not virtual ones that wander between nodes."""
        return tuple(address for address in self.addresses if not address.floating)


@dataclass(frozen=True, slots=True)
class LinkAddress:
    """An address on a link."""

    address: str
    prefix_length: int
    scope: str
    """Either "global" or "link"."""
    dad_failed: bool = False
    """The kernel's duplicate address detection (RFC 4862) found another holder."""
    dynamic: bool = False
    """Leased or autoconfigured (not IFA_F_PERMANENT)."""
    floating: bool = False
    """A virtual IP: set by keepalived, or a lone address (/32, /128) beside the link's own, as kube-vip sets it."""

    @property
    def version(self) -> int:
        return 6 if ":" in self.address else 4


@dataclass(frozen=True, slots=True)
class Sighting:
    """A sign of a machine without nodeprep that bears an address of ours."""

    kind: str
    """Either "ipv4", "ipv6" or "mac"."""
    value: str
    """What of ours it bears."""
    link: str
    mac: str
    """Its own; empty if that is not known."""


@dataclass(frozen=True, slots=True)
class Profile:
    """A connection profile of a network manager, as far as it carries identity."""

    key: str
    """How its manager names it (a UUID for NetworkManager)."""
    title: str
    link: str | None
    """The link that it is active on."""
    pinned_mac: str | None
    """A literal MAC that the profile sets on the link."""
    ipv4_method: str = "auto"
    ipv4_addresses: tuple[str, ...] = ()
    """Static addresses as ADDRESS/PREFIX."""
    ipv6_method: str = "auto"
    ipv6_addresses: tuple[str, ...] = ()
    manager: str = "NetworkManager"
    """Who has it: "NetworkManager", "networkd", "netplan" or "ifupdown"."""
    matched_mac: str | None = None
    """A MAC by which the profile finds its link."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The verdict on one subject."""

    subject: str
    verdict: Verdict
    values: Values = frozenset()
    """The values that the verdict is about: for CONFLICT those contested, for INHERITED those inherited."""
    detail: str = ""
    used: str = ""
    """Class B: what shows that its owner was used on this machine."""


@dataclass(frozen=True, slots=True)
class Decision:
    """How this boot relates to the stamp, and the sentence that says why."""

    origin: Origin
    reason: str
    joined: bool = False
    """Joined cluster state lies on this disk, and stays there."""
    resumed: bool = False
    """A renewal was cut off and goes on."""
    resets: bool = False
    """What is destructive to renew (class C) is set aside as well, as policy or an operator says."""

    @property
    def renews(self) -> bool:
        """Whether what is inherited is renewed; a joined machine never changes by itself."""
        return self.origin.renews and not self.joined


IP_PROTOCOLS: Mapping[str, int] = {"ip-in-ip": 4, "esp": 50, "vrrp": 112}
"""Protocols without ports that an opening may be of, by their number (RFC 2003, RFC 4303, RFC 5798)."""
ICMP_ECHO = "icmp-echo"
"""Echo request, of ICMP to an IPv4 address (RFC 792) and of ICMPv6 to an IPv6 one (RFC 4443)."""


@dataclass(frozen=True, slots=True)
class Opening:
    """A range of ports, or a protocol without any, that a role needs to be reachable."""

    protocol: str
    """"tcp" or "udp", one of IP_PROTOCOLS, or ICMP_ECHO."""
    first_port: int
    """0 where the protocol has no ports, as the last one."""
    last_port: int
    purpose: str
    role: str
    sources: tuple[str, ...] = ()
    """CIDRs that may reach it; empty where nobody said, and then anyone may."""
    needed_by: tuple[str, ...] = ()
    """Who has to reach it, in words of roles.REACHED_FROM."""

    @property
    def ports(self) -> str:
        """As most programs write them: 6443, 30000-32767; empty where the protocol has none."""
        if self.first_port == self.last_port:
            return str(self.first_port or "")
        return f"{self.first_port}-{self.last_port}"

    @property
    def title(self) -> str:
        """As a person writes it: 6443/tcp, 30000-32767/udp, ip-in-ip."""
        return f"{self.ports}/{self.protocol}" if self.ports else self.protocol


@dataclass(frozen=True, slots=True)
class Artefact:
    """One identity artefact: the record from which discovery, order, plan, status and manual follow."""

    name: str
    title: str
    reason: str
    """Why a duplicate hurts."""
    kind: Kind
    stage: Stage
    observe: Callable[[MachineView], Reading]
    plan: Callable[[Finding, Fresh, Situation], tuple[Action, ...]]
    after: tuple[str, ...] = ()
    claim: Claim | None = None
    """What of it is presented to the peers."""
    present: Callable[[MachineView], Values] | None = None
    """The values presented to the peers, where they are more than what is observed."""
    handed_down: Callable[[MachineView, Values], Values] | None = None
    """Which of the values observed are a template's on a machine of unknown past, where not all of them are."""
    follows_hardware: bool = False
    """It names hardware, and is mended where only that was replaced."""
    volatile: bool = False
    """The value changes by itself, so that the stamp cannot tell whether it is inherited."""
    confidential: bool = False
    """The value never leaves the machine, nor is shown, but as a fingerprint."""
    idle: tuple[str, ...] = ()
    """Units that must not run while it is renewed on a running system."""
    restart: tuple[str, ...] = ()
    """Units that hold the old value and are restarted afterwards, if they run."""
    used: Callable[[MachineView], str] | None = None
    """Class B: what shows that its owner was used on this machine, or "" where nothing does."""
    lacks: Callable[[MachineView], str] | None = None
    """What a first boot has to make, before its owner starts, as no owner makes it anew; "" where it lacks nothing."""
    holds: tuple[str, ...] = ()
    """Class C: units that must not run with a template's value; none where it may be the way in, and is only told."""
    joins: bool = False
    """Class C: who has it is a member of a cluster, and nothing of such a machine is renewed."""
    remedy: str = ""
    """What an operator types where nodeprep does not renew it by itself (classes B, C and R)."""
    seal: Callable[[MachineView], tuple[Action, ...]] | None = None
    """What takes it out of an image (`nodeprep seal`); None where nothing of it lies in an image."""


Observation: TypeAlias = Mapping[str, Reading]
