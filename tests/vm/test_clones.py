"""Clones of a disk that lived and was never sealed, on hardware: told by its DMI, cut off in the middle, booted again.

The machines of a module are on one segment, three of them at most at a time.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.lab.golden import MAC as PINNED
from tests.lab.golden import PROFILE_PATH
from tests.lab.identity import shared
from tests.lab.lan import Lan
from tests.vm.conftest import MakeMachine
from tests.vm.disk import Image
from tests.vm.expectations import (
    assert_pairwise_different,
    assert_seen_so,
    assert_up,
    assert_valid_on_disk,
    disk,
    early_said,
    end_state,
    hardware_of,
    stamped,
    units,
)
from tests.vm.golden import CUT, GENERATION, MAC, REACHED, UUID, template_identity
from tests.vm.machine import NIC, Machine

CREDENTIALS = {"nodeprep.role": "control-plane"}
FW_CFG = {"nodeprep.role": "etcd", "nodeprep.hostname": "told-{index}", "nodeprep.index": "7"}
MACHINE_ID, HOSTNAME, PUBLIC_KEY = "/etc/machine-id", "/etc/hostname", "/etc/ssh/ssh_host_ed25519_key.pub"
RENEWAL = "/var/lib/nodeprep/renewal.json"
CUT_PAUSE_S = 0.1


class Clones(NamedTuple):
    """A clone with a role of its own, one without, and one on the template's own hardware."""

    chosen: Machine
    plain: Machine
    original: Machine


class Before(NamedTuple):
    """What machines were before they booted again: disks and identities by name, and the end state of a renewed one."""

    disks: dict[str, dict[str, str]]
    identities: dict[str, dict[str, str]]
    end_state: dict[str, object]


def own(number: int) -> dict[str, Any]:
    """Return hardware of a clone's own, as hypervisors make it up."""
    return {
        "uuid": f"4c4c4544-0042-3510-8052-b4c04f5643{number:02x}",
        "mac": f"52:54:00:77:02:{number:02x}",
        "generation": f"9d3f0c51-6ba4-4b8e-8f0e-2f6f5c7a10{number:02x}",
    }


@pytest.fixture(scope="module")
def clones(make_machine: MakeMachine) -> Clones:
    """Return three clones of the golden disk that were powered on at one instant."""
    machines = Clones(
        make_machine("chosen", credentials=CREDENTIALS, **own(1)),
        make_machine("plain", **own(2)),
        make_machine("original", mac=MAC, uuid=UUID, generation=GENERATION),
    )
    for machine in machines:
        machine.on()
    return machines


@pytest.fixture(scope="module")
def documents(clones: Clones) -> dict[str, dict[str, Any]]:
    """Return the status of each, once all are ready."""
    return {machine.name: machine.ready() for machine in clones}


def test_three_clones_that_boot_at_one_instant_become_unique_and_ready(
    clones: Clones, documents: dict[str, dict[str, Any]], golden: Image, lan: Lan
) -> None:
    for machine in clones:
        assert_up(machine, boots=1)
    assert [documents[machine.name]["node"]["origin"] for machine in clones] == ["clone", "clone", "same"]
    found = assert_pairwise_different(clones)
    template = template_identity(golden)
    assert early_said(clones.original) == [], "the early run finds it unchanged, and leaves"
    for machine in (clones.chosen, clones.plain):
        assert early_said(machine)[0].startswith("clone: product UUID new, permanent MACs new")
        assert not shared(found[machine.name], template)
        assert found[machine.name]["mac"] == machine.mac, "back to the hardware's own"
    assert found["original"]["mac"] == PINNED
    assert {"machine-id", "hostname", "ssh keys of sshd", "ipv4"} <= set(shared(found["original"], template))
    assert_seen_so(lan, found)


@pytest.mark.usefixtures("documents")
def test_each_of_them_reads_what_its_hypervisor_says(clones: Clones) -> None:
    for machine in clones:
        assert machine.run("cat", "/sys/class/dmi/id/product_uuid").stdout.strip() == machine.uuid
        (link,) = json.loads(machine.run("ip", "-json", "-details", "link", "show", NIC).stdout)
        assert link.get("permaddr", link["address"]) == machine.mac
        assert stamped(machine).hardware == hardware_of(machine), machine.name


def test_a_role_is_given_by_a_credential_in_smbios(clones: Clones, documents: dict[str, dict[str, Any]]) -> None:
    chosen, plain = (documents[name] for name in ("chosen", "plain"))
    assert chosen["node"]["roles"] == ["control-plane"]
    assert plain["node"]["roles"] == ["worker"], "what the file says"
    assert "6443/tcp" in [row["opening"] for row in chosen["openings"]["list"]]
    assert "6443/tcp" not in [row["opening"] for row in plain["openings"]["list"]]
    assert clones.chosen.run("hostname").stdout.startswith("control-plane-")
    assert "6443" in clones.chosen.run("nft", "list", "table", "inet", "nodeprep").stdout


def was_started(machine: Machine, unit: str) -> bool:
    """Whether the conditions of a unit held in this boot."""
    return machine.run("systemctl", "show", "-P", "ConditionResult", unit).stdout.strip() == "yes"


@pytest.mark.usefixtures("documents")
def test_the_early_run_comes_before_all_that_would_carry_the_old_identity_on(clones: Clones) -> None:
    before = ("systemd-remount-fs.service", "local-fs.target")
    after = (
        *("systemd-journal-flush.service", "systemd-random-seed.service", "systemd-tmpfiles-setup.service"),
        *("sysinit.target", "network-pre.target", "NetworkManager.service", "dbus.service", "ssh.service"),
    )
    for machine in clones:
        assert "Run /init as init process" in machine.said(), "there is an initrd"
        assert was_started(machine, "nodeprep-early.service") == (machine is not clones.original)
    for machine in (clones.chosen, clones.plain):
        found = units(machine, "nodeprep-early.service", "nodeprep.service", *before, *after)
        began, done = found["nodeprep-early.service"]
        assert 0 < began < done < found["nodeprep.service"][0]
        for name in before:
            assert 0 < found[name][1] <= began, (machine.name, name)
        for name in after:
            assert done <= found[name][0], (machine.name, name)


@pytest.fixture(scope="module")
def again(clones: Clones, documents: dict[str, dict[str, Any]]) -> Before:
    """Return what a clone and the original were before they were booted again."""
    machines = (clones.plain, clones.original)
    before = Before(
        {machine.name: disk(machine) for machine in machines},
        {machine.name: machine.identity() for machine in machines},
        end_state(clones.plain, documents["plain"]),
    )
    clones.chosen.power_cut()
    for machine in machines:
        assert machine.shutdown(), machine.said()[-2000:]
    for machine in machines:
        machine.on()
    return before


def test_a_second_boot_changes_nothing_and_writes_nothing_outside_run(clones: Clones, again: Before) -> None:
    for machine in (clones.plain, clones.original):
        document = machine.ready()
        assert_up(machine, boots=2)
        assert document["node"]["origin"] == "same"
        assert document["changes"] == []
        then, now = again.disks[machine.name], disk(machine)
        changed = {path for path in {*then, *now} if then.get(path) != now.get(path)}
        assert changed == set(), machine.name
        assert early_said(machine) == []
        assert not was_started(machine, "nodeprep-early.service"), "links' drivers were loaded in time"
        assert machine.run("cat", "/run/nodeprep/early.json", check=False).returncode == 1
        before, after = again.identities[machine.name], machine.identity()
        differs = {name for name in before if before[name] != after[name]}
        assert differs <= {"boot-id", "random-seed", "ipv6"}, machine.name


def test_role_hostname_and_number_are_given_by_credentials_in_fw_cfg(
    make_machine: MakeMachine, clones: Clones, again: Before
) -> None:
    clones.plain.power_cut()
    machine = make_machine("told", fw_cfg=FW_CFG, **own(5))
    machine.on()
    document = machine.ready()
    assert_up(machine, boots=1)
    assert document["node"]["roles"] == ["etcd"]
    assert machine.run("hostname").stdout.strip() == "told-7"
    assert "2379/tcp" in [row["opening"] for row in document["openings"]["list"]]
    assert "2379" in machine.run("nft", "list", "table", "inet", "nodeprep").stdout
    machine.power_cut()


def lose_power(cuts: dict[Machine, list[str]], directory: Path) -> None:
    """Boot machines and cut the power of each whenever a file is in another's place: each file in turn, then none."""
    for machine, paths in cuts.items():
        machine.on(f"{CUT}={paths[0]}")
    while left := {machine: paths for machine, paths in cuts.items() if paths}:
        any_of_them = next(iter(left))
        machine = any_of_them.wait_for(partial(first_to_reach, left), pause_s=CUT_PAUSE_S)
        machine.power_cut()
        assert_valid_on_disk(machine, directory)
        assert machine.disk.files(directory, RENEWAL)[RENEWAL], "it was in the middle of a renewal"
        del left[machine][0]
        machine.on(*(f"{CUT}={path}" for path in left[machine][:1]))


def first_to_reach(left: dict[Machine, list[str]]) -> Machine | None:
    """Return a machine that says that there is another file in the next of its places."""
    return next((machine for machine, paths in left.items() if f"{REACHED} {paths[0]}" in machine.said()), None)


def test_clones_that_lose_power_in_the_middle_of_a_renewal_end_as_one_that_did_not(
    make_machine: MakeMachine, clones: Clones, again: Before, golden: Image, tmp_path: Path, lan: Lan
) -> None:
    clones.plain.power_cut()
    early, main = make_machine("cut-early", **own(3)), make_machine("cut-main", **own(4))
    lose_power({early: [MACHINE_ID, PUBLIC_KEY], main: [HOSTNAME, PROFILE_PATH]}, tmp_path)
    template = template_identity(golden)
    for machine in (early, main):
        document = machine.ready()
        assert_up(machine, boots=3)
        assert end_state(machine, document) == again.end_state, machine.name
        assert stamped(machine).hardware == hardware_of(machine)
    found = assert_pairwise_different((clones.original, early, main))
    for machine in (early, main):
        assert not shared(found[machine.name], template)
    assert_seen_so(lan, found)
