"""Inotify: news that a file which was looked at may be another (inotify(7)), by the C library, since Python has none.

The folders are watched, not the files: most are replaced by a rename, and some are not there yet. What a network file
system's other hosts change is never told of, nor what the kernel makes up in /proc and /sys.
"""

from __future__ import annotations

import ctypes
import errno
import fnmatch
import glob
import os
import struct
from collections.abc import Iterable

from nodeprep.errors import HostError

IN_CLOSE_WRITE, IN_MOVED_FROM, IN_MOVED_TO, IN_CREATE, IN_DELETE = 0x8, 0x40, 0x80, 0x100, 0x200
IN_DELETE_SELF, IN_MOVE_SELF, IN_ONLYDIR = 0x400, 0x800, 0x1000000
CHANGES = IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
GONE = IN_DELETE_SELF | IN_MOVE_SELF | 0x2000 | 0x4000 | 0x8000  # and IN_UNMOUNT, IN_Q_OVERFLOW, IN_IGNORED
UNTOLD = ("/proc/", "/sys/", "/dev/")
HEADER = struct.Struct("iIII")
PASSED_OVER = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)
"""A folder that went just now, which its own folder tells, or that nothing can have been read in."""


class Inotify:
    """One inotify instance; its descriptor becomes readable when something happens in one of the folders."""

    def __init__(self) -> None:
        """Begin, with nothing to watch. Raises HostError."""
        self._library = ctypes.CDLL(None, use_errno=True)
        self._descriptor: int = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._descriptor < 0:
            raise HostError(f"inotify: {os.strerror(ctypes.get_errno())}")
        self._watches: dict[str, int] = {}
        self._names: dict[int, frozenset[str]] = {}

    def fileno(self) -> int:
        """Return the file descriptor to wait on."""
        return self._descriptor

    def close(self) -> None:
        """Stop to watch."""
        os.close(self._descriptor)

    def follow(self, paths: Iterable[str]) -> None:
        """Watch these from now on, paths or patterns of glob(7), and no others. Raises HostError."""
        wanted = places(paths)
        for folder in self._watches.keys() - wanted.keys():
            watch = self._watches.pop(folder)
            if watch not in self._watches.values():  # two names of one folder are one watch
                self._names.pop(watch, None)
                self._library.inotify_rm_watch(self._descriptor, watch)
        names: dict[int, frozenset[str]] = {}
        for folder, found in wanted.items():
            mask = CHANGES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
            watch = self._library.inotify_add_watch(self._descriptor, os.fsencode(folder), mask)
            if watch < 0:
                if ctypes.get_errno() in PASSED_OVER:
                    continue
                raise HostError(f"inotify: {folder}: {os.strerror(ctypes.get_errno())}")
            self._watches[folder] = watch
            names[watch] = names.get(watch, frozenset()) | found
        self._names = names

    def read(self) -> bool:
        """Return, without waiting, whether anything that is followed may have changed since the last call."""
        has_changed = False
        while True:
            try:
                data = os.read(self._descriptor, 1 << 16)
            except BlockingIOError:
                return has_changed
            while data:
                watch, mask, _, length = HEADER.unpack_from(data)
                name = os.fsdecode(data[HEADER.size : HEADER.size + length].rstrip(b"\0"))
                data = data[HEADER.size + length :]
                has_changed |= watch == -1 or self._is_followed(watch, mask, name)

    def _is_followed(self, watch: int, mask: int, name: str) -> bool:
        names = self._names.get(watch, frozenset())
        return bool(names and mask & GONE) or any(name == each or fnmatch.fnmatchcase(name, each) for each in names)


def places(paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """Return folder → names in it, or patterns, whose coming, going or change can make one of these another."""
    found: dict[str, set[str]] = {}
    for path in paths:
        if not path.startswith(UNTOLD):
            _place(found, "/", path.strip("/").split("/"))
            if os.path.islink(path):
                _place(found, "/", os.path.realpath(path).strip("/").split("/"))
    return {folder: frozenset(names) for folder, names in found.items()}


def _place(found: dict[str, set[str]], folder: str, rest: list[str]) -> None:
    """Go down as far as there are folders; a name that is the last one, or not there yet, is what is waited for."""
    name, *more = rest
    is_pattern = glob.has_magic(name)
    there = glob.glob(os.path.join(glob.escape(folder), name)) if is_pattern else [os.path.join(folder, name)]
    folders = [path for path in there if os.path.isdir(path)] if more else []
    if is_pattern or not folders:
        found.setdefault(folder, set()).add(name)
    for each in folders:
        _place(found, each, more)
