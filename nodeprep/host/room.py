"""Room: whether a plan's files can be written, and what they replace be kept. Asked before anything is touched."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable

from nodeprep.errors import HostError
from nodeprep.host.attic import ATTIC, size
from nodeprep.steps import (
    Action,
    BringBack,
    KeepCopy,
    LinkFile,
    RenameFolder,
    ReplaceFiles,
    ReplaceText,
    SetAside,
    SetHostname,
    SetProfile,
    WriteFile,
)

MARGIN_BYTES = 16 * 1024 * 1024
"""Beyond what is counted, where the attic lies: keys that are made there, the stamp, what others write meanwhile."""
ELSEWHERE_BYTES = 1024 * 1024
MARGIN_INODES = 64
BLOCK_BYTES = 4096

Glob = Callable[[str], tuple[str, ...]]


class Demand:
    """What a plan writes, by file system."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._attic = self._folder(ATTIC)
        self._needs: dict[int, tuple[str, int, int]] = {}

    def __bool__(self) -> bool:
        return bool(self._needs)

    def write(self, path: str, length: int = 0, inodes: int = 1) -> None:
        """Count something that is written at a path. Raises HostError where its file system is read-only."""
        folder = self._folder(os.path.dirname(path))
        if not os.access(folder, os.W_OK):
            raise HostError(
                f"{folder[len(self._root) :] or '/'}: read-only; nothing was touched. Make it writable "
                "(`mount -o remount,rw` on its mount point); `dmesg` tells if a fault of the disk made it so"
            )
        _, before_bytes, before_inodes = self._needs.get(os.stat(folder).st_dev, (folder, 0, 0))
        counted = before_bytes + length + inodes * BLOCK_BYTES
        self._needs[os.stat(folder).st_dev] = (folder, counted, before_inodes + inodes)

    def keep(self, path: str) -> None:
        """Count a copy of what lies at a path."""
        self.write(ATTIC, *size(self._root + path))

    def move(self, path: str) -> None:
        """Count what moves from a path to the attic; within a file system that costs nothing."""
        self.write(path, inodes=0)
        real = self._root + path
        apart = os.path.lexists(real) and os.lstat(real).st_dev != os.stat(self._attic).st_dev
        self.write(ATTIC, *(size(real) if apart else (0, 1)))

    def replace(self, path: str, length: int) -> None:
        """Count a new file at a path, and what it replaces."""
        self.write(path, length)
        self.keep(path)

    def require(self) -> None:
        """Raise HostError where a file system has not room for all of it."""
        for device, (folder, length, inodes) in self._needs.items():
            at_home = device == os.stat(self._attic).st_dev
            needed = length + (MARGIN_BYTES if at_home else ELSEWHERE_BYTES)
            free = os.statvfs(folder)
            path = (self._attic if at_home else folder)[len(self._root) :] or "/"
            if free.f_bavail * free.f_frsize < needed:
                what = f"{needed / 1024 / 1024:.0f} MiB are needed and {free.f_bavail * free.f_frsize // 1024} KiB free"
                raise HostError(f"{path}: {what}; nothing was touched. Make room on that file system (`df {path}`)")
            # A file system that makes inodes as it needs them counts none.
            if free.f_files and free.f_favail < inodes + MARGIN_INODES:
                what = f"{inodes + MARGIN_INODES} inodes are needed and {free.f_favail} free"
                raise HostError(f"{path}: {what}; nothing was touched. Remove files there (`df -i {path}`)")

    def _folder(self, path: str) -> str:
        """Return the folder that is there, of a path or above it."""
        real = self._root + path
        while not os.path.isdir(real):
            real = os.path.dirname(real)
        return real


def require(actions: Iterable[Action] | None, glob: Glob, root: str) -> None:
    """Raise HostError where these actions could not all be done for want of room or of a writable file system.

    None stands for a plan that is not made yet. Actions that write no file need no room.
    """
    demand = Demand(root)
    for action in actions or ():
        _count(action, demand, glob, root)
    if actions is None or demand:
        demand.write(ATTIC, 0)
        demand.write("/etc/hostname", 0)
        try:
            demand.require()
        except OSError as error:
            raise HostError(f"the file systems cannot be asked for room: {error}") from error


def _count(action: Action, demand: Demand, glob: Glob, root: str) -> None:
    match action:
        case WriteFile(path, content, _):
            demand.replace(path, len(content))
        case ReplaceText(path, _, new):
            demand.replace(path, size(root + path)[0] + len(new))
        case LinkFile(path, target):
            demand.replace(path, len(target))
        case SetAside(pattern):
            for path in glob(pattern):
                demand.move(path)
        case RenameFolder(path, new_path):
            demand.write(path)
            demand.write(new_path)
        case ReplaceFiles(pattern, _):
            for path in glob(pattern):
                demand.replace(path, size(root + path)[0])
        case KeepCopy(pattern):
            for path in glob(pattern):
                demand.keep(path)
        case BringBack(run, kept, path):
            source = f"{ATTIC}/{run}/{kept}"
            demand.write(path, *size(root + source))
            demand.keep(path)
        case SetHostname() | SetProfile():
            demand.write("/etc/hostname")
        case _:
            pass
