"""The attic on booted machines: what a renewal replaced is listed, kept for root alone, and comes back whole."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import held, problem_codes, ready
from tests.lab.golden import LEASE, Golden, golden_tree, left_a_lease
from tests.lab.identity import SECRET, SEED
from tests.lab.test_clones import MACS, UUIDS, with_platform
from tests.lab.tree import Release

ATTIC = "/var/lib/nodeprep/attic"
KEYS = tuple(f"/etc/ssh/ssh_host_{kind}_key{end}" for kind in ("ed25519", "rsa") for end in ("", ".pub"))
DBUS_COPY = "/var/lib/dbus/machine-id"
KEPT = ("/etc/machine-id", DBUS_COPY, "/etc/hostname", "/etc/hosts", SECRET, *KEYS)
"""What stays as it is while a machine runs."""
RAFT = "/opt/consul/raft"
ALL = (*KEPT, SEED, LEASE)
WHO = (65534, 33)
"""An owner and a group that are not root's."""


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that lived on a platform of its own."""
    return golden_tree(release, deb, store=store, name="platform", prepare=with_platform, lived=left_a_lease)


def lying(machine: Clone, paths: Iterable[str]) -> dict[str, tuple[int, int, int, str] | None]:
    """Return path → mode, owner, group and content of what lies there; of a link its target."""
    found: dict[str, tuple[int, int, int, str] | None] = {}
    for path in paths:
        real = machine.path(os.path.dirname(path)) / os.path.basename(path)
        found[path] = None
        if os.path.lexists(real):
            status = real.lstat()
            is_link = stat.S_ISLNK(status.st_mode)
            content = os.readlink(real) if is_link else hashlib.sha256(real.read_bytes()).hexdigest()
            found[path] = (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid, content)
    return found


def runs(machine: Clone) -> list[dict[str, Any]]:
    """Return what `nodeprep history` lists, the newest run first."""
    document: dict[str, Any] = json.loads(machine.run("nodeprep", "history", "--json").stdout)
    assert document["schema"] == 1
    found: list[dict[str, Any]] = document["runs"]
    return found


def a_clone(template: Golden, make_clone: MakeClone) -> Clone:
    """Return a clone that is off, of which a file of the template's is somebody else's than root's."""
    machine = make_clone("clone", mac=MACS[0], layers=template.layers)
    os.chown(machine.path(LEASE), *WHO)
    machine.path(LEASE).chmod(0o640)
    platform.present(machine, UUIDS[0], MACS[0])
    return machine


def test_what_a_renewal_replaced_comes_back_as_it_was_and_stays(template: Golden, make_clone: MakeClone) -> None:
    machine = a_clone(template, make_clone)
    before = lying(machine, ALL)
    assert (before[LEASE] or ())[:3] == (0o640, *WHO)
    machine.boot()
    assert ready(machine)["node"]["origin"] == "clone"
    renewed = lying(machine, ALL)
    assert [path for path in ALL if renewed[path] == before[path]] == [DBUS_COPY], "a link since the template's own"

    run, *_ = runs(machine)
    assert run["reason"].startswith("clone: ")
    assert {"machine-id", "ssh-host-keys", "random-seed", "dhcp-identity"} <= set(run["artefacts"]), "early"
    assert {"hostname", "hosts-entry", "ipv4-address"} <= set(run["artefacts"]), "main"
    shown = machine.run("nodeprep", "history").stdout
    assert run["run"] in shown
    assert machine.read("/etc/machine-id").strip() not in shown

    done = machine.run("nodeprep", "restore", run["run"])
    assert lying(machine, ALL) == before
    assert "Reboot this machine" in done.stdout
    address = machine.run("ip", "-o", "-4", "address", "show", "dev", "eth0").stdout
    assert "10.77.0.10/" not in address, "an address comes back only if it is named"

    assert machine.shutdown()
    machine.boot()
    document = ready(machine)
    assert machine.wait_booted() == "running"
    assert document["node"]["origin"] == "same"
    assert document["changes"] == []
    assert lying(machine, KEPT) == {path: before[path] for path in KEPT}, "an operator's word is not fought"
    assert machine.failed_units() == ()

    undo = runs(machine)[0]
    assert undo["run"].endswith("-restore")
    assert undo["reason"] == f"nodeprep restore {run['run']}"
    machine.run("nodeprep", "restore", undo["run"], "ssh-host-keys")
    assert lying(machine, KEYS) == {path: renewed[path] for path in KEYS}, "a restore can be taken back, in part"
    assert lying(machine, ["/etc/machine-id"]) == {"/etc/machine-id": before["/etc/machine-id"]}


def test_what_lies_in_the_attic_is_for_root_alone(template: Golden, make_clone: MakeClone) -> None:
    machine = a_clone(template, make_clone)
    machine.boot()
    ready(machine)
    run, *_ = runs(machine)
    folder = f"{ATTIC}/{run['run']}"
    modes = machine.run("stat", "-c", "%a %u %g", "/var/lib/nodeprep", ATTIC, folder, f"{folder}/files").stdout
    assert modes.splitlines() == ["700 0 0"] * 4
    secrets = [f"{folder}/files{path}" for path in (*KEYS[::2], SEED)]
    assert machine.run("stat", "-c", "%a %u", *secrets).stdout.splitlines() == ["600 0"] * len(secrets)
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    assert machine.run(*nobody, "ls", ATTIC, check=False).returncode != 0
    for verb in (("history",), ("restore", run["run"])):
        refused = machine.run(*nobody, "nodeprep", *verb, check=False)
        assert refused.returncode == 1
        assert "as root" in refused.stderr


@pytest.mark.parametrize("what", ["run", "artefact", "lost"])
def test_what_cannot_be_brought_back_is_refused_before_anything_is_touched(
    template: Golden, make_clone: MakeClone, what: str
) -> None:
    machine = a_clone(template, make_clone)
    machine.boot()
    ready(machine)
    listed = [one["run"] for one in runs(machine)]
    words = {"run": ("20200101T000000Z",), "artefact": (listed[0], "kubelet"), "lost": (listed[0],)}[what]
    if what == "lost":
        machine.path(f"{ATTIC}/{listed[0]}/files{KEYS[-1]}").unlink()
    before = lying(machine, ALL)
    refused = machine.run("nodeprep", "restore", *words, check=False)
    assert refused.returncode == 1
    assert (KEYS[-1] if what == "lost" else words[-1]) in refused.stderr
    assert lying(machine, ALL) == before
    assert [one["run"] for one in runs(machine)] == listed


def test_a_running_daemon_sets_aside_what_has_the_set_group_id_bit_on_another_file_system(
    template: Golden, make_clone: MakeClone
) -> None:
    machine = a_clone(template, make_clone)
    machine.write("/etc/fstab", f"tmpfs {ATTIC} tmpfs mode=0700,size=64m 0 0\n")
    machine.write("/var/lib/nodeprep/stamp.json", "")
    machine.write("/opt/consul/node-id", "4c4c4544-0042-3510-8052-b4c04f564234\n")
    machine.write(f"{RAFT}/raft.db", "the cluster's log\n", 0o600)
    os.chown(machine.path(RAFT), *WHO)
    machine.path(RAFT).chmod(0o2750)  # chown(2) clears the bit
    machine.boot()
    assert problem_codes(held(machine)) == ["stamp"]
    machine.run("nodeprep", "decide", "renew")
    ready(machine)
    assert not machine.exists(RAFT)
    run, *_ = runs(machine)
    (entry,) = [entry for entry in run["entries"] if entry["path"] == RAFT]
    assert (entry["what"], entry["kept"]) == ("set aside", True)
    machine.run("nodeprep", "restore", run["run"], "consul")
    assert machine.run("stat", "-c", "%a %u %g", RAFT).stdout == "2750 65534 33\n"
    assert machine.read(f"{RAFT}/raft.db") == "the cluster's log\n"
