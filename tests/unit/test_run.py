"""A run: what it takes for inherited, what it remembers, and when it writes."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from nodeprep import config, judge, naming, renewal, run, stamp
from nodeprep.config import Config
from nodeprep.endpoint import Endpoint
from nodeprep.errors import ConfigError
from nodeprep.host import programs
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim, Decision, Link, Origin, Profile, Stage, Values, Verdict
from nodeprep.openings import openings_of
from nodeprep.situation import situation_of
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


def begin(
    root: Path,
    signals: dict[str, Values],
    profiles: tuple[Profile, ...] = (),
    *,
    settings: Config | None = None,
    was_ready: bool = False,
) -> run.Run:
    machine = FakeManagers(str(root), (LINK,), profiles).view("test")
    this = run.Run(machine, settings or Config(), signals)
    this.decide(was_ready=was_ready)
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
    there = {name for name, reading in this.observation.items() if isinstance(reading, frozenset) and reading}
    assert {name for name, verdict in found.items() if verdict is Verdict.INHERITED} == there - {"mac"}
    assert {"machine-id", "ssh-host-keys", "hostname", "random-seed"} < there


@pytest.mark.parametrize(
    ("mark", "how"), [(b"", "baked offline"), (b"sealing\n", "sealed"), (b"sealed 2026-11-24T04:00:00Z\n", "sealed")]
)
def test_a_first_boot_says_how_its_image_was_made(root: Path, mark: bytes, how: str) -> None:
    stamped(root)
    disk.put(root, run.BAKED_OFFLINE, mark)
    this = begin(root, HOME)
    assert this.decision.origin is Origin.FIRST_BOOT
    assert how in this.decision.reason


def test_a_first_boot_ends_with_its_mark_and_not_with_one_that_came_since(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    this = begin(root, HOME)
    this.begin()
    this.look()
    this.finish()
    assert not (root / run.BAKED_OFFLINE[1:]).exists()
    disk.put(root, run.BAKED_OFFLINE, b"marked 2026-11-24T04:00:00Z\n")
    disk.put(root, "/etc/hostname", b"renamed\n")
    this.look()
    assert this.finish(), "an operator's change is adopted"
    assert (root / run.BAKED_OFFLINE[1:]).read_bytes() == b"marked 2026-11-24T04:00:00Z\n"


@pytest.mark.parametrize("mark", [b"", b"sealed 2026-11-24T04:00:00Z\n"])
def test_a_name_that_a_machine_was_given_between_the_two_runs_is_its_own(root: Path, mark: bytes) -> None:
    disk.put(root, run.BAKED_OFFLINE, mark)
    if mark:
        disk.put(root, "/etc/hostname", b"")
    begin(root, HOME).begin()
    disk.put(root, "/etc/hostname", b"given-by-the-cloud\n")
    this = begin(root, HOME)
    this.begin()
    this.look()
    assert verdicts(this)["hostname"] is Verdict.OWN
    assert situation_of(this, "ab" * 16).hostname == "given-by-the-cloud", "its line in /etc/hosts follows it"


def test_a_name_from_a_credential_beats_one_given_between_the_two_runs(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    disk.put(root, "/run/credentials/@system/nodeprep.hostname", b"named")
    begin(root, HOME).begin()
    disk.put(root, "/etc/hostname", b"given-by-the-cloud\n")
    this = begin(root, HOME)
    this.config = config.load(this.machine)
    this.begin()
    this.look()
    assert verdicts(this)["hostname"] is Verdict.INHERITED
    assert situation_of(this, "ab" * 16).hostname == "named"
    this.outcomes["hostname"] = Outcome("hostname", Result.DONE)
    disk.put(root, "/etc/hostname", b"named\n")
    this.begin()
    this.look()
    assert verdicts(this)["hostname"] is Verdict.OWN


def test_a_pinned_mac_is_a_legacy(root: Path) -> None:
    disk.put(root, run.BAKED_OFFLINE, b"")
    this = begin(root, HOME, (Profile("u1", "Wired", "eth0", LINK.mac),))
    this.begin()
    this.look()
    assert verdicts(this)["mac"] is Verdict.INHERITED


def test_a_twin_beyond_a_router_has_reached_our_macs_and_addresses_so_they_are_ours(root: Path) -> None:
    stamped(root)
    this = begin(root, HOME)
    this.contested = {Claim.MACHINE_ID: frozenset({disk.MACHINE_ID}), Claim.IPV6: frozenset({"fd00::77"})}
    this.call_it_a_twin("a live peer presents it", on_segment=False)
    this.begin()
    assert this.renewal is not None
    inherited = this.renewal.inherited
    assert inherited["mac"] == inherited["ipv4-address"] == frozenset()
    assert inherited["ipv6-address"] == fingerprints("ipv6-address", ["fd00::77"]), "but for what it contests"
    assert inherited["machine-id"]
    assert inherited["ssh-host-keys"]
    again = begin(root, HOME)
    again.begin()
    assert again.renewal is not None
    assert again.renewal.inherited == inherited, "nor are they renewed where that was cut off and goes on"


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


@pytest.mark.parametrize("signals", [HOME, ELSEWHERE], ids=["first-boot", "clone"])
def test_after_its_end_nothing_that_was_renewed_or_comes_later_is_a_templates(
    root: Path, signals: dict[str, Values], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(programs, "run", disk.Programs().run)
    if signals is HOME:
        disk.put(root, run.BAKED_OFFLINE, b"")
    else:
        stamped(root)
    this = begin(root, signals)
    this.begin()
    for stage in Stage:
        this.look()
        this.carry_out(this.propose(run.draw(this.machine), Situation(hostname="worker-1"), stage))
    this.machine = FakeManagers(str(root), (LINK,)).view("test")
    this.look()
    left = {name for name, verdict in verdicts(this).items() if verdict is Verdict.INHERITED}
    this.finish()
    put_key(root)  # the agent is enrolled on this machine itself, while the daemon watches
    this.look()
    assert {name for name, verdict in verdicts(this).items() if verdict is Verdict.INHERITED} == left
    assert "salt-minion" in this.adopted()
    this.finish()
    assert this.stamp is not None
    assert set(this.stamp.inherited) == left
    assert "machine-id" not in left


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


# What is not renewed by itself, and an operator's word


def put_key(root: Path, content: bytes = b"template's key") -> None:
    """Enrol an agent."""
    disk.put(root, "/etc/salt/pki/minion/minion.pem", content, 0o600)


def a_boot(root: Path, signals: dict[str, Values], *, was_ready: bool = False) -> run.Run:
    """Boot up to the stamp, and renew nothing."""
    this = begin(root, signals, was_ready=was_ready)
    this.look()
    this.finish()
    return this


def test_what_is_still_the_templates_is_remembered_over_boots_until_it_changes(root: Path) -> None:
    put_key(root)
    stamped(root)
    assert verdicts(a_boot(root, ELSEWHERE))["salt-minion"] is Verdict.INHERITED
    for _ in range(2):
        again = a_boot(root, ELSEWHERE)
        assert again.decision.origin is Origin.SAME
        assert verdicts(again)["salt-minion"] is Verdict.INHERITED
    put_key(root, b"its own key")
    assert verdicts(a_boot(root, ELSEWHERE))["salt-minion"] is Verdict.OWN
    stamp_now = stamp.read(LocalMachine("test", str(root)))
    assert stamp_now is not None
    assert "salt-minion" not in stamp_now.inherited
    put_key(root)
    assert verdicts(a_boot(root, ELSEWHERE))["salt-minion"] is Verdict.OWN, "restored by an operator"


def test_of_a_machine_that_was_moved_nothing_is_a_templates(root: Path) -> None:
    put_key(root)
    stamped(root)
    moved = a_boot(root, HOME | {"product-uuid": ELSEWHERE["product-uuid"]})
    assert moved.decision.origin is Origin.MOVED
    assert verdicts(moved)["salt-minion"] is Verdict.OWN


def decided(root: Path, word: str) -> Path:
    disk.put(root, run.DECIDED, f"{word}\n".encode())
    return root / run.DECIDED[1:]


MEMBERSHIP = "/etc/kubernetes/kubelet.conf"


@pytest.mark.parametrize("signals", [HOME, ELSEWHERE], ids=["twin", "clone"])
def test_who_decided_to_renew_says_that_it_is_a_copy_and_resets_its_membership(
    root: Path, signals: dict[str, Values]
) -> None:
    disk.put(root, MEMBERSHIP, b"clusters: []")
    stamped(root)
    decided(root, "renew")
    this = begin(root, signals)
    assert (this.decision.origin, this.decision.joined, this.decision.resets) == (Origin.CLONE, False, True)
    this.begin()
    this.look()
    assert verdicts(this)["kubelet-identity"] is verdicts(this)["machine-id"] is Verdict.INHERITED


def test_a_word_for_the_next_boot_says_nothing_of_a_cluster_that_was_joined_meanwhile(root: Path) -> None:
    disk.put(root, MEMBERSHIP, b"clusters: []")
    stamped(root)
    decided(root, f"renew {run.ALONE}")
    this = begin(root, HOME)
    assert (this.decision.origin, this.decision.joined, this.decision.resets) == (Origin.CLONE, True, False)


def test_who_decided_to_keep_ends_a_renewal_and_all_is_its_own(root: Path) -> None:
    put_key(root)
    stamped(root)
    begin(root, ELSEWHERE).begin()
    word = decided(root, "keep")
    this = begin(root, ELSEWHERE)
    assert this.decision.origin is Origin.MOVED
    assert not this.decision.resumed
    this.look()
    assert Verdict.INHERITED not in verdicts(this).values()
    this.finish()
    assert not word.exists()
    assert not (root / renewal.PATH[1:]).exists()
    assert begin(root, ELSEWHERE).decision.origin is Origin.SAME


def test_keep_on_a_machine_that_is_ready_clears_what_is_said_of_the_template(root: Path) -> None:
    put_key(root)
    stamped(root)
    a_boot(root, ELSEWHERE)
    assert verdicts(a_boot(root, ELSEWHERE, was_ready=True))["salt-minion"] is Verdict.INHERITED
    word = decided(root, "keep")
    assert verdicts(a_boot(root, ELSEWHERE, was_ready=True))["salt-minion"] is Verdict.OWN
    assert not word.exists()
    assert verdicts(a_boot(root, ELSEWHERE))["salt-minion"] is Verdict.OWN


def test_renew_on_a_machine_that_is_ready_waits_for_the_next_boot(root: Path) -> None:
    stamped(root)
    word = decided(root, "renew")
    this = a_boot(root, HOME, was_ready=True)
    assert this.decision.origin is Origin.SAME
    assert not this.decision.resets
    assert word.exists()
    this = begin(root, HOME)
    assert this.decision.origin is Origin.CLONE
    this.look()
    this.finish()
    assert not word.exists()


def test_a_word_that_comes_while_a_run_is_under_way_is_not_lost_to_it(root: Path) -> None:
    this = begin(root, HOME)
    word = decided(root, "renew")
    this.look()
    this.finish()
    assert word.exists()


def test_a_word_that_means_nothing_changes_nothing_and_goes(root: Path) -> None:
    stamped(root)
    word = decided(root, "perhaps")
    assert a_boot(root, HOME).decision.origin is Origin.SAME
    assert not word.exists()


RESET = replace(Config(), identity=config.Identity(joined_clone="reset"))


def test_a_policy_resets_the_copy_that_the_hardware_tells_of(root: Path) -> None:
    disk.put(root, MEMBERSHIP, b"clusters: []")
    stamped(root)
    assert begin(root, ELSEWHERE).decision.joined
    this = begin(root, ELSEWHERE, settings=RESET)
    assert this.decision.resets
    assert not this.decision.joined
    this.begin()
    resumed = begin(root, ELSEWHERE, settings=RESET).decision
    assert resumed == replace(this.decision, resumed=True)


@pytest.mark.parametrize("moved", [False, True], ids=["same", "moved"])
def test_a_policy_resets_no_twin_and_no_original(root: Path, moved: bool) -> None:
    # Of twins on the wire one is the original, and nobody can tell which.
    disk.put(root, MEMBERSHIP, b"clusters: []")
    stamped(root)
    signals = HOME | {"product-uuid": ELSEWHERE["product-uuid"]} if moved else HOME
    decision = begin(root, signals, settings=RESET).decision
    assert decision.joined
    assert not decision.resets


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


def test_peers_beyond_routers_are_let_in_and_nobody_else(root: Path) -> None:
    role = Path(__file__).parents[2] / "config/roles.d/worker.toml"
    disk.put(root, "/usr/share/nodeprep/roles.d/worker.toml", role.read_bytes())
    named = config.Peers(
        unicast=(Endpoint("10.1.2.3"), Endpoint("fd00::5", 7000), Endpoint("10.1.2.3", 7001)), port=7900
    )
    machine = LocalMachine("test", str(root))
    plain, wider = (openings_of(machine, replace(Config(), peers=peers)) for peers in (config.Peers(), named))
    (own,) = set(wider) - set(plain)
    assert (own.title, own.sources) == ("7900/udp", ("10.1.2.3/32", "fd00::5/128"))


def test_nothing_is_wanting_on_a_machine_of_its_own(root: Path) -> None:
    this = begin(root, HOME)
    this.look()
    assert not judge.wanting(this.findings)
    assert this.decision == Decision(Origin.ADOPTED, this.decision.reason)
