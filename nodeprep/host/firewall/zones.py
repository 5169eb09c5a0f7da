"""Zones: what firewalld's zone of a link, or of a peer, says to an opening, and how it is told otherwise.

Rich rules decide in the order of firewalld.richlanguage(5): by priority, and of one priority those that refuse first.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from ipaddress import ip_address, ip_network
from typing import Any

from nodeprep.host.bus import Bus
from nodeprep.host.firewall.firewalld import FIREWALLD, PATH, ZONE, Settings
from nodeprep.model import Opening

_NUMBERS = {"tcp": "6", "udp": "17"}
_DECISIONS = ("accept", "reject", "drop")
_UNKNOWN = ("NOT", "destination", "source-port", "icmp-block", "icmp-type", "masquerade", "forward-port", "mark")
"""What of a rich rule nobody can tell from here whether it is met, or what is no filter."""


async def refusal(bus: Bus, opening: Opening, peer: str, link: str) -> tuple[str, str] | None:
    """Return who of firewalld refuses a peer an opening, and the command that mends it; None where nobody does.

    link: where the peer's packets come in. Raises HostError.
    """
    if not await bus.has_owner(FIREWALLD):
        return None
    if await _ask(bus, FIREWALLD, "queryPanicMode"):
        return "firewalld's panic mode", "`firewall-cmd --panic-off`"
    active = await _ask(bus, ZONE, "getActiveZones")
    zone = zone_of(active, link, peer) or await _ask(bus, FIREWALLD, "getDefaultZone")
    settings = await _ask(bus, ZONE, "getZoneSettings2", zone)
    known = await _ask(bus, FIREWALLD, "listServices")
    named = {*settings.get("services", ()), *(_fields(rule).get("name", "") for rule in settings.get("rules_str", ()))}
    services = {name: await _ask(bus, FIREWALLD, "getServiceSettings2", name) for name in sorted(named & set(known))}
    return refusal_in(zone, settings, services, opening, peer)


async def _ask(bus: Bus, interface: str, member: str, *words: str) -> Any:
    (told,) = await bus.call(FIREWALLD, PATH, interface, member, "s" * len(words), words, start=False)
    return told


def zone_of(active: Mapping[str, Mapping[str, Iterable[str]]], link: str, peer: str) -> str:
    """Return the active zone that a peer's packets are in, "" where it is the default zone; sources come first."""
    for name, bound in active.items():
        if any(_is_within(peer, each) for each in bound.get("sources", ())):
            return name
    return next((name for name, bound in active.items() if link in bound.get("interfaces", ())), "")


def refusal_in(
    zone: str, settings: Settings, services: Mapping[str, Settings], opening: Opening, peer: str
) -> tuple[str, str] | None:
    """Return the same of a zone whose settings, and services, these are."""
    decisions = [each for rule in settings.get("rules_str", ()) if (each := _decision(rule, services, opening, peer))]
    allowed = [settings, *(services[name] for name in settings.get("services", ()) if name in services)]
    if settings.get("target") == "ACCEPT" or any(_is_of(each, opening) for each in allowed):
        decisions.append((0, True, ""))
    called = f"firewalld's zone {zone}"
    if not decisions:
        command = f"`firewall-cmd --zone={zone} --add-port={opening.title}`, and the same with --permanent"
        return f"{called}, which does not open it", command
    _, is_open, rule = min(decisions)
    if is_open:
        return None
    command = f"`firewall-cmd --zone={zone} --remove-rich-rule='{rule}'`, and the same with --permanent"
    return f"{called}, rich rule `{rule}`", command


def _decision(rule: str, services: Mapping[str, Settings], opening: Opening, peer: str) -> tuple[int, bool, str] | None:
    """Return priority, whether it accepts, and the rule, where it decides on an opening; None where it does not."""
    words, fields = shlex.split(rule), _fields(rule)
    decision = next((word for word in words if word in _DECISIONS), "")
    if not decision or any(word in _UNKNOWN for word in words) or ("source" in words and "address" not in fields):
        return None
    if fields.get("family", f"ipv{ip_address(peer).version}") != f"ipv{ip_address(peer).version}":
        return None
    if "address" in fields and not _is_within(peer, fields["address"]):
        return None
    about: Settings | None = None
    if "service" in words:
        about = services.get(fields["name"], {})
    elif "port" in words:
        about = {"ports": [(fields["port"], fields["protocol"])]}
    elif "protocol" in words:
        about = {"protocols": [fields["value"]]}
    if about is not None and not _is_of(about, opening):
        return None
    return int(fields.get("priority", 0)), decision == "accept", rule


def _fields(rule: str) -> dict[str, str]:
    """Return what a rich rule gives names to."""
    return {key: value for key, sign, value in (word.partition("=") for word in shlex.split(rule)) if sign}


def _is_of(settings: Settings, opening: Opening) -> bool:
    """Whether ports or protocols of a zone or service are about an opening, or a part of it."""
    if {opening.protocol, _NUMBERS.get(opening.protocol)} & set(settings.get("protocols", ())):
        return True
    for ports, protocol in settings.get("ports", ()):
        first, _, last = ports.partition("-")
        if (
            protocol == opening.protocol
            and int(first) <= opening.last_port
            and opening.first_port <= int(last or first)
        ):
            return True
    return False


def _is_within(peer: str, cidr: str) -> bool:
    try:
        return ip_address(peer) in ip_network(cidr, strict=False)
    except ValueError:
        return False  # a MAC, or the name of a set
