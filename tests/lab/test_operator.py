"""What operators do: change an identity by hand, install on a running machine, ask without being root."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ARTEFACTS, held, problem_codes, ready, status
from tests.lab.golden import MAC, golden_tree, worst_case
from tests.lab.identity import identity
from tests.lab.tree import Release, base_tree

pytestmark = pytest.mark.usefixtures("golden")


def changes(clone: Clone) -> list[str]:
    """Return what nodeprep renewed in this boot."""
    return [row["artefact"] for row in status(clone)["changes"]]


def test_an_operators_own_changes_are_adopted_and_never_fought(make_clone: MakeClone) -> None:
    machine = make_clone("machine", mac=MAC)
    machine.boot()
    ready(machine)
    stamp = machine.read("/var/lib/nodeprep/stamp.json")
    machine.run("hostnamectl", "set-hostname", "chosen-by-hand")
    machine.run("sh", "-c", "rm /etc/ssh/ssh_host_*; ssh-keygen -q -A; systemctl reload ssh.service")
    machine.run("nmcli", "connection", "modify", "lan", "ipv4.addresses", "10.77.0.55/24")
    machine.run("nmcli", "connection", "up", "lan")
    machine.wait_for(lambda: machine.read("/var/lib/nodeprep/stamp.json") != stamp, 30)
    chosen = identity(machine)
    assert machine.shutdown()
    machine.boot()
    document = ready(machine)
    assert document["node"]["origin"] == "same"
    assert document["changes"] == []
    after = identity(machine)
    for name in ("hostname", "hostname of kernel", "ssh key ed25519", "ssh keys of sshd", "ipv4", "machine-id"):
        assert after[name] == chosen[name], name
    assert after["hostname"] == "chosen-by-hand"
    assert after["ipv4"].startswith("10.77.0.55")


def test_after_a_restart_of_its_daemon_a_ready_machine_still_defends_all_it_has(make_clone: MakeClone) -> None:
    keeper, twin = make_clone("keeper", mac=MAC), make_clone("twin", mac=MAC)
    keeper.boot()
    ready(keeper)
    before = identity(keeper)
    keeper.run("systemctl", "restart", "nodeprep.service")
    ready(keeper)
    twin.boot(wait=False)
    document = ready(twin)
    assert document["node"]["origin"] == "twin"
    assert {row["artefact"] for row in document["changes"]} >= {"machine-id", "hostname", "ssh-host-keys", "mac"}
    after = identity(keeper)
    assert {name: after[name] for name in ARTEFACTS} == {name: before[name] for name in ARTEFACTS}


def test_what_an_operator_types_on_a_twin_that_renewed_itself(make_clone: MakeClone) -> None:
    keeper, twin = make_clone("keeper", mac=MAC), make_clone("twin", mac=MAC)
    keeper.boot()
    ready(keeper)
    twin.boot(wait=False)
    assert ready(twin)["node"]["origin"] == "twin"
    own = identity(twin)

    told = {part["name"]: part["text"] for part in json.loads(twin.run("nodeprep", "report", "--json").stdout)["parts"]}
    missing = {name for name, text in told.items() if text.startswith("could not be had")}
    assert missing <= {"systemd-detect-virt"}
    assert "This node is ready" in told[next(name for name in told if name.startswith("journalctl --boot"))]
    assert "10250" in told["nft --stateless list table inet nodeprep"]
    key = twin.read("/etc/nodeprep/fleet.key").split()
    secrets = (own["machine-id"], identity(keeper)["machine-id"], *key, twin.read("/var/lib/NetworkManager/secret_key"))
    assert [secret for secret in secrets if secret in "".join(told.values())] == []

    assert twin.run("nodeprep", "config", "check").stdout.startswith("good: ")
    assert "10.77.0.100-10.77.0.199" in twin.run("nodeprep", "config", "show").stdout
    for _ in range(6):  # more often than systemd lets a service be started
        assert json.loads(twin.run("nodeprep", "apply", "--json").stdout)["state"] == "ready"
    assert identity(twin) == own, "of a node that is ready nothing is renewed"
    metrics = twin.read("/run/nodeprep/nodeprep.prom")
    assert 'nodeprep_state{state="ready"} 1\n' in metrics and 'nodeprep_state{state="held"} 0\n' in metrics
    twin.write("/etc/nodeprep/nodeprep.toml.d/zz.toml", "[node]\nroles = ['wroker']\n")
    refused = twin.run("nodeprep", "config", "check", check=False)
    assert (refused.returncode, "zz.toml: node.roles" in refused.stderr) == (1, True)


def test_a_joined_twin_is_held_and_keeps_everything(make_clone: MakeClone) -> None:
    keeper, joined = make_clone("keeper", mac=MAC), make_clone("joined", mac=MAC)
    keeper.boot()
    ready(keeper)
    before = joined.read("/etc/machine-id"), joined.read("/etc/hostname")
    joined.write("/etc/kubernetes/kubelet.conf", "clusters: []\n")
    joined.boot(wait=False)
    document = held(joined)
    assert "joined-clone" in problem_codes(document)
    assert (joined.read("/etc/machine-id"), joined.read("/etc/hostname")) == before
    assert changes(joined) == []
    assert status(keeper)["state"] == "ready"


def test_a_read_only_disk_changes_nothing_and_the_machine_boots(make_clone: MakeClone) -> None:
    keeper, twin = make_clone("keeper", mac=MAC), make_clone("twin", mac=MAC)
    keeper.boot()
    ready(keeper)
    before = twin.read("/etc/machine-id")
    drop_in = "/etc/systemd/system/nodeprep.service.d/read-only.conf"
    twin.write(drop_in, "[Service]\nStateDirectory=\nReadOnlyPaths=/etc /var\n")
    twin.boot(wait=False)
    held(twin)
    assert twin.wait_booted() == "running"
    assert twin.read("/etc/machine-id") == before
    assert not twin.exists("/run/nodeprep/ready")


def test_status_is_for_everybody_and_says_nothing_confidential(make_clone: MakeClone) -> None:
    keeper, twin = make_clone("keeper", mac=MAC), make_clone("twin", mac=MAC)
    keeper.boot()
    ready(keeper)
    old = keeper.read("/etc/machine-id").strip()
    twin.boot(wait=False)
    ready(twin)
    new = twin.read("/etc/machine-id").strip()
    shown = twin.run("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "nodeprep", "status", "--long")
    assert shown.stdout.startswith("ready: ")
    journal = twin.run("journalctl", "-b", "-o", "json", "-t", "nodeprep").stdout
    entries = [json.loads(line) for line in journal.splitlines()]
    renewed = [entry for entry in entries if entry.get("NODEPREP_CODE") == "renewed"]
    assert {entry["NODEPREP_SUBJECT"] for entry in renewed} >= {"machine-id", "hostname", "mac", "ipv4-address"}
    for entry in renewed:
        assert entry["MESSAGE_ID"] == "76f9056aa69c59139357b2253fca598a"
        assert entry["NODEPREP_ROLE"] == "worker"
        assert entry["NODEPREP_OLD"] != entry["NODEPREP_NEW"]
    said = [
        value
        for entry in entries
        for key, value in entry.items()
        if key.startswith("NODEPREP_") or key in ("MESSAGE", "MESSAGE_ID")
    ]
    for secret in (old, new):
        assert secret not in shown.stdout
        assert secret not in json.dumps(status(twin))
        assert not [text for text in said if secret in str(text)]
    assert twin.run("systemctl", "show", "-P", "StatusText", "nodeprep.service").stdout.strip()


def test_baked_into_an_image_it_starts_nothing_and_whatever_boots_first_is_renewed(
    release: Release, deb: Path, store: Path
) -> None:
    seen: dict[str, str] = {}

    def baked(root: Path) -> None:
        worst_case(root)
        assert (root / "var/lib/nodeprep/baked-offline").exists()
        assert not (root / "var/lib/nodeprep/stamp.json").exists()
        assert (root / "etc/nodeprep/fleet.key").stat().st_mode & 0o777 == 0o600
        assert (root / "etc/systemd/system/multi-user.target.wants/nodeprep.service").is_symlink()
        assert not (root / "run/nodeprep").exists(), "nothing ran"
        seen["image"] = (root / "etc/machine-id").read_text()
        seen["keys"] = (root / "etc/ssh/ssh_host_ed25519_key.pub").read_text()

    def first_boot(machine: Clone) -> None:
        document = ready(machine)
        assert document["node"]["origin"] == "first-boot"
        assert machine.read("/etc/machine-id") != seen["image"]
        assert machine.read("/etc/ssh/ssh_host_ed25519_key.pub") != seen["keys"]
        assert machine.read("/etc/hostname").startswith("worker-")
        assert not machine.exists("/var/lib/nodeprep/baked-offline")
        seen["booted"] = "yes"

    golden_tree(release, deb, store=store, name="baked", prepare=baked, lived=first_boot)
    assert seen["booted"] == "yes"


def told(machine: Clone) -> tuple[str, str, str]:
    """Return machine ID, hostname and MAC."""
    link = machine.run("ip", "-brief", "link", "show", "dev", "eth0").stdout
    return machine.read("/etc/machine-id"), machine.read("/etc/hostname"), link.split()[2]


def test_installing_on_a_running_machine_adopts_it_and_changes_nothing(
    make_clone: MakeClone, release: Release, deb: Path
) -> None:
    machine = make_clone("bare", layers=(base_tree(release),))
    machine.boot()
    machine.run("sh", "-c", "systemd-machine-id-setup; hostnamectl set-hostname bare")
    before = (
        machine.read("/etc/machine-id"),
        machine.read("/etc/hostname"),
        machine.run("cat", "/sys/class/net/eth0/address").stdout,
    )
    keys = machine.run("sh", "-c", "sha256sum /etc/ssh/ssh_host_*").stdout
    shutil.copyfile(deb, machine.path("/root/nodeprep.deb"))
    machine.run("apt-get", "install", "--yes", "/root/nodeprep.deb", timeout=120)
    assert machine.run("systemctl", "is-active", "nodeprep.service", check=False).stdout.strip() == "inactive"
    assert machine.run("stat", "-c", "%a", "/etc/nodeprep/fleet.key").stdout.strip() == "600"
    stamp = json.loads(machine.read("/var/lib/nodeprep/stamp.json"))
    assert {"machine-id", "hostname", "ssh-host-keys", "mac"} <= set(stamp["artefacts"]), "as its managers see it too"
    assert not machine.exists("/var/lib/nodeprep/baked-offline")
    machine.run("systemctl", "start", "nodeprep.service", timeout=90)
    document = ready(machine)
    assert document["node"]["origin"] == "same"
    assert document["changes"] == []
    after = (
        machine.read("/etc/machine-id"),
        machine.read("/etc/hostname"),
        machine.run("cat", "/sys/class/net/eth0/address").stdout,
    )
    assert after == before
    assert machine.run("sh", "-c", "sha256sum /etc/ssh/ssh_host_*").stdout == keys
