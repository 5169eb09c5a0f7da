"""Copies of members: held whole, until an operator or the policy decides; and of agents that are enrolled elsewhere.

The template joins after its first boot, as templates do: state as the products' own documentation shows it, stand-ins
for their services, and Debian's own etcd.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import held, ready, status
from tests.lab.golden import CONFIGURATION, Golden, golden_tree, worst_case
from tests.lab.identity import identity
from tests.lab.tree import Release

CLONE = ("4c4c4544-0042-3510-8052-b4c04f564299", "52:54:00:77:04:04")
KUBELITE = "snap.microk8s.daemon-kubelite.service"
STAND_INS = ("kubelet.service", "k3s.service", "rke2-server.service", KUBELITE)
MEMBERS = (*STAND_INS, "etcd.service")
STATE = {
    "/etc/kubernetes/kubelet.conf": "kind: Config # of the template's kubelet\n",
    "/etc/kubernetes/pki/ca.crt": "the cluster's CA\n",
    "/etc/kubernetes/manifests/kube-apiserver.yaml": "kind: Pod # of the template's API server\n",
    "/var/lib/kubelet/config.yaml": "kind: KubeletConfiguration # as kubeadm wrote it\n",
    "/var/lib/kubelet/pki/kubelet-client-2026-01-01-00-00-00.pem": "the template's key and certificate\n",
    "/etc/rancher/node/password": "the template's node password\n",
    "/var/lib/rancher/k3s/server/db/state.db": "k3s of the template\n",
    "/var/lib/rancher/k3s/server/tls/server-ca.crt": "CA of k3s\n",
    "/var/lib/rancher/k3s/agent/client-kubelet.key": "the template's key in k3s\n",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig": "the template in k3s\n",
    "/var/lib/rancher/rke2/server/db/etcd/member/snap/db": "rke2 of the template\n",
    "/var/lib/rancher/rke2/agent/client-kubelet.key": "the template's key in rke2\n",
    "/var/snap/microk8s/6089/var/kubernetes/backend/cluster.yaml": "- Address: 10.77.0.10:19001\n",
    "/var/snap/microk8s/6089/var/kubernetes/backend/info.yaml": "Address: 10.77.0.10:19001\n",
    "/var/snap/microk8s/6089/credentials/kubelet.config": "the template in MicroK8s\n",
}
REMEDIES = ("kubeadm reset", "k3s-uninstall.sh", "rke2-uninstall.sh", "microk8s leave", "systemctl stop etcd.service")
ETCD = "/var/lib/etcd"
RESET = f'{CONFIGURATION}\n[identity]\njoined_clone = "reset"\n'
STAMP = "/var/lib/nodeprep/stamp.json"


def unit(name: str) -> str:
    """Return a stand-in that says in the journal under which name it starts."""
    return (
        f"[Unit]\nDescription=Stand-in for {name}\n"
        "[Service]\nExecStart=/bin/sh -c 'echo \"starts as $(hostname)\"; exec sleep infinity'\n"
        "[Install]\nWantedBy=multi-user.target\n"
    )


def enable(root: Path, *names: str) -> None:
    """Put stand-ins into a tree, and enable them."""
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    for name in names:
        (root / "etc/systemd/system" / name).write_text(unit(name))
        (wants / name).symlink_to(f"/etc/systemd/system/{name}")


def furnish_member(root: Path) -> None:
    """Furnish the worst common case with a platform and the services of members."""
    worst_case(root)
    platform.point_there(root)
    enable(root, *STAND_INS)


def stamped(machine: Clone, *artefacts: str) -> bool:
    """Whether the stamp knows these artefacts."""
    return set(artefacts) <= set(json.loads(machine.read(STAMP))["artefacts"])


def join(machine: Clone) -> None:
    """Join the clusters, once the machine has an identity of its own."""
    ready(machine)
    for name in MEMBERS:
        machine.wait_for(partial(starts, machine, name), 30)
    for path, text in STATE.items():
        machine.write(path, text)
    known = ("kubelet-identity", "k3s-node-state", "rke2-node-state", "microk8s-state", "etcd-member")
    machine.wait_for(partial(stamped, machine, *known), 30)


@pytest.fixture(scope="session")
def member(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template that is a member of all there is."""
    return golden_tree(
        release, deb, store=store, name="member", prepare=furnish_member, lived=join, extra=("etcd-server",)
    )


def starts(machine: Clone, name: str) -> bool:
    """Whether a service runs."""
    return machine.run("systemctl", "is-active", name, check=False).stdout.strip() == "active"


def never_started(machine: Clone, *names: str) -> None:
    """Assert that none of these services ran in this boot, though all are wanted."""
    for name in names:
        entered = machine.run("systemctl", "show", "-P", "ExecMainStartTimestampMonotonic", name).stdout.strip()
        assert entered == "0", (name, machine.journal(name))
        wanted = machine.run("systemctl", "is-enabled", name, check=False).stdout.strip()
        assert wanted == "enabled", (name, wanted)


def etcd_member(machine: Clone) -> bytes:
    """Return what etcd wrote when this member was made."""
    (snapshot,) = machine.path(ETCD).glob("*/member/snap/db")
    return snapshot.read_bytes()


def in_the_attic(machine: Clone) -> dict[str, bytes]:
    """Return path → content of what was set aside."""
    runs = machine.path("/var/lib/nodeprep/attic").glob("*/files")
    return {
        f"/{path.relative_to(run)}": path.read_bytes()
        for run in runs
        for path in run.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


def assert_held(machine: Clone) -> dict[str, Any]:
    """Assert that a copy of a member is held, that nothing of it has changed, and that the way out is told."""
    before = {name: machine.read(name) for name in ("/etc/machine-id", "/etc/hostname", *STATE)}
    document = held(machine)
    assert machine.wait_booted() in ("running", "degraded")
    assert {name: machine.read(name) for name in before} == before
    first = document["problems"][0]
    assert first["code"] == "joined-clone"
    for command in (*REMEDIES, "nodeprep decide renew", "nodeprep decide keep"):
        assert command in first["remedy"]
    assert document["changes"] == []
    assert document["node"]["joined"]
    never_started(machine, *MEMBERS)
    return document


def assert_reset(machine: Clone, template: Golden) -> dict[str, Any]:
    """Assert that a copy became a machine of its own, its memberships whole in the attic, and its services up."""
    document = ready(machine)
    kept = in_the_attic(machine)
    for path, text in STATE.items():
        assert not machine.exists(path), path
        assert kept[path] == text.encode(), path
    machine_id, hostname = (layer_text(template, path) for path in ("etc/machine-id", "etc/hostname"))
    assert machine.read("/etc/machine-id") != machine_id
    assert machine.read("/etc/hostname") != hostname
    assert not document["node"]["joined"]
    for name in MEMBERS:
        machine.wait_for(partial(starts, machine, name), 60)
    for name in STAND_INS:
        said = machine.run("journalctl", "-b", "-o", "cat", "-u", name).stdout
        assert f"starts as {document['node']['hostname']}" in said
    (former,) = (content for path, content in kept.items() if path.startswith(ETCD) and path.endswith("/snap/db"))
    assert former == layer_bytes(template, "var/lib/etcd/default/member/snap/db")
    return document


def layer_bytes(template: Golden, path: str) -> bytes:
    """Return a file of the template."""
    return (template.layers[0] / path).read_bytes()


def layer_text(template: Golden, path: str) -> str:
    """Return the text of a file of the template."""
    return layer_bytes(template, path).decode()


def test_a_copy_on_other_hardware_is_held_until_an_operator_says_that_it_is_one(
    member: Golden, make_clone: MakeClone
) -> None:
    clone = make_clone("clone", mac=CLONE[1], layers=member.layers)
    platform.present(clone, *CLONE)
    clone.boot(wait=False)
    assert assert_held(clone)["node"]["origin"] == "clone"
    said = clone.run("nodeprep", "decide", "renew").stdout
    assert "set aside in /var/lib/nodeprep/attic" in said
    document = assert_reset(clone, member)
    assert document["node"]["origin"] == "clone"
    assert not clone.exists("/var/lib/nodeprep/decided")
    assert etcd_member(clone) != layer_bytes(member, "var/lib/etcd/default/member/snap/db")


def test_a_copy_on_other_hardware_is_reset_where_the_policy_says_so(member: Golden, make_clone: MakeClone) -> None:
    clone = make_clone("clone", mac=CLONE[1], layers=member.layers)
    platform.present(clone, *CLONE)
    clone.write("/etc/nodeprep/nodeprep.toml", RESET)
    clone.boot(wait=False)
    assert_reset(clone, member)
    assert clone.shutdown()
    clone.boot()
    document = ready(clone)
    assert document["node"]["origin"] == "same"
    assert document["changes"] == []


def test_a_twin_of_a_member_is_held_whatever_the_policy_and_renewed_by_an_operators_word(
    member: Golden, make_clone: MakeClone
) -> None:
    # The wire cannot say which of the two is the original.
    original, twin = (make_clone(name, mac=platform.MAC, layers=member.layers) for name in ("original", "twin"))
    original.boot()
    ready(original)
    for name in MEMBERS:
        original.wait_for(partial(starts, original, name), 30)
    before = {path: original.read(path) for path in ("/etc/machine-id", "/etc/hostname", *STATE)}
    twin.write("/etc/nodeprep/nodeprep.toml", RESET)
    twin.boot(wait=False)
    assert_held(twin)
    refused = original.run("nodeprep", "decide", "renew", check=False)
    assert refused.returncode == 1
    assert "drain it and let it leave first" in refused.stderr
    twin.run("nodeprep", "decide", "renew")
    assert_reset(twin, member)
    assert {path: original.read(path) for path in before} == before
    assert all(starts(original, name) for name in MEMBERS)
    assert status(original)["state"] == "ready"


def test_a_member_that_was_moved_keeps_everything_by_an_operators_word(member: Golden, make_clone: MakeClone) -> None:
    moved = make_clone("moved", mac=CLONE[1], layers=member.layers)
    attic = in_the_attic(moved)
    platform.present(moved, *CLONE)
    moved.boot(wait=False)
    assert_held(moved)
    before = {path: moved.read(path) for path in ("/etc/machine-id", "/etc/hostname", *STATE)}
    keys = identity(moved)["ssh keys of sshd"]
    moved.run("nodeprep", "decide", "keep")
    document = ready(moved)
    assert document["node"]["origin"] == "moved"
    assert document["node"]["joined"]
    for name in MEMBERS:
        moved.wait_for(partial(starts, moved, name), 60)
    assert moved.shutdown()
    moved.boot()
    document = ready(moved)
    assert document["node"]["origin"] == "same"
    assert document["warnings"] == []
    assert {path: moved.read(path) for path in before} == before
    assert identity(moved)["ssh keys of sshd"] == keys
    assert in_the_attic(moved) == attic, "nothing was set aside"


# Agents that are enrolled elsewhere

AGENT = "salt-minion.service"
ENROLMENT = {
    "/etc/salt/minion_id": "golden",
    "/etc/salt/pki/minion/minion.pem": "the template's key\n",
    "/etc/salt/pki/minion/minion.pub": "the template's public key\n",
}


def furnish_agent(root: Path) -> None:
    """Furnish the worst common case with a platform and an agent."""
    worst_case(root)
    platform.point_there(root)
    enable(root, AGENT)


def enrol(machine: Clone) -> None:
    """Enrol the agent."""
    ready(machine)
    assert starts(machine, AGENT), "on a machine that has nothing of a template it runs"
    for path, text in ENROLMENT.items():
        machine.write(path, text)
    machine.wait_for(partial(stamped, machine, "salt-minion"), 30)


@pytest.fixture(scope="session")
def enrolled(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template with an agent that a server knows."""
    return golden_tree(release, deb, store=store, name="enrolled", prepare=furnish_agent, lived=enrol)


def assert_agent_held(machine: Clone) -> None:
    """Assert that the agent never started, and that this is told."""
    document = ready(machine)
    assert machine.wait_booted() == "running"
    never_started(machine, AGENT)
    (warning,) = (row for row in document["warnings"] if row["code"] == "held-back")
    assert warning["subject"] == "salt-minion"
    assert AGENT in warning["detail"]
    assert "rm /etc/salt/minion_id" in warning["remedy"]
    assert {path: machine.read(path) for path in ENROLMENT} == ENROLMENT


def test_a_copys_agent_is_held_over_boots_until_its_enrolment_is_removed(
    enrolled: Golden, make_clone: MakeClone
) -> None:
    clone = make_clone("clone", mac=CLONE[1], layers=enrolled.layers)
    platform.present(clone, *CLONE)
    clone.boot(wait=False)
    assert_agent_held(clone)
    assert clone.shutdown()
    clone.boot(wait=False)
    assert_agent_held(clone)
    assert status(clone)["node"]["origin"] == "same"
    clone.run("sh", "-c", "rm /etc/salt/minion_id /etc/salt/pki/minion/minion.*")
    clone.run("systemctl", "restart", "nodeprep.service")
    assert ready(clone)["warnings"] == []
    clone.wait_for(partial(starts, clone, AGENT), 20)
    assert clone.shutdown()
    clone.boot()
    clone.wait_for(partial(starts, clone, AGENT), 20)


def test_a_moved_machine_keeps_its_agent_running_and_a_held_one_is_freed_by_an_operators_word(
    enrolled: Golden, make_clone: MakeClone
) -> None:
    moved, kept = (make_clone(name, mac=CLONE[1], layers=enrolled.layers) for name in ("moved", "kept"))
    platform.present(moved, CLONE[0], platform.MAC)
    moved.boot()
    assert ready(moved)["node"]["origin"] == "moved"
    assert starts(moved, AGENT)
    assert moved.shutdown()
    platform.present(kept, *CLONE)
    kept.boot(wait=False)
    assert_agent_held(kept)
    kept.run("nodeprep", "decide", "keep")
    kept.wait_for(partial(starts, kept, AGENT), 60)
    assert ready(kept)["warnings"] == []
    assert {path: kept.read(path) for path in ENROLMENT} == ENROLMENT


def test_a_twins_agent_that_runs_already_is_stopped(enrolled: Golden, make_clone: MakeClone) -> None:
    # A twin is told by the wire, and that is there only after the agent has started.
    original, twin = (make_clone(name, mac=platform.MAC, layers=enrolled.layers) for name in ("original", "twin"))
    original.boot()
    ready(original)
    twin.boot(wait=False)
    document = ready(twin)
    assert document["node"]["origin"] == "twin"
    assert not starts(twin, AGENT)
    assert [row["code"] for row in document["warnings"]] == ["held-back"]
    assert starts(original, AGENT)
    assert twin.run("systemctl", "is-failed", AGENT, check=False).stdout.strip() == "inactive"
