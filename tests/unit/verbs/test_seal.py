"""`nodeprep seal`: what may be typed, what is refused, and what is said."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nodeprep import cli, run, seal
from nodeprep.artefacts import catalogue
from nodeprep.host import image, programs
from nodeprep.host.image import Image
from nodeprep.verbs import VERBS
from nodeprep.verbs import seal as verb
from nodeprep.verbs.seal import Request, request_of
from tests.fakes import disk

CATALOGUE = catalogue()


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a template's disk, where no unit runs and no program is run."""
    disk.make_template(tmp_path)
    for profile in (tmp_path / "etc/systemd/network").glob("*"):
        profile.unlink()  # configuration, which sealing leaves as it is
    monkeypatch.setattr(programs, "active_units", lambda units: frozenset())
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "flags", "root"),
    [
        ([], set(), ""),
        (["--check", "--json", "--root", "/mnt"], {"--check", "--json"}, "/mnt"),
        (["--root=/mnt", "--dry-run"], {"--dry-run"}, "/mnt"),
        (["--mark"], {"--mark"}, ""),
        (
            ["--keep-fleet-key", "--reset-joined", "--poweroff"],
            {"--keep-fleet-key", "--reset-joined", "--poweroff"},
            "",
        ),
    ],
)
def test_what_may_be_typed(typed: list[str], flags: set[str], root: str) -> None:
    assert request_of(VERBS["seal"].parse(typed)) == Request(frozenset(flags), root)


@pytest.mark.parametrize(
    "typed",
    [
        ["--frob"],
        ["/mnt"],
        ["--root"],
        ["--root="],
        ["--mark", "--json"],
        ["--check", "--dry-run"],
        ["--mark", "--poweroff"],
        ["--root", "/mnt", "--poweroff"],
    ],
)
def test_what_may_not_be_typed(typed: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["seal", *typed]) == 64
    assert "seal: " in capsys.readouterr().err


def test_checking_a_template_and_then_the_sealed_image(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    machine, request = Image(str(root)), Request(frozenset({"--reset-joined"}), "/mnt")
    assert verb.check(CATALOGUE, machine, request) == 1
    said = capsys.readouterr().out
    assert said.startswith("not clean: ")
    assert "in /mnt\n" in said
    assert "`nodeprep seal --root /mnt`" in said
    assert disk.MACHINE_ID not in said
    assert verb.seal_it(CATALOGUE, machine, request, runs=False) == 0
    assert capsys.readouterr().out.startswith("sealed: ")
    assert verb.check(CATALOGUE, machine, request) == 0
    assert capsys.readouterr().out == "clean: nothing that clones would share in /mnt\n"
    assert verb.check(CATALOGUE, machine, Request(frozenset({"--check", "--json"}))) == 0
    assert json.loads(capsys.readouterr().out) == {
        "schema": 1,
        "state": "clean",
        "summary": "nothing that clones would share",
        "findings": [],
    }


def test_a_remedy_is_said_once_for_a_row_of_findings_that_share_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    verb.check(CATALOGUE, Image(str(root)), Request())
    lines = capsys.readouterr().out.splitlines()
    remedies = [line for line in lines if "  -> " in line]
    assert 1 <= len(remedies) < len(lines) // 2


def test_a_dry_run_shows_every_step_and_does_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = disk.contents(root)
    request = Request(frozenset({"--dry-run", "--reset-joined"}))
    assert verb.seal_it(CATALOGUE, Image(str(root)), request, runs=True) == 0
    said = capsys.readouterr().out
    assert disk.contents(root) == before
    assert said.index("\nrunning-system") < said.index("\nmark") < said.index("\nmachine-id") < said.rindex("\nmark")
    assert "  remove /var/log/journal/MACHINE-ID\n" in said
    assert disk.MACHINE_ID not in said


def test_a_member_is_refused_unless_it_is_to_be_reset(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    disk.put(root, "/etc/kubernetes/kubelet.conf", b"x")
    before = disk.contents(root)
    assert verb.seal_it(CATALOGUE, Image(str(root)), Request(), runs=False) == 1
    assert "--reset-joined" in capsys.readouterr().err
    assert verb.mark(CATALOGUE, Image(str(root))) == 1
    assert disk.contents(root) == before
    reset = Request(frozenset({"--reset-joined"}))
    assert verb.seal_it(CATALOGUE, Image(str(root)), reset, runs=False) == 0
    assert not (root / "etc/kubernetes/kubelet.conf").exists()


def test_a_kubelet_that_runs_is_refused(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(programs, "active_units", lambda units: units & {"k3s.service"})
    before = disk.contents(root)
    request = Request(frozenset({"--reset-joined"}))
    assert verb.seal_it(CATALOGUE, Image(str(root), runs=True), request, runs=True) == 1
    assert "systemctl stop k3s.service" in capsys.readouterr().err
    assert disk.contents(root) == before


def test_what_a_daemon_writes_when_it_is_stopped_for_it_is_removed_too(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    drift = root / "var/lib/openntpd/db/ntpd.drift"
    assert not drift.exists()

    def stop(argv: tuple[str, ...], timeout_s: float) -> str:
        if argv[:2] == ("systemctl", "stop"):
            assert "openntpd.service" in argv
            drift.parent.mkdir(parents=True)
            drift.write_text("-12.3")
        return ""

    monkeypatch.setattr(programs, "active_units", lambda units: units & {"openntpd.service"})
    monkeypatch.setattr(programs, "run", stop)
    request = Request(frozenset({"--reset-joined"}))
    assert verb.seal_it(CATALOGUE, Image(str(root), runs=True), request, runs=True) == 0, capsys.readouterr().err
    assert drift.parent.exists()
    assert not drift.exists()


def test_what_is_still_there_when_all_was_done_keeps_it_from_being_called_sealed(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Image(str(root))
    remove = machine.remove
    monkeypatch.setattr(machine, "remove", lambda pattern: None if "random-seed" in pattern else remove(pattern))
    request = Request(frozenset({"--reset-joined"}))
    assert verb.seal_it(CATALOGUE, machine, request, runs=False) == 1
    assert "random seed" in capsys.readouterr().err
    assert (root / run.BAKED_OFFLINE[1:]).read_text() == "sealing\n"


def test_a_running_template_is_told_to_power_off_or_does_so(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ran: list[tuple[str, ...]] = []

    def note(argv: tuple[str, ...], timeout_s: float) -> str:
        ran.append(argv)
        return ""

    monkeypatch.setattr(programs, "run", note)
    request = Request(frozenset({"--reset-joined"}))
    assert verb.seal_it(CATALOGUE, Image(str(root), runs=True), request, runs=True) == 0
    assert "power off now" in capsys.readouterr().out
    assert ran == [("systemctl", "stop", "nodeprep.service"), ("journalctl", "--relinquish-var")]
    assert (root / run.SEALED_NOW[1:]).exists()
    request = Request(frozenset({"--reset-joined", "--poweroff"}))
    assert verb.seal_it(CATALOGUE, Image(str(root), runs=True), request, runs=True) == 0
    assert ran[-1] == ("systemctl", "--no-block", "poweroff")


def test_nobody_but_root_seals(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert cli.run(["seal"]) == 1
    assert "as root" in capsys.readouterr().err


@pytest.mark.parametrize(("folders", "refused"), [((), True), (("etc", "usr"), True), (("etc", "usr", "var"), False)])
def test_what_a_root_file_system_has(tmp_path: Path, folders: tuple[str, ...], refused: bool) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    assert bool(image.refusal(str(tmp_path))) is refused
    assert "leave --root out" in image.refusal("/")


def test_no_unit_that_waits_for_a_ready_node_may_run_meanwhile() -> None:
    folders = (Path(__file__).parents[2] / "units").glob("*.service.d")
    gated = {folder.name.removesuffix(".d") for folder in folders if (folder / "10-nodeprep.conf").exists()}
    assert gated <= seal.MEMBERS


def test_a_program_reads_the_steps_and_then_what_is_left_to_the_operator(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machine_id = (root / "etc/machine-id").read_text().strip()
    dry = Request(frozenset({"--dry-run", "--json"}))
    assert verb.seal_it(CATALOGUE, Image(str(root)), dry, runs=False) == 0
    told = capsys.readouterr().out
    assert (json.loads(told)["state"], machine_id in told) == ("dry-run", False)
    assert {"machine-id", "ssh-host-keys"} <= {name for step in json.loads(told)["steps"] for name in step["subjects"]}
    assert (root / "etc/machine-id").read_text().strip() == machine_id
    assert verb.seal_it(CATALOGUE, Image(str(root)), Request(frozenset({"--json"})), runs=False) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "sealed"
    assert (root / "etc/machine-id").read_text().strip() == ""
