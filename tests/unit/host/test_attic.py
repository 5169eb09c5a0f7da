"""The attic: whatever goes from its place is noted and kept, for root alone, and comes back as it was."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from nodeprep.host import attic, transfer
from nodeprep.host.attic import ATTIC, Attic, Entry

WHO = (65534, 33)
HOSTS = "/etc/hosts"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path


def put(root: Path, path: str, text: str = "old", mode: int = 0o644) -> Path:
    real = Path(f"{root}{path}")
    real.parent.mkdir(parents=True, exist_ok=True)
    real.write_text(text)
    real.chmod(mode)
    return real


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def kept(root: Path, run: str, entry: Entry) -> Path:
    return Path(f"{root}{ATTIC}/{run}/{entry.kept}")


def noted(root: Path, run: str) -> list[tuple[str, str]]:
    return [(entry.what, entry.path) for entry in attic.manifest(run, str(root)) if entry.what != "begun"]


def entry_of(root: Path, run: str, what: str) -> Entry:
    (found,) = (entry for entry in attic.manifest(run, str(root)) if entry.what == what)
    return found


# Filling it


def test_the_first_note_says_when_a_run_began_and_why(root: Path) -> None:
    one = Attic("run-1", str(root))
    one.because("clone: other hardware")
    one.about(("hostname",))
    one.note("made", HOSTS)
    begun, made = attic.manifest("run-1", str(root))
    assert (begun.what, begun.new) == ("begun", "clone: other hardware")
    assert begun.old.endswith("Z")
    assert made == Entry("made", ("hostname",), HOSTS)


def test_a_run_that_changes_nothing_leaves_nothing(root: Path) -> None:
    one = Attic("run-1", str(root))
    one.because("clone")
    one.about(("hostname",))
    assert not list(root.iterdir())


def test_every_folder_of_the_attic_is_for_root_alone_whatever_lies_in_it(root: Path) -> None:
    put(root, "/srv/open/file", mode=0o644).parent.chmod(0o777)
    umask = os.umask(0)
    try:
        Attic("run-1", str(root)).keep("/srv/open/file")
    finally:
        os.umask(umask)
    above = [Path(f"{root}{ATTIC}"), *(path for path in Path(f"{root}{ATTIC}").rglob("*") if path.is_dir())]
    assert len(above) == 5
    assert {mode(folder) for folder in above} == {0o700}


@as_root
@pytest.mark.parametrize("verb", ["keep", "set_aside"])
def test_a_secret_keeps_mode_and_owner_and_both_are_noted(root: Path, verb: str) -> None:
    os.chown(put(root, "/etc/secret", mode=0o640), *WHO)
    getattr(Attic("run-1", str(root)), verb)("/etc/secret")
    entry = entry_of(root, "run-1", "replaced" if verb == "keep" else "set aside")
    assert (entry.mode, entry.owner) == (0o640, WHO)
    status = kept(root, "run-1", entry).stat()
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, *WHO)


def test_what_is_copied_is_noted_once_it_is_whole(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, HOSTS)

    def refuse(source: str, target: str) -> None:
        raise OSError("cut")

    monkeypatch.setattr(transfer, "put_copy", refuse)
    with pytest.raises(OSError, match="cut"):
        Attic("run-1", str(root)).keep(HOSTS)
    assert noted(root, "run-1") == []


def test_what_is_moved_is_noted_before_it_goes(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(root, HOSTS)

    def refuse(source: str, target: str) -> None:
        raise OSError("cut")

    monkeypatch.setattr(transfer, "move", refuse)
    with pytest.raises(OSError, match="cut"):
        Attic("run-1", str(root)).set_aside(HOSTS)
    assert noted(root, "run-1") == [("set aside", HOSTS)]
    assert not attic.is_kept("run-1", entry_of(root, "run-1", "set aside"), str(root))


def test_of_a_file_that_is_replaced_twice_both_are_kept(root: Path) -> None:
    one = Attic("run-1", str(root))
    for text in ("first", "second"):
        put(root, HOSTS, text)
        one.keep(HOSTS)
    entries = [entry for entry in attic.manifest("run-1", str(root)) if entry.kept]
    assert [kept(root, "run-1", entry).read_text() for entry in entries] == ["first", "second"]


@pytest.mark.parametrize("same_process", [True, False])
def test_nothing_is_put_into_a_folder_that_was_set_aside(root: Path, same_process: bool) -> None:
    put(root, "/var/lib/agent/key", "first")
    one = Attic("run-1", str(root))
    one.set_aside("/var/lib/agent")
    put(root, "/var/lib/agent/key", "second")
    put(root, "/var/lib/agent/more", "third")
    another = one if same_process else Attic("run-1", str(root))
    another.keep("/var/lib/agent/key")
    another.keep("/var/lib/agent/more")
    aside = kept(root, "run-1", entry_of(root, "run-1", "set aside"))
    assert {path.name: path.read_text() for path in aside.iterdir()} == {"key": "first"}
    copies = [kept(root, "run-1", e).read_text() for e in attic.manifest("run-1", str(root)) if e.what == "replaced"]
    assert copies == ["second", "third"]


# A manifest that a power cut tore


def test_a_torn_last_line_is_left_out_and_does_not_spoil_the_next(root: Path) -> None:
    put(root, HOSTS)
    put(root, "/etc/hostname")
    Attic("run-1", str(root)).keep(HOSTS)
    manifest = Path(f"{root}{ATTIC}/run-1/{attic.MANIFEST}")
    whole = manifest.read_text()
    manifest.write_text(whole + whole.splitlines()[-1][:20])
    assert noted(root, "run-1") == [("replaced", HOSTS)]
    Attic("run-1", str(root)).keep("/etc/hostname")
    assert noted(root, "run-1") == [("replaced", HOSTS), ("replaced", "/etc/hostname")]


@pytest.mark.parametrize("line", ["", "[]", "null", "{}", '{"what": 1, "subjects": 2}', "\0\0\0", '{"path": "/x"}'])
def test_a_line_that_makes_no_sense_is_left_out(root: Path, line: str) -> None:
    put(root, HOSTS)
    Attic("run-1", str(root)).keep(HOSTS)
    with Path(f"{root}{ATTIC}/run-1/{attic.MANIFEST}").open("a") as file:
        file.write(f"{line}\n")
    assert noted(root, "run-1") == [("replaced", HOSTS)]


def test_a_field_of_a_newer_release_is_no_harm(root: Path) -> None:
    folder = Path(f"{root}{ATTIC}/run-1")
    folder.mkdir(parents=True)
    (folder / attic.MANIFEST).write_text('{"what": "made", "path": "/etc/hosts", "colour": "green"}\n')
    assert attic.manifest("run-1", str(root)) == (Entry("made", path=HOSTS),)


def test_a_run_without_a_manifest_has_no_entries(root: Path) -> None:
    Path(f"{root}{ATTIC}/run-1/files").mkdir(parents=True)
    assert attic.runs(str(root)) == ("run-1",)
    assert attic.manifest("run-1", str(root)) == ()


# Bringing back


def test_what_was_copied_comes_back_and_stays_in_the_attic(root: Path) -> None:
    put(root, "/etc/secret", "old", 0o600)
    Attic("run-1", str(root)).keep("/etc/secret")
    put(root, "/etc/secret", "new", 0o644)
    entry = entry_of(root, "run-1", "replaced")
    Attic("undo", str(root)).bring_back("run-1", entry.kept, "/etc/secret")
    real = root / "etc/secret"
    assert (real.read_text(), mode(real)) == ("old", 0o600)
    assert attic.is_kept("run-1", entry, str(root))
    assert kept(root, "undo", entry_of(root, "undo", "replaced")).read_text() == "new"


def test_what_was_set_aside_comes_back_into_folders_that_have_gone(root: Path) -> None:
    put(root, "/var/lib/agent/state/key", "old", 0o600)
    Attic("run-1", str(root)).set_aside("/var/lib/agent/state")
    (root / "var/lib/agent").rmdir()
    entry = entry_of(root, "run-1", "set aside")
    Attic("undo", str(root)).bring_back("run-1", entry.kept, "/var/lib/agent/state")
    real = root / "var/lib/agent/state/key"
    assert (real.read_text(), mode(real)) == ("old", 0o600)
    assert not attic.is_kept("run-1", entry, str(root))
    assert noted(root, "run-1")[-1] == ("returned", "/var/lib/agent/state")
    assert noted(root, "undo") == [("brought back", "/var/lib/agent/state")]


def test_a_folder_comes_back_with_the_mode_that_was_noted_even_if_its_copy_lacks_a_bit(root: Path) -> None:
    put(root, "/var/lib/agent/key").parent.chmod(0o2750)
    Attic("run-1", str(root)).set_aside("/var/lib/agent")
    entry = entry_of(root, "run-1", "set aside")
    kept(root, "run-1", entry).chmod(0o750)
    Attic("undo", str(root)).bring_back("run-1", entry.kept, "/var/lib/agent")
    assert mode(root / "var/lib/agent") == 0o2750


def test_a_folder_that_has_taken_the_place_is_set_aside_in_turn(root: Path) -> None:
    put(root, "/var/lib/agent/key", "old")
    Attic("run-1", str(root)).set_aside("/var/lib/agent")
    put(root, "/var/lib/agent/other", "new")
    entry = entry_of(root, "run-1", "set aside")
    Attic("undo", str(root)).bring_back("run-1", entry.kept, "/var/lib/agent")
    assert [path.name for path in (root / "var/lib/agent").iterdir()] == ["key"]
    aside = kept(root, "undo", entry_of(root, "undo", "set aside"))
    assert (aside / "other").read_text() == "new"


def test_a_file_comes_back_where_a_link_has_taken_its_place(root: Path) -> None:
    put(root, "/var/lib/dbus/machine-id", "old")
    target = put(root, "/etc/machine-id", "new")
    Attic("run-1", str(root)).keep("/var/lib/dbus/machine-id")
    real = root / "var/lib/dbus/machine-id"
    real.unlink()
    real.symlink_to(target)
    entry = entry_of(root, "run-1", "replaced")
    Attic("undo", str(root)).bring_back("run-1", entry.kept, "/var/lib/dbus/machine-id")
    assert (real.is_symlink(), real.read_text(), target.read_text()) == (False, "old", "new")
    assert kept(root, "undo", entry_of(root, "undo", "replaced")).is_symlink()


# Pruning


def fill(root: Path, runs: int, *, aside: int | None = None) -> list[str]:
    """Make runs, of which one set something of "kubelet-identity" aside, and return their names, oldest first."""
    names = [f"2026010{number}T000000Z" for number in range(1, runs + 1)]
    for number, name in enumerate(names):
        one = Attic(name, str(root))
        one.about(("kubelet-identity" if number == aside else "hosts-entry",))
        put(root, HOSTS, name)
        (one.set_aside if number == aside else one.keep)(HOSTS)
    return names


def test_the_oldest_runs_are_removed_beyond_the_number(root: Path) -> None:
    names = fill(root, 5)
    assert attic.prune(3, frozenset(), names[-1], str(root)) == tuple(names[:2])
    assert attic.runs(str(root)) == tuple(names[2:])
    assert sorted(path.name for path in Path(f"{root}{ATTIC}").iterdir()) == names[2:]


def test_the_run_of_now_stays_even_if_the_clock_was_set_back(root: Path) -> None:
    names = fill(root, 4)
    assert attic.prune(2, frozenset(), names[0], str(root)) == (names[1], names[2])
    assert attic.runs(str(root)) == (names[0], names[3])


def test_nothing_is_removed_while_there_are_few(root: Path) -> None:
    names = fill(root, 3)
    assert attic.prune(3, frozenset(), names[-1], str(root)) == ()
    assert attic.prune(3, frozenset(), "x", f"{root}/nothing") == ()


def test_what_was_set_aside_of_a_membership_outlasts_any_number(root: Path) -> None:
    names = fill(root, 5, aside=0)
    spared = frozenset({"kubelet-identity"})
    assert attic.prune(1, spared, names[-1], str(root)) == tuple(names[1:4])
    assert attic.runs(str(root)) == (names[0], names[-1])


def test_a_membership_that_was_brought_back_spares_its_run_no_longer(root: Path) -> None:
    names = fill(root, 3, aside=0)
    Attic("undo", str(root)).bring_back(names[0], entry_of(root, names[0], "set aside").kept, HOSTS)
    assert names[0] in attic.prune(1, frozenset({"kubelet-identity"}), names[-1], str(root))


def test_a_removal_that_was_cut_off_is_ended_and_halves_of_copies_go(root: Path) -> None:
    (name,) = fill(root, 1)
    put(root, f"{ATTIC}/{attic.GONE}20250101T000000Z/files/etc/shadow")
    put(root, f"{ATTIC}/{name}/files/etc/.nodeprep-shadow")
    assert attic.runs(str(root)) == (name,)
    assert attic.prune(10, frozenset(), name, str(root)) == ()
    assert [path.name for path in Path(f"{root}{ATTIC}").iterdir()] == [name]
    assert [path.name for path in Path(f"{root}{ATTIC}/{name}/files/etc").iterdir()] == ["hosts"]


# Its names and sizes


def test_the_daemon_goes_on_with_the_run_that_the_early_run_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attic, "NAME_FILE", str(tmp_path / "run"))
    assert attic.name_of_this_boot().endswith("Z")
    (tmp_path / "run").write_text("20260101T000000Z\n")
    assert attic.name_of_this_boot() == "20260101T000000Z"
    (tmp_path / "run").write_bytes(b"\xff\xff")
    assert attic.name_of_this_boot().endswith("Z")


def test_the_size_of_a_folder_is_that_of_all_below_it(root: Path) -> None:
    put(root, "/srv/one/file", "x" * 1000)
    put(root, "/srv/file", "x" * 500)
    total, inodes = attic.size(str(root / "srv"))
    assert (total >= 1500, inodes) == (True, 4)
    assert attic.size(str(root / "srv/file")) == (500, 1)
    assert attic.size(str(root / "nothing")) == (0, 0)
