"""Planning: what is mended by itself, in which order, and what is folded into one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from nodeprep.artefacts import catalogue
from nodeprep.model import (
    Decision,
    Finding,
    Kind,
    Link,
    LinkAddress,
    Origin,
    Profile,
    Stage,
    Verdict,
)
from nodeprep.plan import JOBS_TIMEOUT_S, RUNNING_SYSTEM, due, plan, reboot, releases, wanted
from nodeprep.steps import (
    Fresh,
    HoldUnits,
    Plan,
    Reboot,
    ReleaseUnits,
    RunProgram,
    SetAside,
    SetHostname,
    SetLinkMac,
    SetProfile,
    Situation,
    Step,
)

FRESH = Fresh("f" * 32, b"seed", "02:00:00:00:00:aa", "/staging", "10.77.0.100/24", "fd00::100/64")
LINK = Link("eth0", 2, "52:54:00:00:00:01", "52:54:00:00:00:01", True, (LinkAddress("10.77.0.11", 24, "global"),))
PROFILE = Profile("u1", "Wired", "eth0", None, "manual", ("10.77.0.11/24",))
SITUATION = Situation("0" * 32, "worker-1", (LINK,), (PROFILE,), address_on_conflict="pool")
BY_NAME = {artefact.name: artefact for artefact in catalogue()}
CLONE = Decision(Origin.CLONE, "a copy")
SAME = Decision(Origin.SAME, "the same")


def found(name: str, verdict: Verdict, *values: str) -> Finding:
    return Finding(name, verdict, frozenset(values), "because")


def planned(*findings: Finding, decision: Decision = CLONE, situation: Situation = SITUATION) -> Plan:
    return plan(catalogue(), findings, decision, FRESH, situation)


def systemctl(*words: str) -> RunProgram:
    return RunProgram(("systemctl", *words), timeout_s=JOBS_TIMEOUT_S)


def subjects(steps: Plan) -> list[str]:
    return [subject for step in steps.steps for subject in step.subjects]


EVERYTHING = (
    found("machine-id", Verdict.INHERITED, "a" * 32),
    found("dbus-machine-id", Verdict.INHERITED, "a" * 32),
    found("journal-folder", Verdict.INHERITED, "a" * 32),
    found("random-seed", Verdict.INHERITED, "digest"),
    found("ssh-host-keys", Verdict.INHERITED, "ssh-rsa x"),
    found("networkmanager-key", Verdict.INHERITED, "digest"),
    found("dhcp-identity", Verdict.INHERITED, "/var/lib/dhcp/dhclient.leases digest"),
    found("hostname", Verdict.INHERITED, "template"),
    found("hosts-entry", Verdict.INHERITED, "127.0.1.1\ttemplate\n"),
    found("mac", Verdict.CONFLICT, LINK.mac),
    found("ipv4-address", Verdict.CONFLICT, "10.77.0.11"),
)


def test_same_in_same_out() -> None:
    assert planned(*EVERYTHING) == planned(*EVERYTHING)
    assert planned(*reversed(EVERYTHING)) == planned(*EVERYTHING)


def test_each_comes_after_what_it_builds_on() -> None:
    order = subjects(planned(*EVERYTHING))
    assert set(order) == {finding.subject for finding in EVERYTHING} | {RUNNING_SYSTEM}
    for name in set(order) - {RUNNING_SYSTEM}:
        for before in set(BY_NAME[name].after) & set(order):
            assert order.index(before) < order.index(name), (before, name)


def test_nothing_found_nothing_planned() -> None:
    assert not planned()
    assert not planned(*(replace(finding, verdict=Verdict.OWN) for finding in EVERYTHING))


def test_each_step_says_why_and_on_what_it_depends() -> None:
    (step,) = (step for step in planned(*EVERYTHING).steps if step.subjects == ("ssh-host-keys",))
    assert step.reason == "inherited: because"
    assert step.after == BY_NAME["ssh-host-keys"].after


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_joined_machine_never_changes(verdict: Verdict) -> None:
    findings = [replace(finding, verdict=verdict) for finding in EVERYTHING]
    for origin in Origin:
        assert not planned(*findings, decision=Decision(origin, "", joined=True))


RESET = Decision(Origin.CLONE, "an operator decided", resets=True)
MEMBER = Decision(Origin.CLONE, "a copy", joined=True)


@pytest.mark.parametrize(
    ("kind", "used", "decision", "expected"),
    [
        (Kind.A, "", CLONE, True),
        (Kind.A, "", MEMBER, False),
        (Kind.B, "", CLONE, True),
        (Kind.B, "has records", CLONE, False),
        (Kind.B, "has records", RESET, False),
        (Kind.B, "", MEMBER, False),
        (Kind.C, "", CLONE, False),
        (Kind.C, "", MEMBER, False),
        (Kind.C, "", RESET, True),
        (Kind.R, "", CLONE, False),
        (Kind.R, "", RESET, False),
    ],
)
def test_what_may_be_done_about_each_kind_of_what_is_inherited(
    kind: Kind, used: str, decision: Decision, expected: bool
) -> None:
    artefact = replace(BY_NAME["machine-id"], kind=kind, holds=("a.service",) if kind is Kind.C else ())
    finding = replace(found("machine-id", Verdict.INHERITED), used=used)
    assert wanted(artefact, finding, decision) is expected


@pytest.mark.parametrize("verdict", [Verdict.OWN, Verdict.ABSENT, Verdict.MISSING, Verdict.UNKNOWN, Verdict.CONFLICT])
def test_nothing_but_a_templates_is_ever_reset(verdict: Verdict) -> None:
    assert not wanted(AGENT, found("agent", verdict), RESET)


def test_a_way_in_is_never_reset_but_a_membership_is() -> None:
    finding = found("agent", Verdict.INHERITED)
    assert wanted(AGENT, finding, RESET)
    assert not wanted(replace(AGENT, holds=()), finding, RESET)
    assert wanted(replace(AGENT, holds=(), joins=True), finding, RESET)


def test_a_reset_sets_the_membership_aside_and_what_is_observed_last() -> None:
    conf = "/etc/kubernetes/kubelet.conf"
    (step,) = planned(found("kubelet-identity", Verdict.INHERITED, conf), decision=RESET).steps
    assert all(isinstance(action, SetAside) for action in step.actions)
    assert step.actions[-1] == SetAside(conf)
    assert SetAside("/etc/kubernetes/pki") in step.actions


RENEWING = [Origin.FIRST_BOOT, Origin.CLONE, Origin.TWIN]


@pytest.mark.parametrize("origin", list(Origin))
@pytest.mark.parametrize(
    ("verdict", "name", "always", "on_a_copy"),
    [
        (Verdict.OWN, "machine-id", False, False),
        (Verdict.ABSENT, "machine-id", False, False),
        (Verdict.UNKNOWN, "machine-id", False, False),
        (Verdict.INHERITED, "machine-id", False, True),
        (Verdict.MISSING, "ssh-host-keys", True, True),
        (Verdict.MISSING, "hostname", False, True),
        (Verdict.CONFLICT, "mac", True, True),
        (Verdict.CONFLICT, "hostname", False, True),
    ],
)
def test_what_is_wanted(origin: Origin, verdict: Verdict, name: str, always: bool, on_a_copy: bool) -> None:
    expected = on_a_copy if origin in RENEWING else always
    assert wanted(BY_NAME[name], found(name, verdict), Decision(origin, "")) is expected


def test_strangers_of_one_hostname_keep_it() -> None:
    # Each operator chose that name; neither machine is a copy of the other.
    assert not planned(found("hostname", Verdict.CONFLICT, "web"), decision=SAME)


def test_twins_of_one_hostname_are_renewed() -> None:
    (step,) = planned(found("hostname", Verdict.CONFLICT, "web"), decision=Decision(Origin.TWIN, "")).steps
    assert step.actions == (SetHostname("worker-1"),)


def test_what_cannot_be_mended_makes_no_step() -> None:
    situation = replace(SITUATION, hostname="template", address_on_conflict="report", mac_on_conflict="report")
    findings = (finding for finding in EVERYTHING if finding.subject in ("hostname", "mac", "ipv4-address"))
    assert not planned(*findings, situation=situation)


# Folding


def test_mac_and_address_of_one_profile_change_in_one_activation() -> None:
    steps = planned(EVERYTHING[-2], EVERYTHING[-1]).steps
    assert [step.subjects for step in steps] == [("mac", "ipv4-address")]
    assert steps[0].actions == (SetProfile("u1", "eth0", mac="02:00:00:00:00:aa", ipv4_addresses=("10.77.0.100/24",)),)
    assert "mac" not in steps[0].after


def test_profiles_of_two_links_stay_two_changes() -> None:
    other_link = replace(LINK, name="eth1", index=3)
    other = Profile("u2", "Second", "eth1", None, "manual", ("10.78.0.11/24",))
    situation = replace(SITUATION, links=(LINK, other_link), profiles=(PROFILE, other))
    steps = planned(EVERYTHING[-2], found("ipv4-address", Verdict.CONFLICT, "10.78.0.11"), situation=situation).steps
    assert [step.subjects for step in steps] == [("mac", "ipv4-address")]
    assert steps[0].actions == (
        SetProfile("u1", "eth0", mac="02:00:00:00:00:aa"),
        SetProfile("u2", "eth1", mac="02:00:00:00:00:ab", ipv4_addresses=("10.77.0.100/24",)),
    )


def test_addresses_alone_do_not_touch_the_mac() -> None:
    (step,) = planned(EVERYTHING[-1]).steps
    assert step.actions == (SetProfile("u1", "eth0", ipv4_addresses=("10.77.0.100/24",)),)
    assert step.after == ("mac",)


def test_both_families_of_one_profile() -> None:
    profile = replace(PROFILE, ipv6_method="manual", ipv6_addresses=("fd00::11/64", "fd00::12/64"))
    situation = replace(SITUATION, profiles=(profile,))
    (step,) = planned(EVERYTHING[-1], found("ipv6-address", Verdict.CONFLICT, "fd00::11"), situation=situation).steps
    assert set(step.subjects) == {"ipv4-address", "ipv6-address"}
    assert step.actions == (
        SetProfile(
            "u1",
            "eth0",
            ipv4_addresses=("10.77.0.100/24",),
            ipv6_addresses=("fd00::100/64", "fd00::12/64"),
        ),
    )


def test_a_link_without_a_profile_gets_its_mac_directly() -> None:
    (step,) = planned(EVERYTHING[-2], situation=replace(SITUATION, profiles=())).steps
    assert step.actions == (SetLinkMac("eth0", "02:00:00:00:00:aa"),)


def test_a_pinned_mac_is_dropped_where_there_is_one_of_its_own_beneath() -> None:
    pinned = "52:54:00:00:00:99"
    situation = replace(SITUATION, links=(replace(LINK, mac=pinned),), profiles=(replace(PROFILE, pinned_mac=pinned),))
    (step,) = planned(found("mac", Verdict.CONFLICT, pinned), situation=situation).steps
    assert step.actions == (SetProfile("u1", "eth0", mac=""),)


def test_a_pinned_mac_is_replaced_where_the_one_beneath_is_doubled_too() -> None:
    pinned = "52:54:00:00:00:99"
    situation = replace(SITUATION, links=(replace(LINK, mac=pinned),), profiles=(replace(PROFILE, pinned_mac=pinned),))
    (step,) = planned(found("mac", Verdict.CONFLICT, pinned, LINK.mac), situation=situation).steps
    assert step.actions == (SetProfile("u1", "eth0", mac="02:00:00:00:00:aa"),)


def test_a_lease_instead_of_a_doubled_address() -> None:
    profile = replace(PROFILE, ipv4_addresses=("10.77.0.11/24", "10.77.0.12/24"))
    situation = replace(SITUATION, profiles=(profile,), address_on_conflict="dhcp")
    (step,) = planned(EVERYTHING[-1], situation=situation).steps
    assert step.actions == (SetProfile("u1", "eth0", ipv4_addresses=("10.77.0.12/24",)),)


# The running system


def test_nothing_runs_that_would_have_to_let_go() -> None:
    assert subjects(planned(*EVERYTHING[3:5])) == ["random-seed", "ssh-host-keys"]


NETWORKMANAGER = replace(SITUATION, active_units=frozenset({"NetworkManager.service"}))


def test_what_writes_back_from_memory_is_stopped_first_and_started_last() -> None:
    steps = planned(EVERYTHING[5], EVERYTHING[6], situation=NETWORKMANAGER).steps
    assert steps[0].subjects == steps[-1].subjects == (RUNNING_SYSTEM,)
    assert steps[0].actions == (systemctl("stop", "NetworkManager.service"),)
    assert steps[-1].actions == (systemctl("start", "NetworkManager.service"),)
    assert len(steps) == 4


def test_what_was_stopped_is_started_even_when_a_renewal_or_a_restart_failed() -> None:
    # A machine without its network manager is a machine that nobody can reach.
    situation = replace(NETWORKMANAGER, active_units=NETWORKMANAGER.active_units | {"systemd-journald.service"})
    *_, restart, start = planned(EVERYTHING[0], EVERYTHING[5], situation=situation).steps
    assert restart.actions == (systemctl("daemon-reexec"), systemctl("try-restart", "systemd-journald.service"))
    assert start.actions == (systemctl("start", "NetworkManager.service"),)
    assert start.after == ()


def test_nothing_is_set_aside_under_a_service_that_could_not_be_stopped() -> None:
    # It would write back what it holds in memory.
    stop, aside, _ = planned(EVERYTHING[5], situation=NETWORKMANAGER).steps
    assert any(isinstance(action, SetAside) for action in aside.actions)
    assert set(stop.subjects) & set(aside.after)


def test_only_what_runs_is_restarted() -> None:
    situation = replace(SITUATION, active_units=frozenset({"ssh.service", "systemd-journald.service"}))
    last = planned(EVERYTHING[0], EVERYTHING[4], situation=situation).steps[-1]
    assert last.actions == (
        systemctl("daemon-reexec"),
        systemctl("try-restart", "ssh.service", "systemd-journald.service"),
    )


def test_what_is_about_to_start_does_not_start_with_what_is_replaced() -> None:
    # A twin is found while the machine boots: netdata may read its GUID before that is set aside, docker its ID.
    guid, engine = (found(name, Verdict.INHERITED, "/old x") for name in ("netdata-guid", "docker-engine-id"))
    starting = frozenset({"docker.service", "netdata.service", "chrony.service"})
    steps = planned(guid, engine, situation=replace(SITUATION, starting_units=starting)).steps
    stop, *_, restart, start = steps
    assert stop.actions == (systemctl("stop", "netdata.service"),), "it would write the old one back when it is stopped"
    assert restart.actions == (systemctl("try-restart", "docker.service"),)
    assert start.actions == (systemctl("--no-block", "start", "netdata.service"),), "what it waits for may wait for us"


def test_the_early_run_waits_for_no_job() -> None:
    # The jobs are ordered behind the early run itself.
    situation = replace(SITUATION, early=True, active_units=frozenset({"systemd-journald.service"}))
    for action in planned(EVERYTHING[0], situation=situation).steps[-1].actions:
        assert isinstance(action, RunProgram)
        assert action.argv[:2] == ("systemctl", "--no-block")


def test_nothing_is_restarted_for_what_was_only_found() -> None:
    situation = replace(SITUATION, active_units=frozenset({"NetworkManager.service", "ssh.service"}))
    assert RUNNING_SYSTEM not in subjects(
        planned(*EVERYTHING, decision=Decision(Origin.MOVED, ""), situation=situation)
    )


def test_to_boot_again_is_a_plan_of_one_step() -> None:
    assert reboot("held").steps == (Step((RUNNING_SYSTEM,), (Reboot("held"),), "held"),)


# What must not run as the template

AGENT = replace(BY_NAME["machine-id"], name="agent", kind=Kind.C, holds=("a.service", "a.timer"), after=(), restart=())
NO_UNIT: frozenset[str] = frozenset()
HELD = Step(("agent",), (HoldUnits(("a.service", "a.timer")),), "they would run as the template")


def agent(
    verdict: Verdict, decision: Decision = CLONE, held: frozenset[str] = NO_UNIT, active: frozenset[str] = NO_UNIT
) -> tuple[Step, ...]:
    situation = replace(SITUATION, held_units=held, active_units=active)
    return plan([AGENT], [found("agent", verdict, "key")], decision, FRESH, situation).steps


@pytest.mark.parametrize("decision", [CLONE, SAME, MEMBER], ids=["clone", "a-boot-after-that", "joined"])
def test_the_units_of_a_copy_are_held(decision: Decision) -> None:
    assert agent(Verdict.INHERITED, decision) == (HELD,)


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict is not Verdict.INHERITED])
def test_nothing_but_a_copy_is_held(verdict: Verdict) -> None:
    assert agent(verdict) == ()


def test_what_is_held_already_is_not_held_again() -> None:
    assert agent(Verdict.INHERITED, held=frozenset({"a.service", "a.timer", "other.service"})) == ()
    assert agent(Verdict.INHERITED, held=frozenset({"a.service"})) == (HELD,)


def test_what_was_started_by_hand_while_held_is_held_again() -> None:
    both = frozenset({"a.service", "a.timer"})
    assert agent(Verdict.INHERITED, held=both, active=frozenset({"a.timer"})) == (HELD,)


def test_what_is_set_aside_is_held_first() -> None:
    # It could run meanwhile and write its keys back; and if they could not be set aside, it must not run with them.
    (step,) = agent(Verdict.INHERITED, RESET)
    assert step.actions[0] == HoldUnits(("a.service", "a.timer"))
    assert len(step.actions) > 1


@pytest.mark.parametrize("verdict", list(Verdict))
def test_units_are_released_once_nothing_of_the_template_is_left(verdict: Verdict) -> None:
    held = frozenset({"a.service", "other.service"})
    free = releases([AGENT], [found("agent", verdict)], held)
    if verdict in (Verdict.OWN, Verdict.ABSENT):
        assert free.steps == (Step(("agent",), (ReleaseUnits(("a.service",)),), "it is not the template's any more"),)
    else:
        assert not free


def test_what_is_not_held_is_not_released() -> None:
    assert not releases([AGENT], [found("agent", Verdict.OWN)], frozenset({"other.service"}))


def test_a_unit_that_two_name_is_released_when_neither_is_the_templates() -> None:
    other = replace(AGENT, name="other", holds=("a.service",))
    findings = [found("agent", Verdict.OWN), found("other", Verdict.INHERITED)]
    (step,) = releases([AGENT, other], findings, frozenset({"a.service", "a.timer"})).steps
    assert step.actions == (ReleaseUnits(("a.timer",)),)


# The machine ID of the plan


def test_what_follows_the_machine_id_follows_the_fresh_one() -> None:
    (journal,) = (step for step in planned(*EVERYTHING).steps if step.subjects == ("journal-folder",))
    assert FRESH.machine_id in str(journal.actions[-1])


def test_what_follows_a_machine_id_that_stays_follows_that() -> None:
    (journal,) = planned(EVERYTHING[2]).steps
    assert SITUATION.machine_id in str(journal.actions[-1])


def test_an_unknown_machine_id_leaves_the_journal_where_it_is() -> None:
    # Fixed on the kernel command line: the folder may be the very one that journald writes to.
    assert not planned(EVERYTHING[2], situation=replace(SITUATION, machine_id=""))


def test_what_a_first_boot_lacks_is_made_early_and_once() -> None:
    key = BY_NAME["snakeoil-key"]
    for verdict in Verdict:
        early, late = (due((key,), (found(key.name, verdict),), stage) for stage in (Stage.EARLY, Stage.MAIN))
        assert (early, late) == (((key,), ()) if verdict is Verdict.MISSING else ((), (key,)))
    nameless = BY_NAME["hostname"]
    assert due((nameless,), (found("hostname", Verdict.MISSING),), Stage.EARLY) == (), "it is given by hostnamed"


def test_no_early_artefact_depends_on_a_later_one() -> None:
    early = frozenset(artefact.name for artefact in catalogue() if artefact.stage is Stage.EARLY)
    assert early
    for artefact in catalogue():
        if artefact.stage is Stage.EARLY:
            assert set(artefact.after) <= early, artefact.name


def test_where_a_card_was_replaced_only_what_follows_the_hardware_is_mended() -> None:
    finding = Finding("thing", Verdict.INHERITED, frozenset({"old"}))
    for joined in (False, True):
        decision = Decision(Origin.NEW_NIC, "", joined=joined)
        following = replace(catalogue()[0], name="thing", follows_hardware=True)
        assert wanted(following, finding, decision)
        assert not wanted(following, replace(finding, verdict=Verdict.CONFLICT), decision)
        assert not wanted(replace(following, follows_hardware=False), finding, decision)
