"""Fixtures of the benchmarks: the lab's, on each Debian release, and a table of what was measured.

    sudo python3 -m pytest tests/bench

The limits are ratios to something measured in the same run, so that a slow machine does not fail them. Run them by
themselves all the same, not beside other tests.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench import page
from tests.bench.costs import Cost
from tests.lab.clone import Clone
from tests.lab.conftest import TOOLS, deb, golden, lan, make_clone, store, swept
from tests.lab.expectations import ready
from tests.lab.golden import MAC, Golden
from tests.lab.lan import Lan
from tests.lab.tree import Release

__all__ = ["deb", "golden", "lan", "make_clone", "store", "swept"]

HERE = Path(__file__).parent
ROW = "measured"

Measured = Callable[[Cost, float], None]
"""Takes what was measured and the value; asserts it against the limit."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that writes the table."""
    parser.getgroup("bench").addoption("--write", type=Path, help="the page to write the table to")


@pytest.fixture(scope="session", params=list(Release), ids=lambda release: str(release.value))
def release(request: pytest.FixtureRequest) -> Release:
    """Return the Debian release on trial."""
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="session")
def times(pytestconfig: pytest.Config) -> int:
    """Return how many times as often boots are measured for the page as in a run of the tests: they differ."""
    return 3 if pytestconfig.getoption("--write") else 1


@pytest.fixture(scope="session")
def node(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clone]:
    """Return a machine that was booted alone on its LAN and is ready."""
    with Lan("bench") as segment:
        machine = Clone("node", golden.layers, tmp_path_factory.mktemp("node"), segment, MAC)
        try:
            machine.boot()
            ready(machine)
            yield machine
        finally:
            machine.remove()


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Measured:
    """Return what puts a measured value into the table and asserts that it is within its limit."""

    def measure(cost: Cost, value: float) -> None:
        callspec = getattr(request.node, "callspec", None)
        request.node.user_properties.append((ROW, (cost.name, callspec.id if callspec else "", value)))
        assert value <= cost.limit, f"{cost.what}: {value:.2f} {cost.unit}, more than {cost.limit:.2f} {cost.unit}"

    return measure


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs machines, and say why, where there can be none."""
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    reason = "the lab needs root" if os.geteuid() else f"the lab needs {', '.join(missing)}" if missing else ""
    for item in items:
        if item.get_closest_marker("fleet") and not item.config.getoption("--write", None):
            item.add_marker(pytest.mark.skip(reason="takes minutes: `make bench` does it"))
        if reason and HERE in item.path.parents and "golden" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and write it to the page that was named."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.getreports(kind)]
    found = [row for report in reports if report.when == "call" for name, row in report.user_properties if name == ROW]
    if not found:
        return
    table = page.table(found)
    terminalreporter.section("what nodeprep costs")
    terminalreporter.write_line(table)
    if target := config.getoption("--write"):
        page.write(Path(target), table)
