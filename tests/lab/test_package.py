"""The package on a machine: installed, upgraded, removed and purged it changes no identity and leaves nothing behind.

`tests/lab/former` is what a machine had that was adopted by nodeprep as of commit 3fc0863, and was READY: its state,
its configuration, and what its stamp has fingerprints of. Nobody else ever had these keys.
"""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.disk import Disk, Entry
from tests.lab.expectations import ready
from tests.lab.golden import MAC, PROFILE, PROFILE_PATH
from tests.lab.traces import administer
from tests.lab.tree import Release, base_tree

FORMER = Path(__file__).with_name("former")
AUTOPKGTESTS = Path(__file__).parents[2] / "debian/tests"
SECRET = ("fleet.key", "stamp.json", "ssh_host_ed25519_key", "secret_key")
STAMP = "/var/lib/nodeprep/stamp.json"
CONFIGURATION = "/etc/nodeprep/nodeprep.toml"

# What dpkg, debhelper and systemd write down about any package, removed ones included.
BOOKS = ("/var/lib/dpkg", "/var/log/dpkg.log", "/var/cache/ldconfig", "/var/lib/systemd/catalog/database")
# What is the package's, beside the files that dpkg lists: made by its scripts, by Python and by systemctl.
MADE = (
    "/etc/nodeprep/fleet.key",
    "/var/lib/nodeprep",
    "/usr/lib/python3/dist-packages/nodeprep",
    "/etc/systemd/system/sysinit.target.wants/nodeprep-early.service",
    "/etc/systemd/system/multi-user.target.wants/nodeprep.service",
    "/var/lib/systemd/deb-systemd-helper-enabled",
)
IN_IMAGE = """
set -e
root=$1; shift
mount --make-rprivate /
mount --rbind /proc "$root/proc"
mount --rbind /dev "$root/dev"
exec chroot "$root" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    AUTOPKGTEST_TMP=/srv "$@"
"""
# In mount and network namespaces of its own, so that nothing of it is left and it asks no archive but the one given.
PIUPARTS = """
set -e
mount --make-rprivate /
exec piuparts "$@"
"""
INSECURE = 'Acquire::AllowInsecureRepositories "true";\n'


@pytest.fixture(scope="session")
def former(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the package under an older version."""
    folder = tmp_path_factory.mktemp("former") / "nodeprep_0.0.9-1_all"
    administer("dpkg-deb", "--raw-extract", str(deb), str(folder))
    control = folder / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join("Version: 0.0.9-1" if line.startswith("Version:") else line for line in lines) + "\n")
    older = folder.with_suffix(".deb")
    administer("dpkg-deb", "--root-owner-group", "--build", str(folder), str(older))
    shutil.rmtree(folder)
    return older


@pytest.fixture
def image(release: Release, tmp_path: Path) -> Iterator[Disk]:
    """Return an image that is mounted, with an identity in it."""
    disk = Disk("image", (base_tree(release),), tmp_path / "image")
    disk.mount()
    try:
        furnish(disk.root)
        yield disk
    finally:
        disk.erase()


def furnish(root: Path, *, with_state: bool = False) -> None:
    """Give a tree the former machine's identity, and nodeprep's state and configuration if they are wanted."""
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()
    for file in sorted(path for path in FORMER.rglob("*") if path.is_file()):
        inner = file.relative_to(FORMER)
        if "nodeprep" in inner.parts and not with_state:
            continue
        target = root / inner
        if not target.parent.is_dir():
            target.parent.mkdir(parents=True, mode=0o700 if inner.parts[0] == "var" else 0o755)
        target.unlink(missing_ok=True)
        shutil.copyfile(file, target)
        target.chmod(0o600 if file.name in SECRET else 0o444 if file.name == "machine-id" else 0o644)
    (root / PROFILE_PATH.lstrip("/")).write_text(PROFILE)
    (root / PROFILE_PATH.lstrip("/")).chmod(0o600)


def run(image: Disk, *words: str, file: Path | None = None) -> None:
    """Run a program in the image, as an image builder does, with a file as its last word."""
    if file:
        shutil.copy(file, image.root / "root" / file.name)
        words += (f"/root/{file.name}",)
    try:
        administer("unshare", "--mount", "--net", "sh", "-c", IN_IMAGE, "sh", str(image.root), *words, timeout_s=120.0)
    finally:
        if file:
            (image.root / "root" / file.name).unlink()


def others(image: Disk) -> dict[str, Entry]:
    """Return all that was written to the disk and is neither the package's own nor in the books, bytes and times."""
    listing = image.root / "var/lib/dpkg/info/nodeprep.list"
    ours = set(listing.read_text().splitlines()) if listing.exists() else set()
    # On a merged /usr dpkg lists some files under /lib, and they are found below /usr.
    ours |= {f"/usr{path}" for path in ours}
    return {path: entry for path, entry in written(image).items() if path not in ours and not is_below(path, MADE)}


def written(image: Disk) -> dict[str, Entry]:
    """Return what was written to the disk beside the books; a folder's time does not count, its content does."""
    found = {}
    for path, entry in image.snapshot().items():
        if stat.S_ISDIR(entry.mode):
            base = image.layers[-1] / path[1:]
            if base.is_dir() and base.stat().st_mode == entry.mode:
                continue
        if not is_below(path, BOOKS):
            found[path] = entry._replace(mtime_ns=0) if stat.S_ISDIR(entry.mode) else entry
    return found


def is_below(path: str, places: tuple[str, ...]) -> bool:
    """Whether a path is one of those places, or in one of them."""
    return any(path == place or path.startswith(f"{place}/") for place in places)


def test_in_an_image_it_changes_nothing_that_is_not_its_own_and_a_purge_leaves_nothing(
    image: Disk, deb: Path, former: Path
) -> None:
    before = written(image)
    assert {"/etc/machine-id", "/etc/hostname", "/etc/ssh/ssh_host_ed25519_key", PROFILE_PATH} <= set(before)

    run(image, "dpkg", "--install", file=former)
    assert changed(before, others(image)) == set()
    key = (image.root / "etc/nodeprep/fleet.key").read_text()
    with (image.root / CONFIGURATION.lstrip("/")).open("a") as configuration:
        configuration.write('\n[node]\nroles = ["worker"]\n')
    chosen = (image.root / CONFIGURATION.lstrip("/")).read_text()

    run(image, "dpkg", "--install", file=deb)
    assert changed(before, others(image)) == set()
    assert (image.root / "etc/nodeprep/fleet.key").read_text() == key
    assert (image.root / CONFIGURATION.lstrip("/")).read_text() == chosen, "without a question"
    assert (image.root / "var/lib/nodeprep/baked-offline").exists()

    run(image, "dpkg", "--remove", "nodeprep")
    assert changed(before, others(image)) == set()
    assert (image.root / CONFIGURATION.lstrip("/")).read_text() == chosen, "what an operator wrote stays"
    assert (image.root / "etc/nodeprep/fleet.key").read_text() == key

    run(image, "dpkg", "--purge", "nodeprep")
    assert changed(before, written(image)) == set()


def test_the_packages_own_test_of_an_image_passes(image: Disk, deb: Path) -> None:
    run(image, "dpkg", "--install", file=deb)
    run(image, "sh", file=AUTOPKGTESTS / "image")


def test_the_packages_own_test_of_a_machine_passes(make_clone: MakeClone, release: Release, deb: Path) -> None:
    machine = make_clone("machine", mac=MAC, layers=(base_tree(release),))
    furnish(machine.root)
    machine.boot()
    shutil.copyfile(deb, machine.path(f"/root/{deb.name}"))
    machine.run("dpkg", "--install", f"/root/{deb.name}", timeout=120.0)
    shutil.copy(AUTOPKGTESTS / "machine", machine.path("/root/machine"))
    machine.run("env", "AUTOPKGTEST_TMP=/srv", "/root/machine", timeout=120.0)


def test_piuparts_has_nothing_to_say(image: Disk, release: Release, deb: Path, former: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    listing = archive / f"dists/{release.value}/main/binary-amd64/Packages"
    listing.parent.mkdir(parents=True)
    shutil.copy(former, archive)
    listing.write_text(administer("sh", "-c", 'cd "$0" && dpkg-scanpackages .', str(archive)))
    (image.root / "etc/apt/apt.conf.d/99-of-the-test").write_text(INSECURE)
    options = (
        f"--tmpdir={tmp_path}",
        f"--distribution={release.value}",
        f"--existing-chroot={image.root}",
        f"--mirror=file:{archive} main",
        f"--bindmount={archive}",
        "--do-not-verify-signatures",
        "--no-eatmydata",
        # Of Debian 13's apt, which this piuparts does not know.
        "--ignore=/var/cache/debconf/tmp.ci/",
    )
    said = administer("unshare", "--mount", "--net", "sh", "-c", PIUPARTS, "sh", *options, str(deb), timeout_s=300.0)
    # Without the former version in the archive the upgrade would be left out, with a remark.
    assert "PASS: Installation, upgrade and purging tests." in said


def changed(before: dict[str, Entry], after: dict[str, Entry]) -> set[str]:
    """Return the paths that differ."""
    return {path for path in before.keys() | after.keys() if before.get(path) != after.get(path)}


def kept(machine: Clone) -> dict[str, str]:
    """Return what no upgrade may change, by path."""
    files = (path for path in FORMER.rglob("*") if path.is_file())
    return {path: machine.read(path) for path in (f"/{file.relative_to(FORMER)}" for file in files)}


def test_a_machine_with_the_state_of_a_former_version_is_upgraded_while_ready_and_keeps_all_of_it(
    make_clone: MakeClone, release: Release, deb: Path, former: Path
) -> None:
    machine = make_clone("former", mac=MAC, layers=(base_tree(release),))
    furnish(machine.root, with_state=True)
    for package in (former, deb):
        shutil.copyfile(package, machine.path(f"/root/{package.name}"))
    machine.boot()
    installed = machine.run("dpkg", "--install", f"/root/{former.name}", timeout=120.0)
    assert "adopted" not in installed.stdout, "the stamp of the former version knows better"
    machine.run("systemctl", "start", "nodeprep.service", timeout=90.0)
    document = ready(machine)
    assert (document["node"]["origin"], document["changes"], document["warnings"]) == ("same", [], [])
    before = kept(machine)
    assert before[STAMP] == (FORMER / STAMP.lstrip("/")).read_text(), "read as it was written, and not written again"
    process = main_process(machine)

    machine.run("dpkg", "--install", f"/root/{deb.name}", timeout=120.0)
    machine.wait_for(lambda: main_process(machine) not in ("0", process), 60.0)
    document = ready(machine)
    assert (document["node"]["origin"], document["changes"], document["warnings"]) == ("same", [], [])
    assert kept(machine) == before

    assert machine.shutdown()
    machine.boot()
    document = ready(machine)
    assert (document["node"]["origin"], document["changes"], document["warnings"]) == ("same", [], [])
    assert document["node"]["roles"] == ["worker"]
    assert kept(machine) == before
    assert machine.failed_units() == ()

    machine.run("dpkg", "--purge", "nodeprep", timeout=60.0)
    identity = {path: text for path, text in before.items() if "nodeprep" not in path}
    assert identity == {path: machine.read(path) for path in identity}
    assert machine.run("systemctl", "is-active", "nodeprep.service", check=False).stdout.strip() == "inactive"
    left = machine.run(
        "find", "/etc", "/usr", "/var", "/run/nodeprep", "-name", "*nodeprep*", check=False
    ).stdout.split()
    # dpkg leaves a folder of /etc where an operator has put something.
    assert left == ["/etc/nodeprep", "/etc/nodeprep/nodeprep.toml.d"]


def main_process(machine: Clone) -> str:
    """Return the number of the daemon's process, "0" while there is none."""
    return machine.run("systemctl", "show", "-P", "MainPID", "nodeprep.service").stdout.strip()
