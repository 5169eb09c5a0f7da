"""The attic: what a run replaces or sets aside is kept here, with a note of it, until it is brought back or pruned.

A run has a folder of its own, with what is kept below `files`, each thing under its own path, and a manifest: one JSON
object a line. A copy is noted after it is whole and before the original is replaced; what is moved is noted before. So
a run that is cut off anywhere has a note of all that is gone from its place, and what a note names is whole.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from collections.abc import Iterator, Set
from dataclasses import asdict, dataclass, fields

from nodeprep.host import transfer

ATTIC = "/var/lib/nodeprep/attic"
MANIFEST = "manifest.jsonl"
NAME_FILE = "/run/nodeprep/run"
"""How the early run of this boot is named, if it renewed anything: what the daemon does is part of it."""
GONE = ".gone-"
"""Begins the name of a run that is being removed."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a manifest."""

    what: str
    """begun; replaced, set aside, made (where nothing lay), renamed, changed (through a manager), brought back
    (to where nothing lay); or returned (to its place, by a later run)."""
    subjects: tuple[str, ...] = ()
    path: str = ""
    kept: str = ""
    """Where it lies below the run's folder."""
    mode: int = 0
    owner: tuple[int, ...] = ()
    field: str = ""
    """What a manager changed: hostname, mac, ipv4_addresses or ipv6_addresses."""
    old: str = ""
    new: str = ""
    """Of "renamed" the new path; of "begun" why, with `old` for when."""
    profile: str = ""
    link: str = ""


class Attic:
    """The part of the attic that one run fills."""

    def __init__(self, run: str, root: str = "") -> None:
        self.run = run
        self._root = root
        self._folder = f"{root}{ATTIC}/{run}"
        self._reason = ""
        self._subjects: tuple[str, ...] = ()
        self._moved: set[str] | None = None

    def about(self, subjects: tuple[str, ...]) -> None:
        """Say what the calls that follow are about."""
        self._subjects = subjects

    def because(self, reason: str) -> None:
        """Say why this run changes anything."""
        self._reason = reason

    def keep(self, path: str) -> None:
        """Copy what lies at a path, or note that nothing does. Raises OSError."""
        real = self._root + path
        if not os.path.lexists(real):
            self.note("made", path)
            return
        kept = self._place(path)
        transfer.put_copy(real, f"{self._folder}/{kept}")
        self._note_kept("replaced", path, kept, os.lstat(real))

    def set_aside(self, path: str) -> None:
        """Move what lies at a path here. Raises OSError."""
        real = self._root + path
        kept = self._place(path)
        self._note_kept("set aside", path, kept, os.lstat(real))
        self._moved_here().add(kept)
        transfer.move(real, f"{self._folder}/{kept}")

    def bring_back(self, run: str, kept: str, path: str) -> None:
        """Put what a run keeps back in its place; what lies there now is kept in this run. Raises OSError.

        What was copied is copied, so that the run stays whole; what was set aside, which may be large, is moved.
        """
        folder, real = f"{self._root}{ATTIC}/{run}", self._root + path
        source = f"{folder}/{kept}"
        os.makedirs(os.path.dirname(real), mode=0o755, exist_ok=True)
        is_folder = any(os.path.isdir(one) and not os.path.islink(one) for one in (source, real))
        if not os.path.lexists(real):
            self.note("brought back", path)
        elif is_folder:
            self.set_aside(path)
        else:
            self.keep(path)
        aside = [e for e in manifest(run, self._root) if e.kept == kept and e.what == "set aside"]
        if not aside:
            transfer.put_copy(source, real)
            return
        _append(folder, Entry("returned", self._subjects, path, kept))
        transfer.move(source, real)
        if os.path.isdir(real) and not os.path.islink(real):
            os.chmod(real, aside[0].mode)  # a copy of a folder may lack its set-group-ID bit

    def note(
        self,
        what: str,
        path: str = "",
        *,
        field: str = "",
        old: str = "",
        new: str = "",
        profile: str = "",
        link: str = "",
    ) -> None:
        """Add a line to the manifest of this run. Raises OSError."""
        self._append(Entry(what, self._subjects, path, field=field, old=old, new=new, profile=profile, link=link))

    def _note_kept(self, what: str, path: str, kept: str, status: os.stat_result) -> None:
        mode, owner = stat.S_IMODE(status.st_mode), (status.st_uid, status.st_gid)
        self._append(Entry(what, self._subjects, path, kept, mode, owner))

    def _append(self, entry: Entry) -> None:
        make_folder(self._folder)
        if not os.path.exists(f"{self._folder}/{MANIFEST}"):
            _append(
                self._folder, Entry("begun", old=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), new=self._reason)
            )
        _append(self._folder, entry)

    def _place(self, path: str) -> str:
        """Return where the next thing of a path is kept, with the folders above it made.

        Nothing is put into a folder that was itself set aside: it would come back with it.
        """
        number = 1
        while True:
            base = "files" if number == 1 else f"files-{number}"
            above = (path[:end] for end, letter in enumerate(path) if letter == "/" and end)
            kept = f"{base}{path}"
            taken = os.path.lexists(f"{self._folder}/{kept}")
            if not taken and not any(f"{base}{folder}" in self._moved_here() for folder in above):
                make_folder(os.path.dirname(f"{self._folder}/{kept}"))
                return kept
            number += 1

    def _moved_here(self) -> set[str]:
        if self._moved is None:
            self._moved = {entry.kept for entry in manifest(self.run, self._root) if entry.what == "set aside"}
        return self._moved


def make_folder(path: str) -> None:
    """Make a folder of the attic, and those above it that are not there, for root alone. Raises OSError."""
    if not os.path.isdir(path):
        make_folder(os.path.dirname(path))
        os.mkdir(path, 0o700)


def _append(folder: str, entry: Entry) -> None:
    """Add a line to a manifest, on the disk when this returns."""
    line = json.dumps({name: value for name, value in asdict(entry).items() if value}) + "\n"
    path = f"{folder}/{MANIFEST}"
    torn = False
    if os.path.exists(path):
        with open(path, "rb") as file:
            torn = bool(os.path.getsize(path)) and file.seek(-1, os.SEEK_END) >= 0 and file.read(1) != b"\n"
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"\n{line}" if torn else line)
        file.flush()
        os.fsync(file.fileno())


def name_now(suffix: str = "") -> str:
    """Return a name for a run that begins now."""
    return time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()) + suffix


def name_of_this_boot() -> str:
    """Return the name of the run that the early run began in this boot, or one for a run that begins now."""
    try:
        with open(NAME_FILE, encoding="ascii") as file:
            return file.read().strip() or name_now()
    except (OSError, UnicodeDecodeError):
        return name_now()


# Looking into it


def runs(root: str = "") -> tuple[str, ...]:
    """Return the runs of the attic, oldest first. Raises OSError."""
    folder = f"{root}{ATTIC}"
    if not os.path.isdir(folder):
        return ()
    return tuple(sorted(name for name in os.listdir(folder) if not name.startswith(".")))


def manifest(run: str, root: str = "") -> tuple[Entry, ...]:
    """Return what a run noted, in its order; a line that a power cut tore is left out. Raises OSError."""
    try:
        with open(f"{root}{ATTIC}/{run}/{MANIFEST}", encoding="utf-8", errors="replace") as file:
            return tuple(_entries(file))
    except FileNotFoundError:
        return ()


def _entries(lines: Iterator[str]) -> Iterator[Entry]:
    known = {field.name for field in fields(Entry)}
    for line in lines:
        try:
            told = {name: value for name, value in json.loads(line).items() if name in known}
            for name in ("subjects", "owner"):
                told[name] = tuple(told.get(name, ()))
            yield Entry(**told)
        except (ValueError, TypeError, AttributeError):
            continue


def is_kept(run: str, entry: Entry, root: str = "") -> bool:
    """Whether what an entry notes lies in the attic now."""
    return bool(entry.kept) and os.path.lexists(f"{root}{ATTIC}/{run}/{entry.kept}")


def size(path: str) -> tuple[int, int]:
    """Return how many bytes lie at a path of the file system, folders with all below them, and how many inodes."""
    if not os.path.lexists(path):
        return 0, 0
    total, inodes = os.lstat(path).st_size, 1
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            total += os.lstat(f"{folder}/{name}").st_size
            inodes += 1
    return total, inodes


def prune(keep: int, spared: Set[str], newest: str, root: str = "") -> tuple[str, ...]:
    """Remove the oldest runs, so that `keep` are left with the newest, and halves of copies; return which runs.

    Never the newest, whatever the clock says. One that still holds what was set aside of a spared subject is neither
    removed nor counted.
    """
    folder = f"{root}{ATTIC}"
    if not os.path.isdir(folder):
        return ()
    old = [run for run in runs(root) if run != newest and not _holds(run, spared, root)]
    removed = old[: max(0, len(old) + 1 - keep)]
    for run in removed:
        os.rename(f"{folder}/{run}", f"{folder}/{GONE}{run}")
    for name in os.listdir(folder):
        if name.startswith(GONE):
            shutil.rmtree(f"{folder}/{name}", ignore_errors=True)
    transfer.remove_parts(folder)
    return tuple(removed)


def _holds(run: str, spared: Set[str], root: str) -> bool:
    return any(
        entry.what == "set aside" and not spared.isdisjoint(entry.subjects) and is_kept(run, entry, root)
        for entry in manifest(run, root)
    )
