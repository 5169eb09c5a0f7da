"""Links of systemd-networkd: what its files say of them, and those files changed and tried on the link.

Which file configures a link is networkd's own decision and is read from its state; drop-ins and precedence are those of
systemd.network(5). A file outside /etc is never edited: one of its name in /etc replaces it. Everything raises
HostError, in bounded time.
"""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterable, Sequence

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network.trial import Manager, attempt
from nodeprep.host.network.unitfile import Entry, edited, entries
from nodeprep.model import Link, Profile
from nodeprep.steps import SetProfile

NAME = "networkd"
FOLDERS = (
    "/etc/systemd/network",
    "/run/systemd/network",
    "/usr/local/lib/systemd/network",
    "/usr/lib/systemd/network",
    "/lib/systemd/network",
)
"""Of files of one name the first counts; "/lib" is where Debian 12 keeps what is in "/usr/lib" elsewhere."""
STATE = "/run/systemd/netif/links/{}"
UNFINISHED = ("pending", "initialized", "configuring")
UDEV = "/run/udev/data/n{}"
DROP_IN = "50-nodeprep.conf"
MAC_SECTIONS = {".network": "Link", ".link": "Link", ".netdev": "NetDev"}
COMMAND_TIMEOUT_S = 20.0
LEGACY_PREFIXES = ((128, 8), (192, 16), (224, 24))
"""The prefix lengths of the IPv4 classes, by the first octet at which each ends."""

Texts = dict[str, str]
"""Path → text of a file and its drop-ins, in the order in which they are read."""


def profiles(links: Iterable[Link], files: Files) -> tuple[Profile, ...]:
    """Return what configures each of the links that networkd manages, in their order."""
    found = ((link, configuring(link, files)) for link in links)
    return tuple(profile_of(link.name, path, files, link.index) for link, path in found if path)


def configuring(link: Link, files: Files) -> str | None:
    """Return the .network file that networkd has chosen for a link, None where it leaves the link alone."""
    state = _state(link, files)
    return None if state.get("ADMIN_STATE") in (None, "unmanaged") else state.get("NETWORK_FILE") or None


def starting(links: Iterable[Link], files: Files) -> bool:
    """Whether networkd still looks for a routable address for a link that has a carrier.

    What else it waits for may never come: a twin's link-local address stays a duplicate until its MAC is renewed.
    """
    states = (_state(link, files) for link in links)
    return any(
        state.get("CARRIER_STATE") == "carrier"
        and state.get("ADMIN_STATE") in UNFINISHED
        and state.get("ADDRESS_STATE") != "routable"
        for state in states
    )


def _state(link: Link, files: Files) -> dict[str, str]:
    lines = (files.read_text(STATE.format(link.index)) or "").splitlines()
    return {key: value for key, _, value in (line.partition("=") for line in lines)}


def profile_of(link: str, path: str, files: Files, index: int) -> Profile:
    """Return the profile that a .network file and its drop-ins are for a link."""
    texts = with_drop_ins(path, files)
    said = [entry for text in texts.values() for entry in entries(text)]
    ipv4, ipv6 = _addresses(said, 4), _addresses(said, 6)
    dhcp = _last(said, "Network", "DHCP").lower()
    leases = dhcp in ("yes", "true", "1", "on", "both", "ipv4", "v4")
    advertised = _last(said, "Network", "IPv6AcceptRA").lower() not in ("no", "false", "0", "off")
    pins = [entry.value for path in _mac_files(link, texts, files, index) for entry in _pins(path, files)]
    return Profile(
        key=f"{NAME}:{path}",
        title=os.path.basename(path),
        link=link,
        pinned_mac=_mac(pins[-1]) if pins else None,
        ipv4_method="auto" if leases else "manual" if ipv4 else "disabled",
        ipv4_addresses=ipv4,
        ipv6_method="manual" if ipv6 else "auto" if advertised else "disabled",
        ipv6_addresses=ipv6,
        manager=NAME,
        matched_mac=next((_mac(entry.value) for entry in said if _matches(entry)), None),
    )


def with_drop_ins(path: str, files: Files) -> Texts:
    """Return the text of a file and of its drop-ins, of each name the one that counts, in the order of names."""
    chosen: dict[str, str] = {}
    for folder in reversed(FOLDERS):
        for drop_in in files.glob(f"{folder}/{os.path.basename(path)}.d/*.conf"):
            chosen[os.path.basename(drop_in)] = drop_in
    paths = (path, *(chosen[name] for name in sorted(chosen)))
    return {one: files.read_text(one) or "" for one in paths}


def set_profile(change: SetProfile, links: Sequence[Link], files: Files) -> None:
    """Change the files of a link and keep that only if the link then carries. Raises HostError."""
    path = change.profile.removeprefix(f"{NAME}:")
    link = next((link for link in links if link.name == change.link), None)
    if link is None or configuring(link, files) != path:
        raise HostError(f"{path} does not configure {change.link} any more")
    others = [other.name for other in links if other is not link and configuring(other, files) == path]
    if change.mac and others:
        raise HostError(f"{path} configures {', '.join(others)} too: a MAC in it would be doubled")
    profile = profile_of(link.name, path, files, link.index)
    attempt(change, profile, edits(change, profile, link, files), files, MANAGER)


def edits(change: SetProfile, profile: Profile, link: Link, files: Files) -> dict[str, str | None]:
    """Return what the files of a link have to say for a change to hold: path, below /etc, → text."""
    path = change.profile.removeprefix(f"{NAME}:")
    texts = with_drop_ins(path, files)
    after = dict(texts)
    if change.mac is not None:
        places = _mac_files(link.name, texts, files, link.index)
        for place in places:
            text = after.get(place) or files.read_text(place) or ""
            after[place] = edited(text, dict.fromkeys(_pins_in(place, text), change.mac or None))
        if change.mac and not places:
            place = f"{FOLDERS[0]}/{os.path.basename(path)}.d/{DROP_IN}"
            after[place] = edited(after.get(place, ""), {}, {"Link": (f"MACAddress={change.mac}",)})
        if link.permanent_mac:
            _match_permanent(after, link.permanent_mac)
    for version, wanted, held in (
        (4, change.ipv4_addresses, profile.ipv4_addresses),
        (6, change.ipv6_addresses, profile.ipv6_addresses),
    ):
        if wanted is not None:
            _readdress(after, path, version, wanted, held)
    return {_own(place): text for place, text in after.items() if text != (texts.get(place) or files.read_text(place))}


def activate(link: str) -> None:
    """Have networkd read its files and configure a link from nothing. Raises HostError."""
    programs.run(("networkctl", "reload"), COMMAND_TIMEOUT_S)
    programs.run(("networkctl", "reconfigure", link), COMMAND_TIMEOUT_S)


def _leave(link: str) -> None:
    """Leave a link up: networkd drops by itself what its files do not say any more."""


MANAGER = Manager(_leave, activate)


def _own(path: str) -> str:
    """Return where in /etc a file lies, or the one that replaces it."""
    for folder in FOLDERS[1:]:
        if path.startswith(f"{folder}/"):
            return FOLDERS[0] + path.removeprefix(folder)
    return path


def _match_permanent(texts: Texts, permanent: str) -> None:
    """Have what matches a link by the MAC that it bears match it by the one of its hardware: the first changes."""
    for path, text in texts.items():
        matching = [entry for entry in entries(text) if (entry.section, entry.key) == ("Match", "MACAddress")]
        if matching and all(_mac(entry.value) == permanent for entry in matching):
            line = f"PermanentMACAddress={permanent}"
            texts[path] = edited(text, dict.fromkeys(matching), {"Match": (line,)})


def _readdress(texts: Texts, main: str, version: int, wanted: tuple[str, ...], held: tuple[str, ...]) -> None:
    """Put addresses in the place of those of one family, and DHCP in the place of all, in texts."""
    new = [address for address in wanted if address not in held]
    for path, text in texts.items():
        values: dict[Entry, str | None] = {}
        said = entries(text)
        for entry in said:
            address = _address(entry, version)
            if address and address not in wanted:
                values[entry] = new.pop(0) if new else None
                if values[entry] is None and entry.section == "Address":  # what else it says is of the address
                    values |= dict.fromkeys((other for other in said if other.block == entry.block), None)
            elif not wanted and _is_gateway(entry, version):
                values[entry] = None
        texts[path] = edited(text, values) if values else text
    added = [f"Address={address}" for address in new]
    if not wanted and version == 4:
        former = _last([entry for text in texts.values() for entry in entries(text)], "Network", "DHCP").lower()
        word = "yes" if former in ("ipv6", "v6", "yes", "true", "1", "on", "both") else "ipv4"
        for path, text in texts.items():
            texts[path] = edited(
                text, dict.fromkeys(e for e in entries(text) if (e.section, e.key) == ("Network", "DHCP"))
            )
        added.append(f"DHCP={word}")
    if added:
        texts[main] = edited(texts[main], {}, {"Network": tuple(added)})


def _is_gateway(entry: Entry, version: int) -> bool:
    """Whether an entry sets the default gateway of a family in the section of the network."""
    return (entry.section, entry.key) == ("Network", "Gateway") and (":" in entry.value) == (version == 6)


def _address(entry: Entry, version: int) -> str | None:
    """Return the address of one family that an entry sets, as ADDRESS/PREFIX."""
    if entry.key != "Address" or entry.section not in ("Network", "Address"):
        return None
    bare, _, prefix = entry.value.partition("/")
    try:
        parsed = ipaddress.ip_address(bare)
    except ValueError:
        return None
    if parsed.version != version or parsed.is_unspecified:  # 0.0.0.0/24 has networkd choose one
        return None
    octet = int(bare.partition(".")[0]) if version == 4 else 0
    legacy = next((length for end, length in LEGACY_PREFIXES if octet < end), 32) if version == 4 else 128
    return f"{bare}/{prefix or legacy}"


def _addresses(said: Iterable[Entry], version: int) -> tuple[str, ...]:
    found: list[str] = []
    for entry in said:
        if (entry.section, entry.key, entry.value) == ("Network", "Address", ""):
            found.clear()
        elif address := _address(entry, version):
            found.append(address)
    return tuple(dict.fromkeys(found))


def _last(said: Iterable[Entry], section: str, key: str) -> str:
    return next((e.value for e in reversed([*said]) if (e.section, e.key) == (section, key)), "")


def _matches(entry: Entry) -> bool:
    return entry.section == "Match" and entry.key in ("MACAddress", "PermanentMACAddress")


def _mac(text: str) -> str | None:
    """Return the first MAC of a value in its usual form, None where it is none."""
    digits = (text.split() or [""])[0].lower().replace("-", ":").replace(".", "")
    plain = digits.replace(":", "")
    if len(plain) != 12 or set(plain) - set("0123456789abcdef"):
        return None
    return ":".join(plain[at : at + 2] for at in range(0, 12, 2))


def _mac_files(link: str, texts: Texts, files: Files, index: int) -> tuple[str, ...]:
    """Return the files that set a MAC on a link, in the order in which they take effect."""
    named = [path for path in _netdevs(files) if _says_name(files, path, link)]
    lines = (files.read_text(UDEV.format(index)) or "").splitlines()
    by_udev = [line.partition("=")[2] for line in lines if line.startswith("E:ID_NET_LINK_FILE=")]
    linked = [path for one in by_udev for path in with_drop_ins(one, files)]
    return tuple(path for path in (*named, *linked, *texts) if _pins(path, files))


def _netdevs(files: Files) -> tuple[str, ...]:
    chosen = {os.path.basename(path): path for folder in reversed(FOLDERS) for path in files.glob(f"{folder}/*.netdev")}
    return tuple(chosen[name] for name in sorted(chosen))


def _says_name(files: Files, path: str, link: str) -> bool:
    said = entries(files.read_text(path) or "")
    return any((entry.section, entry.key, entry.value) == ("NetDev", "Name", link) for entry in said)


def _pins(path: str, files: Files) -> tuple[Entry, ...]:
    return _pins_in(path, files.read_text(path) or "")


def _pins_in(path: str, text: str) -> tuple[Entry, ...]:
    """Return the entries of a file that set a MAC; a drop-in's folder says of what kind it is."""
    name = path.rpartition(".d/")[0] or path
    section = MAC_SECTIONS.get(os.path.splitext(name)[1], "Link")
    found = (entry for entry in entries(text) if (entry.section, entry.key) == (section, "MACAddress"))
    return tuple(entry for entry in found if _mac(entry.value))
