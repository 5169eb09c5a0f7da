"""Clones that their platform tells: renewed early, before anything reads the old identity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ARTEFACTS, assert_pairwise_different, assert_whole, ready, status
from tests.lab.golden import Golden, golden_tree, left_a_lease, worst_case
from tests.lab.identity import identity
from tests.lab.tree import Release

UUIDS = ("4c4c4544-0042-3510-8052-b4c04f564232", "4c4c4544-0042-3510-8052-b4c04f564233")
MACS = ("52:54:00:77:02:02", "52:54:00:77:02:03")


def with_platform(root: Path) -> None:
    """Furnish the worst common case on a platform that tells its machines apart."""
    worst_case(root)
    platform.point_there(root)


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that lived on a platform of its own."""
    return golden_tree(release, deb, store=store, name="platform", prepare=with_platform, lived=left_a_lease)


def early_journal(clone: Clone) -> str:
    """Return what the early run said in this boot."""
    return clone.journal("nodeprep-early.service", "-b")


def test_a_clone_with_another_platform_is_renewed_early_without_a_reboot(
    template: Golden, make_clone: MakeClone
) -> None:
    origin = make_clone("origin", mac=platform.MAC, layers=template.layers)
    origin.boot()
    ready(origin)
    before = identity(origin)
    clones = [make_clone(f"clone-{n}", mac=MACS[n], layers=template.layers) for n in range(2)]
    for number, clone in enumerate(clones):
        platform.present(clone, UUIDS[number], MACS[number])
        clone.boot(wait=False)
    for number, clone in enumerate(clones):
        document = ready(clone)
        assert document["node"]["origin"] == "clone"
        assert clone.wait_booted() == "running"
        assert clone.failed_units() == ()
        assert clone.boots == 1
        assert "renewed machine-id" in early_journal(clone)
        values = identity(clone)
        assert not values["dhcp leases"]
        assert clone.run("readlink", "/var/lib/dbus/machine-id").stdout == "/etc/machine-id\n"
        assert values["mac"] == MACS[number], "the pin is gone, and the hardware's own MAC is back"
    found = assert_pairwise_different([origin, *clones])
    assert {name: found["origin"][name] for name in ARTEFACTS} == {name: before[name] for name in ARTEFACTS}


def test_a_machine_id_that_pid_1_mounted_over_its_file_is_taken_away_and_renewed(
    template: Golden, make_clone: MakeClone, tmp_path: Path
) -> None:
    # As with a transient ID; no rename gets past the mount, and the early run has a mount namespace of its own.
    machine = make_clone("transient", mac=MACS[0], layers=template.layers)
    platform.present(machine, UUIDS[0], MACS[0])
    old = machine.read("/etc/machine-id")
    mounted = tmp_path / "machine-id"
    mounted.write_text(old)
    machine.boot(nspawn_arguments=(f"--bind-ro={mounted}:/etc/machine-id",))
    document = ready(machine)
    assert document["node"]["origin"] == "clone"
    assert "renewed machine-id" in early_journal(machine)
    assert " /etc/machine-id " not in machine.run("cat", "/proc/1/mountinfo").stdout
    new = machine.read("/etc/machine-id")
    assert new != old
    assert machine.run("hostnamectl", "status").stdout.count(new.strip()) == 1, "and PID 1 knows it"
    assert machine.failed_units() == ()


def test_a_machine_that_was_only_moved_keeps_its_identity(template: Golden, make_clone: MakeClone) -> None:
    machine = make_clone("moved", mac=platform.MAC, layers=template.layers)
    machine.boot()
    ready(machine)
    before = identity(machine)
    machine.shutdown()
    platform.present(machine, UUIDS[0], platform.MAC)
    machine.boot()
    document = ready(machine)
    assert document["node"]["origin"] == "moved"
    assert [row["code"] for row in document["warnings"]] == ["moved"]
    after = identity(machine)
    assert_whole(after)
    assert {name: after[name] for name in ARTEFACTS} == {name: before[name] for name in ARTEFACTS}
    machine.shutdown()
    machine.boot()
    assert ready(machine)["node"]["origin"] == "same", "the stamp followed"


def test_plan_shows_what_the_next_boot_would_do_and_does_nothing(template: Golden, make_clone: MakeClone) -> None:
    machine = make_clone("planned", mac=platform.MAC, layers=template.layers)
    machine.boot()
    ready(machine)
    before = identity(machine)
    assert "nothing would be done" in machine.run("nodeprep", "plan").stdout
    platform.present(machine, UUIDS[1], MACS[1], sysfs=platform.NEXT)
    disk = machine.disk_snapshot()
    planned = machine.run("env", f"NODEPREP_SYSFS={platform.NEXT}", "nodeprep", "plan", "--json").stdout
    document = json.loads(planned)
    subjects = [subject for step in document["steps"] for subject in step["subjects"]]
    assert document["origin"] == "clone"
    assert {"machine-id", "ssh-host-keys", "hostname", "ipv4-address"} <= set(subjects)
    assert before["machine-id"] not in planned
    assert {path: entry for path, entry in machine.disk_snapshot().items() if "/log/" not in path} == {
        path: entry for path, entry in disk.items() if "/log/" not in path
    }
    assert status(machine)["state"] == "ready"
    assert {name: identity(machine)[name] for name in ARTEFACTS} == {name: before[name] for name in ARTEFACTS}


def test_a_clone_takes_role_hostname_and_address_from_its_system_credentials(
    template: Golden, make_clone: MakeClone
) -> None:
    machine = make_clone("told", mac=MACS[0], layers=template.layers)
    platform.present(machine, UUIDS[0], MACS[0])
    credentials = {
        "nodeprep.role": "control-plane,etcd",
        "nodeprep.hostname": "{role}-{mac}",
        "nodeprep.address": "10.77.0.88",
    }
    machine.boot(credentials=credentials)
    document = ready(machine)
    assert document["node"]["roles"] == ["control-plane", "etcd"]
    assert document["node"]["hostname"] == "control-plane-770202"
    assert identity(machine)["ipv4"].startswith("10.77.0.88/24")
    assert "6443/tcp" in [row["opening"] for row in document["openings"]["list"]]
