"""Kubelet overrides: flags that set Node name, address and provider ID against what the machine says (kubelet(1))."""

from __future__ import annotations

import re

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

PATTERNS = (
    "/etc/default/kubelet",
    "/etc/systemd/system/kubelet.service.d/*.conf",
    "/var/lib/kubelet/config.yaml",
    "/var/lib/kubelet/kubeadm-flags.env",
)
LITERAL = re.compile(
    r"""[ \t]*--(?:hostname-override|node-ip|provider-id)(?:=|[ \t]+)(?P<value>[^\s"'\\$%`]+)(?=["'\\\s]|$)"""
    r"""|^providerID:.*\n?"""
)
NO_ADDRESS = ("0.0.0.0", "::")  # noqa: S104 (nothing is bound)
"""As --node-ip they choose a family, and any machine's address of it."""


def without(line: str) -> str:
    """Return a line without overrides that say one machine's value; what a shell or systemd fills in is none."""
    return LITERAL.sub(lambda found: found[0] if found["value"] in NO_ADDRESS else "", line)


def observe(machine: MachineView) -> Values:
    """Return path and text of every line that overrides."""
    return frozenset(
        f"{path} {line}"
        for pattern in PATTERNS
        for path in machine.glob(pattern)
        for line in (machine.read_text(path) or "").splitlines(keepends=True)
        if not line.lstrip().startswith("#") and without(line) != line
    )


def removed(values: Values) -> tuple[Action, ...]:
    """Take the overrides out."""
    lines = (value.partition(" ") for value in sorted(values))
    return tuple(ReplaceText(path, line, without(line)) for path, _, line in lines)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Let the kubelet take hostname and address from the machine."""
    return removed(finding.values)


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Take them out of the image."""
    return removed(observe(machine))


ARTEFACT = Artefact(
    name="kubelet-overrides",
    title="kubelet's overrides",
    reason="They undo the renewed hostname and address: a Node of the template's name.",
    kind=Kind.B,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    restart=("kubelet.service",),
    remedy="kubeadm reset, then take --hostname-override, --node-ip and --provider-id out of /etc/default/kubelet",
    seal=seal,
)
