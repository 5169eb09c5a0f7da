"""IPv6 stable secret: what the kernel makes stable addresses from, where a file sets it (RFC 7217; sysctl.d(5))."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceSecret, Situation

PATTERNS = ("/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/etc/systemd/network/*.network")
KEY = r"\s*(?:-?\s*net[./]ipv6[./]conf[./]\S+[./]stable_secret|IPv6StableSecretAddress)\s*=\s*"
SEALED = "# nodeprep makes one at the first boot: "
"""Makes a comment of a setting in an image that is sealed: its first boot finds where a secret belongs."""
SECRET = re.compile(rf"^(?P<key>{KEY})[0-9A-Fa-f:]+\s*$|^{SEALED}(?P<sealed>{KEY})$")


def observe(machine: MachineView) -> Values:
    """Return path and line of every literal secret, and of every one that sealing took away."""
    paths = {path for pattern in PATTERNS for path in machine.glob(pattern)}
    return frozenset(
        f"{path} {line}"
        for path in paths
        for line in (machine.read_text(path) or "").splitlines(keepends=True)
        if SECRET.match(line)
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Set a fresh secret wherever one was set."""
    secret = IPv6Address(fresh.derived("ipv6-stable-secret")[:16])
    lines = (value.partition(" ") for value in sorted(finding.values))
    return tuple(
        ReplaceSecret(path, line, (found["key"] or found["sealed"]).removesuffix("\n") + f"{secret}\n")
        for path, _, line in lines
        if (found := SECRET.match(line))
    )


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take each secret out of the image, and leave where it was."""
    lines = (value.partition(" ") for value in sorted(observe(machine)))
    return tuple(
        ReplaceSecret(path, line, f"{SEALED}{found['key']}\n")
        for path, _, line in lines
        if (found := SECRET.match(line)) and found["key"]
    )


ARTEFACT = Artefact(
    name="ipv6-stable-secret",
    title="IPv6 stable secret",
    reason="On one network, machines of one secret and one MAC make one address; on any, they can be linked.",
    kind=Kind.A,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    confidential=True,
    restart=("systemd-networkd.service", "systemd-sysctl.service"),
    seal=seal,
)
