"""What nodeprep adds to a boot: beside the same tree without it, and beside what a cloud's images run there anyway."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import MAC, Golden, golden_tree
from tests.lab.test_cloud_init import PACKAGES, with_cloud_init
from tests.lab.tree import Release

BOOTS = 7
SETTLING_S = 1.0
"""What was shut down leaves the host something to do."""
TWINS = 3
RUNS = 3
RESTARTS = 7
ENTERED = "ActiveEnterTimestampMonotonic"
KEYS = 12
"""Making an RSA key is a search: it takes some processor time or ten times as much."""
MAKING_KEYS = f"""
import os, resource, subprocess, tempfile
for _ in range({KEYS}):
    with tempfile.TemporaryDirectory() as folder:
        os.makedirs(folder + "/etc/ssh")
        subprocess.run(["ssh-keygen", "-A", "-f", folder], stdout=subprocess.DEVNULL, check=True)
spent = resource.getrusage(resource.RUSAGE_CHILDREN)
print((spent.ru_utime + spent.ru_stime) / {KEYS})
"""
BARE = "[Service]\nExecStart=\nExecStart=/usr/bin/python3 -I -S -c pass\n"


@pytest.fixture(scope="session")
def bare(release: Release, store: Path) -> Golden:
    """Return a template without nodeprep."""
    return golden_tree(release, None, store=store, name="bare")


def boot_again(machine: Clone) -> None:
    """Shut a machine down and boot it once more."""
    assert machine.shutdown()
    time.sleep(SETTLING_S)
    machine.boot()
    machine.wait_booted()


def times_s(machine: Clone, *what: str) -> dict[str, float]:
    """Return properties of systemctl(1), show, that are times, in seconds."""
    told = machine.run("systemctl", "show", *what).stdout.split()
    return {line.partition("=")[0]: int(line.partition("=")[2]) / 1e6 for line in told}


def to_multi_user_s(machine: Clone) -> float:
    """Boot a machine once more; return what systemd-analyze(1) counts until multi-user.target was reached."""
    boot_again(machine)
    begin = times_s(machine, "--property=UserspaceTimestampMonotonic")["UserspaceTimestampMonotonic"]
    return times_s(machine, f"--property={ENTERED}", "multi-user.target")[ENTERED] - begin


def took_s(machine: Clone, unit: str) -> float:
    """Return from when a unit's program was started in this boot until the unit was done or started."""
    first, exited = "InactiveExitTimestampMonotonic", "ExecMainExitTimestampMonotonic"
    told = times_s(machine, f"--property={first},{ENTERED},{exited}", unit)
    return (told[ENTERED] or told[exited]) - told[first]


def test_an_unchanged_boot_takes_hardly_longer(
    golden: Golden, bare: Golden, make_clone: MakeClone, measured: Measured, times: int
) -> None:
    having, lacking = make_clone("having", mac=MAC), make_clone("lacking", mac=MAC, layers=bare.layers)
    for machine in (having, lacking):
        machine.boot()
        machine.wait_booted()
    pairs = [(to_multi_user_s(having), to_multi_user_s(lacking)) for _ in range(BOOTS * times)]
    measured(Cost.BOOT, statistics.median(one / other for one, other in pairs))


def test_the_early_unit_takes_hardly_longer_than_an_interpreter_in_its_sandbox(node: Clone, measured: Measured) -> None:
    unit = "nodeprep-unchanged.service"
    drop_in = f"/etc/systemd/system/{unit}.d/bench.conf"

    def restarted_s(text: str) -> float:
        node.write(drop_in, text)
        node.run("systemctl", "daemon-reload")
        node.run("systemctl", "reset-failed", unit)
        node.run("systemctl", "restart", unit)
        return took_s(node, unit)

    try:
        ratios = [restarted_s("") / restarted_s(BARE) for _ in range(RESTARTS)]
    finally:
        node.run("rm", drop_in)
        node.run("systemctl", "daemon-reload")
    measured(Cost.EARLY_UNIT, statistics.median(ratios))


def cpu_s(machine: Clone) -> float:
    """Return the processor time that a machine has taken since it was switched on (cgroups(7))."""
    told = dict(line.split() for line in machine.run("cat", "/sys/fs/cgroup/cpu.stat").stdout.splitlines())
    return int(told["usage_usec"]) / 1e6


def all_s(machines: list[Clone], done: Callable[[Clone], object], told: str, *units: str) -> list[float]:
    """Switch machines on at one instant; return what their clocks, which are the host's, told when each was done."""
    begin = time.monotonic()
    for machine in machines:
        machine.boot(wait=False)
    for machine in machines:
        done(machine)
    return [times_s(machine, f"--property={told}", *units)[told] - begin for machine in machines]


def test_three_twins_are_ready_soon(
    golden: Golden, bare: Golden, make_clone: MakeClone, measured: Measured, times: int
) -> None:
    whole, first, processor, keys = [], [], [], []
    for run in range(times):
        lacking = [make_clone(f"lacking-{run}-{number}", mac=MAC, layers=bare.layers) for number in range(TWINS)]
        twins = [make_clone(f"twin-{run}-{number}", mac=MAC) for number in range(TWINS)]
        lacking_s = max(all_s(lacking, Clone.wait_booted, "FinishTimestampMonotonic"))
        spent_s = sum(map(cpu_s, lacking))
        for machine in lacking:
            machine.power_cut()
        ready_s = all_s(twins, ready, ENTERED, "nodeprep.service")
        whole.append(max(ready_s) / lacking_s)
        first.append(min(ready_s) / lacking_s)
        processor.append(sum(map(cpu_s, twins)) / spent_s)
        keys.append(float(twins[0].run("python3", "-c", MAKING_KEYS, timeout=120.0).stdout) / (spent_s / TWINS))
        for machine in twins:
            machine.power_cut()
    measured(Cost.TWINS_FIRST, statistics.median(first))
    measured(Cost.TWINS_CPU, statistics.median(processor))
    measured(Cost.HOST_KEYS, statistics.median(keys))
    measured(Cost.TWINS, statistics.median(whole))


# Debian 13's cloud-init does the work of all its units in one process, so none of them tells what this stage takes.
@pytest.mark.parametrize("release", [Release.BOOKWORM], ids=["bookworm"], indirect=True)
def test_the_early_run_is_a_fraction_of_what_cloud_init_does_there(
    release: Release, deb: Path, store: Path, make_clone: MakeClone, measured: Measured
) -> None:
    layers = golden_tree(
        release, deb, store=store, name="cloud-init", prepare=with_cloud_init, extra=PACKAGES[release]
    ).layers
    machine = make_clone("clouded", mac=MAC, layers=layers)
    machine.boot()
    ready(machine)
    ratios = []
    for _ in range(RUNS):
        boot_again(machine)
        ratios.append(took_s(machine, "nodeprep-unchanged.service") / took_s(machine, "cloud-init-local.service"))
    measured(Cost.CLOUD_INIT, statistics.median(ratios))
