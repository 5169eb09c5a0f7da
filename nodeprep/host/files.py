"""The machine's files: read as they are, written atomically, and whatever is replaced kept in the attic.

Every path is absolute and taken below `root`, so that the same code serves a mounted image.
"""

from __future__ import annotations

import glob
import os
import shutil
import stat
from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager

from nodeprep.errors import HostError
from nodeprep.host import attic, room
from nodeprep.host.attic import Attic
from nodeprep.host.transfer import move, remove, sync, temporary, unlink
from nodeprep.steps import Action

STATE = "/var/lib/nodeprep"
STAGING = f"{STATE}/staging"


@contextmanager
def named(path: str) -> Iterator[None]:
    """Say as HostError, with the path, what the file system refused."""
    try:
        yield
    except OSError as error:
        raise HostError(f"{path}: {error.strerror or error}") from error


class Files:
    """Files below a root folder, and the attic of one run."""

    def __init__(self, run: str, root: str = "") -> None:
        self.run = run
        self.attic = Attic(run, root)
        self._root = root
        self._asked: set[str] = set()

    def real(self, path: str) -> str:
        """Return where an absolute path of the machine lies for us."""
        return self._root + path

    # Looking

    @property
    def asked(self) -> frozenset[str]:
        """The paths and patterns that were looked at: what is there to be seen can be another only if they are."""
        return frozenset(self._asked)

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's content, or None where there is none. Raises HostError."""
        self._asked.add(path)
        with named(path):
            try:
                with open(self.real(path), "rb") as file:
                    return file.read()
            except (FileNotFoundError, NotADirectoryError):
                return None

    def read_text(self, path: str) -> str | None:
        """Return a file's text as UTF-8, or None where there is none. Raises HostError."""
        content = self.read_bytes(path)
        return None if content is None else content.decode("utf-8", errors="replace")

    def exists(self, path: str) -> bool:
        """Whether something lies there, a dangling link included."""
        self._asked.add(path)
        return os.path.lexists(self.real(path))

    def is_symlink(self, path: str) -> bool:
        """Whether a symbolic link lies there."""
        self._asked.add(path)
        return os.path.islink(self.real(path))

    def modified(self, path: str) -> int:
        """Return when a file was written last, in nanoseconds, 0 where there is none. Raises HostError."""
        self._asked.add(path)
        with named(path):
            try:
                return os.stat(self.real(path)).st_mtime_ns
            except (FileNotFoundError, NotADirectoryError):
                return 0

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match, sorted."""
        self._asked.add(pattern)
        return tuple(sorted(path[len(self._root) :] for path in glob.glob(glob.escape(self._root) + pattern)))

    # Touching

    def about(self, subjects: tuple[str, ...]) -> None:
        """Say what the calls that follow are about, for the attic's manifest."""
        self.attic.about(subjects)

    def keep_copy(self, pattern: str) -> None:
        """Copy every file that matches into the attic. Raises HostError."""
        for path in self.glob(pattern):
            self._keep(path)

    def remove(self, pattern: str) -> None:
        """Delete what matches, folders with all that is in them. Raises HostError."""
        for path in self.glob(pattern):
            with named(path):
                remove(self.real(path))
                sync(os.path.dirname(self.real(path)))

    def write_file(self, path: str, content: bytes, mode: int) -> None:
        """Put content at path atomically and durably; what was there goes to the attic. Raises HostError."""
        self._keep(path)
        with named(path):
            status = os.stat(self.real(path)) if os.path.exists(self.real(path)) else None
        self.write_own(path, content, mode, (status.st_uid, status.st_gid) if status else None)

    def replace_text(self, path: str, old: str, new: str) -> None:
        """Replace the first occurrence of a piece of text. Raises HostError where it is not there."""
        text = self.read_text(path)
        if text is None or old not in text:
            raise HostError(f"{path}: what was to be replaced is not there any more")
        with named(path):
            status = os.stat(self.real(path))
        self._keep(path)
        content = text.replace(old, new, 1).encode()
        self.write_own(path, content, stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid))

    def link_file(self, path: str, target: str) -> None:
        """Make path a symbolic link, atomically. Raises HostError."""
        if self.is_symlink(path) and os.readlink(self.real(path)) == target:
            return
        self._keep(path)
        with named(path):
            part = temporary(self.real(path))
            unlink(part)
            os.symlink(target, part)
            os.rename(part, self.real(path))
            sync(os.path.dirname(self.real(path)))

    def set_aside(self, pattern: str) -> None:
        """Move everything that matches into the attic. Raises HostError."""
        for path in self.glob(pattern):
            with named(path):
                self.attic.set_aside(path)

    def rename_folder(self, path: str, new_path: str) -> None:
        """Rename a folder, or set it aside where the new name is taken. Raises HostError."""
        if self.exists(new_path):
            self.set_aside(glob.escape(path))
            return
        with named(path):
            self.attic.note("renamed", path, new=new_path)
            move(self.real(path), self.real(new_path))

    def bring_back(self, run: str, kept: str, path: str) -> None:
        """Put what a run keeps in the attic back in its place; what lies there now is kept. Raises HostError."""
        with named(path):
            self.attic.bring_back(run, kept, path)

    def replace_files(self, pattern: str, staging: str) -> None:
        """Put a staging folder's files where the pattern matches; public halves last, since they are what is observed.

        Old files without a successor go to the attic before the public halves are in place. Raises HostError.
        """
        folder = os.path.dirname(pattern)
        with named(folder):
            fresh = sorted(os.listdir(self.real(staging)), key=lambda name: (name.endswith(".pub"), name))
            if not fresh:
                raise HostError(f"{staging}: nothing was made to replace {pattern}")
            stale = [path for path in self.glob(pattern) if os.path.basename(path) not in fresh]
            for name in fresh:
                self._keep(f"{folder}/{name}")
                if os.path.isfile(before := self.real(f"{folder}/{name}")):
                    # Who could read the old one can read the new one.
                    status = os.stat(before)
                    os.chown(self.real(f"{staging}/{name}"), status.st_uid, status.st_gid)
                    os.chmod(self.real(f"{staging}/{name}"), stat.S_IMODE(status.st_mode))
                sync(self.real(f"{staging}/{name}"))
            for name in fresh:
                if name.endswith(".pub"):
                    while stale:
                        self.set_aside(glob.escape(stale.pop(0)))
                move(self.real(f"{staging}/{name}"), self.real(f"{folder}/{name}"))
            sync(self.real(folder))
        for path in stale:
            self.set_aside(glob.escape(path))

    # Our own state: no attic, since nothing of the operator's is replaced

    def write_own(self, path: str, content: bytes, mode: int, owner: tuple[int, int] | None = None) -> None:
        """Put content at path atomically and durably. Raises HostError."""
        with named(path):
            real = self.real(path)
            folder = os.path.dirname(real)
            if path.startswith(f"{STATE}/"):
                os.makedirs(self.real(STATE), mode=0o700, exist_ok=True)  # not everybody's, whoever comes first
            if not os.path.isdir(folder):
                os.makedirs(folder, mode=0o755)
            part = temporary(real)
            try:
                unlink(part)
                descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    if owner:
                        os.fchown(file.fileno(), *owner)
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
                os.rename(part, real)
            except OSError:
                unlink(part)
                raise
            sync(folder)

    def remove_own(self, path: str) -> None:
        """Remove one of our own files, if it is there. Raises HostError."""
        with named(path):
            unlink(self.real(path))
            if os.path.isdir(os.path.dirname(self.real(path))):
                sync(os.path.dirname(self.real(path)))

    def make_staging(self) -> str:
        """Return an empty folder of our own, with the folders in it that programs expect. Raises HostError."""
        with named(STAGING):
            shutil.rmtree(self.real(STAGING), ignore_errors=True)
            for folder in ("etc/ssh", "etc/ssl/certs", "etc/ssl/private"):
                os.makedirs(self.real(f"{STAGING}/{folder}"), mode=0o700)
            os.chmod(self.real(STAGING), 0o700)
        return STAGING

    def remove_staging(self) -> None:
        """Remove the staging folder and what is left in it."""
        shutil.rmtree(self.real(STAGING), ignore_errors=True)

    # The attic, and room for it

    def require_room(self, actions: Iterable[Action] | None = None) -> None:
        """Raise HostError where these actions could not all be done for want of room; see room.require."""
        with named(STATE):
            os.makedirs(self.real(STATE), mode=0o700, exist_ok=True)
        room.require(actions, self.glob, self._root)

    def prune_attic(self, keep: int, spared: Set[str]) -> tuple[str, ...]:
        """Remove the oldest runs of the attic beyond a number; see attic.prune. Raises HostError."""
        with named(attic.ATTIC):
            return attic.prune(keep, spared, self.run, self._root)

    def _keep(self, path: str) -> None:
        """Copy what lies at path into the attic, if anything does."""
        with named(path):
            self.attic.keep(path)
