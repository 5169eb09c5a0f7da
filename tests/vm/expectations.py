"""What the tests expect of virtual machines, asked inside them and seen from their network."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from tests.lab.expectations import assert_whole
from tests.lab.identity import shared
from tests.lab.lan import BRIDGE, Lan
from tests.lab.traces import administer
from tests.vm.machine import Machine

CLIENT = "client"


def assert_up(machine: Machine, boots: int) -> None:
    """Assert that a machine is up without a failed unit, after no more than that many boots in all."""
    assert machine.failed_units() == (), machine.name
    assert machine.booted() == "running", machine.name
    assert machine.boots <= boots, machine.name
    cycles = [line for line in machine.said().splitlines() if "ordering cycle" in line.lower()]
    assert not cycles, cycles


def assert_pairwise_different(machines: Sequence[Machine]) -> dict[str, dict[str, str]]:
    """Assert that no two of the machines share anything they can be known by, and return what each of them has."""
    found = {machine.name: machine.identity() for machine in machines}
    for values in found.values():
        assert_whole(values)
        for name in ("random-seed", "networkmanager secret", "ipv6"):
            assert values[name], (name, values)
    for first, second in combinations(found, 2):
        assert not shared(found[first], found[second]), (first, found[first], second, found[second])
    return found


def assert_seen_so(lan: Lan, found: dict[str, dict[str, str]]) -> None:
    """Assert that a client on the segment meets what the machines say: MAC and host key behind each address."""
    for number, values in enumerate(found.values()):
        address = values["ipv4"].split("/")[0]
        name = f"{CLIENT}-{number}"
        lan.client("10.77.0.2/24", name)
        try:
            served = lan.run(name, "ssh-keyscan", "-T", "60", "-t", "ed25519", address, timeout=90).stdout
            neighbour = lan.run(name, "ip", "neighbour", "show", address).stdout
        finally:
            lan.unplug(name)
        assert [line.split()[-1] for line in served.splitlines()] == [values["ssh keys of sshd"]], address
        assert f"lladdr {values['mac']} " in neighbour, address
    learned = administer("bridge", "-n", lan.namespace, "fdb", "show", "br", BRIDGE).splitlines()
    ports = [line.split()[2] for line in learned for values in found.values() if line.startswith(values["mac"])]
    assert len(set(ports)) == len(ports) == len(found), learned
