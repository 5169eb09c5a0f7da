"""History and restore: what is listed, what comes back and in which way, and what is refused before it is begun."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nodeprep import cli, renewal
from nodeprep.apply import apply
from nodeprep.history import RestoreError, foresee, subjects, way_back
from nodeprep.host import attic, programs
from nodeprep.host.attic import Entry
from nodeprep.host.local import LocalMachine
from nodeprep.model import Origin
from nodeprep.renewal import Renewal
from nodeprep.steps import BringBack, RenameFolder, Result, SetAside, SetHostname, SetLinkMac, SetProfile
from nodeprep.verbs import restore
from nodeprep.verbs.history import veil
from tests.fakes import disk
from tests.fakes.disk import put
from tests.fakes.power import Power

RUN, UNDO = "20260101T000000Z", "20260102T000000Z-restore"
ID, OLD_LOG, NEW_LOG = "/etc/machine-id", "/var/log/journal/old", "/var/log/journal/new"
KEY, LEASE, AGENT = "/etc/ssh/ssh_host_rsa_key", "/var/lib/dhcp/a.lease", "/var/lib/agent"


@pytest.fixture
def running(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the units that run, of all that are asked for; none to begin with."""
    units: list[str] = []
    monkeypatch.setattr(programs, "active_units", lambda asked: frozenset(asked) & frozenset(units))
    return units


@pytest.fixture
def root(tmp_path: Path, running: list[str]) -> Path:
    """Return a disk on which one run replaced, set aside, made and renamed something."""
    root = tmp_path / "disk"
    a_disk(root)
    renew(root)
    return root


def a_disk(root: Path) -> None:
    put(root, ID, b"0" * 32, 0o444)
    put(root, KEY, b"old key", 0o600)
    put(root, LEASE, b"old lease", 0o640)
    put(root, f"{AGENT}/id", b"old agent", 0o600)
    put(root, f"{AGENT}/below/state", b"old state")
    put(root, f"{OLD_LOG}/system.journal", b"old log")


def renew(root: Path, run: str = RUN) -> None:
    """Do what a renewal does."""
    machine = LocalMachine(run, str(root))
    machine.attic.because("clone: other hardware")
    for subject, do in RENEWAL.items():
        machine.about((subject,))
        do(machine)


def renew_agent(machine: LocalMachine) -> None:
    machine.set_aside(AGENT)
    machine.write_file(f"{AGENT}/id", b"new agent", 0o600)


RENEWAL: dict[str, Callable[[LocalMachine], None]] = {
    "machine-id": lambda machine: machine.write_file(ID, b"1" * 32, 0o444),
    "journal-folder": lambda machine: machine.rename_folder(OLD_LOG, NEW_LOG),
    "ssh-host-keys": lambda machine: machine.write_file(KEY, b"new key", 0o644),
    "dhcp-leases": lambda machine: machine.set_aside("/var/lib/dhcp/*.lease"),
    "agent": renew_agent,
}


def everything(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return path → mode and content of all that is not nodeprep's own."""
    return {
        path[len(str(root)) :]: (os.stat(path).st_mode & 0o7777, Path(path).read_bytes())
        for path in disk.files(root)
        if "/var/lib/nodeprep/" not in path
    }


def bring_back(root: Path, run: str, *names: str, undo: str = UNDO) -> tuple[str, ...]:
    """Bring back a run, and return what is said of what is left out."""
    machine = LocalMachine(undo, str(root))
    plan, skipped = foresee(run, names, machine)
    machine.prepare(plan, "nodeprep restore")
    outcomes = apply(plan, machine)
    assert [outcome for outcome in outcomes if outcome.result is not Result.DONE] == []
    return skipped


@pytest.fixture
def original(tmp_path: Path) -> dict[str, tuple[int, bytes]]:
    """Return what the disk had before."""
    a_disk(tmp_path / "original")
    return everything(tmp_path / "original")


def entries(*found: Entry) -> list[Entry]:
    return [Entry("begun", old="2026", new="clone"), *found]


def back(*found: Entry, is_kept: bool = True, exists: bool = True, skipped: list[str] | None = None) -> object:
    told: list[str] = []
    return way_back(RUN, entries(*found), lambda _: is_kept, lambda _: exists, told if skipped is None else skipped)


# Bringing back


def test_all_that_a_run_changed_comes_back_with_its_modes(root: Path, original: dict[str, tuple[int, bytes]]) -> None:
    assert everything(root) != original
    bring_back(root, RUN)
    assert everything(root) == original


def test_only_what_is_named_comes_back(root: Path, original: dict[str, tuple[int, bytes]]) -> None:
    renewed = everything(root)
    skipped = bring_back(root, RUN, "ssh-host-keys")
    assert everything(root) == renewed | {KEY: original[KEY]}
    assert not any("left as it is" in line for line in skipped), "who named one knows that the others stay"


def test_of_what_may_carry_the_session_is_said_that_it_stays_unless_it_is_named(root: Path) -> None:
    machine = LocalMachine(RUN, str(root))
    machine.about(("mac",))
    machine.attic.note("changed", field="mac", link="eth0", old="02:00:00:00:00:01", new="02:00:00:00:00:02")
    _, skipped = foresee(RUN, (), LocalMachine("restore", str(root)))
    assert skipped == ("mac is left as it is: name it to bring it back",)


def test_a_restore_can_be_taken_back(root: Path) -> None:
    renewed = everything(root)
    bring_back(root, RUN)
    bring_back(root, UNDO, undo="20260103T000000Z-restore")
    assert everything(root) == renewed


def test_a_restore_that_was_taken_back_can_be_done_again(root: Path, original: dict[str, tuple[int, bytes]]) -> None:
    bring_back(root, RUN)
    bring_back(root, UNDO, undo="undo-2")
    bring_back(root, "undo-2", undo="undo-3")
    assert everything(root) == original


def test_a_restore_that_is_done_twice_changes_nothing_more(root: Path, original: dict[str, tuple[int, bytes]]) -> None:
    bring_back(root, RUN)
    bring_back(root, RUN, undo="undo-2")
    assert everything(root) == original


def test_of_what_was_renewed_twice_in_a_run_the_first_comes_back(
    root: Path, original: dict[str, tuple[int, bytes]]
) -> None:
    machine = LocalMachine(RUN, str(root))
    machine.about(("machine-id",))
    machine.write_file(ID, b"2" * 32, 0o444)
    machine.about(("agent",))
    renew_agent(machine)
    bring_back(root, RUN)
    assert everything(root) == original


def test_two_restores_of_one_second_are_two_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attic, "runs", lambda: (UNDO, f"{UNDO}-2"))
    assert restore._unused(UNDO) == f"{UNDO}-3"
    assert restore._unused("another") == "another"


# A power cut


def test_a_restore_that_loses_power_at_any_step_leaves_whole_files_and_can_be_done_again(
    tmp_path: Path, running: list[str], original: dict[str, tuple[int, bytes]]
) -> None:
    def disk_of(number: int) -> Path:
        root = tmp_path / f"disk-{number}"
        a_disk(root)
        renew(root)
        return root

    def restore(root: Path) -> Callable[[], object]:
        return lambda: bring_back(root, RUN)

    counted = disk_of(-1)
    renewed = everything(counted)
    power = Power(counted)
    power.supply(restore(counted))
    assert everything(counted) == original
    total = len(power.done)
    assert total > 30, power.done
    whole = set(original.values()) | set(renewed.values())
    for number in range(total):
        root = disk_of(number)
        assert Power(root, cut=number, forgets=True).supply(restore(root)) is None
        for path, found in everything(root).items():
            assert found in whole or "/.nodeprep-" in path, (power.done[number], path, found)
        in_place = {ID, KEY}  # what was replaced is never missing, in one state or the other
        assert in_place <= set(everything(root)), power.done[number]
        lying = disk.contents(root)
        lost = [path for path, (_, content) in (original | renewed).items() if content not in lying]
        assert lost == [], (power.done[number], lost)
        bring_back(root, RUN, undo=f"{UNDO}-2")
        after = everything(root)
        assert {path: after.get(path) for path in original} == original, power.done[number]
        assert set(after) == set(original), (power.done[number], set(after) - set(original))


# What is refused before anything is touched


def refused(root: Path, *names: str, run: str = RUN) -> str:
    before = everything(root)
    with pytest.raises(RestoreError) as caught:
        bring_back(root, run, *names)
    assert everything(root) == before
    assert attic.runs(str(root)) == (RUN,)
    return str(caught.value)


def test_a_run_that_is_not_there_is_refused(root: Path) -> None:
    assert "nodeprep history" in refused(root, run="../../etc")


def test_an_artefact_that_the_run_has_nothing_of_is_refused_with_those_it_has(root: Path) -> None:
    said = refused(root, "kubelet", "machine-id")
    assert "nothing of kubelet is in" in said
    assert "agent, dhcp-leases, journal-folder, machine-id, ssh-host-keys" in said


def test_nothing_is_brought_back_in_a_renewal_that_is_not_over(root: Path) -> None:
    value = renewal.encode(Renewal(Origin.CLONE, "other hardware", {}, 0))
    put(root, renewal.PATH, value.encode())
    assert "nodeprep decide keep" in refused(root)


def test_a_file_that_is_lost_from_the_attic_is_refused(root: Path) -> None:
    Path(f"{root}{attic.ATTIC}/{RUN}/files{KEY}").unlink()
    assert f"{KEY} is not in {RUN} any more" in refused(root)


def test_an_enrolment_is_not_brought_back_under_a_unit_that_runs(root: Path, running: list[str]) -> None:
    machine = LocalMachine(RUN, str(root))
    put(root, "/etc/salt/pki/minion/minion.pem", b"key")
    machine.about(("salt-minion",))
    machine.set_aside("/etc/salt/pki/minion")
    running.append("salt-minion.service")
    assert "systemctl stop salt-minion.service" in refused(root)
    bring_back(root, RUN, "machine-id")


# The way back of one artefact


def test_what_a_manager_changed_comes_back_through_it() -> None:
    assert back(Entry("changed", ("x",), field="hostname", old="old", new="new")) == (SetHostname("old"),)
    mac = Entry("changed", ("x",), field="mac", old="52:54:00:77:00:10", new="", profile="p", link="eth0")
    assert back(mac) == (SetProfile("p", "eth0", mac="52:54:00:77:00:10"),)
    two = Entry("changed", ("x",), field="ipv4_addresses", old="10.77.0.10/24, 10.77.0.11/24", profile="p", link="eth0")
    assert back(two) == (SetProfile("p", "eth0", ipv4_addresses=("10.77.0.10/24", "10.77.0.11/24")),)
    six = Entry("changed", ("x",), field="ipv6_addresses", old="fd00::1/64", profile="p", link="eth0")
    assert back(six) == (SetProfile("p", "eth0", ipv6_addresses=("fd00::1/64",)),)
    link = Entry("changed", ("x",), field="mac", old="52:54:00:77:00:10", link="eth0")
    assert back(link) == (SetLinkMac("eth0", "52:54:00:77:00:10"),)


def test_what_nobody_knows_the_former_value_of_stays_and_is_told() -> None:
    skipped: list[str] = []
    assert back(Entry("changed", ("x",), field="hostname", new="new"), skipped=skipped) == ()
    assert skipped == ["hostname stays: it was changed"]


def test_what_was_made_goes_only_where_something_takes_its_place() -> None:
    made, old = Entry("made", path="/etc/[new]"), Entry("set aside", path="/etc/old", kept="files/etc/old")
    assert back(made) == ()
    assert back(old, made) == (SetAside("/etc/[[]new]"), BringBack(RUN, old.kept, old.path))


def test_what_came_into_the_place_of_a_folder_goes_with_it() -> None:
    folder = Entry("set aside", path="/etc/old", kept="files/etc/old")
    inside = (Entry("made", path="/etc/old/new"), Entry("replaced", path="/etc/old/file", kept="files-2/etc/old/file"))
    assert back(folder, *inside) == (BringBack(RUN, folder.kept, folder.path),)


def test_what_was_replaced_before_its_folder_went_comes_back_into_it() -> None:
    file = Entry("replaced", path="/etc/old/file", kept="files/etc/old/file")
    folder = Entry("set aside", path="/etc/old", kept="files-2/etc/old")
    assert back(file, folder) == (BringBack(RUN, folder.kept, folder.path), BringBack(RUN, file.kept, file.path))


def test_what_was_renamed_is_renamed_back() -> None:
    renamed = Entry("renamed", path=OLD_LOG, new=NEW_LOG)
    assert back(renamed) == (RenameFolder(NEW_LOG, OLD_LOG),)
    assert back(renamed, exists=False) == ()


def test_what_never_left_its_place_is_skipped() -> None:
    skipped: list[str] = []
    aside = Entry("set aside", path="/etc/old", kept="files/etc/old")
    assert back(aside, is_kept=False, skipped=skipped) == ()
    assert len(skipped) == 1


def test_of_what_was_changed_in_one_go_each_artefact_has_its_own() -> None:
    assert subjects(Entry("changed", ("mac", "ipv4-address"), field="ipv4_addresses")) == ("ipv4-address",)
    assert subjects(Entry("replaced", ("machine-id",), ID)) == ("machine-id",)


# The list


@pytest.fixture
def listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the list be of that disk's attic, and be asked for by root."""
    monkeypatch.setattr(attic, "ATTIC", f"{root}{attic.ATTIC}")
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.mark.usefixtures("listed")
def test_a_program_reads_every_entry_of_every_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["history", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    (run,) = document["runs"]
    assert (run["run"], run["reason"]) == (RUN, "clone: other hardware")
    assert run["artefacts"] == sorted(RENEWAL)
    by_path = {entry["path"]: entry for entry in run["entries"]}
    assert by_path[KEY]["what"] == "replaced"
    assert (by_path[KEY]["mode"], by_path[KEY]["kept"]) == ("0600", True)
    assert by_path[OLD_LOG]["new"] == NEW_LOG
    assert run["size_bytes"] > 0


@pytest.mark.usefixtures("listed")
def test_a_person_reads_what_became_of_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["history"]) == 0
    shown = capsys.readouterr().out
    for text in (RUN, "clone: other hardware", f"replaced     {KEY}", f"renamed      {OLD_LOG} -> {NEW_LOG}"):
        assert text in shown, text


def test_a_machine_id_is_shown_as_a_fingerprint() -> None:
    shown = veil(f"/var/log/journal/{'a' * 32} -> /var/log/journal/{'b' * 32}")
    assert "a" * 32 not in shown and "b" * 32 not in shown
    first, second = shown.split(" -> ")
    assert first.startswith("/var/log/journal/[") and first != second


def test_where_nothing_was_replaced_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(attic, "ATTIC", str(tmp_path / "none"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert cli.run(["history"]) == 0
    assert capsys.readouterr().out == "nothing was replaced on this machine\n"


def test_who_is_not_root_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.run(["history"]) == 1
    assert cli.run(["restore", RUN]) == 1
    assert capsys.readouterr().err.count("as root") == 2
