"""An image is entered, not followed: whatever its links say, nothing of the host is read, changed or run."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from nodeprep import run
from nodeprep.host import image
from tests.fakes import disk

pytestmark = pytest.mark.root
REPOSITORY = Path(__file__).parents[2]


def seal(root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = (sys.executable, "-m", "nodeprep.cli", "seal", "--root", str(root), *options)
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a template's disk that is a root file system."""
    made = tmp_path / "image"
    disk.make_template(made)
    for folder in ("etc", "usr", "var"):
        (made / folder).mkdir(exist_ok=True)
    return made


def all_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of all that lies in a folder."""
    return {
        str(path): (path.lstat().st_mode, path.read_bytes() if stat.S_ISREG(path.lstat().st_mode) else b"")
        for path in sorted(folder.rglob("*"))
    }


def test_links_of_an_image_do_not_lead_out_of_it(root: Path, tmp_path: Path) -> None:
    host = tmp_path / "host"
    for path, (content, mode) in disk.FILES.items():
        disk.put(host, path, content, mode)
    disk.put(host, "/var/lib/nodeprep/stamp.json", b"the host's")
    before = all_of(host)
    up = "../" * 40
    hostile = {
        "etc/ssh": f"{host}/etc/ssh",
        "var/log": f"{up}{str(host)[1:]}/var/log",
        "var/lib/nodeprep": f"{host}/var/lib/nodeprep",
        "etc/machine-id": f"{up}{str(host)[1:]}/etc/machine-id",
        "etc/hosts": f"{host}/etc/hosts",
        "etc/nodeprep": f"{host}/etc",
    }
    for path, target in hostile.items():
        place = root / path
        subprocess.run(("rm", "-rf", str(place)), check=True)
        place.symlink_to(target)
    checked, sealed = seal(root, "--check"), seal(root, "--reset-joined")
    assert checked.returncode == 1
    assert "the host's" not in checked.stdout + sealed.stdout + sealed.stderr
    assert all_of(host) == before


def test_links_that_are_absolute_end_inside(root: Path) -> None:
    (root / "etc/ssh").rename(root / "usr/ssh")
    (root / "etc/ssh").symlink_to("/usr/ssh")
    said = seal(root, "--reset-joined")
    assert said.returncode == 0, said
    assert not list((root / "usr/ssh").glob("ssh_host_*"))
    assert (root / "usr/ssh/sshd_config").exists()


def test_no_module_of_an_image_is_imported(root: Path, tmp_path: Path) -> None:
    trap = "open('/caught', 'w').close()\n"
    for folder in {entry for entry in sys.path if entry.startswith("/usr")} | {str(REPOSITORY / "nodeprep")}:
        for module in ("json", "encodings", "idlelib", "shutil", "sitecustomize", "tomllib"):
            disk.put(root, f"{folder}/{module}.py", trap.encode())
            disk.put(root, f"{folder}/{module}/__init__.py", trap.encode())
    assert seal(root, "--check", "--json").returncode == 1
    assert seal(root, "--reset-joined").returncode == 0
    assert not (root / "caught").exists()


def test_a_whole_image_is_sealed_and_then_clean(root: Path) -> None:
    before = json.loads(seal(root, "--check", "--json").stdout)
    assert before["schema"] == 1
    assert before["state"] == "findings"
    assert {row["code"] for row in before["findings"]} >= {"baked-in", "not-sealed"}
    assert all(row["remedy"] and row["title"] for row in before["findings"])
    said = seal(root, "--reset-joined")
    assert said.returncode == 0, said
    mark = (root / run.BAKED_OFFLINE[1:]).read_text()
    assert mark.startswith("sealed 20")
    codes = {row["code"] for row in json.loads(seal(root, "--check", "--json").stdout)["findings"]}
    assert not codes & {"baked-in", "not-sealed", "joined-image"}


def test_a_full_disk_or_a_read_only_one_is_said(root: Path) -> None:
    subprocess.run(("mount", "--bind", str(root), str(root)), check=True)
    try:
        subprocess.run(("mount", "-o", "remount,ro,bind", str(root)), check=True)
        before = all_of(root)
        said = seal(root, "--reset-joined")
        assert said.returncode == 1
        assert "Read-only file system" in said.stderr
        assert all_of(root) == before
    finally:
        subprocess.run(("umount", str(root)), check=True)


@pytest.mark.parametrize("folder", ["/", "/proc/self/root", "{tmp}", "{tmp}/missing", "{tmp}/file"])
def test_what_is_no_image_is_refused(tmp_path: Path, folder: str) -> None:
    (tmp_path / "file").touch()
    said = seal(Path(folder.format(tmp=tmp_path)))
    assert said.returncode == 1
    assert said.stderr.startswith("nodeprep: ")


def test_only_root_may_seal(root: Path) -> None:
    command = ("setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-m", "nodeprep.cli", "seal")
    said = subprocess.run(
        (*command, "--root", str(root)), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert said.returncode == 1
    assert "run it as root" in said.stderr


def test_a_chroot_is_not_taken_for_the_system_that_runs_around_it(tmp_path: Path) -> None:
    assert image.runs() == os.path.isdir("/run/systemd/system")
    script = "import os; from nodeprep.host import image; os.chroot('/usr'); print(image.runs())"
    said = subprocess.run(
        (sys.executable, "-c", script), cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=True
    )
    assert said.stdout == "False\n"
