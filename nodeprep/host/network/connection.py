"""A connection as NetworkManager's D-Bus API writes it: settings by name, properties by name, each in a Variant.

Reads one into a Profile and edits one as a SetProfile says; touches nothing. Gateway, routes, DNS and everything else
that is not the MAC or the addresses stay as they are.

Source: nm-settings-dbus(5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nodeprep.host.bus import Variant, plain
from nodeprep.model import Profile
from nodeprep.steps import SetProfile

ETHERNET = "802-3-ethernet"
MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")
DEPRECATED = {ETHERNET: ("cloned-mac-address",), "ipv4": ("addresses", "routes"), "ipv6": ("addresses", "routes")}
"""Byte arrays that say again, and less well, what assigned-mac-address, address-data and route-data say."""

Settings = dict[str, dict[str, Any]]


def profile_of(settings: Settings, active: Mapping[str, str]) -> Profile:
    """Return the profile that unwrapped settings describe; active maps UUIDs to the links they are active on."""
    connection = settings["connection"]
    mac = str(settings.get(ETHERNET, {}).get("assigned-mac-address") or "").lower()
    matched = bytes(settings.get(ETHERNET, {}).get("mac-address") or b"")
    ipv4, ipv6 = settings.get("ipv4", {}), settings.get("ipv6", {})
    return Profile(
        key=connection["uuid"],
        title=connection["id"],
        link=active.get(connection["uuid"]) or connection.get("interface-name") or None,
        pinned_mac=mac if MAC.fullmatch(mac) else None,
        ipv4_method=ipv4.get("method", "auto"),
        ipv4_addresses=addresses_of(ipv4),
        ipv6_method=ipv6.get("method", "auto"),
        ipv6_addresses=addresses_of(ipv6),
        matched_mac=matched.hex(":") or None,
    )


def addresses_of(ip: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the static addresses of an ipv4 or ipv6 setting, wrapped or not, as ADDRESS/PREFIX."""
    return tuple(f"{one['address']}/{one['prefix']}" for one in plain(ip.get("address-data", [])))


def same(one: Settings, other: Settings) -> bool:
    """Whether two settings say the same, but for the time when they were last active."""

    def said(settings: Settings) -> Any:
        connection = {key: value for key, value in settings["connection"].items() if key != "timestamp"}
        return plain({**settings, "connection": connection})

    return bool(said(one) == said(other))


def without_deprecated(settings: Settings) -> Settings:
    """Return settings without the byte arrays that would contradict what an edit changed."""
    return {
        name: {key: value for key, value in held.items() if key not in DEPRECATED.get(name, ())}
        for name, held in settings.items()
    }


def edited(former: Settings, change: SetProfile) -> Settings:
    """Return wrapped settings with a change made, fit for Update2; the former ones are left alone."""
    settings = without_deprecated(former)
    if change.mac is not None:
        ethernet = settings.setdefault(ETHERNET, {})
        ethernet.pop("assigned-mac-address", None)
        if change.mac:
            ethernet["assigned-mac-address"] = Variant("s", change.mac)
    for name, addresses in (("ipv4", change.ipv4_addresses), ("ipv6", change.ipv6_addresses)):
        if addresses is not None:
            settings[name] = _readdressed(settings.get(name, {}), addresses)
    return settings


def _readdressed(ip: dict[str, Any], addresses: Sequence[str]) -> dict[str, Any]:
    changed = dict(ip)
    if not addresses:
        changed["method"] = Variant("s", "auto")
        for key in ("address-data", "gateway"):  # a gateway without addresses is refused
            changed.pop(key, None)
        return changed
    if not addresses_of(ip):  # where static addresses stood beside leased ones they still do
        changed["method"] = Variant("s", "manual")
    known = {f"{one['address'].value}/{one['prefix'].value}": one for one in _data(ip)}
    changed["address-data"] = Variant("aa{sv}", [known.get(one) or _datum(one) for one in addresses])
    return changed


def _data(ip: dict[str, Any]) -> list[dict[str, Any]]:
    return list(ip["address-data"].value) if "address-data" in ip else []


def _datum(address: str) -> dict[str, Any]:
    bare, _, prefix = address.partition("/")
    return {"address": Variant("s", bare), "prefix": Variant("u", int(prefix))}
