"""Fixtures of the virtual machines: the lab's, on each release, a golden disk, and machines that are always ended.

    sudo python3 -m pytest tests/vm [-k bookworm]

When a test fails, console and journal of its machines are kept (`tests.vm.failures`); the report says where.
"""

import os
import shutil
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.lab.conftest import TOOLS as LAB_TOOLS
from tests.lab.conftest import deb, swept
from tests.lab.lan import Lan
from tests.lab.tree import Release
from tests.vm import failures
from tests.vm.disk import Image
from tests.vm.golden import golden as golden_disk
from tests.vm.machine import Machine

__all__ = ["deb", "swept"]

HERE = Path(__file__).parent
TOOLS = (*LAB_TOOLS, "qemu-system-x86_64", "qemu-img", "mke2fs", "debugfs", "setpriv", "bridge", "ssh-keyscan")

_alive: list[Machine] = []


class MakeMachine(Protocol):
    """Makes a machine that is off, with a new disk over an image, or else over the golden one."""

    def __call__(self, name: str, *, mac: str, uuid: str, image: Image | None = None, **hypervisor: Any) -> Machine:
        """Return a new machine of that name; further arguments are `Machine`'s."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the virtual machines, and say why, where they cannot run."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    reason = "they need root" if os.geteuid() else f"they need {', '.join(missing)}" if missing else ""
    if reason:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Keep what the machines have to say when a test fails, and say where."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if report.failed and HERE in item.path.parents and _alive:
        folder = failures.folder_of(item.name)
        for machine in _alive:
            failures.keep(machine, folder)
            report.sections.append((f"machine {machine.name}: {folder}", machine.said()[-1500:]))


@pytest.fixture(scope="module", params=list(Release), ids=lambda release: str(release.value))
def release(request: pytest.FixtureRequest) -> Release:
    """Return the Debian release on trial."""
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="module")
def golden(release: Release, deb: Path) -> Image:
    """Return the disk of a machine that lived, was shut down, and never sealed."""
    return golden_disk(release, deb)


@pytest.fixture(scope="module")
def lan(release: Release) -> Iterator[Lan]:
    """Return a segment of the module's own."""
    with Lan("vm") as segment:
        yield segment


@pytest.fixture(scope="module")
def make_machine(golden: Image, lan: Lan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MakeMachine]:
    """Return a maker of machines on the module's segment; all are removed at its end."""
    made: list[Machine] = []

    def make(name: str, *, mac: str, uuid: str, image: Image | None = None, **hypervisor: Any) -> Machine:
        folder = tmp_path_factory.mktemp(name)
        machine = Machine(name, image or golden, folder, lan, mac=mac, uuid=uuid, **hypervisor)
        made.append(machine)
        _alive.append(machine)
        return machine

    yield make
    for machine in made:
        _alive.remove(machine)
        machine.remove()
