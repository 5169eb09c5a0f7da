"""The built package, as Debian's own checker and dpkg read it."""

import itertools

import pytest

from tests.repo.sources import ROOT, UNITS, run

pytestmark = pytest.mark.package


@pytest.fixture(scope="module")
def package() -> str:
    built = sorted((ROOT / "dist").glob("nodeprep_*_all.deb"))
    assert len(built) == 1, "make deb"
    return str(built[0])


def control(package: str, name: str) -> str:
    return run("dpkg-deb", "--info", package, name).stdout


def test_lintian_has_nothing_to_say(package: str) -> None:
    said = run("lintian", "--allow-root", "--pedantic", "--display-info", "--display-experimental", package)
    assert (said.returncode, said.stdout) == (0, "")


def test_every_override_has_its_reason_above_it() -> None:
    lines = (ROOT / "debian/nodeprep.lintian-overrides").read_text().splitlines()
    assert lines[0].startswith("#")
    for above, line in itertools.pairwise(lines):
        assert line.startswith("#") or above.startswith("#"), line


def test_the_installation_starts_nothing(package: str) -> None:
    for line in control(package, "postinst").splitlines():
        assert not ("deb-systemd-invoke" in line and "try-restart 'nodeprep.service'" not in line), line


def test_no_script_stops_the_target_or_the_early_service(package: str) -> None:
    for name in ("preinst", "postinst", "prerm", "postrm"):
        for line in control(package, name).splitlines():
            assert not ("deb-systemd-invoke" in line and ("ready" in line or "early" in line)), line


def test_the_configuration_is_the_only_conffile(package: str) -> None:
    # What no operator edits is a link out of /etc, replaced by an upgrade without a question.
    assert control(package, "conffiles").split() == ["/etc/nodeprep/nodeprep.toml"]


def test_every_unit_is_in_it(package: str) -> None:
    files = run("dpkg-deb", "--contents", package).stdout
    for unit in UNITS.rglob("*"):
        if unit.is_file():
            assert f"/{unit.relative_to(UNITS)}\n" in files, unit
