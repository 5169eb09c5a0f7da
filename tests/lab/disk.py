"""A disk: an overlay (kernel: filesystems/overlayfs) over read-only trees; its upper directory is what a clone wrote.

`redirect_dir=on` lets directories of the lower trees be renamed, as on any disk; without it rename(2) fails with
EXDEV. Paths inside are followed as the machine follows them: an absolute symbolic link starts at the machine's root.
"""

import hashlib
import os
import shutil
import stat
from pathlib import Path
from typing import NamedTuple

from tests.lab.traces import LabError, administer, unique, unmount

_LINKS_FOLLOWED = 40


class Entry(NamedTuple):
    """What a disk holds under one path; a whiteout has mode 0o20000 (a file of the template that is gone)."""

    mtime_ns: int
    size: int
    mode: int
    sha: str


def inside(root: Path, path: str) -> Path:
    """Return where a path of the machine lies for the host, following symbolic links within the root only."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    at = root
    followed = 0
    while parts:
        part = parts.pop(0)
        if part == "..":
            at = at if at == root else at.parent
            continue
        at = at / part
        if at.is_symlink():
            followed += 1
            if followed > _LINKS_FOLLOWED:
                raise LabError(f"{path}: too many symbolic links")
            target = os.readlink(at)
            at = root if target.startswith("/") else at.parent
            parts = [word for word in target.split("/") if word not in ("", ".")] + parts
    return at


class Disk:
    """An overlay of one machine."""

    def __init__(self, label: str, layers: tuple[Path, ...], directory: Path) -> None:
        """Name the trees below, uppermost first, and an empty directory of the machine's own."""
        self.layers = layers
        self.directory = directory
        self.upper = directory / "upper"
        self.root = directory / "root"
        self._work = directory / "work"
        self._name = unique(label)

    def mount(self) -> None:
        """Put the disk together; harmless when it is."""
        if os.path.ismount(self.root):
            return
        for folder in (self.upper, self._work, self.root):
            folder.mkdir(parents=True, exist_ok=True)
        lower = ":".join(str(layer) for layer in self.layers)
        options = f"lowerdir={lower},upperdir={self.upper},workdir={self._work},redirect_dir=on"
        administer("mount", "-t", "overlay", self._name, "-o", options, str(self.root))

    def unmount(self) -> None:
        """Take the disk apart; what was written stays in `upper`."""
        unmount(self.root)

    def erase(self) -> None:
        """Unmount the disk and remove all that was written."""
        self.unmount()
        if not os.path.ismount(self.root):
            shutil.rmtree(self.directory, ignore_errors=True)

    def snapshot(self) -> dict[str, Entry]:
        """Return every file, link, directory and whiteout the machine wrote, by absolute path.

        Two equal snapshots prove that nothing was written in between: a file that was made and removed again still
        shows in the modification time of its directory. What was only opened for writing (the overlay copies it up,
        time and all; systemd does so with /etc/machine-id at every boot) is not in it.
        """
        written = {}
        for path in sorted(self.upper.rglob("*")):
            inner = path.relative_to(self.upper)
            entry = _entry(path)
            if entry != self._below(inner):
                written[f"/{inner}"] = entry
        return written

    def _below(self, inner: Path) -> Entry | None:
        found = (layer / inner for layer in self.layers if os.path.lexists(layer / inner))
        return next(map(_entry, found), None)


def _entry(path: Path) -> Entry:
    found = path.lstat()
    content = b""
    if stat.S_ISREG(found.st_mode):
        content = path.read_bytes()
    elif stat.S_ISLNK(found.st_mode):
        content = os.readlink(path).encode()
    size = 0 if stat.S_ISDIR(found.st_mode) else found.st_size
    return Entry(found.st_mtime_ns, size, found.st_mode, hashlib.sha256(content).hexdigest() if content else "")
