"""This machine: its files and programs, and, once the bus and the network are there, what their managers say and do."""

from __future__ import annotations

from typing import Protocol

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.model import Link, Opening, Profile
from nodeprep.steps import SetProfile


class Managers(Protocol):
    """The services that own the hostname, the links and the firewall of a running system. Methods raise HostError."""

    def set_hostname(self, hostname: str) -> None: ...

    def set_profile(self, change: SetProfile) -> None: ...

    def set_link_mac(self, link: str, mac: str) -> None: ...

    def apply_openings(self, openings: tuple[Opening, ...], mode: str) -> None: ...


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

    def run_program(self, argv: tuple[str, ...], timeout_s: float) -> None:
        """Run a program; a path in our staging folder is taken below the root. Raises HostError."""
        programs.run(
            tuple(self.real(word) if word.startswith("/var/lib/nodeprep/") else word for word in argv), timeout_s
        )

    def set_hostname(self, hostname: str) -> None:
        """Set the hostname through hostnamed. Raises HostError."""
        self._require().set_hostname(hostname)

    def set_profile(self, change: SetProfile) -> None:
        """Change and activate a profile. Raises HostError."""
        self._require().set_profile(change)

    def set_link_mac(self, link: str, mac: str) -> None:
        """Set a link's MAC. Raises HostError."""
        self._require().set_link_mac(link, mac)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str) -> None:
        """Make the openings in the firewall. Raises HostError."""
        self._require().apply_openings(openings, mode)

    def reboot(self, reason: str) -> None:
        """Boot the machine again, in order. Raises HostError."""
        programs.run(("systemctl", "reboot", f"--message=nodeprep: {reason}"), 30)

    def _require(self) -> Managers:
        if self._managers is None:
            raise HostError("the bus and the network are not there yet")
        return self._managers
