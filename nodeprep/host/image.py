"""An image: the files of a machine that is sealed, mounted under a folder or running beneath us."""

from __future__ import annotations

import importlib.machinery
import os
import sys

from nodeprep.errors import HostError
from nodeprep.host.local import LocalMachine

PARTS = ("etc", "usr", "var")
"""What a root file system has at least (file-hierarchy(7))."""


class Image(LocalMachine):
    """A machine that is sealed: what is replaced is not kept, since the attic would carry it to every clone.

    Of an image that does not run no program is started: it would be the image's own.
    """

    def __init__(self, root: str = "", *, runs: bool = False) -> None:
        super().__init__("seal", root)
        self._runs = runs

    def set_aside(self, pattern: str) -> None:
        """Delete what matches. Raises HostError."""
        self.remove(pattern)

    def run_program(self, argv: tuple[str, ...], timeout_s: float) -> None:
        """Run a program of the running system. Raises HostError."""
        if not self._runs:
            raise HostError(f"{argv[0]} is not run in an image")
        super().run_program(argv, timeout_s)

    def _keep(self, path: str) -> None:
        """Keep nothing."""


def refusal(folder: str) -> str:
    """Return why a folder cannot be taken for an image, or ""."""
    if not os.path.isdir(folder):
        return f"{folder} is not a folder"
    if os.path.samefile(folder, "/"):
        return f"{folder} is the running system: leave --root out"
    missing = [part for part in PARTS if not os.path.isdir(f"{folder}/{part}") or os.path.islink(f"{folder}/{part}")]
    if missing:
        return f"{folder} is not the root of a Linux system: it has no {', '.join(missing)}"
    return ""


def enter(folder: str) -> None:
    """Make the image the root of this process, for good (chroot(2)). Raises HostError.

    Every link of the image, absolute or climbing, then ends inside it, and none of its files is the host's. No module
    is imported any more afterwards, because it would be the image's.
    """
    sys.meta_path[:] = [finder for finder in sys.meta_path if finder is not importlib.machinery.PathFinder]
    try:
        os.chroot(folder)
        os.chdir("/")
    except OSError as error:
        raise HostError(f"{folder}: {error.strerror}") from error


def runs() -> bool:
    """Whether the root of this process is that of a system that systemd runs (sd_booted(3)), and not a chroot in it."""
    try:
        return os.path.isdir("/run/systemd/system") and os.path.samestat(os.stat("/"), os.stat("/proc/1/root"))
    except OSError:
        return False
