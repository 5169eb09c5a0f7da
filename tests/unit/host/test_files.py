"""Files: written whole or not at all, and whatever is replaced is kept."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeprep.errors import HostError
from nodeprep.host import room
from nodeprep.host.attic import ATTIC
from nodeprep.host.files import STAGING, Files

KEYS = "/etc/ssh/ssh_host_*key*"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "etc").mkdir()
    return tmp_path


@pytest.fixture
def machine(root: Path) -> Files:
    return Files("run-1", str(root))


def put(root: Path, path: str, text: str = "old", mode: int = 0o644) -> Path:
    real = Path(f"{root}{path}")
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text(text)
    real.chmod(mode)
    return real


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def everything(root: Path) -> dict[str, str]:
    """Return path → content, or the target of a link, or "/" for a folder; the attic left out."""
    return {
        name: f"-> {os.readlink(path)}" if path.is_symlink() else "/" if path.is_dir() else path.read_text()
        for path in sorted(root.rglob("*"))
        if not (name := str(path)[len(str(root)) :]).startswith("/var/lib/nodeprep")
        and name not in ("/var", "/var/lib")
    }


def kept(root: Path, path: str, run: str = "run-1") -> list[str]:
    """Return every content that the attic of a run has of a path."""
    return sorted(found.read_text() for found in Path(f"{root}{ATTIC}/{run}").glob(f"files*{path}"))


def manifest(root: Path, run: str = "run-1") -> list[tuple[str, str]]:
    lines = Path(f"{root}{ATTIC}/{run}/manifest.jsonl").read_text().splitlines()
    return [(entry["path"], entry["what"]) for entry in map(json.loads, lines) if entry["what"] != "begun"]


# Looking


def test_what_is_not_there_is_none(root: Path, machine: Files) -> None:
    put(root, "/etc/file")
    assert machine.read_bytes("/etc/nothing") is None
    assert machine.read_text("/no/folder") is None
    assert machine.read_text("/etc/file/below") is None
    assert not machine.exists("/etc/nothing")
    assert machine.glob("/etc/no*") == ()


def test_what_is_there_and_cannot_be_read_is_an_error(machine: Files) -> None:
    with pytest.raises(HostError, match=r"^/etc: "):
        machine.read_bytes("/etc")


def test_bytes_that_are_no_text_are_read_all_the_same(root: Path, machine: Files) -> None:
    (root / "etc/file").write_bytes(b"\xff\x00a")
    assert machine.read_bytes("/etc/file") == b"\xff\x00a"
    assert (machine.read_text("/etc/file") or "").endswith("a")


def test_a_dangling_link_is_there(root: Path, machine: Files) -> None:
    (root / "etc/link").symlink_to("/nowhere")
    assert machine.exists("/etc/link")
    assert machine.is_symlink("/etc/link")
    assert machine.read_bytes("/etc/link") is None


def test_paths_are_the_machines_and_sorted(root: Path, machine: Files) -> None:
    for name in ("b", "a", "c"):
        put(root, f"/etc/{name}.conf")
    assert machine.glob("/etc/*.conf") == ("/etc/a.conf", "/etc/b.conf", "/etc/c.conf")


def test_a_root_whose_name_is_a_pattern(tmp_path: Path) -> None:
    root = tmp_path / "disk[1]"
    put(root, "/etc/a.conf")
    assert Files("run", str(root)).glob("/etc/*.conf") == ("/etc/a.conf",)


# Writing


@pytest.mark.parametrize("bits", [0o444, 0o600, 0o644])
def test_a_file_has_content_and_mode_and_no_leftover(root: Path, machine: Files, bits: int) -> None:
    old = os.umask(0o077)
    try:
        machine.write_file("/etc/machine-id", b"new\n", bits)
    finally:
        os.umask(old)
    assert everything(root) == {"/etc": "/", "/etc/machine-id": "new\n"}
    assert mode(root / "etc/machine-id") == bits


def test_what_is_replaced_lies_in_the_attic(root: Path, machine: Files) -> None:
    put(root, "/etc/machine-id", mode=0o444)
    machine.write_file("/etc/machine-id", b"new", 0o444)
    machine.write_file("/etc/machine-id", b"newer", 0o444)
    assert kept(root, "/etc/machine-id") == ["new", "old"]
    assert manifest(root) == [("/etc/machine-id", "replaced")] * 2
    assert mode(Path(f"{root}{ATTIC}/run-1/files/etc/machine-id")) == 0o444


def test_only_we_may_look_into_the_attic(root: Path, machine: Files) -> None:
    put(root, "/etc/ssh/ssh_host_rsa_key", mode=0o600)
    machine.set_aside("/etc/ssh/*")
    assert mode(Path(f"{root}{ATTIC}")) == 0o700
    assert mode(Path(f"{root}{ATTIC}/run-1")) == 0o700


def test_of_a_new_file_the_attic_has_a_note_and_nothing_else(root: Path, machine: Files) -> None:
    machine.write_file("/etc/new", b"x", 0o644)
    assert manifest(root) == [("/etc/new", "made")]
    assert not list(Path(f"{root}{ATTIC}").rglob("new"))


def test_a_link_is_replaced_and_not_written_through(root: Path, machine: Files) -> None:
    target = put(root, "/etc/target")
    (root / "etc/link").symlink_to("target")
    machine.write_file("/etc/link", b"new", 0o644)
    assert target.read_text() == "old"
    assert not (root / "etc/link").is_symlink()
    assert os.readlink(f"{root}{ATTIC}/run-1/files/etc/link") == "target"


def test_the_leftover_of_a_run_that_was_cut_off_is_taken_over(root: Path, machine: Files) -> None:
    put(root, "/etc/.nodeprep-machine-id", "half", 0o600)
    machine.write_file("/etc/machine-id", b"new", 0o444)
    assert everything(root) == {"/etc": "/", "/etc/machine-id": "new"}


def test_a_leftover_link_is_taken_over(root: Path, machine: Files) -> None:
    (root / "etc/.nodeprep-link").symlink_to("/somewhere")
    machine.link_file("/etc/link", "/target")
    assert everything(root) == {"/etc": "/", "/etc/link": "-> /target"}


def test_a_link_takes_the_place_of_a_file(root: Path, machine: Files) -> None:
    put(root, "/etc/link")
    machine.link_file("/etc/link", "/target")
    assert everything(root) == {"/etc": "/", "/etc/link": "-> /target"}
    assert kept(root, "/etc/link") == ["old"]


def test_a_link_that_is_right_is_left_alone(root: Path, machine: Files) -> None:
    (root / "etc/link").symlink_to("/target")
    machine.link_file("/etc/link", "/target")
    assert not Path(f"{root}{ATTIC}").exists()


def test_one_piece_of_text_is_replaced_and_mode_and_owner_stay(root: Path, machine: Files) -> None:
    put(root, "/etc/hosts", "a\nb\na\n", 0o640)
    os.chown(root / "etc/hosts", 8, 9)
    machine.replace_text("/etc/hosts", "a\n", "c\n")
    assert (root / "etc/hosts").read_text() == "c\nb\na\n"
    assert mode(root / "etc/hosts") == 0o640
    assert ((root / "etc/hosts").stat().st_uid, (root / "etc/hosts").stat().st_gid) == (8, 9)
    assert kept(root, "/etc/hosts") == ["a\nb\na\n"]


@pytest.mark.parametrize("text", [None, "other\n"])
def test_text_that_is_not_there_any_more(root: Path, machine: Files, text: str | None) -> None:
    if text:
        put(root, "/etc/hosts", text)
    before = everything(root)
    with pytest.raises(HostError, match="/etc/hosts"):
        machine.replace_text("/etc/hosts", "a\n", "c\n")
    assert everything(root) == before


# Setting aside


def test_what_matches_goes_to_the_attic_and_nothing_else(root: Path, machine: Files) -> None:
    put(root, "/etc/a.lease", "1")
    put(root, "/etc/b.lease", "2")
    put(root, "/etc/c.conf", "3")
    machine.set_aside("/etc/*.lease")
    assert everything(root) == {"/etc": "/", "/etc/c.conf": "3"}
    assert (kept(root, "/etc/a.lease"), kept(root, "/etc/b.lease")) == (["1"], ["2"])
    assert manifest(root) == [("/etc/a.lease", "set aside"), ("/etc/b.lease", "set aside")]


def test_a_folder_is_set_aside_whole(root: Path, machine: Files) -> None:
    put(root, "/var/log/journal/old/system.journal", "log")
    machine.set_aside("/var/log/journal/old")
    assert not (root / "var/log/journal/old").exists()
    assert Path(f"{root}{ATTIC}/run-1/files/var/log/journal/old/system.journal").read_text() == "log"


def test_nothing_to_set_aside(root: Path, machine: Files) -> None:
    machine.set_aside("/etc/*.lease")
    assert not Path(f"{root}{ATTIC}").exists()


def test_two_files_of_one_name_are_both_kept(root: Path, machine: Files) -> None:
    for text in ("1", "2"):
        put(root, "/etc/a.lease", text)
        machine.set_aside("/etc/a.lease")
    assert kept(root, "/etc/a.lease") == ["1", "2"]


def test_a_folder_is_renamed(root: Path, machine: Files) -> None:
    put(root, "/var/log/journal/old/system.journal", "log")
    machine.rename_folder("/var/log/journal/old", "/var/log/journal/new")
    assert [path.name for path in (root / "var/log/journal").iterdir()] == ["new"]
    assert (root / "var/log/journal/new/system.journal").read_text() == "log"
    assert manifest(root) == [("/var/log/journal/old", "renamed")]


def test_a_folder_whose_new_name_is_taken_is_set_aside(root: Path, machine: Files) -> None:
    put(root, "/var/log/journal/old/system.journal", "old log")
    put(root, "/var/log/journal/new/system.journal", "new log")
    machine.rename_folder("/var/log/journal/old", "/var/log/journal/new")
    assert (root / "var/log/journal/new/system.journal").read_text() == "new log"
    assert Path(f"{root}{ATTIC}/run-1/files/var/log/journal/old/system.journal").read_text() == "old log"


def test_a_name_that_is_a_pattern_means_only_itself(root: Path, machine: Files) -> None:
    put(root, "/etc/[ab]/x")
    put(root, "/etc/a/x")
    put(root, "/etc/new/x")
    machine.rename_folder("/etc/[ab]", "/etc/new")
    assert (root / "etc/a/x").exists()
    assert not (root / "etc/[ab]").exists()


# Replacing a set of files


def make_keys(root: Path, machine: Files) -> None:
    for name in ("rsa", "dsa"):
        put(root, f"/etc/ssh/ssh_host_{name}_key", f"old {name}", 0o600)
        put(root, f"/etc/ssh/ssh_host_{name}_key.pub", f"old {name}.pub")
    put(root, "/etc/ssh/sshd_config", "the operator's")
    put(root, "/etc/ssh/ssh_host_rsa_key-cert.pub", "old certificate")
    machine.make_staging()
    for name in ("rsa", "ed25519"):
        put(root, f"{STAGING}/etc/ssh/ssh_host_{name}_key", f"new {name}", 0o600)
        put(root, f"{STAGING}/etc/ssh/ssh_host_{name}_key.pub", f"new {name}.pub")


NEW_KEYS = {
    "/etc": "/",
    "/etc/ssh": "/",
    "/etc/ssh/sshd_config": "the operator's",
    **{
        f"/etc/ssh/ssh_host_{name}_key{half}": f"new {name}{half}"
        for name in ("rsa", "ed25519")
        for half in ("", ".pub")
    },
}


def test_a_set_of_files_takes_the_place_of_another(root: Path, machine: Files) -> None:
    make_keys(root, machine)
    machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    assert everything(root) == NEW_KEYS
    assert mode(root / "etc/ssh/ssh_host_ed25519_key") == 0o600
    for name in ("rsa_key", "rsa_key.pub", "dsa_key", "dsa_key.pub"):
        assert f"old {name.replace('_key', '')}" in kept(root, f"/etc/ssh/ssh_host_{name}")
    assert kept(root, "/etc/ssh/ssh_host_rsa_key-cert.pub") == ["old certificate"]


def test_public_halves_come_last(root: Path, machine: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    # They are what is observed: a set that is only half there must still look like the old one.
    make_keys(root, machine)
    order: list[str] = []
    rename = os.rename

    def noted(source: str, target: str) -> None:
        rename(source, target)
        names = {str(target): "put", str(source): "gone"}
        order.extend(
            f"{what} {Path(path).name}" for path, what in names.items() if Path(path).parent == root / "etc/ssh"
        )

    monkeypatch.setattr(os, "rename", noted)
    machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    steps = [step for step in order if ".nodeprep-" not in step]
    first_public = min(steps.index("put ssh_host_rsa_key.pub"), steps.index("put ssh_host_ed25519_key.pub"))
    for name in ("put ssh_host_rsa_key", "put ssh_host_ed25519_key", "gone ssh_host_rsa_key-cert.pub"):
        assert steps.index(name) < first_public, steps


def test_nothing_was_made_to_replace_them(root: Path, machine: Files) -> None:
    make_keys(root, machine)
    before = everything(root)
    machine.make_staging()
    with pytest.raises(HostError, match="nothing was made"):
        machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    assert everything(root) == before


def test_a_staging_folder_that_is_not_there(root: Path, machine: Files) -> None:
    make_keys(root, machine)
    machine.remove_staging()
    before = everything(root)
    with pytest.raises(HostError):
        machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    assert everything(root) == before


def test_staging_is_empty_and_ours_alone(root: Path, machine: Files) -> None:
    put(root, f"{STAGING}/etc/ssh/leftover")
    staging = machine.make_staging()
    found = {str(path.relative_to(f"{root}{staging}")) for path in Path(f"{root}{staging}").rglob("*")}
    assert found == {"etc", "etc/ssh", "etc/ssl", "etc/ssl/certs", "etc/ssl/private"}
    assert mode(Path(f"{root}{staging}")) == 0o700
    machine.remove_staging()
    assert not Path(f"{root}{staging}").exists()


# Another file system


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put /var/lib/nodeprep on a file system of its own."""
    rename = os.rename

    def across(source: Any, target: Any) -> None:
        if ("/var/lib/nodeprep" in str(source)) != ("/var/lib/nodeprep" in str(target)):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", across)


@pytest.mark.usefixtures("apart")
def test_keys_are_put_in_place_from_another_file_system(root: Path, machine: Files) -> None:
    make_keys(root, machine)
    machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    assert everything(root) == NEW_KEYS
    assert mode(root / "etc/ssh/ssh_host_ed25519_key") == 0o600


@pytest.mark.usefixtures("apart")
def test_a_folder_is_set_aside_to_another_file_system(root: Path, machine: Files) -> None:
    put(root, "/var/log/journal/old/system.journal", "log")
    machine.set_aside("/var/log/journal/old")
    assert not (root / "var/log/journal/old").exists()
    assert Path(f"{root}{ATTIC}/run-1/files/var/log/journal/old/system.journal").read_text() == "log"


class Disk:
    """What of the files has reached the disk, by inode; and, at each rename, whether the file that it moved had."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._synced: set[int] = set()
        self.renamed: dict[str, bool] = {}
        fsync, rename = os.fsync, os.rename

        def noted(descriptor: int) -> None:
            fsync(descriptor)
            self._synced.add(os.fstat(descriptor).st_ino)

        def checked(source: Any, target: Any) -> None:
            rename(source, target)
            self.renamed[str(target)] = self.has(Path(target))

        monkeypatch.setattr(os, "fsync", noted)
        monkeypatch.setattr(os, "rename", checked)

    def has(self, path: Path) -> bool:
        return path.stat().st_ino in self._synced

    def lacks(self, folder: str) -> list[str]:
        found = (path for path in Path(folder).rglob("*") if path.is_file() and not path.is_symlink())
        return [path.name for path in found if path.name != "manifest.jsonl" and not self.has(path)]


@pytest.mark.usefixtures("apart")
def test_what_was_copied_is_on_the_disk_before_it_counts(
    root: Path, machine: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A rename can reach the disk before the content of what was renamed: an empty host key, or an empty attic.
    make_keys(root, machine)
    disk = Disk(monkeypatch)
    machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    for name in ("rsa_key", "rsa_key.pub", "ed25519_key", "ed25519_key.pub"):
        assert disk.renamed[f"{root}/etc/ssh/ssh_host_{name}"], name
    assert len(list(Path(f"{root}{ATTIC}").rglob("ssh_host_*"))) == 5
    assert disk.lacks(f"{root}{ATTIC}") == []


@pytest.mark.usefixtures("apart")
def test_a_folder_that_was_copied_is_on_the_disk_before_the_old_one_goes(
    root: Path, machine: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "/var/log/journal/old/system.journal", "log")
    disk = Disk(monkeypatch)
    machine.set_aside("/var/log/journal/old")
    assert not (root / "var/log/journal/old").exists()
    assert disk.lacks(f"{root}{ATTIC}") == []


def test_the_former_file_is_on_the_disk_before_it_is_replaced(
    root: Path, machine: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(root, "/etc/hosts", "the operator's")
    disk = Disk(monkeypatch)
    rename = os.rename
    at_replacement: list[bool] = []

    def looked(source: Any, target: Any) -> None:
        if str(target) == f"{root}/etc/hosts":
            at_replacement.append(disk.has(Path(f"{root}{ATTIC}/run-1/files/etc/hosts")))
        rename(source, target)

    monkeypatch.setattr(os, "rename", looked)
    machine.write_file("/etc/hosts", b"new", 0o644)
    assert at_replacement == [True]
    assert disk.renamed[f"{root}/etc/hosts"]


# A full disk


@contextmanager
def full_disk(bytes_left: int = 0) -> Iterator[None]:
    """Let no file grow beyond a size (setrlimit(2)); Python ignores the signal, so that write(2) fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_left, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_changes_nothing_when_a_file_is_new(root: Path, machine: Files) -> None:
    before = everything(root)
    with full_disk(), pytest.raises(HostError, match=r"^/etc/machine-id: "):
        machine.write_file("/etc/machine-id", b"new", 0o444)
    assert everything(root) == before


@pytest.mark.parametrize("bytes_left", [0, 3, 60])
def test_a_full_disk_changes_nothing_when_a_file_is_replaced(root: Path, machine: Files, bytes_left: int) -> None:
    put(root, "/etc/hosts", "old\n" * 4)
    before = everything(root)
    with full_disk(bytes_left), pytest.raises(HostError, match=r"^/etc/hosts: "):
        machine.write_file("/etc/hosts", b"new\n" * 40, 0o644)
    assert everything(root) == before


@pytest.mark.usefixtures("apart")
def test_a_full_disk_loses_nothing_that_is_set_aside(root: Path, machine: Files) -> None:
    put(root, "/etc/a.lease", "lease")
    before = everything(root)
    with full_disk(2), pytest.raises(HostError, match=r"^/etc/a\.lease: "):
        machine.set_aside("/etc/*.lease")
    assert everything(root) == before


def test_a_full_disk_keeps_the_old_keys(root: Path, machine: Files) -> None:
    make_keys(root, machine)
    before = everything(root)
    with full_disk(2), pytest.raises(HostError):
        machine.replace_files(KEYS, f"{STAGING}/etc/ssh")
    assert everything(root) == before


def test_a_disk_that_is_nearly_full_is_not_begun_on(
    root: Path, machine: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.require_room()
    monkeypatch.setattr(room, "MARGIN_BYTES", 1 << 62)
    with pytest.raises(HostError, match="nothing was touched"):
        machine.require_room()


# Our own state


def test_our_own_files_leave_nothing_in_the_attic(root: Path, machine: Files) -> None:
    machine.write_own("/run/nodeprep/status.json", b"1", 0o644)
    machine.write_own("/run/nodeprep/status.json", b"2", 0o600)
    assert (root / "run/nodeprep/status.json").read_text() == "2"
    assert mode(root / "run/nodeprep/status.json") == 0o600
    assert [path.name for path in (root / "run/nodeprep").iterdir()] == ["status.json"]
    assert not Path(f"{root}{ATTIC}").exists()


@pytest.mark.parametrize("name", ["stamp.json", "held/salt-minion.service"])
def test_whatever_writes_into_the_state_folder_first_makes_it_roots_alone(
    root: Path, machine: Files, name: str
) -> None:
    shutil.rmtree(root / "var/lib/nodeprep", ignore_errors=True)
    machine.write_own(f"/var/lib/nodeprep/{name}", b"1", 0o600)
    assert mode(root / "var/lib/nodeprep") == 0o700


def test_what_is_not_there_is_removed_already(root: Path, machine: Files) -> None:
    machine.remove_own("/no/such/file")
    put(root, "/etc/own")
    machine.remove_own("/etc/own")
    assert everything(root) == {"/etc": "/"}


def test_a_folder_in_the_way_is_an_error_that_names_it(root: Path, machine: Files) -> None:
    (root / "etc/hosts").mkdir()
    with pytest.raises(HostError, match=r"^/etc/hosts: "):
        machine.write_own("/etc/hosts", b"x", 0o644)
    assert everything(root) == {"/etc": "/", "/etc/hosts": "/"}
