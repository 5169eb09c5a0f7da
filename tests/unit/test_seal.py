"""Sealing: what is planned, in which order, and what a power cut at any point of it leaves to boot."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import pytest

from nodeprep import lint, run, seal, stamp
from nodeprep.apply import apply
from nodeprep.artefacts import catalogue
from nodeprep.errors import HostError
from nodeprep.fleetkey import PATH as FLEET_KEY
from nodeprep.host import programs
from nodeprep.host.image import Image
from nodeprep.model import Kind
from nodeprep.plan import RUNNING_SYSTEM
from nodeprep.steps import LinkFile, Plan, Remove, ReplaceText, Result, RunProgram, SetAside, Step, WriteFile
from tests.fakes import disk
from tests.fakes.power import Power
from tests.unit.test_power_cut import CLONE_PLATFORM, Computer, Make, computer, folder, template_values, tls_halves

__all__ = ["computer", "folder"]

DATE = "2026-11-24T04:00:00Z"
KEY = "ab" * 32
CATALOGUE = catalogue()


def planned(root: Path, active_units: frozenset[str] | None = None) -> Plan:
    return seal.plan(CATALOGUE, Image(str(root)), fleet_key=KEY, active_units=active_units)


def seal_all(root: Path) -> None:
    machine = Image(str(root))
    for steps in (planned(root), seal.commit(DATE)):
        assert {outcome.result for outcome in apply(steps, machine)} == {Result.DONE}


def subjects(steps: Plan) -> list[str]:
    return [subject for step in steps.steps for subject in step.subjects]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """Return a template's disk that was used: with stamp, attic and holds."""
    disk.make_template(tmp_path)
    disk.put(tmp_path, stamp.PATH, b"{}")
    disk.put(tmp_path, "/var/lib/nodeprep/attic/20260101/files/etc/ssh/ssh_host_rsa_key", b"secret", 0o600)
    disk.put(tmp_path, "/var/lib/nodeprep/held/etcd.service", b"")
    disk.put(tmp_path, "/var/lib/nodeprep/.nodeprep-stamp.json", b"{")
    disk.put(tmp_path, FLEET_KEY, b"cd" * 32, 0o600)
    return tmp_path


def test_the_mark_comes_before_anything_is_removed_and_everything_hangs_on_it(template: Path) -> None:
    steps = planned(template).steps
    assert steps[0].subjects == (seal.MARK,)
    assert all(seal.MARK in step.after for step in steps[1:])


def test_on_a_running_template_nothing_is_touched_before_the_daemon_has_stopped(template: Path) -> None:
    steps = planned(template, frozenset({"systemd-random-seed.service", "chrony.service"})).steps
    assert steps[0].subjects == (RUNNING_SYSTEM,)
    words = [action.argv for action in steps[0].actions if isinstance(action, RunProgram)]
    assert words[0] == ("systemctl", "stop", "nodeprep.service", "chrony.service", "systemd-random-seed.service")
    assert words[1] == ("journalctl", "--relinquish-var")
    assert RUNNING_SYSTEM in steps[1].after


def test_what_carries_an_operator_is_never_stopped() -> None:
    units = seal.writers(CATALOGUE)
    assert not units & {"NetworkManager.service", "systemd-networkd.service", "ssh.service", "systemd-journald.service"}
    assert not units & {unit for a in CATALOGUE if a.kind is Kind.C for unit in (*a.idle, *a.holds)}


def test_nothing_of_the_template_is_left_and_the_mark_says_so(template: Path) -> None:
    seal_all(template)
    # Profiles of the network are configuration: they are told of, and stay.
    assert {problem.code for problem in lint.lint(CATALOGUE, Image(str(template)))} <= {"mac-in-profile"}
    assert (template / "etc/machine-id").read_bytes() == b""
    assert (template / "etc/machine-id").stat().st_mode & 0o777 == 0o444
    assert not list((template / "etc/ssh").glob("ssh_host_*"))
    assert (template / FLEET_KEY[1:]).read_text() == f"{KEY}\n"
    assert (template / FLEET_KEY[1:]).stat().st_mode & 0o777 == 0o600
    assert os.listdir(template / "var/lib/nodeprep") == ["baked-offline"]
    assert (template / run.BAKED_OFFLINE[1:]).read_text() == f"sealed {DATE}\n"
    assert b"secret" not in disk.contents(template)


def test_what_is_nobodys_identity_stays(template: Path) -> None:
    seal_all(template)
    assert (template / "etc/ssh/sshd_config").read_bytes() == b"# the operator's\n"
    assert (template / "var/lib/NetworkManager/NetworkManager.state").exists()
    assert "10.77.0.9\tstorage" in (template / "etc/hosts").read_text()


def test_a_fleet_key_is_kept_on_request(template: Path) -> None:
    assert seal.FLEET_KEY not in subjects(seal.plan(CATALOGUE, Image(str(template))))


def test_sealing_is_a_matter_of_files_and_what_is_not_sealed_is_renewed_at_the_first_boot(template: Path) -> None:
    kinds = {type(action) for step in planned(template).steps for action in step.actions}
    assert kinds <= {Remove, WriteFile, ReplaceText, LinkFile, SetAside}
    assert {a.kind for a in CATALOGUE if not a.seal} <= {Kind.A, Kind.B, Kind.R}


def test_planning_is_pure(template: Path) -> None:
    before = disk.contents(template)
    assert planned(template) == planned(template)
    assert disk.contents(template) == before


def test_a_key_shows_in_no_plan(template: Path) -> None:
    assert KEY not in repr(planned(template))


def test_where_the_mark_cannot_be_written_nothing_is_removed(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = disk.contents(template)
    machine = Image(str(template))

    def refuse(*_: object) -> None:
        raise HostError("read-only")

    monkeypatch.setattr(machine, "write_file", refuse)
    results = {outcome.result for outcome in apply(planned(template), machine)}
    assert results == {Result.FAILED, Result.SKIPPED}
    assert disk.contents(template) == before


def test_a_daemon_that_cannot_be_stopped_keeps_all_as_it_is(template: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: tuple[str, ...], timeout_s: float) -> str:
        raise HostError("refused")

    monkeypatch.setattr(programs, "run", refuse)
    before = disk.contents(template)
    apply(planned(template, frozenset()), Image(str(template), runs=True))
    assert disk.contents(template) == before | {b""}
    assert not (template / run.BAKED_OFFLINE[1:]).exists()


def test_no_program_of_an_image_is_run(tmp_path: Path) -> None:
    step = Step(("any",), (RunProgram(("true",)),), "")
    (outcome,) = apply(Plan((step,)), Image(str(tmp_path)))
    assert outcome.result is Result.FAILED
    assert "not run in an image" in outcome.detail


def test_a_pinned_mac_goes_and_a_word_for_one_stays(template: Path) -> None:
    path = "/etc/NetworkManager/system-connections/lan.nmconnection"
    text = "[ethernet]\n{}mac-address=00:11:22:33:44:55\n[wifi]\ncloned-mac-address=stable\n"
    disk.put(template, path, text.format("cloned-mac-address=52:54:00:77:00:10\n").encode(), 0o600)
    seal_all(template)
    assert (template / path[1:]).read_text() == text.format("")
    assert (template / path[1:]).stat().st_mode & 0o777 == 0o600


def test_a_mark_by_itself_removes_nothing(template: Path) -> None:
    before = disk.contents(template)
    apply(seal.mark(DATE), Image(str(template)))
    assert disk.contents(template) == before | {f"marked {DATE}\n".encode()}


def test_a_sealed_image_boots_into_an_identity_of_its_own(computer: Make) -> None:
    one = computer()
    seal_all(one.root)
    one.on(CLONE_PLATFORM)
    assert one.boot()
    assert whole(one) == []
    assert not one.text(run.BAKED_OFFLINE)
    assert template_values(one) == []


def whole(computer: Computer) -> list[str]:
    """Return what a booted machine lacks."""
    lacking = []
    if not re.fullmatch("[0-9a-f]{32}", computer.machine_id()):
        lacking.append(f"machine ID {computer.machine_id()!r}")
    pairs = disk.pairs(computer.root)
    if set(pairs) != set(disk.KEY_TYPES) or any(private != public for private, public in pairs.values()):
        lacking.append(f"host keys {pairs}")
    if (hostname := computer.text("/etc/hostname").strip()) in ("", "template"):
        lacking.append("hostname")
    if computer.text("/etc/mailname") != f"{hostname}.example.org\n":
        lacking.append(f"mail name {computer.text('/etc/mailname')!r}")
    if f"127.0.1.1\t{hostname}\n" not in computer.text("/etc/hosts"):
        lacking.append("its own line in /etc/hosts")
    if not (host := computer.text("/etc/nvme/hostid").strip()) or host not in computer.text("/etc/nvme/hostnqn"):
        lacking.append("NVMe host ID and NQN that match")
    key, certificate = tls_halves(computer)
    if not key or key != certificate:
        lacking.append(f"TLS halves that match: {key!r}, {certificate!r}")
    return lacking


@pytest.mark.parametrize("forgets", [False, True], ids=["", "what-was-not-synced-is-lost"])
def test_power_cut_before_each_touch_of_sealing(computer: Make, forgets: bool) -> None:
    one = computer()
    undisturbed = Power(one.root)
    undisturbed.supply(partial(seal_all, one.root))
    assert len(undisturbed.done) > 50
    failures = []
    for cut, what in enumerate(undisturbed.done):
        one = computer()
        assert Power(one.root, cut=cut, forgets=forgets).supply(partial(seal_all, one.root)) is None
        marked = bool(one.text(run.BAKED_OFFLINE))
        broken = []
        if marked:
            one.on(CLONE_PLATFORM)
        if not one.boot():
            broken.append("not ready")
        if marked:
            broken += whole(one)
            if left := template_values(one):
                broken.append(f"still the template's: {left}")
        elif one.machine_id() != disk.MACHINE_ID or not disk.pairs(one.root):
            broken.append("not the template any more, and no first boot either")
        if one.text(run.BAKED_OFFLINE) or one.text("/var/lib/nodeprep/renewal.json"):
            broken.append("the first boot did not end")
        if broken:
            failures.append(f"cut before {cut} {what}: {'; '.join(broken)}")
    if failures:
        pytest.fail(f"{len(failures)} of {len(undisturbed.done)} cuts:\n" + "\n".join(failures[:20]), pytrace=False)


@pytest.mark.parametrize("forgets", [False, True], ids=["", "what-was-not-synced-is-lost"])
def test_power_cut_before_each_touch_of_a_sealed_images_first_boot(computer: Make, forgets: bool) -> None:
    one = sealed(computer)
    undisturbed = Power(one.root)
    assert undisturbed.supply(one.boot)
    shape = one.shape()
    assert len(undisturbed.done) > 50
    failures = []
    for cut, what in list(enumerate(undisturbed.done))[:: 1 if forgets else 3]:
        one = sealed(computer)
        assert Power(one.root, cut=cut, forgets=forgets).supply(one.boot) is None
        broken = [] if one.boot() else ["not ready"]
        broken += whole(one)
        if left := template_values(one):
            broken.append(f"the template's: {left}")
        if one.text(run.BAKED_OFFLINE) or one.text("/var/lib/nodeprep/renewal.json"):
            broken.append("the first boot did not end")
        if one.shape() != shape:
            broken.append(f"another shape: {dict(set(one.shape().items()) ^ set(shape.items()))}")
        if broken:
            failures.append(f"cut before {cut} {what}: {'; '.join(broken)}")
    if failures:
        pytest.fail(f"{len(failures)} of {len(undisturbed.done)} cuts:\n" + "\n".join(failures[:20]), pytrace=False)


def sealed(make: Make) -> Computer:
    """A copy of an image that was sealed."""
    one = make()
    seal_all(one.root)
    one.on(CLONE_PLATFORM)
    return one
