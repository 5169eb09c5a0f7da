"""The RPM package, built by Debian's rpmbuild: the files of the .deb, at the places of the other distributions."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import stat
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.repo.sources import ROOT, UNITS, run, tracked

pytestmark = pytest.mark.package

SPEC = ROOT / "packaging/rpm/nodeprep.spec"
# The place of modules is that of Debian here, since the build finds Debian's Python.
SITE = "/usr/lib/python3/dist-packages"
QUERY = r"[%{FILENAMES}\t%{FILEMODES:octal}\t%{FILEDIGESTS}\t%{FILELINKTOS}\n]"
# What only Debian has: its own way to say the licence and the changes, and its checker's overrides.
DEBIANS = ("/usr/share/doc/nodeprep/copyright", "/usr/share/doc/nodeprep/changelog.Debian", "/usr/share/lintian")

Contents = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the RPM package, of the sources as they are."""
    top = tmp_path_factory.mktemp("rpm")
    (top / "SOURCES").mkdir()
    version = field("Version")
    with tarfile.open(top / f"SOURCES/nodeprep-{version}.tar.gz", "w:gz") as archive:
        for file in tracked():
            archive.add(file, f"nodeprep-{version}/{file.relative_to(ROOT)}")
    defined = {"_topdir": str(top), "python3_sitelib": SITE, "__python3": "/usr/bin/python3"}
    options = [word for name, value in defined.items() for word in ("--define", f"{name} {value}")]
    done = subprocess.run(
        # Debian's packages are not known to rpm, so what the build requires it cannot see.
        ("rpmbuild", "-bb", "--nodeps", *options, SPEC),
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(top), "DEB_PYTHON_INSTALL_LAYOUT": "deb"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    (package,) = top.glob("RPMS/noarch/*.rpm")
    return package


def field(name: str) -> str:
    """Return a field of the spec's head."""
    lines = (line.partition(":") for line in SPEC.read_text().splitlines())
    return next(value.strip() for key, _, value in lines if key == name)


def of_rpm(package: Path) -> Contents:
    """Return mode, and digest or target, of all that the RPM package has but folders."""
    found = {}
    for line in run("rpm", "--query", "--package", "--queryformat", QUERY, package).stdout.splitlines():
        path, mode, digest, target = line.split("\t")
        if not stat.S_ISDIR(int(mode, 8)):
            found[path] = (0o777, led(path, target)) if target else (int(mode, 8) & 0o7777, digest)
    return found


def led(path: str, target: str) -> str:
    """Return where a link leads; each distribution has its rule of which are relative."""
    return os.path.normpath(os.path.join(os.path.dirname(path), target))


def of_deb() -> Contents:
    """Return the same of the Debian package, as of a merged /usr, its documents unpacked."""
    (package,) = (ROOT / "dist").glob("nodeprep_*_all.deb")
    content = subprocess.run(("dpkg-deb", "--fsys-tarfile", package), capture_output=True, check=True).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive:
            path = member.name.removeprefix(".")
            if path.startswith("/lib/"):
                path = f"/usr{path}"
            if member.issym():
                found[path] = (0o777, led(path, member.linkname))
            elif member.isfile():
                file = archive.extractfile(member)
                assert file
                data = file.read()
                if path.endswith(".gz"):
                    path, data = path.removesuffix(".gz"), gzip.decompress(data)
                found[path] = (member.mode, hashlib.sha256(data).hexdigest())
    # What debhelper makes of the name.
    found["/usr/share/doc/nodeprep/CHANGELOG.md"] = found.pop("/usr/share/doc/nodeprep/changelog")
    return found


def test_it_has_the_files_of_the_debian_package_byte_for_byte(built: Path) -> None:
    rpm = {path: what for path, what in of_rpm(built).items() if not path.endswith("/LICENSE")}
    deb = {path: what for path, what in of_deb().items() if not path.startswith(DEBIANS)}
    assert rpm.keys() ^ deb.keys() == set()
    # RECORD has the digests of a file that names the Python it was made with.
    differing = {path for path in deb if rpm[path] != deb[path] and not path.endswith(".dist-info/RECORD")}
    assert differing == set()


def test_its_configuration_is_kept_by_an_upgrade_and_nothing_else_is(built: Path) -> None:
    assert run("rpm", "--query", "--package", "--configfiles", built).stdout.split() == ["/etc/nodeprep/nodeprep.toml"]


def test_its_version_is_that_of_the_program(built: Path) -> None:
    assert f'\nversion = "{field("Version")}"\n' in (ROOT / "pyproject.toml").read_text()


def test_the_services_beside_the_daemon_find_their_modules_where_the_spec_says() -> None:
    # What the spec replaces is in the unit, once; another distribution's place would go there unseen otherwise.
    for unit in UNITS.glob("nodeprep-*.service"):
        assert unit.read_text().count(SITE) == 1
    assert f"s|{SITE}|%{{python3_sitelib}}|" in SPEC.read_text()


def test_its_scripts_start_nothing_and_leave_the_target_alone(built: Path) -> None:
    scripts = run("rpm", "--query", "--package", "--scripts", built).stdout
    started = [line.strip() for line in scripts.splitlines() if "systemctl" in line]
    assert started == [
        "systemctl --no-reload preset nodeprep-early.service nodeprep.service || :",
        "systemctl daemon-reload || :",
        "systemctl --no-reload disable nodeprep.service nodeprep-early.service || :",
        "systemctl stop nodeprep.service || :",
        "systemctl try-restart nodeprep.service || :",
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="another root needs root")
def test_its_scripts_mark_an_image_and_make_its_key(built: Path, tmp_path: Path) -> None:
    # In a root of its own, with the programs that the scripts call and no systemd running.
    root = tmp_path / "root"
    script = run("rpm", "--query", "--package", "--queryformat", "%{POSTIN}", built).stdout
    for folder in ("etc/nodeprep", "var/lib", "usr", "dev", "run"):
        (root / folder).mkdir(parents=True)
    for link in ("bin", "lib", "lib64", "sbin"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "script").write_text(script)
    bound = f"mount --bind /usr {root}/usr; mount --rbind /dev {root}/dev"
    commands = f"mount --make-rprivate /; {bound}; chroot {root} sh -e /script 1"
    done = run("unshare", "--mount", "sh", "-ec", commands)
    assert done.returncode == 0, done.stdout
    assert (root / "var/lib/nodeprep/baked-offline").exists()
    key = root / "etc/nodeprep/fleet.key"
    assert (key.stat().st_mode & 0o777, len(key.read_text())) == (0o600, 65)
