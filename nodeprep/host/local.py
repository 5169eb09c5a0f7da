"""This machine: its files and programs, and, once the bus and the network are there, what their managers say and do."""

from __future__ import annotations

from typing import Protocol

from nodeprep.errors import HostError
from nodeprep.host import attic, platform, programs
from nodeprep.host.files import Files, named
from nodeprep.model import Link, Opening, Profile
from nodeprep.steps import Plan, SetProfile

HELD = "/var/lib/nodeprep/held"
"""A file for each unit that is kept from starting."""


class Managers(Protocol):
    """The services that own the hostname, the links and the firewall of a running system. Methods raise HostError."""

    def set_hostname(self, hostname: str) -> None: ...

    def set_profile(self, change: SetProfile) -> None: ...

    def set_link_mac(self, link: str, mac: str) -> None: ...

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None: ...


class LocalMachine(Files):
    """The machine that we run on: MachineView and MachineTouch in one.

    links, profiles and hostname are what was asked of the managers just before; without them the early run sees files
    only.
    """

    def __init__(
        self,
        run: str,
        root: str = "",
        *,
        links: tuple[Link, ...] = (),
        profiles: tuple[Profile, ...] = (),
        hostname: str | None = None,
        managers: Managers | None = None,
    ) -> None:
        super().__init__(run, root)
        self._links = links
        self._profiles = profiles
        self._hostname = hostname
        self._managers = managers

    def hostname(self) -> str:
        """Return the static hostname (hostname(5))."""
        if self._hostname is not None:
            return self._hostname
        lines = (self.read_text("/etc/hostname") or "").splitlines()
        return next((line.strip() for line in lines if line.strip() and not line.startswith("#")), "")

    def links(self) -> tuple[Link, ...]:
        """Return the links as they were when this view was taken."""
        return self._links

    def profiles(self) -> tuple[Profile, ...]:
        """Return the profiles as they were when this view was taken."""
        return self._profiles

    def product_uuid(self) -> str:
        """Return the SMBIOS product UUID in one byte order, or "" where there is none, or below another root."""
        return "" if self.real("") else platform.canonical_uuid(platform.dmi("product_uuid"))

    def held_units(self) -> tuple[str, ...]:
        """Return the units that we keep from starting."""
        return tuple(path.rsplit("/", 1)[1] for path in self.glob(f"{HELD}/*"))

    def hold_units(self, units: tuple[str, ...]) -> None:
        """Keep units from starting, and stop those that run. Raises HostError.

        A condition in a drop-in that the package brings for each of them (units/held.conf) looks for the file that is
        written here, so that the hold lasts over boots and needs no reload.
        """
        for unit in units:
            self.write_own(f"{HELD}/{unit}", b"", 0o644)
        if running := sorted(programs.active_units(frozenset(units))):
            programs.run(("systemctl", "stop", *running), 60)

    def release_units(self, units: tuple[str, ...]) -> None:
        """Let units start again, and start those that are enabled. Raises HostError."""
        for unit in units:
            self.remove_own(f"{HELD}/{unit}")
        if enabled := sorted(programs.enabled_units(frozenset(units))):
            programs.run(("systemctl", "--no-block", "start", *enabled), 30)

    def run_program(self, argv: tuple[str, ...], timeout_s: float) -> None:
        """Run a program; a path in our staging folder is taken below the root. Raises HostError."""
        programs.run(
            tuple(self.real(word) if word.startswith("/var/lib/nodeprep/") else word for word in argv), timeout_s
        )

    def prepare(self, plan: Plan, reason: str) -> None:
        """See that there is room for a plan, and say why it is carried out, before its first step. Raises HostError."""
        try:
            self.require_room([action for step in plan.steps for action in step.actions])
        except HostError:
            self.remove_staging()
            raise
        self.attic.because(reason)

    def set_hostname(self, hostname: str) -> None:
        """Set the hostname through hostnamed. Raises HostError."""
        managers = self._require()
        self._note_change("hostname", self.hostname(), hostname)
        managers.set_hostname(hostname)

    def set_profile(self, change: SetProfile) -> None:
        """Change and activate a profile. Raises HostError."""
        managers = self._require()
        before = next((profile for profile in self._profiles if profile.key == change.profile), None)
        told = {"mac": (before.pinned_mac or "" if before else "", change.mac)}
        for name in ("ipv4_addresses", "ipv6_addresses"):
            new = getattr(change, name)
            told[name] = (", ".join(getattr(before, name, ())), None if new is None else ", ".join(new))
        for name, (old, value) in told.items():
            if value is not None:
                self._note_change(name, old, value, profile=change.profile, link=change.link)
        managers.set_profile(change)

    def set_link_mac(self, link: str, mac: str) -> None:
        """Set a link's MAC. Raises HostError."""
        managers = self._require()
        self._note_change("mac", next((one.mac for one in self._links if one.name == link), ""), mac, link=link)
        managers.set_link_mac(link, mac)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        """Make the openings in the firewall. Raises HostError."""
        self._require().apply_openings(openings, mode, backend)

    def reboot(self, reason: str) -> None:
        """Boot the machine again, in order. Raises HostError."""
        programs.run(("systemctl", "reboot", f"--message=nodeprep: {reason}"), 30)

    def _note_change(self, field: str, old: str, new: str, profile: str = "", link: str = "") -> None:
        with named(attic.ATTIC):
            self.attic.note("changed", field=field, old=old, new=new, profile=profile, link=link)

    def _require(self) -> Managers:
        if self._managers is None:
            raise HostError("the bus and the network are not there yet")
        return self._managers
