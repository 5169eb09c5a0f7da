"""Observing and verifying: the same judge again, on what is there now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Kind, Lacking, Reading, Unreadable, Values, Verdict
from nodeprep.observe import joined, observe, presented
from nodeprep.stamp import fingerprints
from nodeprep.verify import verify
from tests.fakes.disk import put


def artefact(name: str, look: Callable[[MachineView], Reading], claim: Claim | None = None) -> Artefact:
    return replace(catalogue()[0], name=name, observe=look, claim=claim, present=None)


def file(name: str, claim: Claim | None = None) -> Artefact:
    """An artefact that is the content of a file of its own name."""

    def look(machine: MachineView) -> Reading:
        return frozenset({machine.read_text(f"/{name}") or ""} - {""})

    return artefact(name, look, claim)


def broken(machine: MachineView) -> Reading:
    raise HostError("permission denied")


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    put(tmp_path, "/one", b"a")
    return LocalMachine("test", str(tmp_path))


def test_what_cannot_be_read_says_so_and_spoils_no_other(machine: LocalMachine) -> None:
    readings = observe([artefact("bad", broken), file("one")], machine)
    assert readings == {"bad": Unreadable("permission denied"), "one": frozenset({"a"})}


def test_a_fault_of_the_program_is_not_taken_for_one_of_the_machine(machine: LocalMachine) -> None:
    def faulty(machine: MachineView) -> Reading:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        observe([artefact("bad", faulty)], machine)


def test_only_values_that_are_there_are_presented(machine: LocalMachine) -> None:
    artefacts = [
        file("one", Claim.MACHINE_ID),
        file("two", Claim.HOSTNAME),
        artefact("bad", broken, Claim.MAC),
        artefact("lacking", lambda _: Lacking("none"), Claim.SSH_HOST_KEY),
        file("private"),
    ]
    assert presented(artefacts, machine, observe(artefacts, machine)) == {Claim.MACHINE_ID: frozenset({"a"})}


def test_more_may_be_presented_than_is_observed(machine: LocalMachine) -> None:
    def both(machine: MachineView) -> Values:
        return frozenset({"a", "leased"})

    wide = replace(file("one", Claim.IPV4), present=both)
    assert presented([wide], machine, observe([wide], machine)) == {Claim.IPV4: frozenset({"a", "leased"})}


def test_who_holds_a_membership_is_joined(machine: LocalMachine) -> None:
    member = replace(file("membership"), kind=Kind.C, joins=True)
    assert joined([member, file("one")], machine) == ()
    put(Path(machine.real("")), "/membership", b"yes")
    assert joined([member, file("one")], machine) == ("membership",)


def test_a_membership_that_cannot_be_read_counts_as_one(machine: LocalMachine) -> None:
    # Where in doubt nothing is renewed under a member.
    assert joined([replace(artefact("membership", broken), joins=True)], machine) == ("membership",)


JOINED_STATE = (
    "/etc/kubernetes/kubelet.conf",
    "/etc/kubernetes/manifests/etcd.yaml",
    "/var/lib/kubelet/pki/kubelet-client-current.pem",
    "/var/lib/etcd/member/snap/db",
    "/var/lib/etcd/default/member/snap/db",
    "/var/lib/rancher/k3s/server/db/state.db",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "/var/lib/rancher/rke2/agent/serving-kubelet.crt",
    "/var/snap/microk8s/6089/var/kubernetes/backend/cluster.yaml",
)
IMAGE = (
    "/etc/kubernetes/manifests/kube-vip.yaml",
    "/etc/kubernetes/cloud.conf",
    "/etc/kubernetes/bootstrap-kubelet.conf",
    "/etc/kubernetes/pki/ca.crt",
    "/var/lib/rancher/k3s/agent/images/airgap.tar",
)
"""What images are baked with, and what no join leaves."""


@pytest.mark.parametrize("path", JOINED_STATE)
def test_joined_state_is_seen(machine: LocalMachine, path: str) -> None:
    put(Path(machine.real("")), path, b"")
    assert len(joined(catalogue(), machine)) == 1


def test_what_an_image_is_baked_with_is_no_membership(machine: LocalMachine) -> None:
    for path in IMAGE:
        put(Path(machine.real("")), path, b"")
    assert joined(catalogue(), machine) == ()


@pytest.mark.parametrize("product", ["k3s", "rke2"])
def test_a_node_password_belongs_to_what_is_installed(machine: LocalMachine, product: str) -> None:
    put(Path(machine.real("")), "/etc/rancher/node/password", b"")
    assert joined(catalogue(), machine) == (), "it outlives an uninstallation"
    put(Path(machine.real("")), f"/var/lib/rancher/{product}/data/bin", b"")
    assert joined(catalogue(), machine) == (f"{product}-node-state",)


def test_whether_its_owner_was_used_is_asked_after_the_verdict_and_told_with_it(machine: LocalMachine) -> None:
    one = replace(file("one"), kind=Kind.B, used=lambda view: "has records" if view.exists("/records") else "")
    template = {"one": fingerprints("one", ["a"])}
    assert [finding.used for finding in verify([one, file("two")], machine, template, {})[1]] == ["", ""]
    put(Path(machine.real("")), "/records", b"")
    assert [finding.used for finding in verify([one, file("two")], machine, template, {})[1]] == ["has records", ""]
    assert [finding.used for finding in verify([one], machine, {}, {})[1]] == [""], "of its own nobody asks"


def test_a_renewal_that_took_leaves_nothing_to_find(machine: LocalMachine) -> None:
    inherited = {"one": fingerprints("one", ["a"])}
    artefacts = [file("one")]
    assert [finding.verdict for finding in verify(artefacts, machine, inherited, {})[1]] == [Verdict.INHERITED]
    put(Path(machine.real("")), "/one", b"b")
    observation, findings, left = verify(artefacts, machine, inherited, {})
    assert [finding.verdict for finding in findings] == [Verdict.OWN]
    assert observation == {"one": frozenset({"b"})}
    assert left == {}


def test_a_contested_value_is_one_until_it_is_not_presented_any_more(machine: LocalMachine) -> None:
    artefacts = [file("one", Claim.MACHINE_ID)]
    contested = {Claim.MACHINE_ID: frozenset({"a", "given up"}), Claim.MAC: frozenset({"gone"})}
    _, findings, left = verify(artefacts, machine, {}, contested)
    assert findings[0].verdict is Verdict.CONFLICT
    assert left == {Claim.MACHINE_ID: frozenset({"a"})}
    put(Path(machine.real("")), "/one", b"b")
    _, findings, left = verify(artefacts, machine, {}, left)
    assert findings[0].verdict is Verdict.OWN
    assert left == {}


def test_artefacts_may_come_from_a_generator(machine: LocalMachine) -> None:
    _, findings, left = verify((one for one in [file("one", Claim.MAC)]), machine, {}, {Claim.MAC: frozenset({"a"})})
    assert findings[0].verdict is Verdict.CONFLICT
    assert left == {Claim.MAC: frozenset({"a"})}
