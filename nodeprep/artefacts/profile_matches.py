"""MACs by which network profiles find their links: a clone's link has another, so that it stays down.

Of NetworkManager's keyfiles (nm-settings-keyfile(5)), netplan's YAML (netplan(5)), networkd's .network and udev's .link
files (systemd.network(5), systemd.link(5)), and of what netplan generated from its own before this run. A value is the
path and the piece of the file from the head of its section to the MAC: the same MAC may be pinned in another section.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, RunProgram, Situation

SECTIONED = (
    "/etc/NetworkManager/system-connections/*",
    "/run/NetworkManager/system-connections/netplan-*",
    "/etc/systemd/network/*.network",
    "/etc/systemd/network/*.network.d/*.conf",
    "/etc/systemd/network/*.link",
    "/etc/systemd/network/*.link.d/*.conf",
    "/run/systemd/network/10-netplan-*",
)
YAML = ("/etc/netplan/*.yaml",)
RULES = ("/run/udev/rules.d/*netplan*.rules",)
MATCHING = {
    "match": ("macaddress", "permanentmacaddress"),
    "ethernet": ("mac-address",),
    "802-3-ethernet": ("mac-address",),
}
MAC = re.compile(r"(?i)\b[0-9a-f]{2}(?::[0-9a-f]{2}){5}\b")
KEY = re.compile(r"""^(\s*)["']?([\w.*-]+)["']?\s*:""")
FLOW = re.compile(rf"""\bmatch["']?\s*:\s*\{{[^{{}}]*?\bmacaddress\W{{1,4}}{MAC.pattern[4:]}""", re.IGNORECASE)
UDEVD = "systemd-udevd.service"
RENAME = (
    ("udevadm", "control", "--reload"),
    ("udevadm", "trigger", "--action=add", "--subsystem-match=net"),
    ("udevadm", "settle", "--timeout=10"),
)


def observe(machine: MachineView) -> Reading:
    """Return every place where a file matches a MAC."""
    found: set[str] = set()
    for patterns, pieces in ((SECTIONED, in_sections), (YAML, in_yaml), (RULES, in_rules)):
        for path in (path for pattern in patterns for path in machine.glob(pattern)):
            found.update(f"{path}\n{piece}" for piece in pieces(machine.read_text(path) or ""))
    return frozenset(found)


def in_sections(text: str) -> Iterator[str]:
    """Yield the pieces of a file of [sections] and key=value lines that end in a MAC that is matched."""
    head, section, at = 0, "", 0
    for line in text.splitlines(keepends=True):
        said = line.strip()
        key = said.partition("=")[0].strip().lower()
        if said.startswith("[") and said.endswith("]"):
            head, section = at, said[1:-1].lower()
        elif key in MATCHING.get(section, ()):
            yield from (text[head : at + found.end()] for found in MAC.finditer(line))
        at += len(line)


def in_yaml(text: str) -> Iterator[str]:
    """Yield the pieces of a netplan file that end in a MAC under the key "match"."""
    for flow in FLOW.finditer(text):
        if "#" not in text[text.rfind("\n", 0, flow.start()) + 1 : flow.start()]:
            yield flow[0]
    head, depth, at = 0, -1, 0
    for line in text.splitlines(keepends=True):
        if found := KEY.match(line):
            indent, key = len(found[1]), found[2]
            if depth < 0 or indent <= depth:
                head, depth = (at, indent) if key == "match" else (0, -1)
            elif key == "macaddress" and (mac := MAC.search(line)):
                yield text[head : at + mac.end()]
        at += len(line)


def in_rules(text: str) -> Iterator[str]:
    """Yield the pieces of a file of udev rules that end in a MAC that is matched."""
    for line in text.splitlines():
        yield from (line[: found.end()] for found in MAC.finditer(line) if line[: found.start()].endswith('=="'))


def matched(value: str) -> str:
    """Return the MAC of a value."""
    return value[-17:].lower()


def handed_down(machine: MachineView, reading: Values) -> Values:
    """Return those that match no link of this machine."""
    own = {link.permanent_mac for link in machine.links()}
    return frozenset(value for value in reading if matched(value) not in own)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Match the one link that nothing matches in the place of the one MAC that no link has; else guess nothing."""
    own = {link.permanent_mac for link in situation.links if link.permanent_mac}
    macs = {matched(value) for value in finding.values}
    strangers, unmatched = macs - own, own - macs
    if len(strangers) != 1 or len(unmatched) != 1:
        return ()
    (old,), (new,) = strangers, unmatched
    places = [value.split("\n", 1) for value in sorted(finding.values) if matched(value) == old]
    named = [ReplaceText(path, piece, piece[:-17] + new) for path, piece in places if _names_links(path)]
    others = [ReplaceText(path, piece, piece[:-17] + new) for path, piece in places if not _names_links(path)]
    # udev has named the links already, by the old files; only with its name does a link find its profile.
    rename = [RunProgram(argv) for argv in RENAME] if named and UDEVD in situation.active_units else []
    return (*named, *rename, *others)


def _names_links(path: str) -> bool:
    return path.endswith((".link", ".rules")) or ".link.d/" in path


ARTEFACT = Artefact(
    name="profile-matches",
    title="MACs that network profiles match",
    reason="The link of a clone has another MAC, finds no profile and stays down.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    handed_down=handed_down,
    follows_hardware=True,
)
