"""Clones of an image that was sealed on disk: the golden disk, mounted, as an image builder does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.lab.identity import shared
from tests.lab.lan import Lan
from tests.lab.test_seal import MARK, REPOSITORY
from tests.vm.conftest import MakeMachine
from tests.vm.disk import Image
from tests.vm.expectations import assert_pairwise_different, assert_seen_so, assert_up, early_report
from tests.vm.golden import template_identity


def seal(image: Image, directory: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `nodeprep seal` of the working tree on a disk."""
    mount = directory / "image"
    nodeprep = ("env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "nodeprep.cli")
    return image.entered(mount, *nodeprep, "seal", "--root", str(mount), *options)


@pytest.fixture(scope="module")
def sealed(golden: Image, tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Return the golden disk, sealed."""
    folder = tmp_path_factory.mktemp("sealed")
    image = golden.copy(folder / "disk.raw")
    unsealed = seal(image, folder, "--check", "--json")
    assert {"baked-in", "not-sealed"} <= {row["code"] for row in json.loads(unsealed.stdout)["findings"]}, unsealed
    done = seal(image, folder)
    assert done.returncode == 0, done
    checked = seal(image, folder, "--check")
    assert checked.returncode == 0, checked
    return image


def test_clones_of_a_sealed_image_are_unique_and_have_host_keys_from_their_first_boot_on(
    golden: Image, sealed: Image, make_machine: MakeMachine, lan: Lan, tmp_path: Path
) -> None:
    assert not (sealed.files(tmp_path, "/etc/machine-id")["/etc/machine-id"] or "").strip()
    clones = [
        make_machine(
            f"sealed-{number}",
            image=sealed,
            uuid=f"4c4c4544-0042-3510-8052-b4c04f5644{number:02x}",
            mac=f"52:54:00:77:04:{number:02x}",
        )
        for number in range(2)
    ]
    for machine in clones:
        machine.on()
    for machine in clones:
        document = machine.ready()
        assert_up(machine, boots=1)
        assert document["node"]["origin"] == "first-boot"
        assert "sealed" in document["node"]["reason"]
        assert machine.run("cat", MARK, check=False).returncode == 1, "the next boot is none"
        restarts = machine.run("systemctl", "show", "--property=NRestarts", "--value", "ssh.service").stdout
        assert restarts.strip() == "0", "there were host keys when it first started"
        changes = {name: old for name, old, _ in early_report(machine)["changes"]}
        assert changes["ssh-host-keys"] == "-", "the image had none"
    found = assert_pairwise_different(clones)
    template = template_identity(golden)
    for machine in clones:
        # One of them may keep the address, which is nobody's in this segment.
        assert set(shared(found[machine.name], template)) <= {"ipv4"}, machine.name
    assert_seen_so(lan, found)
