"""What the resident daemon costs on a node that is ready: memory, wake-ups, and the time from its start to READY."""

from __future__ import annotations

import itertools
import json
import os
import statistics
import time
from pathlib import Path

import pytest

from nodeprep.peers.message import ClaimKind, Message, MessageType, Standing, claim, encode
from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.clone import Clone
from tests.lab.expectations import ready
from tests.lab.hostile import flood

PROBE_WINDOW_S = 0.75
"""Three probes, 0.2 to 0.3 s apart, and the answer to the last: what no daemon that asks its peers can do without."""
QUIET_S, QUIET_FOR_THE_PAGE_S = 30.0, 300.0
"""The second is what its few timers have in common; the first is enough to see that it does not do more."""
REST_S = 90.0
NODES, ANNOUNCED_S, CROWD_S = 1000, 384.0, 20.0
"""How many, how often each says something once it has been ready for long (the mean), how long that is looked at."""


def pid_of(machine: Clone, unit: str) -> int:
    return int(machine.run("systemctl", "show", "--property=MainPID", "--value", unit).stdout)


def processes(machine: Clone, unit: str) -> set[int]:
    """Return all processes of a unit, its own and whatever it has started."""
    folder = machine.run("systemctl", "show", "--property=ControlGroup", "--value", unit).stdout.strip()
    return {int(line) for line in machine.run("cat", f"/sys/fs/cgroup{folder}/cgroup.procs").stdout.split()}


def pss_kib(machine: Clone, pid: int) -> int:
    """Return the proportional set size (proc_pid_smaps(5), smaps_rollup)."""
    rollup = machine.run("cat", f"/proc/{pid}/smaps_rollup").stdout
    return next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))


def switches(machine: Clone, pid: int) -> int:
    """Return how often all its threads have waited, and so been woken (proc_pid_status(5))."""
    told = machine.run("sh", "-c", f"grep -h ^voluntary_ctxt /proc/{pid}/task/*/status").stdout
    return sum(int(line.split()[1]) for line in told.splitlines())


def test_the_daemon_rests_in_little_memory_and_sleeps(
    node: Clone, measured: Measured, request: pytest.FixtureRequest
) -> None:
    assert ready(node)["peers"]["count"] == 0
    daemon, manager = pid_of(node, "nodeprep.service"), pid_of(node, "NetworkManager.service")
    node.wait_for(lambda: processes(node, "nodeprep.service") == {daemon}, REST_S)
    before, begin = switches(node, daemon), time.monotonic()
    time.sleep(QUIET_FOR_THE_PAGE_S if request.config.getoption("--write") else QUIET_S)
    woken = (switches(node, daemon) - before) * 60.0 / (time.monotonic() - begin)
    memory = pss_kib(node, daemon) / pss_kib(node, manager)
    measured(Cost.MEMORY, memory)
    measured(Cost.WAKE_UPS, woken)


def starts_s(machine: Clone) -> list[float]:
    """Return how long each start of the service took, from systemd's own journal entries."""
    options = ("--no-pager", "-b", "-o", "json", "-u", "nodeprep.service")
    began, found = 0.0, []
    for line in machine.run("journalctl", *options).stdout.splitlines():
        entry = json.loads(line)
        at_s = int(entry["__MONOTONIC_TIMESTAMP"]) / 1e6
        if entry.get("JOB_TYPE") == "start" and "JOB_RESULT" not in entry:
            began = at_s
        elif entry.get("JOB_TYPE") == "start" and entry["JOB_RESULT"] == "done":
            found.append(at_s - began)
    return found


def test_a_start_is_hardly_longer_than_the_probes(node: Clone, measured: Measured) -> None:
    for _ in range(5):
        node.run("systemctl", "reset-failed", "nodeprep.service")
        node.run("systemctl", "restart", "nodeprep.service")
        ready(node)
    took = statistics.median(starts_s(node)[-5:])
    measured(Cost.START, took / PROBE_WINDOW_S)


def cpu_s(machine: Clone, pid: int) -> float:
    """Return the processor time that a process has taken (proc_pid_stat(5))."""
    fields = machine.run("cat", f"/proc/{pid}/stat").stdout.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_thousand_nodes_that_announce_hardly_cost_anything(node: Clone, measured: Measured, tmp_path: Path) -> None:
    assert node.lan
    ready(node)
    key = bytes.fromhex(node.read("/etc/nodeprep/fleet.key").split()[0])
    frames = list(itertools.chain.from_iterable(announced(number, key) for number in range(NODES)))
    daemon = pid_of(node, "nodeprep.service")
    before, begin = cpu_s(node, daemon), time.monotonic()
    # Each says what a node says that has long been ready, ten times as often: the clock of processor time is coarse.
    rate = round(10 * NODES / ANNOUNCED_S)
    try:
        with flood(node.lan.client("10.77.0.99/24", "crowd"), frames, rate, tmp_path):
            time.sleep(CROWD_S)
            share = (cpu_s(node, daemon) - before) / (time.monotonic() - begin) / 10
            # The status follows at the daemon's next look.
            node.wait_for(lambda: ready(node)["peers"]["count"] > CROWD_S * rate / 2, 30)
    finally:
        node.run("systemctl", "restart", "nodeprep.service")  # which forgets the crowd: others find this machine alone
    measured(Cost.CROWD, share * 100)


def announced(number: int, key: bytes) -> list[tuple[bytes, bytes]]:
    """Return what one node of the crowd says: its MAC and its frames."""
    claims = frozenset(claim(key, kind, f"{kind.name} {number}") for kind in ClaimKind)
    nonce = number.to_bytes(16, "big")
    message = Message(MessageType.ANNOUNCE, nonce, Standing.READY, claims, frozenset(), role="worker", stamp=number)
    return [(b"\x02" + number.to_bytes(5, "big"), payload) for payload in encode(message, key)]
