"""Power cut at each step of a renewal: the next boot ends as an undisturbed one does."""

from __future__ import annotations

import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab import failpoint, platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, ready
from tests.lab.golden import MAC, Golden, golden_tree, worst_case
from tests.lab.tree import Release

SCRIPT = "/var/lib/lab/failpoint.py"
UNIT = {"early": "nodeprep-early.service", "main": "nodeprep.service"}
AT_ONCE = 8
STEPS_MAX = 80


def with_platform(root: Path) -> None:
    """Furnish the worst common case on a platform, with the failpoint at hand."""
    worst_case(root)
    platform.point_there(root)
    shutil.copyfile(failpoint.__file__, root / SCRIPT.lstrip("/"))


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template on a platform of its own, with the failpoint at hand."""
    return golden_tree(release, deb, store=store, name="power-cut", prepare=with_platform)


def drop_in(which: str) -> str:
    """Return where the failpoint of a run is put in place."""
    return f"/etc/systemd/system/{UNIT[which]}.d/failpoint.conf"


def stop_before(clone: Clone, which: str, step: int) -> None:
    """Put the failpoint in place of a run's own command."""
    command = f"ExecStart=/usr/bin/python3 -I -S {SCRIPT} {which} {step}"
    if which == "main":
        command = command.replace("-S ", "")
    clone.write(drop_in(which), f"[Service]\nExecStart=\n{command}\nWatchdogSec=0\nTimeoutStartSec=600\n")


def batches(release: Release, total: int) -> list[range]:
    """Return the steps to cut at, a few at a time: the odd ones on one release and the even ones on the other."""
    numbers = range(1 if release is Release.BOOKWORM else 2, total + 1, 2)
    return [numbers[first : first + AT_ONCE] for first in range(0, len(numbers), AT_ONCE)]


def steps(clone: Clone) -> str:
    """Return how many effects the run has had, with "!" where it was stopped."""
    return clone.read(failpoint.MARK) if clone.exists(failpoint.MARK) else ""


def stopped(clone: Clone, number: int) -> bool:
    """Whether the run stands before that effect."""
    return steps(clone) == f"{number}!"


def own_platform(clone: Clone, number: int) -> None:
    """Present hardware of its own to a clone."""
    platform.present(clone, f"4c4c4544-0042-3510-8052-b4c04f56{number:04x}", f"52:54:00:77:03:{number:02x}")


def assert_nothing_left(clone: Clone) -> None:
    """Assert that a finished renewal leaves nothing of itself on the disk but the attic and the stamp."""
    left = clone.run("sh", "-c", "find / -xdev -name '.nodeprep-*' -not -path '/proc/*'; ls /var/lib/nodeprep").stdout
    assert set(left.split()) <= {"attic", "stamp.json", "stamp.json.prev"}, left


def assert_valid_on_disk(clone: Clone) -> None:
    """Assert that the machine, as the cut left it, would boot with a machine ID, a hostname and host keys."""
    assert re.fullmatch("[0-9a-f]{32}\n", clone.read("/etc/machine-id"))
    assert clone.read("/etc/hostname").strip()
    assert any(clone.path("/etc/ssh").glob("ssh_host_*_key"))


def cut_and_boot_again(batch: dict[int, Clone], which: str) -> list[dict[str, Any]]:
    """Cut the power of each machine before the effect of its number, and return what they say after the next boot."""
    for number, clone in batch.items():
        stop_before(clone, which, number)
        clone.boot(wait=False)
    for number, clone in batch.items():
        clone.wait_for(partial(stopped, clone, number), 90)
        clone.power_cut()
        assert_valid_on_disk(clone)
        clone.path(drop_in(which)).unlink()
        clone.boot(wait=False)
    documents = [ready(clone) for clone in batch.values()]
    for clone in batch.values():
        assert clone.failed_units() == ()
        assert_nothing_left(clone)
    return documents


@pytest.mark.long
def test_a_clone_that_loses_power_at_any_step_of_the_early_run(template: Golden, make_clone: MakeClone) -> None:
    undisturbed = make_clone("undisturbed", layers=template.layers)
    own_platform(undisturbed, 0)
    stop_before(undisturbed, "early", 0)
    undisturbed.boot()
    ready(undisturbed)
    total = int(steps(undisturbed))
    assert 10 <= total <= STEPS_MAX, "the failpoint counts what it should"
    undisturbed.shutdown()

    survivors = []
    for numbers in batches(template.release, total):
        batch = {number: make_clone(f"cut-{number}", layers=template.layers) for number in numbers}
        for number, clone in batch.items():
            own_platform(clone, number)
        assert {document["node"]["origin"] for document in cut_and_boot_again(batch, "early")} == {"clone"}
        assert_pairwise_different(list(batch.values()))
        survivors += [clone.read("/etc/machine-id") for clone in batch.values()]
        for clone in batch.values():
            clone.power_cut()
    assert len(set(survivors)) == len(survivors) >= total // 2


@pytest.mark.long
def test_a_twin_that_loses_power_at_any_step_of_the_main_run(template: Golden, make_clone: MakeClone) -> None:
    keeper, undisturbed = (make_clone(name, mac=MAC, layers=template.layers) for name in ("keeper", "undisturbed"))
    keeper.boot()
    ready(keeper)
    stop_before(undisturbed, "main", 0)
    undisturbed.boot()
    ready(undisturbed)
    total = int(steps(undisturbed))
    assert 15 <= total <= STEPS_MAX, total
    undisturbed.shutdown()

    for numbers in batches(template.release, total):
        batch = {number: make_clone(f"cut-{number}", mac=MAC, layers=template.layers) for number in numbers}
        cut_and_boot_again(batch, "main")
        assert_pairwise_different([keeper, *batch.values()])
        for clone in batch.values():
            clone.power_cut()
