"""Steps: what may be done about a finding. A plan is data; `apply.perform` is where each action takes effect."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2s
from typing import TypeAlias

from nodeprep.model import Link, Opening, Profile


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Put content at path atomically; what was there goes to the attic."""

    path: str
    content: bytes = field(repr=False)
    mode: int = 0o644


@dataclass(frozen=True, slots=True)
class ReplaceText:
    """Replace one exact piece of a text file, atomically; the former file goes to the attic."""

    path: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class ReplaceSecret(ReplaceText):
    """Do the same with a text that no plan may show."""

    old: str = field(repr=False)
    new: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class LinkFile:
    """Make path a symbolic link to target; what was there goes to the attic."""

    path: str
    target: str


@dataclass(frozen=True, slots=True)
class SetAside:
    """Move every path that matches the pattern into the attic."""

    pattern: str


@dataclass(frozen=True, slots=True)
class RenameFolder:
    """Rename a folder; if the new name is taken the old folder goes to the attic."""

    path: str
    new_path: str


@dataclass(frozen=True, slots=True)
class ReplaceFiles:
    """Put the files of a staging folder in place of those that match the pattern, public halves last."""

    pattern: str
    staging: str


@dataclass(frozen=True, slots=True)
class RunProgram:
    """Run a program to its end."""

    argv: tuple[str, ...]
    timeout_s: float = 60.0


@dataclass(frozen=True, slots=True)
class SetHostname:
    """Set the static and the running hostname through hostnamed(8)."""

    hostname: str


@dataclass(frozen=True, slots=True)
class SetProfile:
    """Change a connection profile and activate it again, rolled back when the link does not carry afterwards."""

    profile: str
    link: str
    mac: str | None = None
    """A literal MAC, "" to drop the pin, None to leave it."""
    ipv4_addresses: tuple[str, ...] | None = None
    """Static addresses as ADDRESS/PREFIX, () for DHCP, None to leave them."""
    ipv6_addresses: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class SetLinkMac:
    """Set the MAC of a link that no network manager has a profile for."""

    link: str
    mac: str


@dataclass(frozen=True, slots=True)
class ApplyOpenings:
    """Make the firewall pass exactly these openings for us, as a whole or not at all."""

    openings: tuple[Opening, ...]
    mode: str
    """"enforce" or "open"; "off" takes away what was made."""
    backend: str
    """Which firewall, "auto" for the one that is active."""


@dataclass(frozen=True, slots=True)
class KeepCopy:
    """Copy every file that matches the pattern into the attic, before a program changes it in its place."""

    pattern: str


@dataclass(frozen=True, slots=True)
class BringBack:
    """Put what a run keeps in the attic back in its place; what lies there now goes to the attic."""

    run: str
    kept: str
    """Where it lies below the run's folder."""
    path: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Delete every path that matches, folders with all that is in them; only ever in an image that is sealed."""

    pattern: str


@dataclass(frozen=True, slots=True)
class HoldUnits:
    """Stop units, and keep them from starting until they are released."""

    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReleaseUnits:
    """Let units start again, and start those that the operator has enabled."""

    units: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reboot:
    """Boot again, because the running system still holds the old identity."""

    reason: str


Action: TypeAlias = (
    WriteFile
    | ReplaceText
    | LinkFile
    | SetAside
    | RenameFolder
    | ReplaceFiles
    | RunProgram
    | SetHostname
    | SetProfile
    | SetLinkMac
    | ApplyOpenings
    | KeepCopy
    | BringBack
    | Remove
    | HoldUnits
    | ReleaseUnits
    | Reboot
)


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done about a subject, and why. The action that changes the observed value is the last."""

    subjects: tuple[str, ...]
    """Mostly one; several where a single action changes them together."""
    actions: tuple[Action, ...]
    reason: str
    after: tuple[str, ...] = ()
    """Subjects whose failure makes this step pointless or wrong."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in the order in which they are applied."""

    steps: tuple[Step, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.steps)


class Result(str, Enum):
    """How a step ended."""

    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a step."""

    subject: str
    result: Result
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Everything random or claimed that a plan may use, drawn before planning so that planning stays pure."""

    machine_id: str
    """32 lower case hex digits with the version and variant bits of a UUIDv4 (machine-id(5))."""
    seed: bytes = field(repr=False)
    """512 random bytes."""
    mac: str
    """A locally administered unicast MAC (IEEE 802-2014, 8.4)."""
    staging: str
    """An empty folder of our own, on the file system of the attic."""
    ipv4_address: str | None = None
    """ADDRESS/PREFIX from the pool, probed and claimed, or None if none was asked for or free."""
    ipv6_address: str | None = None

    def derived(self, purpose: str) -> bytes:
        """Return 32 random bytes of one purpose's own, the same each time that it is asked."""
        return blake2s(purpose.encode(), key=self.seed[:32]).digest()


@dataclass(frozen=True, slots=True)
class Situation:
    """What the plan of one artefact may know beyond its own finding."""

    machine_id: str = ""
    hostname: str = ""
    """The hostname that the template, or the credential, gives this machine."""
    links: tuple[Link, ...] = ()
    profiles: tuple[Profile, ...] = ()
    address_on_conflict: str = "report"
    mac_on_conflict: str = "renew"
    active_units: frozenset[str] = frozenset()
    """Of the units that artefacts name, those that run now."""
    starting_units: frozenset[str] = frozenset()
    """Of the same, those whose start is under way or due: they may read an old value while it is replaced."""
    held_units: frozenset[str] = frozenset()
    """The units that we keep from starting."""
    mount_points: frozenset[str] = frozenset()
    early: bool = False
