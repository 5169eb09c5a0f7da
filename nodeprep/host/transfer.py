"""Transfer: files, links and folders moved or copied whole, with mode, owner and times, synced before they count."""

from __future__ import annotations

import errno
import os
import shutil
import stat

PART = ".nodeprep-"
"""Begins the name of what is not whole yet."""


def temporary(path: str) -> str:
    """Return the one name beside path that a run which was cut off may leave, and that the next run takes over."""
    return os.path.join(os.path.dirname(path), f"{PART}{os.path.basename(path)}")


def remove_parts(folder: str) -> None:
    """Remove from a folder, and from all below it, what a run that was cut off left half copied. Raises OSError."""
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            if name.startswith(PART):
                remove(f"{place}/{name}")


def copy(source: str, target: str) -> None:
    """Copy what lies there to where nothing lies yet. Raises OSError, and may then leave a part."""
    status = os.lstat(source)
    if stat.S_ISDIR(status.st_mode):
        os.mkdir(target, 0o700)
        for name in sorted(os.listdir(source)):
            copy(f"{source}/{name}", f"{target}/{name}")
        os.chown(target, status.st_uid, status.st_gid)
        try:
            shutil.copystat(source, target)
        except PermissionError:
            # nodeprep.service may not set the set-group-ID bit (RestrictSUIDSGID=), which the journal's folders have.
            os.chmod(target, stat.S_IMODE(status.st_mode) & ~(stat.S_ISUID | stat.S_ISGID))
        sync(target)
    elif stat.S_ISLNK(status.st_mode):
        shutil.copy2(source, target, follow_symlinks=False)
        os.lchown(target, status.st_uid, status.st_gid)
    elif stat.S_ISREG(status.st_mode):
        # Nobody may read a secret between its being written and its getting its mode.
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        shutil.copy2(source, target, follow_symlinks=False)
        os.chown(target, status.st_uid, status.st_gid)
        os.chmod(target, stat.S_IMODE(status.st_mode))  # chown(2) clears the set-user-ID bit
        sync(target)
    elif not (stat.S_ISSOCK(status.st_mode) or stat.S_ISFIFO(status.st_mode)):  # nothing lies in those
        raise OSError(errno.ENOTSUP, f"{source} is a device and cannot be copied")


def move(source: str, target: str) -> None:
    """Rename, or copy whole and then remove where the file system cannot (another mount, overlayfs).

    A file that lies at the target is replaced. Raises OSError, and the source is then still there.
    """
    remove(temporary(target))  # of a run that was cut off, and had another mount between the two
    try:
        os.rename(source, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        put_copy(source, target)
        remove(source)


def put_copy(source: str, target: str) -> None:
    """Copy to a place where nothing, or a file, lies, all at once. Raises OSError and then leaves no part."""
    part = temporary(target)
    remove(part)
    try:
        copy(source, part)
        os.rename(part, target)
    except OSError:
        remove(part)
        raise
    sync(os.path.dirname(target))


def remove(path: str) -> None:
    """Remove what lies there, if anything does. Raises OSError."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        unlink(path)


def unlink(path: str) -> None:
    """Remove a file or a link, if it is there. Raises OSError."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass


def sync(path: str) -> None:
    """Wait until a file's content, or a folder's names, are on the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
