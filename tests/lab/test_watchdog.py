"""The watchdog: a daemon whose event loop hangs is replaced, and neither the node nor its kubelet notices."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ARTEFACTS, ready
from tests.lab.golden import MAC, Golden, golden_tree
from tests.lab.identity import identity
from tests.lab.test_kubelet import is_active, with_kubelet
from tests.lab.tree import Release

LIMIT_S = 4
SLACK_S = 10.0
"""For a machine that is busy."""
DROP_IN = "/etc/systemd/system/nodeprep.service.d/watchdog.conf"
QUICK = f"[Service]\nWatchdogSec={LIMIT_S}\nRestartSec=1\n"
DAEMON = "nodeprep.service"
TARGET = "nodeprep-ready.target"
TIMED_OUT = f"Watchdog timeout (limit {LIMIT_S}s)!"


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return the template of test_kubelet."""
    return golden_tree(release, deb, store=store, name="kubelet", prepare=with_kubelet)


def watched(make_clone: MakeClone, template: Golden) -> Clone:
    """Return a machine that is ready, runs a kubelet and has a watchdog that bites soon."""
    machine = make_clone("watched", mac=MAC, layers=template.layers)
    machine.write(DROP_IN, QUICK)
    machine.boot()
    ready(machine)
    machine.wait_for(partial(is_active, machine), 20)
    return machine


def shown(clone: Clone, unit: str, *names: str) -> tuple[str, ...]:
    """Return properties of a unit."""
    told = clone.run("systemctl", "show", *(f"--property={name}" for name in names), unit).stdout
    values = dict(line.split("=", 1) for line in told.splitlines())
    return tuple(values[name] for name in names)


def undisturbed(clone: Clone) -> tuple[tuple[str, ...], ...]:
    """Return what tells a target and a kubelet that run on from such as were stopped and started again."""
    stays = ("ActiveState", "ActiveEnterTimestampMonotonic", "InactiveEnterTimestampMonotonic")
    return shown(clone, TARGET, *stays), shown(clone, "kubelet.service", *stays, "MainPID", "InvocationID")


def test_a_daemon_that_hangs_is_replaced_and_the_node_stays_ready(template: Golden, make_clone: MakeClone) -> None:
    machine = watched(make_clone, template)
    before, running = identity(machine), undisturbed(machine)
    assert [unit[0] for unit in running] == ["active", "active"]
    (hung,) = shown(machine, DAEMON, "MainPID")

    machine.run("kill", "-STOP", hung)
    began = time.monotonic()
    while shown(machine, DAEMON, "MainPID")[0] == hung:
        assert time.monotonic() - began < LIMIT_S + SLACK_S, "systemd did not notice"
        assert machine.exists("/run/nodeprep/ready")
        assert undisturbed(machine) == running
        time.sleep(0.1)

    def replaced() -> bool:
        assert machine.exists("/run/nodeprep/ready"), "the file is there all the time"
        assert undisturbed(machine) == running
        state, pid = shown(machine, DAEMON, "SubState", "MainPID")
        return state == "running" and pid not in ("0", hung)

    machine.wait_for(replaced, 60)
    assert shown(machine, DAEMON, "ActiveState", "NRestarts") == ("active", "1")
    journal = machine.journal(DAEMON)
    assert TIMED_OUT in journal
    assert "Failed with result 'watchdog'" in journal
    document = ready(machine)
    assert (document["node"]["origin"], document["problems"], document["changes"]) == ("same", [], [])
    said = machine.run("nodeprep", "status")
    assert said.stdout.startswith("ready: ")
    after = identity(machine)
    assert {name: after[name] for name in ARTEFACTS} == {name: before[name] for name in ARTEFACTS}
    assert undisturbed(machine) == running
    assert machine.run("journalctl", "-b", "-o", "cat", "-u", "kubelet.service").stdout.count("starts;") == 1


def test_a_healthy_daemon_feeds_its_watchdog_in_time(template: Golden, make_clone: MakeClone) -> None:
    machine = watched(make_clone, template)
    assert shown(machine, DAEMON, "WatchdogUSec") == (f"{LIMIT_S}s",)
    names = ("MainPID", "InvocationID", "NRestarts", "ActiveEnterTimestampMonotonic")
    before = shown(machine, DAEMON, *names)
    fed: set[str] = set()
    until = time.monotonic() + 2.5 * LIMIT_S
    while time.monotonic() < until:
        fed.update(shown(machine, DAEMON, "WatchdogTimestampMonotonic"))
        time.sleep(0.2)
    assert shown(machine, DAEMON, *names) == before
    assert "Watchdog timeout" not in machine.journal(DAEMON)
    assert 4 <= len(fed) <= 7, "twice in each interval, of which there were two and a half"
