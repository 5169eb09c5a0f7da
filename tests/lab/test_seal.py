"""Sealed images: their clones have identities of their own from the first boot on, whatever became of the template."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.lab import failpoint
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, assert_whole, ready
from tests.lab.golden import Golden
from tests.lab.identity import identity

REPOSITORY = Path(__file__).parents[2]
MARK = "/var/lib/nodeprep/baked-offline"
SCRIPT = "/root/failpoint.py"


def on_image(clone: Clone, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `nodeprep seal` of the working tree on the disk of a machine that is off."""
    command = (sys.executable, "-m", "nodeprep.cli", "seal", "--root", str(clone.root), *options)
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


def codes(clone: Clone) -> set[str]:
    """Return what the linter finds on the disk of a machine that is off."""
    said = on_image(clone, "--check", "--json")
    document: dict[str, Any] = json.loads(said.stdout)
    assert said.returncode == bool(document["findings"]), said
    return {row["code"] for row in document["findings"]}


def clones_of(image: Clone, golden: Golden, make_clone: MakeClone) -> list[Clone]:
    """Return two machines over the disk of one that is off."""
    image.release_disk()
    layers: Sequence[Path] = (image.upper, *golden.layers)
    return [make_clone(f"{image.name}-{number}", layers=layers) for number in range(2)]


def assert_first_boots(clones: Sequence[Clone]) -> dict[str, dict[str, str]]:
    """Boot machines side by side and assert that each is whole, ready at its first boot, and like no other."""
    for clone in clones:
        clone.boot(wait=False)
    for clone in clones:
        clone.wait_booted()
        assert clone.failed_units() == ()
        assert clone.run("systemctl", "show", "--property=NRestarts", "--value", "ssh.service").stdout.strip() == "0"
        document = ready(clone)
        assert document["node"]["origin"] == "first-boot"
        assert "sealed" in document["node"]["reason"]
        assert clone.boots == 1
        assert not clone.exists(MARK)
        # Not from its journal: of what it says while journald is restarted a line can be lost.
        early = json.loads(clone.read("/run/nodeprep/early.json"))
        assert "-" in [old for name, old, _ in early["changes"] if name == "ssh-host-keys"], "made before sshd started"
    return assert_pairwise_different(list(clones))


def test_clones_of_an_image_that_was_sealed_on_disk(golden: Golden, make_clone: MakeClone) -> None:
    image = make_clone("image")
    assert {"baked-in", "not-sealed"} <= codes(image)
    said = on_image(image)
    assert said.returncode == 0, said
    assert codes(image) == set()
    assert image.read("/etc/machine-id") == ""
    assert_first_boots(clones_of(image, golden, make_clone))


def addresses_of(machine: Clone) -> list[str]:
    """Return a machine's addresses; one that is tentative in one moment is not in the next (RFC 4862)."""
    return machine.run("ip", "-o", "address").stdout.replace(" tentative", "").splitlines()


def test_clones_of_a_template_that_was_sealed_while_it_ran(golden: Golden, make_clone: MakeClone) -> None:
    template = make_clone("template")
    template.boot()
    ready(template)
    before = identity(template)
    addresses = addresses_of(template)
    assert template.run("nodeprep", "seal", "--check", check=False).returncode == 1
    assert "nothing was done" in template.run("nodeprep", "seal", "--dry-run").stdout
    assert identity(template) == before

    said = template.run("nodeprep", "seal").stdout
    assert "power off now" in said
    assert template.run("nodeprep", "seal", "--check").stdout == "clean: nothing that clones would share\n"
    assert addresses_of(template) == addresses, "nobody is cut off"
    assert template.run("systemctl", "is-active", "ssh.service", "NetworkManager.service").returncode == 0

    assert "waits to be powered off" in template.run("nodeprep", "status", check=False).stdout
    sealed = template.read(MARK)
    template.run("systemctl", "start", "nodeprep.service")
    template.run("systemctl", "restart", "systemd-journald.service")
    template.run("logger", "after sealing")
    template.run("systemctl", "--no-block", "poweroff")
    template.wait_for(lambda: not template.running)
    assert template.read(MARK) == sealed
    assert codes(template) == set(), on_image(template, "--check").stdout
    found = assert_first_boots(clones_of(template, golden, make_clone))
    for values in found.values():
        assert values["machine-id"] != before["machine-id"]
        assert values["ssh keys of sshd"] != before["ssh keys of sshd"]


def test_a_template_that_was_booted_after_sealing_is_told(golden: Golden, make_clone: MakeClone) -> None:
    template = make_clone("template")
    assert on_image(template).returncode == 0
    template.boot()
    ready(template)
    told = template.run("nodeprep", "seal", "--check", check=False)
    assert told.returncode == 1
    assert "booted since" in told.stdout
    template.shutdown()
    assert "not-sealed" in codes(template)
    assert on_image(template).returncode == 0
    assert codes(template) == set()


def test_sealing_powers_off_by_itself(golden: Golden, make_clone: MakeClone) -> None:
    template = make_clone("template")
    template.boot()
    ready(template)
    template.run("nodeprep", "seal", "--poweroff", "--keep-fleet-key")
    template.wait_for(lambda: not template.running)
    assert codes(template) == set()


def test_a_member_of_a_cluster_is_not_sealed_by_itself(golden: Golden, make_clone: MakeClone) -> None:
    image = make_clone("image")
    image.write("/etc/kubernetes/kubelet.conf", "apiVersion: v1\n")
    machine_id = image.read("/etc/machine-id")
    said = on_image(image)
    assert said.returncode == 1
    assert "--reset-joined" in said.stderr
    assert image.read("/etc/machine-id") == machine_id
    assert on_image(image, "--reset-joined").returncode == 0
    assert codes(image) == set()


def seal_until(template: Clone, number: int) -> None:
    """Seal a running template, and stop before that effect."""
    shutil.copyfile(failpoint.__file__, template.path("/root") / "failpoint.py")
    template.run("systemd-run", "--quiet", "--unit=sealing", "python3", SCRIPT, "seal", str(number))


def test_a_template_that_loses_power_while_it_is_sealed(golden: Golden, make_clone: MakeClone) -> None:
    undisturbed = make_clone("undisturbed")
    undisturbed.boot()
    ready(undisturbed)
    seal_until(undisturbed, 0)
    undisturbed.wait_for(lambda: undisturbed.read(MARK).startswith("sealed") if undisturbed.exists(MARK) else False)
    total = int(undisturbed.read(failpoint.MARK))
    undisturbed.power_cut()
    assert codes(undisturbed) == set()
    assert total > 20
    for number in (total // 4, total // 2, total - 1):
        template = make_clone(f"cut-{number}")
        template.boot()
        before = ready(template)
        seal_until(template, number)
        template.wait_for(partial(stopped, template, number))
        template.power_cut()
        assert "not-sealed" in codes(template)
        template.boot()
        document = ready(template)
        assert document["node"]["origin"] == "first-boot"
        assert document["node"]["hostname"] != before["node"]["hostname"]
        assert template.failed_units() == ()
        assert_whole(identity(template))
        template.power_cut()


def stopped(template: Clone, number: int) -> bool:
    """Whether sealing stands before that effect."""
    return template.exists(failpoint.MARK) and template.read(failpoint.MARK) == f"{number}!"
