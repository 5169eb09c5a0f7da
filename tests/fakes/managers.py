"""hostnamed and a network manager that keep what they are told, and show it in the next view of the machine."""

from __future__ import annotations

import os
from dataclasses import replace

from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine
from nodeprep.model import Link, LinkAddress, Opening, Profile
from nodeprep.steps import SetProfile


class FakeManagers:
    """The services of one running machine; the hostname lies in the file of its root, as hostnamed's does."""

    def __init__(self, root: str, links: tuple[Link, ...] = (), profiles: tuple[Profile, ...] = ()) -> None:
        self.root = root
        self.links = links
        self.profiles = profiles
        self.openings: tuple[Opening, ...] = ()

    def view(self, run: str) -> LocalMachine:
        """Return the machine as it is now."""
        return LocalMachine(run, self.root, links=self.links, profiles=self.profiles, managers=self)

    def set_hostname(self, hostname: str) -> None:
        path = f"{self.root}/etc/hostname"
        descriptor = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.write(descriptor, f"{hostname}\n".encode())
        os.fsync(descriptor)
        os.close(descriptor)
        os.rename(f"{path}.new", path)

    def set_profile(self, change: SetProfile) -> None:
        before = next((profile for profile in self.profiles if profile.key == change.profile), None)
        if before is None:
            raise HostError(f"{change.profile}: there is no such profile")
        after = before
        if change.mac is not None:
            after = replace(after, pinned_mac=change.mac or None)
        if change.ipv4_addresses is not None:
            method = "manual" if change.ipv4_addresses else "auto"
            after = replace(after, ipv4_method=method, ipv4_addresses=change.ipv4_addresses)
        if change.ipv6_addresses is not None:
            method = "manual" if change.ipv6_addresses else "auto"
            after = replace(after, ipv6_method=method, ipv6_addresses=change.ipv6_addresses)
        self.profiles = tuple(after if profile is before else profile for profile in self.profiles)
        self.links = tuple(_activated(link, after) if link.name == change.link else link for link in self.links)

    def set_link_mac(self, link: str, mac: str) -> None:
        self.links = tuple(replace(one, mac=mac) if one.name == link else one for one in self.links)

    def apply_openings(self, openings: tuple[Opening, ...], mode: str, backend: str) -> None:
        self.openings = openings


def _activated(link: Link, profile: Profile) -> Link:
    """Return the link with what the profile sets; an address that it does not set is made anew."""
    static = tuple(
        LinkAddress(text.partition("/")[0], int(text.partition("/")[2]), "global")
        for text in (*profile.ipv4_addresses, *profile.ipv6_addresses)
    )
    mac = profile.pinned_mac or link.permanent_mac or link.mac
    return replace(link, mac=mac, addresses=static)
