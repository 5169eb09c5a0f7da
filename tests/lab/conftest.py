"""Fixtures of the lab: releases, the package under test, a golden machine, a LAN, and clones that are always removed.

    sudo python3 -m pytest tests/lab [--release bookworm] [--deb dist/nodeprep_1_all.deb] [-n 2]

When a test fails, the journal of nodeprep's units and the console of every machine then alive are in its report.
"""

import os
import shutil
import subprocess
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.lab.clone import Clone
from tests.lab.golden import Golden, golden_tree, left_a_lease, worst_case
from tests.lab.lan import Lan
from tests.lab.traces import LabError, sweep
from tests.lab.tree import Release

HERE = Path(__file__).parent
DIST = HERE.parents[1] / "dist"
TOOLS = ("systemd-nspawn", "mmdebstrap", "ip", "nft", "nmap", "nsenter", "unshare", "dpkg-deb")
UNITS = ("-u", "nodeprep-early", "-u", "nodeprep")

_alive: list[Clone] = []


class MakeClone(Protocol):
    """Makes a machine that is off; `layers` defaults to the golden machine, `lan` to the fixture of that name."""

    def __call__(
        self, name: str, *, mac: str | None = None, layers: Sequence[Path] | None = None, lan: Lan | None = None
    ) -> Clone:
        """Return a new machine of that name."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the lab's options."""
    group = parser.getgroup("lab", "the lab of booted machines")
    group.addoption("--release", choices=[release.value for release in Release], help="one Debian release only")
    group.addoption("--deb", type=Path, help="the package under test (default: the newest in dist/)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test that wants a release on all of them, or on the one that is asked for."""
    if "release" in metafunc.fixturenames:
        chosen = metafunc.config.getoption("--release", None)
        releases = [release for release in Release if chosen in (None, release.value)]
        metafunc.parametrize(
            "release", releases, ids=lambda release: str(release.value), scope="session", indirect=True
        )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long. Skip the lab, and say why, where it cannot run."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)
    missing = [tool for tool in TOOLS if not shutil.which(tool)]
    reason = "the lab needs root" if os.geteuid() else f"the lab needs {', '.join(missing)}" if missing else ""
    if reason:
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Put what the machines have to say into the report of a test that failed."""
    outcome = yield
    report: pytest.TestReport = outcome.get_result()
    if report.failed and HERE in item.path.parents:
        for clone in _alive:
            report.sections.append((f"machine {clone.name}: journal of nodeprep", journal_tail(clone)))
            report.sections.append((f"machine {clone.name}: console", console_tail(clone)))


def journal_tail(clone: Clone) -> str:
    """Return the last lines of nodeprep's units, of this boot if the machine is on, of all boots if it is off."""
    options = ("journalctl", "--no-pager", "-o", "short-monotonic", "-n", "80", *UNITS)
    try:
        if clone.running:
            failed = " ".join(clone.failed_units()) or "none"
            return f"failed units: {failed}\n{clone.run(*options, '-b', check=False).stdout}"
    except LabError as error:
        return str(error)
    folder = str(clone.path("/var/log/journal"))
    done = subprocess.run((*options, "-D", folder), capture_output=True, text=True, timeout=30.0, check=False)
    return f"off; all boots:\n{done.stdout}"


def console_tail(clone: Clone) -> str:
    """Return the last of what the machine wrote to its console."""
    return clone.console.read_text(errors="replace")[-3000:] if clone.console.exists() else ""


@pytest.fixture(scope="session", autouse=True)
def swept() -> None:
    """Remove what killed runs left behind."""
    if os.geteuid() == 0:
        sweep()


@pytest.fixture(scope="session")
def release(request: pytest.FixtureRequest) -> Release:
    """Return the Debian release on trial."""
    chosen: Release = request.param
    return chosen


@pytest.fixture(scope="session")
def deb(request: pytest.FixtureRequest) -> Path:
    """Return the package under test."""
    named: Path | None = request.config.getoption("--deb", None)
    if named:
        return named.resolve(strict=True)
    built = sorted(DIST.glob("nodeprep_*_all.deb"), key=lambda path: path.stat().st_mtime_ns)
    if not built:
        pytest.fail(f"there is no package in {DIST.name}/; run `make deb` first, or name one with --deb", pytrace=False)
    return built[-1]


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where golden machines lie in this session, the same for all of its workers."""
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "golden"


@pytest.fixture(scope="session")
def golden(release: Release, deb: Path, store: Path) -> Golden:
    """Return a golden machine with the package and a NetworkManager profile, used once and shut down, not sealed."""
    return golden_tree(release, deb, store=store, name="worst", prepare=worst_case, lived=left_a_lease)


@pytest.fixture
def lan() -> Iterator[Lan]:
    """Return a LAN of the test's own."""
    with Lan() as segment:
        yield segment


@pytest.fixture
def make_clone(request: pytest.FixtureRequest, lan: Lan, tmp_path: Path) -> Iterator[MakeClone]:
    """Return a maker of machines on the test's LAN; all are removed at its end."""
    made: list[Clone] = []
    fallback = lan

    def make(
        name: str, *, mac: str | None = None, layers: Sequence[Path] | None = None, lan: Lan | None = None
    ) -> Clone:
        trees = layers if layers is not None else request.getfixturevalue("golden").layers
        clone = Clone(name, trees, tmp_path / f"clone-{len(made)}-{name}", lan or fallback, mac)
        made.append(clone)
        _alive.append(clone)
        return clone

    yield make
    errors = []
    for clone in made:
        _alive.remove(clone)
        try:
            clone.remove()
        except LabError as error:
            errors.append(str(error))
    if errors:
        raise LabError("; ".join(errors))
