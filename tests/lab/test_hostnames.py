"""Hostnames from what the platform alone knows: the serial number, and an index that the hypervisor passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import KEPT, assert_whole, held, problem_codes, ready, status
from tests.lab.golden import Golden, golden_tree, left_a_lease
from tests.lab.identity import HOSTNAMES, identity
from tests.lab.test_clones import MACS, UUIDS, with_platform
from tests.lab.tree import Release

FILE = "/etc/nodeprep/nodeprep.toml.d/hostname.toml"
# VMware writes the 16 bytes of its own UUID; of these two, the last byte is the same.
SERIALS = {
    "VMware-56 4d 1c 2b 3a 4f 5e 6d-7c 8b 9a 0f 1e 2d 3c 4b": "worker-9a0f1e2d3c4b",
    "VMware-56 4d 77 02 61 90 ad 13-5b 8e 21 c4 f3 06 d8 4b": "worker-21c4f306d84b",
    "CZ3412ABCD": "worker-cz3412abcd",
}


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return the template of test_clones."""
    return golden_tree(release, deb, store=store, name="platform", prepare=with_platform, lived=left_a_lease)


def name_by(clone: Clone, hostname: str) -> None:
    """Configure a machine's template of hostnames."""
    clone.write(FILE, f'[node]\nhostname = "{hostname}"\n')


def assert_named(clone: Clone, name: str) -> None:
    """Assert that a machine is ready under a name, for hostnamed, the kernel, /etc/hostname and nodeprep alike."""
    assert ready(clone)["node"]["hostname"] == name
    values = identity(clone)
    assert {who: values[who] for who in HOSTNAMES} == dict.fromkeys(HOSTNAMES, name)
    assert_whole(values)


def test_clones_are_named_by_the_end_of_their_serial_numbers(template: Golden, make_clone: MakeClone) -> None:
    clones = {}
    for number, serial in enumerate(SERIALS):
        mac, uuid = f"52:54:00:77:03:0{number}", f"4c4c4544-0042-3510-8052-b4c04f56424{number}"
        clone = clones[serial] = make_clone(f"clone-{number}", mac=mac, layers=template.layers)
        platform.present(clone, uuid, mac, serial)
        name_by(clone, "{role}-{serial}")
        clone.boot(wait=False)
    for serial, clone in clones.items():
        assert_named(clone, SERIALS[serial])
        assert clone.boots == 1


def test_a_clone_is_named_by_the_index_that_the_hypervisor_passes(template: Golden, make_clone: MakeClone) -> None:
    clone = make_clone("indexed", mac=MACS[0], layers=template.layers)
    platform.present(clone, UUIDS[0], MACS[0])
    name_by(clone, "node-{index}")
    clone.boot(wait=False, credentials={"nodeprep.index": "07"})
    assert_named(clone, "node-07")


def test_a_clone_that_cannot_tell_its_hostname_is_held_as_it_is_until_it_can(
    template: Golden, make_clone: MakeClone
) -> None:
    origin = make_clone("origin", mac=platform.MAC, layers=template.layers)
    origin.boot()
    ready(origin)
    before = identity(origin)
    assert origin.shutdown()
    clone = make_clone("clone", mac=MACS[0], layers=template.layers)
    platform.present(clone, UUIDS[0], MACS[0])
    name_by(clone, "node-{serial}")
    clone.boot(wait=False)
    document = held(clone)
    assert clone.wait_booted() == "running"
    assert problem_codes(document) == ["config"]
    shown = clone.run("nodeprep", "status", check=False)
    assert shown.returncode == 1
    for text in (document["problems"][0]["detail"], shown.stdout):
        for part in (FILE, "node.hostname", "{serial} cannot be told", "pass the credential"):
            assert part in text
    assert document["changes"] == []
    after = identity(clone)
    assert after["mac"] == MACS[0], "the hardware's own"
    kept = set(KEPT) - {"mac"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert not clone.exists("/run/nodeprep/ready")

    assert clone.shutdown()
    clone.boot(wait=False, credentials={"nodeprep.hostname": "node-07"})
    assert_named(clone, "node-07")
    assert identity(clone)["machine-id"] != before["machine-id"]


def test_twins_that_boot_at_one_instant_draw_a_number_each_and_the_next_one_draws_the_lowest(
    template: Golden, make_clone: MakeClone
) -> None:
    clones = []
    for number in range(5):
        mac, uuid = f"52:54:00:77:05:0{number}", f"4c4c4544-0042-3510-8052-b4c04f56425{number}"
        clone = make_clone(f"clone-{number}", mac=mac, layers=template.layers)
        platform.present(clone, uuid, mac)
        name_by(clone, "node-{index}")
        clones.append(clone)
    *instant, late = clones
    for clone in instant:
        clone.boot(wait=False)
    names = {ready(clone)["node"]["hostname"] for clone in instant}
    assert len(names) == len(instant)
    assert "node-01" in names
    lowest = next(name for n in range(1, 99) if (name := f"node-{n:02d}") not in names)
    late.boot(wait=False)
    assert_named(late, lowest)
    assert late.shutdown()
    late.boot(wait=False)
    assert_named(late, lowest)
    assert status(late)["changes"] == []
