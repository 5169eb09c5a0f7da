"""The machine's files: read as they are, written atomically, and whatever is replaced kept in the attic.

Every path is absolute and taken below `root`, so that the same code serves a mounted image.
"""

from __future__ import annotations

import glob
import json
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager

from nodeprep.errors import HostError

STATE = "/var/lib/nodeprep"
ATTIC = f"{STATE}/attic"
STAGING = f"{STATE}/staging"
MINIMUM_FREE_BYTES = 16 * 1024 * 1024


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Say as HostError, with the path, what the file system refused."""
    try:
        yield
    except OSError as error:
        raise HostError(f"{path}: {error.strerror or error}") from error


class Files:
    """Files below a root folder, and the attic of one run."""

    def __init__(self, run: str, root: str = "") -> None:
        self.run = run
        self._root = root
        self._attic = f"{ATTIC}/{run}"

    def real(self, path: str) -> str:
        """Return where an absolute path of the machine lies for us."""
        return self._root + path

    # Looking

    def read_bytes(self, path: str) -> bytes | None:
        """Return a file's content, or None where there is none. Raises HostError."""
        with _named(path):
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
        return os.path.lexists(self.real(path))

    def is_symlink(self, path: str) -> bool:
        """Whether a symbolic link lies there."""
        return os.path.islink(self.real(path))

    def glob(self, pattern: str) -> tuple[str, ...]:
        """Return the paths that match, sorted."""
        return tuple(sorted(path[len(self._root) :] for path in glob.glob(glob.escape(self._root) + pattern)))

    # Touching

    def write_file(self, path: str, content: bytes, mode: int) -> None:
        """Put content at path atomically and durably; what was there goes to the attic. Raises HostError."""
        self._keep(path)
        self.write_own(path, content, mode)

    def replace_text(self, path: str, old: str, new: str) -> None:
        """Replace the first occurrence of a piece of text. Raises HostError where it is not there."""
        text = self.read_text(path)
        if text is None or old not in text:
            raise HostError(f"{path}: what was to be replaced is not there any more")
        with _named(path):
            mode = stat.S_IMODE(os.stat(self.real(path)).st_mode)
        self.write_file(path, text.replace(old, new, 1).encode(), mode)

    def link_file(self, path: str, target: str) -> None:
        """Make path a symbolic link, atomically. Raises HostError."""
        if self.is_symlink(path) and os.readlink(self.real(path)) == target:
            return
        self._keep(path)
        with _named(path):
            temporary = _temporary(self.real(path))
            _unlink(temporary)
            os.symlink(target, temporary)
            os.rename(temporary, self.real(path))
            _sync_folder(os.path.dirname(self.real(path)))

    def set_aside(self, pattern: str) -> None:
        """Move everything that matches into the attic. Raises HostError."""
        for path in self.glob(pattern):
            with _named(path):
                kept = self._attic_path(path)
                _move(self.real(path), kept)
                self._note(path, "set aside")

    def rename_folder(self, path: str, new_path: str) -> None:
        """Rename a folder, or set it aside where the new name is taken. Raises HostError."""
        if self.exists(new_path):
            self.set_aside(glob.escape(path))
            return
        with _named(path):
            _move(self.real(path), self.real(new_path))

    def replace_files(self, pattern: str, staging: str) -> None:
        """Put a staging folder's files where the pattern matches; public halves last, since they are what is observed.

        Old files without a successor go to the attic before the public halves are in place. Raises HostError.
        """
        folder = os.path.dirname(pattern)
        with _named(folder):
            fresh = sorted(os.listdir(self.real(staging)), key=lambda name: (name.endswith(".pub"), name))
            if not fresh:
                raise HostError(f"{staging}: nothing was made to replace {pattern}")
            stale = [path for path in self.glob(pattern) if os.path.basename(path) not in fresh]
            for name in fresh:
                self._keep(f"{folder}/{name}")
                _sync_file(self.real(f"{staging}/{name}"))
            for name in fresh:
                if name.endswith(".pub"):
                    while stale:
                        self.set_aside(glob.escape(stale.pop(0)))
                temporary = _temporary(self.real(f"{folder}/{name}"))
                _move(self.real(f"{staging}/{name}"), temporary)
                os.rename(temporary, self.real(f"{folder}/{name}"))
            _sync_folder(self.real(folder))
        for path in stale:
            self.set_aside(glob.escape(path))

    # Our own state: no attic, since nothing of the operator's is replaced

    def write_own(self, path: str, content: bytes, mode: int) -> None:
        """Put content at path atomically and durably. Raises HostError."""
        with _named(path):
            real = self.real(path)
            folder = os.path.dirname(real)
            if not os.path.isdir(folder):
                os.makedirs(folder, mode=0o755)
            temporary = _temporary(real)
            try:
                _unlink(temporary)
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "wb") as file:
                    file.write(content)
                    file.flush()
                    os.fchmod(file.fileno(), mode)
                    os.fsync(file.fileno())
                os.rename(temporary, real)
            except OSError:
                _unlink(temporary)
                raise
            _sync_folder(folder)

    def remove_own(self, path: str) -> None:
        """Remove one of our own files, if it is there. Raises HostError."""
        with _named(path):
            _unlink(self.real(path))
            if os.path.isdir(os.path.dirname(self.real(path))):
                _sync_folder(os.path.dirname(self.real(path)))

    def make_staging(self) -> str:
        """Return an empty folder of our own, with etc/ssh in it for ssh-keygen -A. Raises HostError."""
        with _named(STAGING):
            shutil.rmtree(self.real(STAGING), ignore_errors=True)
            os.makedirs(self.real(f"{STAGING}/etc/ssh"), mode=0o700)
            os.chmod(self.real(STAGING), 0o700)
        return STAGING

    def remove_staging(self) -> None:
        """Remove the staging folder and what is left in it."""
        shutil.rmtree(self.real(STAGING), ignore_errors=True)

    def require_space(self) -> None:
        """Raise HostError where a renewal could fill the disk, before anything is touched."""
        with _named(STATE):
            os.makedirs(self.real(STATE), mode=0o700, exist_ok=True)
            free = os.statvfs(self.real(STATE))
        if free.f_bavail * free.f_frsize < MINIMUM_FREE_BYTES:
            raise HostError(f"{STATE}: less than {MINIMUM_FREE_BYTES // 1024 // 1024} MiB free; nothing was renewed")

    def _attic_path(self, path: str) -> str:
        kept = self.real(f"{self._attic}/files{path}")
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        for folder in (ATTIC, self._attic):
            os.chmod(self.real(folder), 0o700)
        return kept if not os.path.lexists(kept) else f"{kept}.{secrets.token_hex(4)}"

    def _keep(self, path: str) -> None:
        """Copy what lies at path into the attic, if anything does."""
        with _named(path):
            if self.exists(path):
                kept = self._attic_path(path)
                shutil.copy2(self.real(path), kept, follow_symlinks=False)
                if not os.path.islink(kept):
                    _sync_file(kept)
                _sync_folder(os.path.dirname(kept))
                self._note(path, "replaced")

    def _note(self, path: str, what: str) -> None:
        """Add a line to the manifest of this run."""
        with open(self.real(f"{self._attic}/manifest.jsonl"), "a", encoding="utf-8") as manifest:
            manifest.write(json.dumps({"path": path, "what": what}) + "\n")


def _temporary(path: str) -> str:
    """Return the one name beside path that a run which was cut off may leave, and that the next run takes over."""
    return os.path.join(os.path.dirname(path), f".nodeprep-{os.path.basename(path)}")


def _move(source: str, target: str) -> None:
    """Rename, or copy whole and then remove where the file system cannot (overlayfs, another mount)."""
    try:
        os.rename(source, target)
    except OSError:
        if os.path.isdir(source) and not os.path.islink(source):
            partial = _temporary(target)
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(source, partial, symlinks=True)
            for folder, _, names in os.walk(partial):
                for name in names:
                    if not os.path.islink(f"{folder}/{name}"):
                        _sync_file(f"{folder}/{name}")
                _sync_folder(folder)
            os.rename(partial, target)
            _sync_folder(os.path.dirname(target))
            shutil.rmtree(source)
        else:
            shutil.copy2(source, target, follow_symlinks=False)
            if not os.path.islink(target):
                _sync_file(target)
            _sync_folder(os.path.dirname(target))
            os.unlink(source)


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def _sync_file(path: str) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(path: str) -> None:
    _sync_file(path)
