"""The second boot: nothing changes, and nothing outside /run is written."""

from __future__ import annotations

import stat

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import KEPT, WRITTEN_BY_DEBIAN, ready
from tests.lab.golden import MAC
from tests.lab.identity import identity

pytestmark = pytest.mark.usefixtures("golden")


def disk(clone: Clone) -> dict[str, object]:
    """Return the files on the disk of a machine, with their times, but for those that Debian itself writes."""
    return {
        path: entry
        for path, entry in clone.disk_snapshot().items()
        if not path.startswith(WRITTEN_BY_DEBIAN) and not stat.S_ISDIR(entry.mode)
    }


def early(clone: Clone) -> str:
    """Return whether the early run was started in this boot."""
    return clone.run("systemctl", "show", "-P", "ConditionResult", "nodeprep-early.service").stdout.strip()


def test_machines_that_boot_again_change_nothing_and_write_nothing_outside_run(make_clone: MakeClone) -> None:
    machines = [make_clone(name, mac=MAC) for name in ("keeper", "twin")]
    for machine in machines:
        machine.boot(wait=False)
    for machine in machines:
        ready(machine)
        machine.wait_booted()
    before = {machine.name: identity(machine) for machine in machines}
    for machine in machines:
        assert machine.shutdown()
    disks = {machine.name: disk(machine) for machine in machines}
    for machine in machines:
        machine.boot(wait=False)
    for machine in machines:
        document = ready(machine)
        assert document["node"]["origin"] == "same"
        assert document["changes"] == []
        assert machine.wait_booted() == "running"
        assert early(machine) == "no", "the boot did not have to wait for it"
        after = identity(machine)
        assert {name: after[name] for name in KEPT} == {name: before[machine.name][name] for name in KEPT}
    for machine in machines:
        assert machine.shutdown()
        assert disk(machine) == disks[machine.name]


def test_who_starts_the_early_run_by_hand_has_it_asked_again_what_has_changed(make_clone: MakeClone) -> None:
    machine = make_clone("node", mac=MAC)
    machine.boot()
    ready(machine)
    machine.run("systemctl", "stop", "nodeprep.service")

    def restarted() -> str:
        machine.run("systemctl", "restart", "nodeprep-early.service")
        return early(machine)

    assert restarted() == "no"
    machine.run("mv", "/var/lib/nodeprep/stamp.json", "/run/kept")
    assert restarted() == "yes"
    machine.run("mv", "/run/kept", "/var/lib/nodeprep/stamp.json")
    assert restarted() == "no"
