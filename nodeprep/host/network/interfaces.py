"""The files of ifupdown (interfaces(5)): the stanzas of a link found over all of them, and edited line by line."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nodeprep.host.files import Files
from nodeprep.steps import SetProfile

MAIN = "/etc/network/interfaces"
FOLDER = "/etc/network"
SOURCED = re.compile(r"[A-Za-z0-9_-]+")
"""What a file must be called for source-directory to read it."""
NESTED_MAX = 8
STARTS = (
    "iface",
    "mapping",
    "auto",
    "allow-",
    "no-auto-down",
    "no-scripts",
    "source",
    "rename",
    "template",
    "inherits",
)
MAC = re.compile(r"(?i)\b[0-9a-f]{2}(:[0-9a-f]{2}){5}\b")
FAMILIES = {4: "inet", 6: "inet6"}
LEASED = {4: "dhcp", 6: "auto"}
ADDRESSING = ("address", "netmask", "gateway", "broadcast", "network", "pointopoint")


@dataclass(frozen=True, slots=True)
class Option:
    """A line of a stanza, and the lines of the file that it takes."""

    key: str
    value: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Stanza:
    """An iface stanza."""

    path: str
    name: str
    family: str
    method: str
    header: Option
    options: tuple[Option, ...]

    def values(self, key: str) -> tuple[str, ...]:
        """Return the values of an option."""
        return tuple(option.value for option in self.options if option.key == key)

    @property
    def end(self) -> int:
        """Return the last line that it takes."""
        return max((option.last for option in self.options), default=self.header.last)


def stanzas(files: Files, link: str) -> tuple[Stanza, ...]:
    """Return the stanzas of a link, those of its aliases (eth0:1) too, as ifupdown reads them. Raises HostError."""
    found = (stanza for path in _sources(files) for stanza in parsed(path, files.read_text(path) or ""))
    return tuple(stanza for stanza in found if stanza.name.partition(":")[0] == link)


def parsed(path: str, text: str) -> tuple[Stanza, ...]:
    """Return the iface stanzas of one file."""
    found: list[tuple[Option, list[Option]]] = []
    within = False
    for line in _logical(text):
        if line.key == "iface":
            found.append((line, []))
            within = True
        elif line.key.startswith(STARTS):
            within = False
        elif within:
            found[-1][1].append(line)
    made = []
    for header, options in found:
        name, family, method = (*header.value.split(), "", "", "")[:3]
        made.append(Stanza(path, name, family, method, header, tuple(options)))
    return tuple(made)


def pins(of: Iterable[Stanza]) -> tuple[Option, ...]:
    """Return the options that set a literal MAC."""
    return tuple(o for stanza in of for o in stanza.options if o.key == "hwaddress" and MAC.search(o.value))


def addresses(of: Iterable[Stanza], version: int) -> tuple[str, ...]:
    """Return the static addresses of one family, as ADDRESS/PREFIX."""
    return tuple(address for stanza in of if (address := address_of(stanza, version)))


def address_of(stanza: Stanza, version: int) -> str | None:
    """Return the static address of a stanza of one family."""
    if (stanza.family, stanza.method) != (FAMILIES[version], "static"):
        return None
    bare, _, prefix = (stanza.values("address") or ("",))[-1].partition("/")
    netmask = (stanza.values("netmask") or ("",))[-1]
    try:
        if ipaddress.ip_address(bare).version != version:
            return None
        return f"{bare}/{ipaddress.ip_interface(f'{bare}/{prefix or netmask or _whole(version)}').network.prefixlen}"
    except ValueError:
        return None


def edits(change: SetProfile, of: tuple[Stanza, ...], files: Files) -> dict[str, str | None]:
    """Return what the files have to say for a change to hold: path → text. Raises HostError."""
    changed = _Lines(files)
    if change.mac is not None:
        for stanza in of:
            for pin in pins((stanza,)):
                changed.put(stanza.path, pin, MAC.sub(change.mac, _text(pin)) if change.mac else None)
        if change.mac and of and not pins(of):
            changed.below(of[0], f"    hwaddress {change.mac}")
    for version, wanted in ((4, change.ipv4_addresses), (6, change.ipv6_addresses)):
        if wanted is not None:
            _readdress(changed, of, version, wanted)
    return changed.texts()


def _readdress(changed: _Lines, of: tuple[Stanza, ...], version: int, wanted: tuple[str, ...]) -> None:
    """Put addresses in the place of the static ones of a family, and leases in the place of all."""
    static = [stanza for stanza in of if address_of(stanza, version)]
    new = [address for address in wanted if address not in addresses(static, version)]
    leases = any(stanza.method == LEASED[version] for stanza in of if stanza.family == FAMILIES[version])
    for stanza in static:
        held = address_of(stanza, version)
        if held in wanted:
            continue
        if new:
            _put_address(changed, stanza, str(held), new.pop(0))
        elif not wanted and not leases:
            leases = True
            header = f"iface {stanza.name} {stanza.family} {LEASED[version]}"
            changed.put(stanza.path, stanza.header, header)
            for option in stanza.options:
                if option.key in ADDRESSING:
                    changed.put(stanza.path, option, None)
        else:
            for line in (stanza.header, *stanza.options):
                changed.put(stanza.path, line, None)
    for address in new:
        last = (static or list(of))[-1]
        name = last.name.partition(":")[0]
        changed.append(last.path, ("", f"iface {name} {FAMILIES[version]} static", f"    address {address}"))


def _put_address(changed: _Lines, stanza: Stanza, held: str, address: str) -> None:
    moves = ipaddress.ip_interface(held).network != ipaddress.ip_interface(address).network
    stale = ("netmask", "broadcast", "network") if moves else ("netmask",)
    for option in stanza.options:
        if option.key == "address":
            changed.put(stanza.path, option, f"    address {address}")
        elif option.key in stale:  # the prefix says it
            changed.put(stanza.path, option, None)


class _Lines:
    """The lines of files, with changes that are made all at once."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._put: dict[str, dict[tuple[int, int], list[str]]] = {}
        self._appended: dict[str, list[str]] = {}

    def put(self, path: str, line: Option, text: str | None) -> None:
        """Put text in the place of a line, or take the line out."""
        self._put.setdefault(path, {})[line.first, line.last] = [] if text is None else [text]

    def below(self, stanza: Stanza, text: str) -> None:
        """Put a line below the header of a stanza."""
        place = self._put.setdefault(stanza.path, {})
        span = stanza.header.first, stanza.header.last
        place[span] = [*place.get(span, [_text(stanza.header)]), text]

    def append(self, path: str, lines: tuple[str, ...]) -> None:
        """Put lines at the end of a file."""
        self._appended.setdefault(path, []).extend(lines)
        self._put.setdefault(path, {})

    def texts(self) -> dict[str, str | None]:
        """Return path → text of what was changed."""
        made: dict[str, str | None] = {}
        for path, put in self._put.items():
            lines = (self._files.read_text(path) or "").splitlines()
            for (first, last), new in sorted(put.items(), reverse=True):
                lines[first : last + 1] = new
            made[path] = "\n".join((*lines, *self._appended.get(path, ()))) + "\n"
        return made


def _text(line: Option) -> str:
    indent = "" if line.key.startswith(STARTS) else "    "
    return f"{indent}{line.key} {line.value}"


def _whole(version: int) -> int:
    return 32 if version == 4 else 64


def _logical(text: str) -> Iterator[Option]:
    """Yield the lines that say something, continued ones as one."""
    lines = text.splitlines()
    number = 0
    while number < len(lines):
        first, line = number, lines[number].strip()
        number += 1
        if line.startswith("#"):
            continue
        while line.endswith("\\") and number < len(lines):
            line = f"{line[:-1].rstrip()} {lines[number].strip()}"
            number += 1
        key, _, value = line.replace("\t", " ").partition(" ")
        if key:
            yield Option(key, value.strip(), first, number - 1)


def _sources(files: Files, path: str = MAIN, depth: int = 0) -> Iterator[str]:
    yield path
    if depth >= NESTED_MAX:
        return
    for line in _logical(files.read_text(path) or ""):
        for word in line.value.split() if line.key in ("source", "source-directory") else ():
            pattern = os.path.join(FOLDER, word)
            found = files.glob(pattern) if line.key == "source" else files.glob(f"{pattern}/*")
            for one in found:
                if line.key == "source" or SOURCED.fullmatch(os.path.basename(one)):
                    yield from _sources(files, one, depth + 1)
