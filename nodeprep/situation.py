"""The situation: what the plan of one artefact may know beyond its own finding, gathered from a Run."""

from __future__ import annotations

from nodeprep import naming
from nodeprep.errors import ConfigError
from nodeprep.model import Verdict
from nodeprep.run import Run
from nodeprep.steps import Fresh, Situation

PLACEHOLDER = Fresh(
    machine_id="f" * 32, seed=b"", mac="02:00:00:00:00:00", staging="STAGING", ipv4_address="POOL", ipv6_address="POOL"
)
"""Stands for what will be drawn, where it only matters that something will."""
NUMBER = "NN"
"""The same for the number of a hostname."""


def situation_of(this: Run, named_by: str, number: str = "") -> Situation:
    """Return what planning may know; the hostname's template is filled in from the machine ID `named_by`.

    number: the digits that this machine has drawn; as long as it has none, a numbered name stays as it is. Raises
    ConfigError where the template cannot be filled in.
    """
    machine, settings = this.machine, this.config
    macs = sorted(link.permanent_mac or link.mac for link in machine.links())
    if number or not naming.is_numbered(machine, settings):
        hostname = naming.hostname_for(machine, settings, named_by, macs, number)
    else:
        hostname = machine.hostname()
    if any(f.subject == "hostname" and f.verdict is Verdict.OWN for f in this.findings):
        hostname = machine.hostname()  # what follows it, follows the name that stays
    active, starting = this.active_and_starting_units()
    return Situation(
        machine_id=this.machine_id(),
        hostname=hostname,
        links=machine.links(),
        profiles=machine.profiles(),
        address_on_conflict=settings.address.on_conflict,
        mac_on_conflict=settings.mac.on_conflict,
        active_units=active,
        starting_units=starting,
        held_units=frozenset(machine.held_units()),
    )


def check_hostname(this: Run) -> None:
    """Raise ConfigError where the hostname's template cannot be filled in, before ID and MAC are known."""
    naming.hostname_for(this.machine, this.config, PLACEHOLDER.machine_id, [PLACEHOLDER.mac], NUMBER)


def foreseen_hostname(this: Run, fresh: Fresh) -> str:
    """Return the hostname that the main run will give, once the early one is done; "" where that cannot be told yet."""
    is_own = any(f.subject == "machine-id" and f.verdict is Verdict.OWN for f in this.findings)
    macs = sorted(link.permanent_mac or link.mac for link in this.machine.links())
    try:
        return naming.hostname_for(this.machine, this.config, this.machine_id() if is_own else fresh.machine_id, macs)
    except ConfigError:
        return ""
