"""Transfer: what is moved or copied is whole, has its mode and owner, and is on the disk before it counts."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest

from nodeprep.host import transfer

WHO = (65534, 33)
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


def put(path: Path, text: str = "secret", mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return path


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no rename leave its folder, as between two file systems."""
    rename = os.rename

    def across(source: Any, target: Any) -> None:
        if os.path.dirname(source) != os.path.dirname(target):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(source, target)

    monkeypatch.setattr(os, "rename", across)


def full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("wanted", [0o600, 0o640, 0o444, 0o4755])
def test_a_copy_has_the_mode_and_the_times_of_its_original(tmp_path: Path, wanted: int) -> None:
    source = put(tmp_path / "source", mode=wanted)
    os.utime(source, ns=(1_000_000_000, 2_000_000_000))
    transfer.copy(str(source), str(tmp_path / "target"))
    assert (tmp_path / "target").read_text() == "secret"
    assert mode(tmp_path / "target") == wanted
    assert (tmp_path / "target").stat().st_mtime_ns == 2_000_000_000


@as_root
def test_a_copy_has_the_owner_of_its_original_even_with_its_set_user_id_bit(tmp_path: Path) -> None:
    source = put(tmp_path / "folder/source")
    link = tmp_path / "folder/link"
    link.symlink_to("source")
    for path in (source, source.parent):
        os.chown(path, *WHO)
    os.lchown(link, *WHO)
    source.chmod(0o4750)
    transfer.copy(str(source.parent), str(tmp_path / "copy"))
    for path in (tmp_path / "copy", tmp_path / "copy/source", tmp_path / "copy/link"):
        assert (path.lstat().st_uid, path.lstat().st_gid) == WHO, path
    assert mode(tmp_path / "copy/source") == 0o4750


def test_nobody_may_read_a_secret_while_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = put(tmp_path / "folder/source", mode=0o644)
    source.parent.chmod(0o755)
    seen: list[tuple[int, int]] = []
    copy2 = shutil.copy2

    def looked(source: str, target: str, *, follow_symlinks: bool = True) -> Any:
        seen.append((mode(Path(target)), mode(Path(target).parent)))
        return copy2(source, target, follow_symlinks=follow_symlinks)

    monkeypatch.setattr(shutil, "copy2", looked)
    transfer.copy(str(source.parent), str(tmp_path / "copy"))
    assert seen == [(0o600, 0o700)]
    assert (mode(tmp_path / "copy/source"), mode(tmp_path / "copy")) == (0o644, 0o755)


def test_a_folder_is_copied_with_its_links_and_without_its_sockets(tmp_path: Path) -> None:
    put(tmp_path / "folder/below/file")
    (tmp_path / "folder/dangling").symlink_to("/no/such/file")
    os.mkfifo(tmp_path / "folder/pipe")
    transfer.copy(str(tmp_path / "folder"), str(tmp_path / "copy"))
    assert sorted(str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")) == [
        "below",
        "below/file",
        "dangling",
    ]
    assert os.readlink(tmp_path / "copy/dangling") == "/no/such/file"


def test_where_the_set_group_id_bit_is_forbidden_a_folder_is_copied_without_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chmod = os.chmod

    def forbidden(path: Any, wanted: int, **named: Any) -> None:
        if wanted & 0o6000:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))
        chmod(path, wanted, **named)

    put(tmp_path / "folder/file").parent.chmod(0o2750)
    monkeypatch.setattr(os, "chmod", forbidden)
    transfer.copy(str(tmp_path / "folder"), str(tmp_path / "copy"))
    assert mode(tmp_path / "copy") == 0o750
    assert (tmp_path / "copy/file").read_text() == "secret"


def test_a_device_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="/dev/null is a device"):
        transfer.put_copy("/dev/null", str(tmp_path / "copy"))
    assert not list(tmp_path.iterdir())


def test_a_copy_to_where_something_lies_is_refused(tmp_path: Path) -> None:
    source, target = put(tmp_path / "source"), put(tmp_path / "target", "other")
    with pytest.raises(FileExistsError):
        transfer.copy(str(source), str(target))
    assert target.read_text() == "other"


def test_a_copy_put_in_place_replaces_a_file_at_once(tmp_path: Path) -> None:
    source, target = put(tmp_path / "source"), put(tmp_path / "target", "other", 0o644)
    transfer.put_copy(str(source), str(target))
    assert (target.read_text(), mode(target)) == ("secret", 0o600)
    assert source.read_text() == "secret"
    assert len(list(tmp_path.iterdir())) == 2


def test_a_full_disk_leaves_the_former_file_and_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = put(tmp_path / "source"), put(tmp_path / "target", "other")
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space"):
        transfer.put_copy(str(source), str(target))
    assert target.read_text() == "other"
    assert len(list(tmp_path.iterdir())) == 2


def test_the_part_of_a_run_that_was_cut_off_is_taken_over(tmp_path: Path) -> None:
    source, target = put(tmp_path / "source"), tmp_path / "target"
    put(Path(transfer.temporary(str(target))) / "half")
    transfer.put_copy(str(source), str(target))
    assert target.read_text() == "secret"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("apart")
def test_what_cannot_be_renamed_is_copied_whole_and_then_removed(tmp_path: Path) -> None:
    put(tmp_path / "here/folder/key")
    (tmp_path / "there").mkdir()
    transfer.move(str(tmp_path / "here/folder"), str(tmp_path / "there/folder"))
    assert not (tmp_path / "here/folder").exists()
    assert mode(tmp_path / "there/folder/key") == 0o600
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["folder"]


@pytest.mark.usefixtures("apart")
def test_what_cannot_be_copied_either_stays_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "here/folder/key")
    (tmp_path / "there").mkdir()
    monkeypatch.setattr(shutil, "copy2", full)
    with pytest.raises(OSError, match="No space"):
        transfer.move(str(tmp_path / "here/folder"), str(tmp_path / "there/folder"))
    assert (tmp_path / "here/folder/key").read_text() == "secret"
    assert not list((tmp_path / "there").iterdir())


def test_another_refusal_of_the_rename_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(source: Any, target: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    source = put(tmp_path / "source")
    monkeypatch.setattr(os, "rename", refused)
    with pytest.raises(OSError, match="Read-only"):
        transfer.move(str(source), str(tmp_path / "target"))
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_parts_are_removed_and_nothing_else(tmp_path: Path) -> None:
    put(tmp_path / "run/files/etc/.nodeprep-shadow")
    put(tmp_path / "run/files/.nodeprep-folder/below/key")
    whole = put(tmp_path / "run/files/etc/hosts")
    transfer.remove_parts(str(tmp_path))
    assert [path for path in tmp_path.rglob("*") if not path.is_dir()] == [whole]
    assert not (tmp_path / "run/files/.nodeprep-folder").exists()


def test_a_link_to_a_folder_is_removed_and_the_folder_stays(tmp_path: Path) -> None:
    put(tmp_path / "folder/file")
    (tmp_path / "link").symlink_to("folder")
    transfer.remove(str(tmp_path / "link"))
    transfer.remove(str(tmp_path / "nothing"))
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert (tmp_path / "folder/file").exists()
