"""Zabbix agent: the host name that it reports under (zabbix.com/documentation, "zabbix_agentd", Hostname).

The pre-shared key beside it (TLSPSKFile) is shared by a fleet as often as not, and no agent starts without it.
"""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Finding, Kind, Reading, Stage
from nodeprep.steps import Action, Fresh, ReplaceText, Situation

FILES = (
    "/etc/zabbix/zabbix_agentd.conf",
    "/etc/zabbix/zabbix_agent2.conf",
    "/etc/zabbix/zabbix_agentd.conf.d/*.conf",
    "/etc/zabbix/zabbix_agentd.d/*.conf",
    "/etc/zabbix/zabbix_agent2.d/*.conf",
)
SETTING = "Hostname="
SHIPPED = "Zabbix server"
"""What the vendor's file says before anybody has edited it."""


def observe(machine: MachineView) -> Reading:
    """Return path and line of each name that is set; without one the agent asks the system for its hostname."""
    return frozenset(
        f"{path} {line}"
        for pattern in FILES
        for path in machine.glob(pattern)
        for line in (machine.read_text(path) or "").splitlines()
        if line.startswith(SETTING) and line.removeprefix(SETTING).strip() not in ("", SHIPPED)
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Make comments of the lines, so that the name is the hostname."""
    return tuple(_commented(value) for value in sorted(finding.values))


def _commented(value: str) -> ReplaceText:
    path, _, line = value.partition(" ")
    return ReplaceText(path, line, f"# {line}")


def seal(machine: MachineView) -> tuple[Action, ...]:
    """Make comments of the lines."""
    found = observe(machine)
    assert isinstance(found, frozenset)
    return tuple(_commented(value) for value in sorted(found))


ARTEFACT = Artefact(
    name="zabbix-agent",
    title="Zabbix agent's name",
    reason="The server mixes the values of all copies into the history of one host.",
    kind=Kind.C,
    stage=Stage.EARLY,
    observe=observe,
    plan=plan,
    holds=("zabbix-agent.service", "zabbix-agent2.service"),
    remedy="sed -i 's/^Hostname=/# &/' /etc/zabbix/zabbix_agent*.conf; systemctl restart nodeprep.service",
    seal=seal,
)
