"""Roles: of each that is shipped, nmap from another namespace finds exactly the openings, whichever firewall is active.

One machine a firewall, which becomes each of them in turn: what the former role opened is closed again. Then its
firewall loads its rules anew, it boots again, and somebody closes what no accept of ours can open.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import MAC, Golden
from tests.lab.lan import Lan
from tests.lab.outside import (
    SHIPPED,
    SSH,
    expected,
    listen,
    scan,
    scan_protocols,
    targets,
    whole_protocols,
)
from tests.lab.test_firewalls import OPERATORS, configure, look, template, warnings

__all__ = ["template"]  # a fixture

SOON_S = 40.0

OPERATORS_TABLE = """\
table inet operator {
	chain input {
		type filter hook input priority filter; policy drop;
		iif lo accept
		ct state established,related accept
		meta l4proto { icmp, ipv6-icmp } accept
		tcp dport 22 accept
	}
}
"""
UNIT = """\
[Unit]
DefaultDependencies=no
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-{world}-restore /root/rules.4
ExecStart=/usr/sbin/ip6tables-{world}-restore /root/rules.6
[Install]
WantedBy=sysinit.target
"""


@dataclass(frozen=True)
class Wall:
    """A firewall, switched on, and made to load its rules anew; and who closes the machine in spite of it."""

    backend: str
    start: Callable[[Clone], None]
    reload: tuple[str, ...]
    close: tuple[str, ...]
    """Who shuts everybody out but SSH, of CLOSERS."""
    mode: str = "open"


def start_firewalld(machine: Clone) -> None:
    machine.run("systemctl", "enable", "--now", "firewalld.service")


def start_ufw(machine: Clone) -> None:
    machine.run("ufw", "allow", "22/tcp")
    machine.run("ufw", "--force", "enable")


def start_iptables(world: str) -> Callable[[Clone], None]:
    def start(machine: Clone) -> None:
        machine.write("/root/rules.4", OPERATORS)
        machine.write("/root/rules.6", OPERATORS.replace("icmp", "ipv6-icmp"))
        machine.write("/etc/systemd/system/operator-rules.service", UNIT.format(world=world))
        machine.run("systemctl", "enable", "--now", "operator-rules.service")

    return start


def close_with_nft(machine: Clone) -> None:
    machine.run("nft", "-f", "-", stdin=OPERATORS_TABLE)


def close_with_legacy(machine: Clone) -> None:
    machine.run("iptables-legacy-restore", stdin=OPERATORS)
    machine.run("ip6tables-legacy-restore", stdin=OPERATORS.replace("icmp", "ipv6-icmp"))


CLOSERS = {
    "nft": (
        close_with_nft,
        "table inet operator chain input (policy drop)",
        ("nft", "delete", "table", "inet", "operator"),
    ),
    "legacy": (
        close_with_legacy,
        "ip6tables-legacy chain INPUT (policy drop)",
        ("sh", "-c", "for each in iptables ip6tables; do $each-legacy -P INPUT ACCEPT; $each-legacy -F; done"),
    ),
}
"""How somebody closes what no accept of ours opens, what is said of him, and how he lets it be."""
RULES = ("systemctl", "restart", "operator-rules.service")
WALLS = {
    "firewalld": Wall("firewalld", start_firewalld, ("firewall-cmd", "--reload"), ("legacy", "nft")),
    "ufw": Wall("ufw", start_ufw, ("ufw", "reload"), ("legacy", "nft")),
    "nftables": Wall("nftables", lambda _: None, ("nft", "flush", "ruleset"), ("nft",), mode="enforce"),
    "iptables-legacy": Wall("iptables", start_iptables("legacy"), RULES, ("nft",)),
    "iptables-nft": Wall("iptables", start_iptables("nft"), RULES, ("nft",)),
}


def told(machine: Clone) -> dict[str, Any]:
    """Return what the daemon says, from its own file, without a program that has to start."""
    document: dict[str, Any] = json.loads(machine.read("/run/nodeprep/status.json"))
    return document


def is_told(machine: Clone, what: str, *, so: bool = True) -> bool:
    """Whether the daemon warns of it, or does not."""
    return (what in warnings(told(machine))) is so


def become(machine: Clone, role: str, wall: Wall) -> None:
    """Have the daemon follow another role, and wait until it has."""
    configure(machine, f'["{role}"]', mode=wall.mode)
    look(machine)

    def has_followed() -> bool:
        openings = told(machine)["openings"]
        roles = {row["role"] for row in openings["list"]}
        return roles == {role} and openings["backend"] == wall.backend

    machine.wait_for(has_followed, SOON_S)


@pytest.mark.long
@pytest.mark.parametrize("name", WALLS)
def test_of_each_role_exactly_the_openings_are_found_from_outside(
    name: str, template: Golden, make_clone: MakeClone, lan: Lan
) -> None:
    wall = WALLS[name]
    lan.client("10.77.0.3/24", "beside")
    lan.client()  # before all else: the kernel takes a second to find its link-local address unique
    machine = make_clone("walled", mac=MAC, layers=template.layers)
    configure(machine, f'["{SHIPPED[-1]}"]', mode=wall.mode)
    machine.boot()
    ready(machine)
    listen(machine)
    wall.start(machine)
    at = targets(machine)

    portless: frozenset[int] = frozenset()
    for role in SHIPPED:
        become(machine, role, wall)
        assert scan(lan, "client", at) == [expected(role)] * 2, role
        if portless | whole_protocols(role):
            portless = whole_protocols(role)
            assert scan_protocols(lan, "beside", at[0]) == portless, role
    assert len(SHIPPED) >= 15 and expected(SHIPPED[-1]) > SSH

    machine.run(*wall.reload)
    machine.wait_for(lambda: scan(lan, "client", at) == [expected(role)] * 2, SOON_S)
    assert machine.shutdown()
    machine.boot()
    assert ready(machine)["openings"]["backend"] == wall.backend
    listen(machine)
    at = targets(machine)
    machine.wait_for(lambda: scan(lan, "client", at) == [expected(role)] * 2, SOON_S)

    for closer in wall.close:
        close, said, open_again = CLOSERS[closer]
        close(machine)
        look(machine)
        machine.wait_for(partial(is_told, machine, said), SOON_S)
        assert told(machine)["openings"]["backend"] == wall.backend
        assert scan(lan, "client", at) == [SSH] * 2
        machine.run(*open_again)
        look(machine)
        machine.wait_for(partial(is_told, machine, said, so=False), SOON_S)
        assert scan(lan, "client", at) == [expected(role)] * 2
