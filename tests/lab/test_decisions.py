"""The table of the boot's origin, row by row, on booted machines whose platform the test presents.

The rows that test_clones.py, test_unchanged_boot.py, test_seal.py and test_joined.py do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready, status
from tests.lab.golden import CONFIGURATION, Golden, golden_tree, left_a_lease
from tests.lab.identity import identity
from tests.lab.lan import Lan
from tests.lab.test_clones import with_platform
from tests.lab.tree import Release

OTHER_UUID = "4c4c4544-0042-3510-8052-b4c04f564299"
OTHER_MAC = "52:54:00:77:03:03"
FILLER = "03000200-0400-0500-0006-000700080009"
SWAPPED = "44454c4c-4200-1035-8052-b4c04f564231"
"""The template's product UUID in the other byte order."""
SERIAL = f"{platform.SYSFS}/block/vda/serial"
GENERATION = f"{platform.SYSFS}/firmware/qemu_fw_cfg/by_name/etc/vmgenid_guid/raw"


class Row(NamedTuple):
    """What the platform shows at the next boot, and what is to be made of it."""

    uuid: str
    mac: str
    origin: str
    warnings: tuple[str, ...] = ()
    setting: str = "decide"
    joined: bool = False


ROWS = {
    "same": Row(platform.UUID, platform.MAC, "same"),
    "other-byte-order": Row(SWAPPED, platform.MAC, "same"),
    "unreadable": Row("", platform.MAC, "same"),
    "new-nic": Row(platform.UUID, OTHER_MAC, "new-nic", ("moved",)),
    "weak-and-never-joined": Row(FILLER, OTHER_MAC, "clone"),
    "weak-and-joined": Row(FILLER, OTHER_MAC, "weak", ("weak-evidence",), joined=True),
    "the-operator-says-renew": Row(OTHER_UUID, platform.MAC, "clone", setting="renew"),
    "the-operator-says-keep": Row(OTHER_UUID, OTHER_MAC, "moved", ("moved",), setting="keep"),
}


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that lived on a platform of its own."""
    return golden_tree(release, deb, store=store, name="platform", prepare=with_platform, lived=left_a_lease)


@pytest.fixture
def lans() -> Iterator[ExitStack]:
    """Return where segments are entered, so that machines which keep one identity do not meet."""
    with ExitStack() as stack:
        yield stack


def furnished(clone: Clone, row: Row) -> Clone:
    """Present a row's platform to a machine that is off."""
    platform.present(clone, row.uuid, row.mac)
    clone.write("/etc/nodeprep/nodeprep.toml", f'{CONFIGURATION}\n[identity]\non_hardware_change = "{row.setting}"\n')
    if row.joined:
        clone.write("/etc/kubernetes/kubelet.conf", "clusters: []\n")
    return clone


def test_every_row_of_the_table(template: Golden, make_clone: MakeClone, lans: ExitStack) -> None:
    machines = {
        name: furnished(
            make_clone(name, mac=row.mac, layers=template.layers, lan=lans.enter_context(Lan(f"row{number}"))), row
        )
        for number, (name, row) in enumerate(ROWS.items())
    }
    before = {name: machine.read("/etc/machine-id") for name, machine in machines.items()}
    for machine in machines.values():
        machine.boot(wait=False)
    for name, row in ROWS.items():
        machine = machines[name]
        document = ready(machine)
        assert document["node"]["origin"] == row.origin, (name, document["node"])
        assert {warning["code"] for warning in document["warnings"]} >= set(row.warnings), (name, document["warnings"])
        assert (machine.read("/etc/machine-id") == before[name]) == (row.origin != "clone"), name
        assert machine.boots == 1, name
        assert machine.failed_units() == (), name


@pytest.mark.parametrize("origin", ["clone", "new-nic"])
def test_without_a_uuid_the_vm_generation_id_tells_a_copy_from_a_new_card(
    template: Golden, make_clone: MakeClone, origin: str
) -> None:
    machine = make_clone("counted", mac=platform.MAC, layers=template.layers)
    machine.write(GENERATION, "A" * 40 + "first generation" + "B" * 4040)
    platform.present(machine, FILLER, platform.MAC)
    machine.boot()
    ready(machine)
    before = identity(machine)["machine-id"]
    machine.shutdown()
    if origin == "clone":
        machine.write(GENERATION, "A" * 40 + "other generation" + "B" * 4040)
    platform.present(machine, FILLER, OTHER_MAC)
    machine.boot()
    assert ready(machine)["node"]["origin"] == origin
    assert (identity(machine)["machine-id"] == before) == (origin == "new-nic")


def test_a_joined_machine_of_which_only_the_disk_is_known_to_be_another_is_a_copy(
    template: Golden, make_clone: MakeClone
) -> None:
    machine = make_clone("disk", mac=platform.MAC, layers=template.layers)
    machine.write(SERIAL, "disk-of-the-template")
    platform.present(machine, FILLER, platform.MAC)
    machine.boot()
    ready(machine)
    machine.shutdown()
    machine.write(SERIAL, "disk-of-the-clone")
    machine.write("/etc/kubernetes/kubelet.conf", "clusters: []\n")
    platform.present(machine, FILLER, OTHER_MAC)
    machine.boot()
    document = machine.wait_for(lambda: status(machine) if status(machine)["state"] == "held" else None, 60)
    assert [row["code"] for row in document["problems"]] == ["joined-clone"]
    assert document["node"]["origin"] == "clone"
