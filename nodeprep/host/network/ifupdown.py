"""Links of ifupdown: what interfaces(5) says of them, and that changed and tried on the link.

ifup(8) starts DHCP clients that live on. They are started in units of their own by systemd, or they would be children
of this daemon, in its sandbox, and end with it. A client is stopped without a word to its server: what it holds may be
a twin's lease as well, and a release would free the address under the twin that keeps it. Its lease and its identity,
made from a MAC and a time, are set aside with it. Everything raises HostError, in bounded time.
"""

from __future__ import annotations

from collections.abc import Iterable

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network import interfaces
from nodeprep.host.network.trial import Manager, attempt
from nodeprep.model import Link, Profile
from nodeprep.steps import SetProfile

NAME = "ifupdown"
STATE = "/run/network/ifstate"
CLIENT_FILES = (
    "/var/lib/dhcp/dhclient*.{link}.lease*",
    "/var/lib/dhcp/dhclient.lease*",
    "/var/lib/dhcpcd/{link}*.lease*",
    "/var/lib/dhcpcd/duid",
    "/var/lib/dhcpcd/secret",
)
STOP_CLIENTS = """\
for file in /run/dhclient.$1.pid /run/dhclient6.$1.pid /run/udhcpc.$1.pid; do
    if [ -s "$file" ]; then kill "$(cat "$file")" || true; fi
done
if [ -e "/run/dhcpcd/$1.pid" ]; then dhcpcd -x "$1" || true; fi
"""
DOWN_TIMEOUT_S = 30.0
UP_TIMEOUT_S = 70.0
"""dhclient(8) waits 60 s for a server."""


def profiles(links: Iterable[Link], files: Files) -> tuple[Profile, ...]:
    """Return what configures each of the links that ifupdown has brought up, in their order."""
    state = (files.read_text(STATE) or "").splitlines()
    up = {line.partition("=")[0] for line in state}
    found = ((link.name, interfaces.stanzas(files, link.name)) for link in links if link.name in up)
    return tuple(profile_of(link, of) for link, of in found if of)


def profile_of(link: str, of: tuple[interfaces.Stanza, ...]) -> Profile:
    """Return the profile that the stanzas of a link are."""
    pins = [match[0] for pin in interfaces.pins(of) if (match := interfaces.MAC.search(pin.value))]
    ipv4, ipv6 = (interfaces.addresses(of, version) for version in (4, 6))
    methods = {(stanza.family, stanza.method) for stanza in of}
    return Profile(
        key=f"{NAME}:{link}",
        title=f"iface {link}",
        link=link,
        pinned_mac=pins[-1].lower() if pins else None,
        ipv4_method="auto" if ("inet", "dhcp") in methods else "manual" if ipv4 else "disabled",
        ipv4_addresses=ipv4,
        ipv6_method="manual" if ipv6 else "auto",
        ipv6_addresses=ipv6,
        manager=NAME,
    )


def set_profile(change: SetProfile, files: Files) -> None:
    """Change the stanzas of a link and keep that only if the link then carries. Raises HostError."""
    of = interfaces.stanzas(files, change.link)
    if change.profile != f"{NAME}:{change.link}" or not of:
        raise HostError(f"{change.profile}: {interfaces.MAIN} has no stanza for {change.link} any more")
    attempt(change, profile_of(change.link, of), interfaces.edits(change, of, files), files, manager(files))


def manager(files: Files) -> Manager:
    """Return how ifupdown takes links down and up, by the files as they are then."""
    return Manager(lambda link: _down(link, files), lambda link: _up(link, files))


def _names(link: str, files: Files) -> tuple[str, ...]:
    """Return what ifupdown calls a link and its aliases."""
    return tuple(dict.fromkeys(stanza.name for stanza in interfaces.stanzas(files, link)))


def _down(link: str, files: Files) -> None:
    _run(f"{NAME}-stop-{link}", ("sh", "-c", STOP_CLIENTS, "sh", link), DOWN_TIMEOUT_S)
    for pattern in CLIENT_FILES:
        files.set_aside(pattern.format(link=link))
    if programs.active_units(frozenset({_unit(link)})):
        programs.run(("systemctl", "stop", _unit(link)), DOWN_TIMEOUT_S)
    _run(f"{NAME}-down-{link}", ("ifdown", "--force", *reversed(_names(link, files))), DOWN_TIMEOUT_S)


def _up(link: str, files: Files) -> None:
    _run(_unit(link), ("ifup", "--force", *_names(link, files)), UP_TIMEOUT_S, "--remain-after-exit")


def _unit(link: str) -> str:
    return f"nodeprep-{NAME}-{link}.service"


def _run(unit: str, argv: tuple[str, ...], timeout_s: float, *options: str) -> None:
    """Have systemd run a program to its end."""
    name = unit if unit.endswith(".service") else f"nodeprep-{unit}.service"
    programs.run(
        ("systemd-run", "--quiet", "--collect", f"--unit={name}", "--service-type=oneshot", *options, *argv), timeout_s
    )
