"""A registry in etcd: twins that no broadcast can tell apart, and an etcd that is stopped, slow, or refuses."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.estate import Estate, register
from tests.lab.etcd import PASSWORD
from tests.lab.expectations import held, problem_codes, ready, status
from tests.lab.golden import MAC, Golden
from tests.lab.identity import identity
from tests.lab.registered import template, trial
from tests.lab.tree import Release

TWINS = 8
KEPT = ("machine-id", "hostname", "ssh key ed25519", "mac", "ipv4")


@pytest.fixture(scope="module")
def golden(deb: Path, store: Path) -> Golden:
    """Return a template on one release: what is tried here is between nodeprep and etcd."""
    return template(Release.BOOKWORM, deb, store)


@pytest.fixture
def estate(tmp_path: Path) -> Iterator[Estate]:
    """Return an estate of the test's own."""
    with Estate(tmp_path / "estate") as made:
        yield made


def says(clone: Clone, state: str, *codes: str) -> bool:
    """Whether a machine is in a state for these reasons alone."""
    document = status(clone)
    return bool(document["state"] == state) and problem_codes(document) == list(codes)


def kept(clone: Clone) -> dict[str, str]:
    """Return what a machine must keep after READY."""
    values = identity(clone)
    return {name: values[name] for name in KEPT}


def test_perfect_twins_that_hear_nothing_of_each_other_are_told_apart_and_numbered(
    golden: Golden, tmp_path: Path
) -> None:
    print(trial(golden, TWINS, tmp_path / "fleet"))


@pytest.mark.long
def test_a_machine_is_held_without_its_registry_and_degraded_at_most_once_it_was_ready(
    golden: Golden, estate: Estate, make_clone: MakeClone
) -> None:
    estate.etcd.stop()
    clone = make_clone("clone", mac=MAC, layers=golden.layers, lan=estate.segment())
    register(clone, wait_s=1)
    clone.boot(wait=False)
    document = held(clone)
    assert problem_codes(document) == ["registry-away"]
    assert document["registry"]["state"] == "away"
    assert "etcd" in document["problems"][0]["remedy"]
    assert clone.wait_booted() == "running"
    assert not clone.exists("/run/nodeprep/ready")

    estate.etcd.start()
    document = ready(clone)
    assert document["registry"] == {
        "state": "claimed",
        "where": f"{estate.etcd.url} /nodeprep/",
        "claims": 3,
        "detail": "",
    }
    before, claims = kept(clone), estate.etcd.claims()
    assert len(claims) == 3

    estate.etcd.pause()
    clone.wait_for(partial(says, clone, "degraded", "registry-away"), 60)
    estate.etcd.resume()
    clone.wait_for(partial(says, clone, "ready"), 60)

    estate.etcd.stop()
    clone.wait_for(partial(says, clone, "degraded", "registry-away"), 60)
    clone.run("systemctl", "restart", "nodeprep.service")
    clone.wait_for(partial(says, clone, "degraded", "registry-away"), 60)
    assert clone.exists("/run/nodeprep/ready")
    estate.etcd.start()
    clone.wait_for(partial(says, clone, "ready"), 60)

    estate.etcd.with_users()
    clone.wait_for(partial(says, clone, "degraded", "registry-refused"), 60)
    clone.write("/etc/nodeprep/etcd.password", f"{PASSWORD}\n", 0o600)
    register(clone, 'user = "others"', 'password_file = "/etc/nodeprep/etcd.password"')
    clone.run("systemctl", "restart", "nodeprep.service")
    clone.wait_for(partial(says, clone, "degraded", "registry-refused"), 60)
    assert "permission denied" in status(clone)["problems"][0]["detail"]
    register(clone, 'user = "nodes"', 'password_file = "/etc/nodeprep/etcd.password"')
    clone.run("systemctl", "restart", "nodeprep.service")
    clone.wait_for(partial(says, clone, "ready"), 60)
    assert kept(clone) == before
    assert estate.etcd.claims(user="root") == claims
    assert PASSWORD not in clone.journal()


@pytest.mark.long
def test_a_number_stays_over_boots_and_is_free_once_it_was_released(
    golden: Golden, estate: Estate, make_clone: MakeClone
) -> None:
    first, second, third = (
        make_clone(name, mac=MAC, layers=golden.layers, lan=estate.segment()) for name in ("first", "second", "third")
    )
    for clone in (first, second, third):
        register(clone)
    for clone, name in ((first, "worker-01"), (second, "worker-02")):
        clone.boot(wait=False)
        assert ready(clone)["node"]["hostname"] == name
    before = kept(second)
    owners = estate.etcd.claims("hostname")
    second.power_cut()
    second.boot(wait=False)
    assert ready(second)["changes"] == []
    assert second.shutdown()
    second.boot(wait=False)
    assert ready(second)["changes"] == []
    assert kept(second) == before
    assert estate.etcd.claims("hostname") == owners

    refused = first.run("nodeprep", "release", "worker-02", check=False)
    assert (refused.returncode, "runs" in refused.stderr) == (1, True)
    said = second.run("nodeprep", "release").stdout
    assert "freed the number 02 and 3 claims" in said
    second.wait_for(partial(says, second, "degraded", "released"), 30)
    assert second.exists("/run/nodeprep/ready"), "what runs goes on running"
    assert second.shutdown()
    assert len(estate.etcd.claims()) == 3
    third.boot(wait=False)
    assert ready(third)["node"]["hostname"] == "worker-02"
    assert kept(third)["machine-id"] != before["machine-id"]

    # Booted once more, the one that gave it up is a machine without a name, until an operator says more.
    second.boot(wait=False)
    document = held(second)
    assert "claimed" in problem_codes(document)
    third.power_cut()
    second.run("nodeprep", "release", "--json", "worker-02", timeout=60)
    ready(second, 120)


def test_a_machine_brought_back_from_a_backup_is_held_until_an_operator_decides(
    golden: Golden, estate: Estate, make_clone: MakeClone
) -> None:
    machine = make_clone("machine", mac=MAC, layers=golden.layers, lan=estate.segment())
    register(machine)
    machine.boot(wait=False)
    ready(machine)
    assert machine.shutdown()
    backup = machine.read("/var/lib/nodeprep/registry.json")
    machine.boot(wait=False)
    ready(machine)
    before = kept(machine)
    assert machine.shutdown()
    machine.write("/var/lib/nodeprep/registry.json", backup, 0o600)
    machine.boot(wait=False)
    document = held(machine)
    assert problem_codes(document) == ["registry-copy"]
    assert document["changes"] == []
    machine.run("nodeprep", "decide", "keep")
    ready(machine)
    assert kept(machine) == before
    assert machine.shutdown()
    machine.boot(wait=False)
    assert ready(machine)["node"]["origin"] == "same"
