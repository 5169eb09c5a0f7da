"""Room: asked for before anything is touched; what is said names the file system and the way out."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import room
from nodeprep.host.attic import ATTIC
from nodeprep.host.files import Files
from nodeprep.steps import (
    Action,
    ApplyOpenings,
    BringBack,
    KeepCopy,
    LinkFile,
    RenameFolder,
    ReplaceFiles,
    ReplaceText,
    RunProgram,
    SetAside,
    SetHostname,
    WriteFile,
)

BLOCK = room.BLOCK_BYTES
BIG = 40 * BLOCK


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("etc", "var/lib/nodeprep/attic/old/files/etc", "srv/folder"):
        (tmp_path / folder).mkdir(parents=True)
    for path in ("etc/big", "srv/folder/big", "var/lib/nodeprep/attic/old/files/etc/big"):
        (tmp_path / path).write_bytes(b"x" * BIG)
    return tmp_path


@pytest.fixture
def machine(root: Path) -> Files:
    return Files("run-1", str(root))


class Disks:
    """What statvfs(3) says of every file system: so much is free, and of inodes so many, of so many in all."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
        self.free_bytes, self.free_inodes, self.inodes = 1 << 40, 1 << 20, 1 << 30
        self.apart: tuple[str, ...] = ()
        self._root, self._stat, self._lstat = str(root), os.stat, os.lstat
        monkeypatch.setattr(os, "statvfs", self._statvfs)

    def put_apart(self, monkeypatch: pytest.MonkeyPatch, *folders: str) -> None:
        """Put folders on file systems of their own."""
        self.apart = folders
        monkeypatch.setattr(os, "stat", lambda path, **named: self._told(path, self._stat(path, **named)))
        monkeypatch.setattr(os, "lstat", lambda path, **named: self._told(path, self._lstat(path, **named)))

    def _told(self, path: Any, status: os.stat_result) -> Any:
        names = {name: getattr(status, name) for name in dir(status) if name.startswith("st_")}
        for number, folder in enumerate(self.apart):
            if str(path).startswith(f"{self._root}{folder}"):
                names["st_dev"] = 1_000_000 + number
        return SimpleNamespace(**names)

    def _statvfs(self, path: str) -> Any:
        return SimpleNamespace(f_bavail=self.free_bytes, f_frsize=1, f_files=self.inodes, f_favail=self.free_inodes)


@pytest.fixture
def disks(monkeypatch: pytest.MonkeyPatch, root: Path) -> Disks:
    return Disks(monkeypatch, root)


def needed(machine: Files, disks: Disks, *actions: Action) -> int:
    """Return from how many free bytes on these actions are begun, less the margin."""
    low, high = 0, 1 << 32
    while low < high:
        disks.free_bytes = (low + high) // 2
        try:
            machine.require_room(actions)
            high = disks.free_bytes
        except HostError:
            low = disks.free_bytes + 1
    return low - room.MARGIN_BYTES


def test_a_plan_is_begun_where_there_is_room(machine: Files) -> None:
    machine.require_room([WriteFile("/etc/big", b"new", 0o644), SetAside("/srv/folder")])
    machine.require_room()


def test_a_disk_without_room_is_named_with_what_is_needed_and_the_way_out(machine: Files, disks: Disks) -> None:
    disks.free_bytes = 3 * 1024 * 1024
    with pytest.raises(HostError, match="nothing was touched") as caught:
        machine.require_room([WriteFile("/etc/big", b"new", 0o644)])
    for text in (f"{ATTIC}: ", "16 MiB are needed and 3072 KiB free", f"df {ATTIC}"):
        assert text in str(caught.value), text


def test_a_disk_without_inodes_is_told_from_one_without_room(machine: Files, disks: Disks) -> None:
    disks.free_inodes = room.MARGIN_INODES
    with pytest.raises(HostError, match=f"inodes are needed and {room.MARGIN_INODES} free.*df -i"):
        machine.require_room([WriteFile("/etc/big", b"new", 0o644)])


def test_a_file_system_that_counts_no_inodes_has_enough(machine: Files, disks: Disks) -> None:
    disks.free_inodes = disks.inodes = 0
    machine.require_room([WriteFile("/etc/big", b"new", 0o644)])


@pytest.mark.parametrize("action", [WriteFile("/etc/big", b"new", 0o644), None])
def test_a_read_only_file_system_is_named_before_anything_is_touched(
    machine: Files, root: Path, monkeypatch: pytest.MonkeyPatch, action: Action | None
) -> None:
    access = os.access
    monkeypatch.setattr(os, "access", lambda path, how: access(path, how) and str(path) != f"{root}/etc")
    with pytest.raises(HostError, match=r"^/etc: read-only; nothing was touched.*remount,rw"):
        machine.require_room(None if action is None else [action])


@pytest.mark.parametrize(
    "action",
    [RunProgram(("true",), 1.0), ApplyOpenings((), "open", "auto")],
    ids=["program", "openings"],
)
def test_what_writes_no_file_needs_no_room(machine: Files, disks: Disks, action: Action) -> None:
    disks.free_bytes = 0
    machine.require_room([action])


@pytest.mark.parametrize(
    ("action", "least"),
    [
        (WriteFile("/etc/big", b"x" * BIG, 0o644), 2 * BIG),
        (WriteFile("/etc/new", b"x" * BIG, 0o644), BIG),
        (ReplaceText("/etc/big", "x", "y"), 2 * BIG),
        (LinkFile("/etc/big", "target"), BIG),
        (ReplaceFiles("/etc/b*", "/staging"), 2 * BIG),
        (KeepCopy("/etc/b*"), BIG),
        (BringBack("old", "files/etc/big", "/etc/big"), 2 * BIG),
        (BringBack("old", "files/etc/big", "/etc/new"), BIG),
    ],
)
def test_what_is_written_and_what_it_replaces_are_counted(
    machine: Files, disks: Disks, action: Action, least: int
) -> None:
    assert least <= needed(machine, disks, action) <= least + 16 * BLOCK


def test_several_actions_add_up(machine: Files, disks: Disks) -> None:
    once = needed(machine, disks, KeepCopy("/etc/big"))
    assert needed(machine, disks, KeepCopy("/etc/big"), KeepCopy("/etc/big")) >= once + BIG


@pytest.mark.parametrize(
    "action", [SetAside("/srv/folder"), RenameFolder("/srv/folder", "/srv/other"), SetHostname("node")]
)
def test_what_is_moved_within_a_file_system_costs_next_to_nothing(machine: Files, disks: Disks, action: Action) -> None:
    assert needed(machine, disks, action) <= 16 * BLOCK


def test_what_is_moved_to_another_file_system_is_copied_there(
    machine: Files, disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks.put_apart(monkeypatch, "/srv")
    assert needed(machine, disks, SetAside("/srv/folder")) >= BIG


def test_away_from_the_attic_a_small_margin_is_enough(
    machine: Files, disks: Disks, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks.put_apart(monkeypatch, "/etc")
    disks.free_bytes = room.ELSEWHERE_BYTES
    with pytest.raises(HostError, match=r"^(/etc|/var/lib/nodeprep/attic): "):
        machine.require_room([WriteFile("/etc/new", b"new", 0o644)])
    rooms = {"/etc": room.ELSEWHERE_BYTES + 8 * BLOCK, "/var": 1 << 40}

    def statvfs(path: str) -> Any:
        free = next(free for folder, free in rooms.items() if folder in str(path))
        return SimpleNamespace(f_bavail=free, f_frsize=1, f_files=0, f_favail=0)

    monkeypatch.setattr(os, "statvfs", statvfs)
    machine.require_room([WriteFile("/etc/new", b"new", 0o644)])
    rooms["/etc"] = room.ELSEWHERE_BYTES - 1
    with pytest.raises(HostError, match=r"^/etc: .*df /etc"):
        machine.require_room([WriteFile("/etc/new", b"new", 0o644)])


def test_nothing_is_written_by_asking(machine: Files, root: Path) -> None:
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    machine.require_room([WriteFile("/etc/big", b"new", 0o644), SetAside("/srv/folder")])
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before
