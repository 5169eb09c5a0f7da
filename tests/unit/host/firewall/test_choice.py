"""Which firewall is driven, and what becomes of what another one was told."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host.firewall import choice
from nodeprep.host.firewall.choice import Driven, Firewalls
from nodeprep.model import Opening

API = Opening("tcp", 6443, 6443, "API server", "control-plane")


class Wall:
    """A firewall that holds what it is told."""

    owned = re.compile("nothing")

    def __init__(self, name: str, *, active: bool = False) -> None:
        self.name = name
        self.is_active = active
        self.holds: tuple[Opening, ...] | None = None
        self.fault = ""
        self.applied = 0
        self.returns_after: int | None = None
        """Of a restart that is under way: how often it is asked before it is active again."""

    def active(self) -> bool:
        if self.returns_after is not None:
            self.returns_after -= 1
            self.is_active = self.returns_after <= 0
        return self.is_active

    def present(self, openings: Iterable[Opening], _mode: str, _ssh_ports: tuple[int, ...]) -> bool:
        return self.holds == tuple(openings)

    def apply(self, openings: Iterable[Opening], _mode: str, _ssh_ports: tuple[int, ...]) -> None:
        if self.fault:
            raise HostError(self.fault)
        self.applied += 1
        self.holds = tuple(openings)

    def remove(self) -> None:
        if self.fault:
            raise HostError(self.fault)
        self.holds = None

    def remarks(self, _openings: Iterable[Opening], mode: str) -> tuple[str, ...]:
        return (f"{self.name} in mode {mode}",)

    def ssh_ports(self) -> tuple[int, ...]:
        return (22,)


class Machine:
    """The four firewalls of a machine, none of which is active but nftables."""

    def __init__(self) -> None:
        self.firewalld, self.ufw, self.iptables = Wall("firewalld"), Wall("ufw"), Wall("iptables")
        self.nftables = Wall("nftables", active=True)
        self.driven = Driven()
        self.begin()

    def begin(self) -> None:
        """Begin anew, with what is known of before."""
        rest: Any = (self.iptables, self.nftables, self.driven)
        self.firewalls = Firewalls((self.firewalld, self.ufw), *rest)

    def look(self, times: int = 1, backend: str = "auto") -> None:
        for _ in range(times):
            self.firewalls.apply((API,), "open", backend)

    def holding(self) -> list[str]:
        walls = (self.firewalld, self.ufw, self.iptables, self.nftables)
        return [wall.name for wall in walls if wall.holds is not None]


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.setattr(choice, "RETURN_S", 0.05)
    monkeypatch.setattr(choice, "POLL_S", 0.001)
    return Machine()


def test_nftables_where_no_other_one_is_active(machine: Machine) -> None:
    machine.firewalls.apply((API,), "open", "auto")
    assert machine.firewalls.name == "nftables"
    assert machine.holding() == ["nftables"]


def test_what_is_as_it_should_be_is_not_made_again(machine: Machine) -> None:
    for _ in range(3):
        machine.firewalls.apply((API,), "open", "auto")
    assert machine.nftables.applied == 1


def test_whoever_becomes_active_takes_over_and_the_former_keeps_nothing(machine: Machine) -> None:
    machine.look()
    for name in ("iptables", "ufw", "firewalld"):
        getattr(machine, name).is_active = True
        machine.look(2)
        assert machine.firewalls.name == name
        # Beside ufw a chain of iptables is part of what ufw's backend makes.
        assert machine.holding() == (["ufw", "iptables"] if name == "ufw" else [name])


def test_what_a_daemon_before_this_one_opened_elsewhere_is_taken_away(machine: Machine) -> None:
    machine.nftables.holds = (API,)
    machine.ufw.is_active = True
    machine.look(2)
    assert machine.holding() == ["ufw"]


@pytest.mark.parametrize("backend", ["auto", "ufw"])
def test_one_that_loads_its_rules_anew_is_waited_for(machine: Machine, backend: str) -> None:
    machine.ufw.is_active = True
    machine.look(2, backend)
    machine.ufw.is_active, machine.ufw.returns_after = False, 4
    machine.look(1, backend)
    assert machine.firewalls.name == "ufw"
    assert machine.holding() == ["ufw"]
    assert machine.nftables.applied == 0


def test_who_begins_anew_knows_what_was_driven_and_what_is_left(machine: Machine) -> None:
    machine.ufw.is_active, machine.nftables.holds, machine.nftables.fault = True, (API,), "nft: no"
    machine.look()
    machine.begin()
    machine.look()
    machine.begin()
    assert machine.firewalls.name == "ufw"
    assert machine.firewalls.remarks((API,), "open")[1:] == (
        "nftables still has what was opened there before: nft: no",
    )
    machine.nftables.fault, machine.ufw.is_active, machine.ufw.returns_after = "", False, 4
    machine.look()
    assert machine.holding() == ["ufw"], "it was waited for, and the other cleared"
    for _ in range(2):
        machine.firewalls.apply((API,), "off", "auto")
        machine.begin()
        assert machine.firewalls.name == "-"
        machine.nftables.holds = (API,)
    machine.firewalls.apply((API,), "off", "auto")
    assert machine.holding() == ["nftables"], "withdrawn once"


def test_what_was_opened_stays_where_a_daemon_begins_while_the_manager_is_away(machine: Machine) -> None:
    machine.ufw.holds = (API,)
    machine.look()
    assert machine.firewalls.name == "nftables"
    machine.ufw.is_active = True
    machine.look()
    assert machine.ufw.applied == 0, "nothing was taken away, so nothing is made again"
    machine.look()
    assert machine.holding() == ["ufw"]


def test_one_that_was_switched_off_keeps_nothing(machine: Machine) -> None:
    machine.ufw.is_active = True
    machine.look(2)
    machine.ufw.is_active = False
    machine.look(2)
    assert machine.holding() == ["nftables"]


def test_what_cannot_be_taken_away_is_told_and_tried_again(machine: Machine) -> None:
    machine.ufw.is_active, machine.nftables.holds, machine.nftables.fault = True, (API,), "nft: no"
    machine.look(2)
    assert machine.firewalls.remarks((API,), "open") == (
        "ufw in mode open",
        "nftables still has what was opened there before: nft: no",
    )
    machine.nftables.fault = ""
    machine.firewalls.apply((API,), "open", "auto")
    assert machine.holding() == ["ufw"]
    assert machine.firewalls.remarks((API,), "open") == ("ufw in mode open",)


def test_where_the_new_one_refuses_the_former_stays_as_it_was(machine: Machine) -> None:
    machine.firewalls.apply((API,), "open", "auto")
    machine.ufw.is_active, machine.ufw.fault = True, "ufw: no"
    with pytest.raises(HostError, match="ufw: no"):
        machine.firewalls.apply((API,), "open", "auto")
    assert machine.holding() == ["nftables"]


@pytest.mark.parametrize("name", ["firewalld", "ufw"])
def test_a_manager_that_is_named_and_not_active_is_not_driven(machine: Machine, name: str) -> None:
    with pytest.raises(HostError, match=f"{name} is not active"):
        machine.firewalls.apply((API,), "open", name)
    assert machine.holding() == []


@pytest.mark.parametrize("name", ["iptables", "nftables"])
def test_one_that_is_named_is_driven_whatever_is_active(machine: Machine, name: str) -> None:
    machine.firewalld.is_active = True
    machine.look(2, name)
    assert machine.holding() == [name]


def test_off_takes_away_what_was_opened_once(machine: Machine) -> None:
    machine.firewalls.apply((API,), "open", "auto")
    machine.firewalls.apply((API,), "off", "auto")
    assert machine.firewalls.name == "-"
    assert machine.holding() == []
    machine.ufw.holds = (API,)  # whoever makes it now, it is not ours to take away at each look
    machine.firewalls.apply((API,), "off", "auto")
    assert machine.holding() == ["ufw"]
