"""The package's bytes: made of the sources alone (reproducible-builds.org), whoever builds it, when and where."""

from __future__ import annotations

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest

from tests.repo.sources import ROOT, tracked

pytestmark = pytest.mark.package

# Another host name, mask, year, place on earth, language and home than those of `make deb`.
ELSEWHERE = """
hostname elsewhere
umask 0027
exec faketime -f '+1y x1' dpkg-buildpackage --build=binary --no-sign
"""
ENVIRONMENT = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/nonexistent",
    "LANG": "C.UTF-8",
    "LC_ALL": "POSIX",
    "TZ": "Pacific/Kiritimati",
    "USER": "somebody",
    "PYTHONHASHSEED": "4711",
    "DEB_BUILD_OPTIONS": "parallel=3",
    "NO_FAKE_STAT": "1",
}


def copied(to: Path) -> Path:
    """Copy the sources, in another order and with other times and group rights than they have here."""
    for file in reversed(tracked()):
        target = to / file.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
        target.chmod((file.stat().st_mode & 0o700) | 0o040)
        os.utime(target, (86400, 86400))
    return to


@pytest.mark.skipif(os.geteuid() != 0, reason="a host name of its own needs root")
def test_built_elsewhere_and_at_another_time_it_is_the_same_byte_for_byte(tmp_path: Path) -> None:
    (built,) = (ROOT / "dist").glob("nodeprep_*_all.deb")
    source = copied(tmp_path / "a-place-with-quite-another-name" / "and-depth" / "source")
    done = subprocess.run(
        ("unshare", "--uts", "sh", "-ec", ELSEWHERE),
        cwd=source,
        env=ENVIRONMENT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    again = source.parent / built.name
    if sha256(again.read_bytes()).digest() != sha256(built.read_bytes()).digest():
        pytest.fail(f"{built.name} depends on where it is built:\n{differences(built, again)}")


def differences(one: Path, other: Path) -> str:
    """Return how the members' listings differ, for who has to find the reason."""

    def listing(package: Path) -> set[str]:
        said = subprocess.run(("dpkg-deb", "--contents", package), capture_output=True, text=True, check=True).stdout
        return set(said.splitlines())

    return "\n".join(sorted(listing(one) ^ listing(other))) or "the listings are equal; compare the members"
