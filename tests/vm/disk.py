"""Disks: a Debian with a kernel, made into an image; machines write to overlays of it (qcow2), as linked clones do.

The tree of a release is kept in the lab's cache; see `tests.lab.tree`. An image is a file that nobody writes to any
more once another has been laid over it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import golden as lab
from tests.lab.disk import Disk
from tests.lab.traces import LabError, administer
from tests.lab.tree import Release, cache, locked, mirror

BUILD_TIMEOUT_S = 1200.0
COPY_TIMEOUT_S = 300.0
# The cloud kernel has what a virtual machine has, DMI, fw_cfg and the VM generation ID included, and a small initrd.
PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "qemu-guest-agent")
SIZE = "4G"
FSTAB = "/dev/vda / ext4 errors=remount-ro 0 1\n"


@dataclass(frozen=True, slots=True)
class Image:
    """A disk that machines are booted from: the file and its format, and the kernel and initrd that are on it."""

    file: Path
    kernel: Path
    initrd: Path

    @property
    def format(self) -> str:
        """Return the format by QEMU's name for it."""
        return self.file.suffix.removeprefix(".")

    def overlay(self, file: Path) -> Image:
        """Return a new disk that holds what this one does, and on which only what differs is stored."""
        file.parent.mkdir(parents=True, exist_ok=True)
        # Beside one another they can be moved together.
        backing = self.file.name if file.parent == self.file.parent else str(self.file)
        administer("qemu-img", "create", "-q", "-f", "qcow2", "-b", backing, "-F", self.format, str(file))
        return Image(file, self.kernel, self.initrd)

    def copy(self, file: Path) -> Image:
        """Return a disk of its own, raw, that holds what this one does."""
        administer("qemu-img", "convert", "-O", "raw", str(self.file), str(file), timeout_s=COPY_TIMEOUT_S)
        return Image(file, self.kernel, self.initrd)

    def entered(self, directory: Path, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the host with this disk, which is raw, mounted on a directory.

        Nobody else sees the mount, and it goes with the program.
        """
        directory.mkdir(exist_ok=True)
        script = 'mount -o loop "$1" "$2" && shift 2 && exec "$@"'
        entering = ("unshare", "--mount", "sh", "-c", script, "sh", str(self.file), str(directory))
        return subprocess.run((*entering, *command), capture_output=True, text=True, timeout=120, check=False)

    def files(self, directory: Path, *paths: str) -> dict[str, str | None]:
        """Return the text of files on the disk of a machine that is off, None where there is none.

        The file system's own journal is played back first, as at the next boot; on a copy.
        """
        copy = directory / "copy.raw"
        try:
            self.copy(copy)
            done = subprocess.run(("e2fsck", "-p", str(copy)), capture_output=True, text=True, timeout=120, check=False)
            if done.returncode not in (0, 1):
                raise LabError(f"the file system is broken: {done.stdout}{done.stderr}")
            return {path: _text(copy, path) for path in paths}
        finally:
            copy.unlink(missing_ok=True)


def _text(disk: Path, path: str) -> str | None:
    command = ("debugfs", "-R", f"cat {path}", str(disk))
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    return None if "File not found" in done.stderr else done.stdout


def tree_key(release: Release) -> str:
    """Return the name of a tree; it changes with the release and the list of packages."""
    packages = (*release.packages, *PACKAGES)
    return f"vm-{release.value}-{hashlib.sha256(' '.join(packages).encode()).hexdigest()[:12]}"


def tree(release: Release) -> Path:
    """Return the directory of a release's tree with a kernel, building it if the cache has none (two minutes)."""
    found = cache() / tree_key(release)
    with locked(found.with_suffix(".lock")):
        if not found.is_dir():
            _build(release, found)
    return found


def _build(release: Release, found: Path) -> None:
    for abandoned in found.parent.glob(f"{found.name}.part-*"):
        shutil.rmtree(abandoned, ignore_errors=True)
    part = found.with_name(f"{found.name}.part-{uuid.uuid4().hex[:8]}")
    include = f"--include={','.join((*release.packages, *PACKAGES))}"
    command = ("mmdebstrap", "--variant=minbase", "--format=directory", include, release.value, str(part), mirror())
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S, check=False)
        if done.returncode:
            raise LabError(f"mmdebstrap could not build {release.value}:\n{done.stderr[-2000:]}")
        part.rename(found)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def image(release: Release, deb: Path, directory: Path, profile: str, prepare: Callable[[Path], None]) -> Image:
    """Make the image of a machine that has never been booted, the package installed in it as an image builder does."""
    base = tree(release)
    disk = Disk("vm", (base,), directory / "furnished")

    def complete(root: Path) -> None:
        (root / "etc/fstab").write_text(FSTAB)
        prepare(root)

    try:
        lab._furnish(disk, deb, profile, complete)
        disk.mount()
        made = Image(directory / "disk.raw", directory / "vmlinuz", directory / "initrd")
        for link, copy in (("vmlinuz", made.kernel), ("initrd.img", made.initrd)):
            shutil.copyfile(next((disk.root / "boot").glob(f"{link}-*")), copy)
        administer("mke2fs", "-q", "-t", "ext4", "-d", str(disk.root), str(made.file), SIZE, timeout_s=300.0)
    finally:
        disk.erase()
    return made
