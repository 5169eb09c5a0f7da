"""Links of netplan with networkd behind it: its YAML edited in place, generated anew and tried on the link.

What a link has is read from what netplan generated, as networkd does. Changed is the YAML, of which everything else,
comments and order included, stays as it is; netplan(8) itself would write it anew. With NetworkManager behind it a
profile is NetworkManager's. The parser is PyYAML, which Debian's netplan.io brings along. Everything raises HostError.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.network import networkd
from nodeprep.host.network.trial import Manager, attempt
from nodeprep.model import Link, Profile
from nodeprep.steps import SetProfile

NAME = "netplan"
FOLDERS = ("/etc/netplan", "/run/netplan", "/lib/netplan")
GENERATED = "/run/systemd/network/10-netplan-"
KINDS = ("ethernets", "bonds", "bridges", "vlans", "wifis", "dummy-devices")
GENERATE_TIMEOUT_S = 20.0


def adopted(profile: Profile) -> Profile:
    """Return a profile of networkd as netplan's, if netplan generated its file."""
    path = profile.key.removeprefix(f"{networkd.NAME}:")
    if not path.startswith(GENERATED):
        return profile
    name = path.removeprefix(GENERATED).removesuffix(".network")
    return replace(profile, key=f"{NAME}:{name}", title=f"netplan {name}", manager=NAME)


def set_profile(change: SetProfile, links: Sequence[Link], files: Files) -> None:
    """Change the YAML of a link and keep that only if the link then carries. Raises HostError."""
    name = change.profile.removeprefix(f"{NAME}:")
    path = f"{GENERATED}{name}.network"
    using = [link for link in links if networkd.configuring(link, files) == path]
    link = next((link for link in using if link.name == change.link), None)
    if link is None:
        raise HostError(f"netplan's {name} does not configure {change.link} any more")
    if change.mac and len(using) > 1:
        raise HostError(f"netplan's {name} configures several links: a MAC in it would be doubled")
    profile = adopted(networkd.profile_of(link.name, path, files, link.index))
    attempt(change, profile, edits(change, name, profile, files), files, MANAGER)


def activate(link: str) -> None:
    """Have netplan generate networkd's files, and networkd configure a link by them. Raises HostError."""
    programs.run(("netplan", "generate"), GENERATE_TIMEOUT_S)
    networkd.activate(link)


def _leave(link: str) -> None:
    """Leave a link up: networkd drops by itself what its files do not say any more."""


MANAGER = Manager(_leave, activate)


def edits(change: SetProfile, name: str, profile: Profile, files: Files) -> dict[str, str | None]:
    """Return what the YAML files have to say for a change to hold: path → text. Raises HostError."""
    former = {path: files.read_text(path) or "" for path in sources(files)}
    texts = dict(former)
    if not _cuts(texts, name):
        raise HostError(f"no file of netplan defines {name}")
    if change.mac is not None:
        _set_mac(texts, name, change.mac)
    if change.ipv4_addresses is not None:
        _readdress(texts, name, 4, change.ipv4_addresses, profile.ipv4_addresses)
    if change.ipv6_addresses is not None:
        _readdress(texts, name, 6, change.ipv6_addresses, profile.ipv6_addresses)
    return {path: text for path, text in texts.items() if text != former[path]}


def _cuts(texts: Mapping[str, str], name: str) -> dict[str, _Cuts]:
    """Return path → what can be cut out of the files that define a link, in the order in which they are read."""
    definitions = {path: _definition(path, text, name) for path, text in texts.items()}
    return {path: _Cuts(texts[path], node) for path, node in definitions.items() if node is not None}


def _set_mac(texts: dict[str, str], name: str, mac: str) -> None:
    cuts = _cuts(texts, name)
    pinning = [path for path, cut in cuts.items() if "macaddress" in cut.keys]
    if not mac and not pinning:
        raise HostError(f"no file of netplan pins the MAC of {name}")
    for path in pinning or list(cuts)[-1:]:
        texts[path] = cuts[path].set("macaddress", _quoted(mac) if mac else None)


def _readdress(texts: dict[str, str], name: str, version: int, wanted: tuple[str, ...], held: tuple[str, ...]) -> None:
    """Put addresses in the place of those of one family, and DHCP in the place of all, in texts."""
    new = [address for address in wanted if address not in held]
    for path, cut in _cuts(texts, name).items():
        texts[path] = cut.readdress(version, wanted, new)
    for path, cut in _cuts(texts, name).items() if not wanted else ():
        texts[path] = cut.set(f"gateway{version}", None)
    path, last = [*_cuts(texts, name).items()][-1]
    if new:
        texts[path] = last.add_addresses(new)
    elif not wanted and version == 4:
        texts[path] = last.set("dhcp4", "true")


def sources(files: Files) -> tuple[str, ...]:
    """Return netplan's files in the order in which it reads them: by name, the first folder's where several have it."""
    chosen = {os.path.basename(path): path for folder in reversed(FOLDERS) for path in files.glob(f"{folder}/*.yaml")}
    return tuple(chosen[name] for name in sorted(chosen))


def _definition(path: str, text: str, name: str) -> Any:
    """Return the node of YAML that defines a link, None where the file has none. Raises HostError."""
    try:
        import yaml  # noqa: PLC0415 (there where netplan is, and needed nowhere else)
    except ImportError as error:
        raise HostError("netplan's files cannot be read without python3-yaml") from error
    try:
        network = _held(yaml.compose(text, Loader=yaml.SafeLoader), "network")
    except yaml.YAMLError as error:
        raise HostError(f"{path}: {error}") from error
    definitions = (_held(_held(network, kind), name) for kind in KINDS)
    return next((node for node in definitions if node is not None and node.id == "mapping"), None)


def _held(node: Any, key: str) -> Any:
    """Return what a mapping holds under a key."""
    if node is None or node.id != "mapping":
        return None
    return next((value for name, value in node.value if name.value == key), None)


def _quoted(text: str) -> str:
    return f'"{text}"'


@dataclass(frozen=True, slots=True)
class _Address:
    """An address in a list: where it is written, and what it says."""

    start: int
    end: int
    value: str
    whole: str
    """The text of the item, options of the address included."""


class _Cuts:
    """The text of one file, and the mapping in it of which pieces are replaced. Each method returns the new text."""

    def __init__(self, text: str, mapping: Any) -> None:
        self._text = text
        self._mapping = mapping
        self.keys = {key.value: (key, value) for key, value in mapping.value}

    def set(self, key: str, value: str | None) -> str:
        """Put a value under a key, or take the key out."""
        if key not in self.keys:
            return self._text if value is None else self._inserted(f"{key}: {value}")
        name, node = self.keys[key]
        start, end = node.start_mark.index, _end(node)
        return self._put((*self._line(name.start_mark.index, end), "") if value is None else (start, end, value))

    def add_addresses(self, new: list[str]) -> str:
        """Add to the list of addresses."""
        items = [*(item.whole for item in self._addresses()), *map(_quoted, new)]
        return self.set("addresses", f"[{', '.join(items)}]")

    def readdress(self, version: int, wanted: tuple[str, ...], new: list[str]) -> str:
        """Put new addresses, taken out of `new`, in the place of those of a family that are not wanted."""
        items = list(self._addresses())
        stale = [item for item in items if (":" in item.value) == (version == 6) and item.value not in wanted]
        if len(stale) <= len(new):
            return self._put(*((item.start, item.end, _quoted(new.pop(0))) for item in stale))
        texts = [*map(_quoted, new), *(item.whole for item in items if item not in stale)]
        new.clear()
        return self.set("addresses", f"[{', '.join(texts)}]" if texts else None)

    def _put(self, *pieces: tuple[int, int, str]) -> str:
        text = self._text
        for start, end, new in sorted(pieces, reverse=True):
            text = text[:start] + new + text[end:]
        return text

    def _addresses(self) -> Iterator[_Address]:
        _, sequence = self.keys.get("addresses", (None, None))
        for item in sequence.value if sequence is not None and sequence.id == "sequence" else ():
            scalar = item.value[0][0] if item.id == "mapping" else item  # ADDRESS: {label: …}
            start, end = scalar.start_mark.index, scalar.end_mark.index
            whole = self._text[item.start_mark.index : _end(item)]
            if item.id == "mapping" and not item.flow_style:
                inner = self._text[item.value[0][1].start_mark.index : _end(item)]
                whole = f"{{{self._text[start:end]}: {{{', '.join(line.strip() for line in inner.splitlines())}}}}}"
            yield _Address(start, end, str(scalar.value), whole)

    def _inserted(self, line: str) -> str:
        """Put a line at the top of the mapping, as the mapping is written."""
        start = self._mapping.start_mark
        if self._mapping.flow_style:
            return self._put((start.index + 1, start.index + 1, f"{line}, " if self._mapping.value else line))
        return self._put((start.index, start.index, f"{line}\n{' ' * start.column}"))

    def _line(self, start: int, end: int) -> tuple[int, int]:
        """Return the span of an item of the mapping with what parts it from the next."""
        if not self._mapping.flow_style:
            newline = self._text.find("\n", end)
            return self._text.rfind("\n", 0, start) + 1, len(self._text) if newline < 0 else newline + 1
        after = len(self._text[end:]) - len(self._text[end:].lstrip())
        if self._text[end + after : end + after + 1] == ",":
            return start, end + after + 1
        before = self._text.rfind(",", self._mapping.start_mark.index, start)
        return (before, end) if before >= 0 else (start, end)


def _end(node: Any) -> int:
    """Return where a node's own text ends; a block's mark is where the next thing begins."""
    if node.id == "scalar" or node.flow_style or not node.value:
        return int(node.end_mark.index)
    last = node.value[-1]
    return _end(last[1] if node.id == "mapping" else last)
