"""The kubelet: it starts only after ready, and never while a conflict stands."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import held, problem_codes, ready, status
from tests.lab.golden import MAC, Golden, golden_tree, worst_case
from tests.lab.tree import Release

# Says in the journal what it saw when it started.
KUBELET = """\
[Unit]
Description=Stand-in for the kubelet
[Service]
ExecStart=/bin/sh -c 'echo "kubelet of $(hostname) starts; ready: $(ls /run/nodeprep/ready)"; exec sleep infinity'
Restart=always
[Install]
WantedBy=multi-user.target
"""
REPORT_ONLY = '[node]\nroles = ["worker"]\n\n[address]\non_conflict = "report"\n\n[mac]\non_conflict = "report"\n'


def with_kubelet(root: Path) -> None:
    """Furnish the worst common case, with a kubelet that is enabled."""
    worst_case(root)
    unit = root / "etc/systemd/system/kubelet.service"
    unit.write_text(KUBELET)
    wants = root / "etc/systemd/system/multi-user.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "kubelet.service").symlink_to("/etc/systemd/system/kubelet.service")


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template with a kubelet."""
    return golden_tree(release, deb, store=store, name="kubelet", prepare=with_kubelet)


def kubelet(clone: Clone) -> str:
    """Return "active" or what else systemd says of the kubelet."""
    return clone.run("systemctl", "is-active", "kubelet.service", check=False).stdout.strip()


def is_active(clone: Clone) -> bool:
    """Whether the kubelet runs."""
    return kubelet(clone) == "active"


def test_a_twins_kubelet_starts_after_ready_under_the_new_name(template: Golden, make_clone: MakeClone) -> None:
    twins = [make_clone(f"twin-{number}", mac=MAC, layers=template.layers) for number in range(2)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        document = ready(twin)
        twin.wait_for(partial(is_active, twin), 20)
        said = twin.run("journalctl", "-b", "-o", "cat", "-u", "kubelet.service").stdout
        assert f"kubelet of {document['node']['hostname']} starts; ready: /run/nodeprep/ready" in said
        assert said.count("starts;") == 1, "it was started once, and never before"


def test_a_kubelet_is_held_while_a_conflict_stands_and_started_when_it_ends(
    template: Golden, make_clone: MakeClone
) -> None:
    keeper, other = (make_clone(name, mac=MAC, layers=template.layers) for name in ("keeper", "other"))
    keeper.boot()
    ready(keeper)
    other.write("/etc/nodeprep/nodeprep.toml", REPORT_ONLY)
    other.boot(wait=False)
    document = held(other)
    assert set(problem_codes(document)) <= {"conflict", "inherited"}
    assert {row["subject"] for row in document["problems"]} >= {"mac", "ipv4-address"}
    assert other.wait_booted() == "running", "the machine boots all the same"
    assert kubelet(other) == "inactive"
    refused = other.run("systemctl", "start", "kubelet.service", check=False)
    assert refused.returncode != 0, "nor does it start by hand"
    assert "starts;" not in other.run("journalctl", "-b", "-o", "cat", "-u", "kubelet.service").stdout
    assert not other.exists("/run/nodeprep/ready")

    keeper.power_cut()
    ready(other, 60)
    other.wait_for(partial(is_active, other), 20)
    assert status(other)["problems"] == []


def test_a_machine_that_nodeprep_is_switched_off_on_starts_its_kubelet(template: Golden, make_clone: MakeClone) -> None:
    by_file, by_argument = (make_clone(name, layers=template.layers) for name in ("by-file", "by-argument"))
    by_file.write("/etc/nodeprep/disabled", "")
    by_file.boot(wait=False)
    by_argument.boot(wait=False, kernel_arguments=("nodeprep=off",))
    for machine in (by_file, by_argument):
        assert machine.wait_booted() == "running"
        machine.wait_for(partial(is_active, machine), 20)
        assert machine.run("systemctl", "is-active", "nodeprep.service", check=False).stdout.strip() == "inactive"
        assert not machine.exists("/run/nodeprep/status.json")
    assert by_file.run("nodeprep", "status", check=False).returncode == 4


def test_a_restart_of_the_daemon_neither_stops_a_kubelet_nor_unsays_ready(
    template: Golden, make_clone: MakeClone
) -> None:
    machine = make_clone("restarted", mac=MAC, layers=template.layers)
    machine.boot()
    ready(machine)
    machine.wait_for(partial(is_active, machine), 20)
    before = machine.run("systemctl", "show", "-P", "MainPID", "kubelet.service").stdout
    machine.run("systemctl", "restart", "nodeprep.service")
    assert machine.exists("/run/nodeprep/ready")
    ready(machine)
    assert machine.run("systemctl", "show", "-P", "MainPID", "kubelet.service").stdout == before
