"""A run: what it takes for inherited, what it remembers, and when it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nodeprep import config, naming, renewal, run, stamp
from nodeprep.config import Config
from nodeprep.errors import ConfigError
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim, Decision, Link, Origin, Profile, Stage, Values, Verdict
from nodeprep.stamp import fingerprints
from nodeprep.steps import Outcome, Plan, Result, RunProgram, Situation, Step
from tests.fakes import disk
from tests.fakes.managers import FakeManagers

HOME: dict[str, Values] = {"product-uuid": frozenset({"u"}), "permanent-mac": frozenset({"02:00:00:00:00:01"})}
ELSEWHERE: dict[str, Values] = {"product-uuid": frozenset({"v"}), "permanent-mac": frozenset({"02:00:00:00:00:02"})}
LINK = Link("eth0", 2, "02:00:00:00:00:01", None, True)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NODEPREP_SYSFS", str(tmp_path / "sys"))
    disk.make_template(tmp_path)
    return tmp_path


def begin(root: Path, signals: dict[str, Values], profiles: tuple[Profile, ...] = ()) -> run.Run:
    machine = FakeManagers(str(root), (LINK,), profiles).view("test")
    this = run.Run(machine, Config(), signals)
    this.decide()
    return this


def stamped(root: Path) -> None:
    this = begin(root, HOME)
    this.look()
    assert this.finish()


def verdicts(this: run.Run) -> dict[str, Verdict]:
    return {finding.subject: finding.verdict for finding in this.findings}


def test_a_machine_that_ran_before_is_adopted_and_left_alone(root: Path) -> None:
    before = disk.contents(root)
    this = begin(root, HOME)
    this.look()
    assert this.decision.origin is Origin.ADOPTED
    assert set(verdicts(this).values()) <= {Verdict.OWN, Verdict.ABSENT}
    assert this.finish()
    assert before < disk.contents(root)
    assert not this.finish()


def test_a_clone_inherits_what_the_stamp_says(root: Path) -> None:
    stamped(root)
    disk.put(root, "/etc/hostname", b"changed-since\n")
    this = begin(root, ELSEWHERE)
    assert this.decision.origin is Origin.CLONE
    this.begin()
    this.look()
    assert verdicts(this)["machine-id"] is Verdict.INHERITED
    assert verdicts(this)["random-seed"] is Verdict.INHERITED
    assert verdicts(this)["hostname"] is Verdict.OWN


def test_on_a_first_boot_everything_there_is_is_inherited_but_the_links_own_mac(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    this = begin(root, HOME)
    assert this.decision.origin is Origin.FIRST_BOOT
    this.begin()
    this.look()
    found = verdicts(this)
    assert found.pop("mac") is Verdict.OWN
    assert {found.pop(name) for name in ("ipv4-address", "ipv6-address")} == {Verdict.ABSENT}
    assert set(found.values()) == {Verdict.INHERITED}


def test_a_pinned_mac_is_a_legacy(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    this = begin(root, HOME, (Profile("u1", "Wired", "eth0", LINK.mac),))
    this.begin()
    this.look()
    assert verdicts(this)["mac"] is Verdict.INHERITED


def test_a_contested_mac_is_a_legacy_of_a_twin(root: Path) -> None:
    stamped(root)
    this = begin(root, HOME)
    this.contested = {Claim.MAC: frozenset({LINK.mac}), Claim.MACHINE_ID: frozenset({disk.MACHINE_ID})}
    this.call_it_a_twin("a live peer presents it")
    this.begin()
    assert this.renewal is not None
    assert this.renewal.origin is Origin.TWIN
    assert this.renewal.inherited["mac"] == fingerprints("mac", [LINK.mac])


def test_what_is_missing_at_the_beginning_is_not_inherited_later(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    (root / "etc/machine-id").unlink()
    this = begin(root, HOME)
    this.begin()
    disk.put(root, "/etc/machine-id", b"ab" * 16 + b"\n")
    again = begin(root, HOME)
    assert again.decision.resumed
    again.begin()
    again.look()
    assert verdicts(again)["machine-id"] is Verdict.OWN


def test_a_renewal_that_was_cut_off_goes_on_for_the_same_reason(root: Path) -> None:
    stamped(root)
    this = begin(root, ELSEWHERE)
    this.begin()
    again = begin(root, ELSEWHERE)
    assert again.decision == replace(this.decision, resumed=True)
    assert again.renewal == this.renewal


def test_a_torn_renewal_never_took_effect(root: Path) -> None:
    stamped(root)
    disk.put(root, renewal.PATH, b'{"schema": 1, "ori')
    this = begin(root, ELSEWHERE)
    assert this.renewal is None
    assert this.decision.origin is Origin.CLONE


def test_beginning_again_writes_nothing_new(root: Path) -> None:
    stamped(root)
    begin(root, ELSEWHERE).begin()
    text = (root / renewal.PATH[1:]).read_bytes()
    (root / renewal.PATH[1:]).chmod(0o640)
    begin(root, ELSEWHERE).begin()
    assert (root / renewal.PATH[1:]).read_bytes() == text
    assert (root / renewal.PATH[1:]).stat().st_mode & 0o777 == 0o640


def test_the_end_of_a_renewal_leaves_a_stamp_and_the_one_before(root: Path) -> None:
    stamped(root)
    former = (root / stamp.PATH[1:]).read_bytes()
    this = begin(root, ELSEWHERE)
    this.begin()
    this.look()
    assert this.finish()
    assert (root / stamp.PREVIOUS[1:]).read_bytes() == former
    assert not (root / renewal.PATH[1:]).exists()
    assert begin(root, ELSEWHERE).decision.origin is Origin.SAME


def test_a_torn_stamp_falls_back_to_the_one_before(root: Path) -> None:
    stamped(root)
    (root / stamp.PATH[1:]).rename(root / stamp.PREVIOUS[1:])
    assert begin(root, HOME).decision.origin is Origin.SAME
    disk.put(root, stamp.PATH, b'{"torn')
    assert begin(root, HOME).decision.origin is Origin.SAME


def test_hardware_that_cannot_be_read_now_is_not_forgotten(root: Path) -> None:
    stamped(root)
    this = begin(root, {"permanent-mac": HOME["permanent-mac"]})
    this.look()
    this.finish()
    assert begin(root, ELSEWHERE).decision.origin is Origin.CLONE


def test_an_operators_change_is_adopted(root: Path) -> None:
    stamped(root)
    disk.put(root, "/etc/hostname", b"chosen\n")
    disk.put(root, "/var/lib/systemd/random-seed", b"every boot another")
    this = begin(root, HOME)
    this.look()
    assert this.adopted() == ("hostname",)
    assert this.finish()
    again = begin(root, HOME)
    again.look()
    assert again.adopted() == ()


def test_the_package_adopts_once(root: Path) -> None:
    assert run.adopt(LocalMachine("adopt", str(root)))
    assert not run.adopt(LocalMachine("adopt", str(root)))


def test_the_package_does_not_adopt_in_an_image(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    assert not run.adopt(LocalMachine("adopt", str(root)))
    assert not (root / stamp.PATH[1:]).exists()


def test_a_change_is_told_with_fingerprints_of_what_is_confidential(root: Path) -> None:
    stamped(root)
    this = begin(root, ELSEWHERE)
    this.begin()
    this.look()
    this.carry_out(this.propose(run.draw(this.machine), Situation(hostname="worker-1"), Stage.MAIN))
    this.machine = LocalMachine("test", str(root))
    this.look()
    assert this.changes["hostname"] == run.Change("hostname", "template", "worker-1")
    for change in this.changes.values():
        assert disk.MACHINE_ID not in f"{change.old}{change.new}"


def test_a_step_that_failed_is_not_covered_by_a_later_one_that_did_not(root: Path) -> None:
    this = begin(root, HOME)
    failing = Step(("running-system",), (RunProgram(("false",)),), "stop what writes back")
    working = Step(("running-system",), (RunProgram(("true",)),), "start it again")
    this.carry_out(Plan((failing, working)))
    assert this.outcomes["running-system"].result is Result.FAILED


def test_a_later_success_of_the_same_subject_counts(root: Path) -> None:
    this = begin(root, HOME)
    this.outcomes["machine-id"] = Outcome("machine-id", Result.FAILED, "then")
    this.carry_out(Plan((Step(("machine-id",), (RunProgram(("true",)),), "now"),)))
    assert this.outcomes["machine-id"] == Outcome("machine-id", Result.DONE, "now")


def test_what_is_drawn_is_what_the_plan_promises(root: Path) -> None:
    machine = LocalMachine("test", str(root))
    drawn = [run.draw(machine) for _ in range(50)]
    for fresh in drawn:
        assert re.fullmatch("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", fresh.machine_id)
        first = int(fresh.mac[:2], 16)
        assert first & 0x02
        assert not first & 0x01
        assert re.fullmatch("([0-9a-f]{2}:){5}[0-9a-f]{2}", fresh.mac)
        assert len(fresh.seed) == 512
    assert len({fresh.machine_id for fresh in drawn}) == len({fresh.mac for fresh in drawn}) == 50


def test_the_hostnames_id_follows_the_machine_id_and_does_not_give_it_away() -> None:
    one, other = naming.app_specific("0" * 31 + "1"), naming.app_specific("0" * 31 + "2")
    assert one != other
    assert one == naming.app_specific("0" * 31 + "1")
    assert re.fullmatch("[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", one)


def test_a_clone_without_a_machine_id_has_no_id_for_its_name(root: Path) -> None:
    with pytest.raises(ConfigError, match=r"\{id\} cannot be told"):
        naming.hostname_for(LocalMachine("test", str(root)), Config(), "", [])


@pytest.mark.parametrize(("mode", "is_refused"), [("open", True), ("enforce", True), ("off", False)])
def test_a_firewall_that_is_not_driven(root: Path, mode: str, is_refused: bool) -> None:
    # Where nothing is opened it does not matter who would have to.
    role = Path(__file__).parents[2] / "config/roles.d/worker.toml"
    disk.put(root, "/usr/share/nodeprep/roles.d/worker.toml", role.read_bytes())
    settings = replace(Config(), firewall=config.Firewall(mode, "ufw"))
    machine = LocalMachine("test", str(root))
    if is_refused:
        with pytest.raises(ConfigError, match="ufw"):
            run.openings_of(machine, settings)
    else:
        assert run.openings_of(machine, settings)


def test_nothing_is_wanting_on_a_machine_of_its_own(root: Path) -> None:
    this = begin(root, HOME)
    this.look()
    assert not run.wanting(this.findings)
    assert this.decision == Decision(Origin.ADOPTED, this.decision.reason)
