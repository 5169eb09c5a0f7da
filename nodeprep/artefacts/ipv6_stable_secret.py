"""IPv6 stable secret: what the kernel makes stable addresses from, where a file sets it (RFC 7217; sysctl.d(5))."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceSecret, Situation

PATTERNS = ("/etc/sysctl.conf", "/etc/sysctl.d/*.conf", "/etc/systemd/network/*.network")
SECRET = re.compile(
    r"""^(?P<key>\s*-?\s*net[./]ipv6[./]conf[./]\S+[./]stable_secret\s*=\s*
          |\s*IPv6StableSecretAddress\s*=\s*)(?P<secret>[0-9A-Fa-f:]+)\s*$""",
    re.VERBOSE,
)


def observe(machine: MachineView) -> Values:
    """Return path and line of every literal secret."""
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
        ReplaceSecret(path, line, f"{found['key']}{secret}\n")
        for path, _, line in lines
        if (found := SECRET.match(line))
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
    # Not sealed: it is a setting, and the first boot renews the secret it finds.
)
