"""What the programs cost that start at every boot, or are typed often: times what a bare interpreter takes."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.conftest import Measured
from tests.bench.costs import Cost
from tests.bench.pairs import ratio
from tests.lab.clone import Clone
from tests.lab.disk import Disk
from tests.lab.golden import Golden
from tests.lab.tree import Release

UNIT = Path(__file__).parents[2] / "units/nodeprep-unchanged.service"
STAMP = "var/lib/nodeprep/stamp.json"
MARK = "run/nodeprep/boot/unchanged"
DMI = {"product_uuid": "8d2c9a3e-5b1f-4c7d-9e20-6f3a1b4c5d6e", "board_asset_tag": "No Asset Tag"}
MACS = {"eth0": "52:54:00:77:01:00", "eth1": "52:54:00:77:01:01", "eth2": "52:54:00:77:01:02"}


def exec_start() -> tuple[str, ...]:
    """Return the command line of the service that an unchanged boot runs."""
    (line,) = (line for line in UNIT.read_text().splitlines() if line.startswith("ExecStart="))
    return tuple(shlex.split(line.partition("=")[2]))


def asking(code: str) -> tuple[str, ...]:
    """Return that command line with other code after its imports."""
    *interpreter, source = exec_start()
    imports, sentence, main = source.rpartition("; ")
    assert main == "os._exit(main())"
    return (*interpreter, f"{imports}{sentence}{code}")


def run(root: Path, *argv: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(("chroot", str(root), *argv), capture_output=True, text=True, timeout=30.0, check=False)


def present_platform(root: Path) -> None:
    """Give the root a sysfs such as a virtual machine with three links has, as plain files."""
    for name, text in DMI.items():
        write(root / "sys/class/dmi/id" / name, text)
    for name, mac in MACS.items():
        write(root / "sys/class/net" / name / "addr_assign_type", "0")
        write(root / "sys/class/net" / name / "address", mac)


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture(scope="module")
def disk(release: Release, golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Disk]:
    """Return the disk of an installed machine that is off, whose stamp is that of the platform it shows."""
    disk = Disk("bench", golden.layers, tmp_path_factory.mktemp("bench"))
    disk.mount()
    try:
        present_platform(disk.root)
        (disk.root / MARK).parent.mkdir(parents=True)
        (disk.root / STAMP).unlink()
        adopted = run(disk.root, "nodeprep", "adopt")
        assert adopted.returncode == 0, adopted.stderr
        yield disk
    finally:
        disk.erase()


def test_an_unchanged_boot_costs_hardly_more_than_the_interpreter(disk: Disk, measured: Measured) -> None:
    decided = run(disk.root, *exec_start())
    assert (decided.returncode, decided.stdout, decided.stderr) == (0, "", "")
    assert (disk.root / MARK).exists()
    times = ratio(disk.root, exec_start())
    measured(Cost.EARLY, times)


def test_an_unchanged_boot_writes_nothing_but_the_mark(disk: Disk) -> None:
    write(disk.root / MARK, "")
    before = disk.snapshot()
    assert run(disk.root, *exec_start()).returncode == 0
    assert disk.snapshot() == before


def test_an_unchanged_boot_loads_the_standard_library_and_two_modules_of_ours(disk: Disk) -> None:
    listed = run(disk.root, *asking("code = main(); print(code, *sys.modules)"))
    code, *modules = listed.stdout.split()
    assert code == "0"
    others = {name for name in modules if name.partition(".")[0] not in sys.stdlib_module_names | {"__main__"}}
    assert others == {"nodeprep", "nodeprep.unchanged", "nodeprep.host", "nodeprep.host.platform"}
    # Each would cost more than the decision: see "Imports" in the table that `python3 -X importtime` prints.
    assert not {"json", "re", "typing", "dataclasses", "enum", "subprocess", "pathlib"} & set(modules)


@pytest.mark.parametrize("signal", ["class/dmi/id/product_uuid", "class/net/eth2/address"])
def test_another_platform_is_not_taken_for_the_same(disk: Disk, signal: str) -> None:
    question = asking("from nodeprep.unchanged import unchanged; print(unchanged())")
    assert run(disk.root, *question).stdout == "True\n"
    path = disk.root / "sys" / signal
    text = path.read_text()
    try:
        path.write_text(text.replace("1", "2"))
        assert run(disk.root, *question).stdout == "False\n"
    finally:
        path.write_text(text)


def test_status_is_cheap_enough_to_be_asked_often(disk: Disk, node: Clone, measured: Measured) -> None:
    write(disk.root / "run/nodeprep/status.json", node.read("/run/nodeprep/status.json"))
    shown = run(disk.root, "nodeprep", "status")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("ready: ")
    command = ("/usr/bin/nodeprep", "status")
    measured(Cost.STATUS, ratio(disk.root, command))
