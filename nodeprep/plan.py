"""Planning: findings in, steps out. Pure; everything random or claimed comes in as Fresh."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nodeprep.model import Artefact, Decision, Finding, Kind, Origin, Stage, Verdict
from nodeprep.steps import (
    Action,
    Fresh,
    HoldUnits,
    Plan,
    Reboot,
    ReleaseUnits,
    RunProgram,
    SetProfile,
    Situation,
    Step,
)

RUNNING_SYSTEM = "running-system"
"""The pseudo subject of steps that make running services let go of what was renewed."""
JOBS_TIMEOUT_S = 120.0
"""Longer than systemd waits for a service to stop (DefaultTimeoutStopSec=, systemd-system.conf(5))."""


def wanted(artefact: Artefact, finding: Finding, decision: Decision) -> bool:
    """Whether the finding is to be mended by itself.

    A joined machine never changes. What is enrolled elsewhere and has no units to hold may be the way in, and a reset
    must lock nobody out. A conflict of hostnames between machines that are not copies of one another is the operators'
    to settle: each of them chose that name.
    """
    if artefact.follows_hardware and decision.origin is Origin.NEW_NIC:
        return finding.verdict is Verdict.INHERITED
    match artefact.kind:
        case Kind.A:
            allowed = not decision.joined
        case Kind.B:
            allowed = not decision.joined and not finding.used
        case Kind.C:
            is_way_in = not (artefact.holds or artefact.joins)
            allowed = decision.resets and finding.verdict is Verdict.INHERITED and not is_way_in
        case Kind.R:
            allowed = False
    if not allowed:
        return False
    match finding.verdict:
        case Verdict.INHERITED | Verdict.MISSING:
            return decision.renews or (finding.verdict is Verdict.MISSING and artefact.stage is Stage.EARLY)
        case Verdict.CONFLICT:
            return decision.renews or artefact.name != "hostname"
        case Verdict.OWN | Verdict.ABSENT | Verdict.UNKNOWN:
            return False


def due(
    artefacts: Iterable[Artefact], findings: Iterable[Finding], stage: Stage, *, named: bool | None = None
) -> tuple[Artefact, ...]:
    """Return the artefacts of one stage; what a first boot lacks is made early, before its owner starts.

    named: for the hostname and what is made from it alone, or for all else alone.
    """
    missing = {finding.subject for finding in findings if finding.verdict is Verdict.MISSING}
    return tuple(
        artefact
        for artefact in artefacts
        if stage is (Stage.EARLY if artefact.lacks and artefact.name in missing else artefact.stage)
        if named in (None, artefact.name in ("hostname", "mail-name") or "hostname" in artefact.after)
    )


def plan(
    artefacts: Iterable[Artefact],
    findings: Iterable[Finding],
    decision: Decision,
    fresh: Fresh,
    situation: Situation,
) -> Plan:
    """Return the steps that mend what is to be mended, in the order of the catalogue."""
    by_name = {finding.subject: finding for finding in findings}
    renewed: list[Artefact] = []
    steps: list[Step] = []
    for artefact in artefacts:
        finding = by_name.get(artefact.name)
        if finding is None:
            continue
        hold = _hold(artefact, finding, situation)
        if not wanted(artefact, finding, decision):
            if hold:
                steps.append(Step((artefact.name,), hold, "they would run as the template"))
            continue
        if artefact.name == "machine-id":
            situation = replace(situation, machine_id=fresh.machine_id)
        if actions := artefact.plan(finding, fresh, situation):
            renewed.append(artefact)
            reason = f"{finding.verdict.value}: {finding.detail}"
            steps.append(Step((artefact.name,), (*hold, *actions), reason, after=artefact.after))
    stops = _stops(renewed, situation)
    if stops:  # what still runs would write back what is set aside
        idle = {artefact.name for artefact in renewed if artefact.idle}
        steps = [replace(s, after=(*s.after, RUNNING_SYSTEM)) if idle & set(s.subjects) else s for s in steps]
    return Plan((*stops, *_merged(steps), *_restarts(renewed, situation)))


def _hold(artefact: Artefact, finding: Finding, situation: Situation) -> tuple[Action, ...]:
    """Return what keeps from running what would run as the template, unless it is held already."""
    units = frozenset(artefact.holds)
    if not units or finding.verdict is not Verdict.INHERITED:
        return ()
    if units <= situation.held_units and not units & situation.active_units:
        return ()
    return (HoldUnits(artefact.holds),)


def releases(artefacts: Iterable[Artefact], findings: Iterable[Finding], held_units: frozenset[str]) -> Plan:
    """Return the steps that let the units go of what is not the template's any more."""
    clear = {finding.subject for finding in findings if finding.verdict in (Verdict.OWN, Verdict.ABSENT)}
    artefacts = tuple(artefacts)
    free = held_units.difference(*(artefact.holds for artefact in artefacts if artefact.name not in clear))
    return Plan(
        tuple(
            Step((artefact.name,), (ReleaseUnits(units),), "it is not the template's any more")
            for artefact in artefacts
            if (units := tuple(sorted(free.intersection(artefact.holds))))
        )
    )


def _merged(steps: list[Step]) -> list[Step]:
    """Fold changes of one profile into one, so that its link goes down once."""
    merged: list[Step] = []
    for step in steps:
        before = next((i for i, other in enumerate(merged) if _profiles(other) & _profiles(step)), None)
        if before is None:
            merged.append(step)
            continue
        other = merged[before]
        actions = list(other.actions)
        for action in step.actions:
            _fold(actions, action)
        subjects = (*other.subjects, *step.subjects)
        after = tuple(name for name in (*other.after, *step.after) if name not in subjects)
        reason = other.reason if step.reason in other.reason else f"{other.reason}; {step.reason}"
        merged[before] = Step(subjects, tuple(actions), reason, after)
    return merged


def _profiles(step: Step) -> frozenset[str]:
    return frozenset(action.profile for action in step.actions if isinstance(action, SetProfile))


def _fold(actions: list[Action], action: Action) -> None:
    for index, other in enumerate(actions):
        if (
            isinstance(other, SetProfile)
            and isinstance(action, SetProfile)
            and (other.profile, other.link) == (action.profile, action.link)
        ):
            actions[index] = SetProfile(
                other.profile,
                other.link,
                mac=other.mac if action.mac is None else action.mac,
                ipv4_addresses=other.ipv4_addresses if action.ipv4_addresses is None else action.ipv4_addresses,
                ipv6_addresses=other.ipv6_addresses if action.ipv6_addresses is None else action.ipv6_addresses,
            )
            return
    actions.append(action)


def _idle_units(renewed: list[Artefact], units: frozenset[str]) -> list[str]:
    return sorted({unit for artefact in renewed for unit in artefact.idle} & units)


def _stops(renewed: list[Artefact], situation: Situation) -> list[Step]:
    """Stop what would write back, from memory, the files that are about to go.

    What the boot has yet to start too: it would read the old ones while they go, and write them back at its stop.
    """
    units = _idle_units(renewed, situation.active_units | situation.starting_units)
    if not units:
        return []
    stop = RunProgram(("systemctl", "stop", *units), timeout_s=JOBS_TIMEOUT_S)
    return [Step((RUNNING_SYSTEM,), (stop,), "they keep what is renewed open")]


def _restarts(renewed: list[Artefact], situation: Situation) -> list[Step]:
    """Make running services, and PID 1, read what was renewed."""
    actions: list[Action] = []
    if any(artefact.name == "machine-id" for artefact in renewed):
        actions.append(_systemctl("daemon-reexec", wait=not situation.early))
    # Of those that the boot has yet to start, whichever has been started meanwhile may have read an old value.
    held = situation.active_units | situation.starting_units
    if held := held & {unit for artefact in renewed for unit in artefact.restart}:
        # All at once: they do not wait for one another, and one that has two names is restarted once.
        actions.append(_systemctl("try-restart", *sorted(held), wait=not situation.early))
    steps = [Step((RUNNING_SYSTEM,), tuple(actions), "they hold the old values")] if actions else []
    # Started whatever else failed: a machine without its network manager is a machine that nobody can reach.
    if idle := _idle_units(renewed, situation.active_units):
        steps.append(Step((RUNNING_SYSTEM,), (_systemctl("start", *idle),), "they were stopped for it"))
    # The start that was called off may have waited for something that comes after this very run.
    if idle := _idle_units(renewed, situation.starting_units):
        start = _systemctl("start", *idle, wait=False)
        steps.append(Step((RUNNING_SYSTEM,), (start,), "their start was called off for it"))
    return steps


def _systemctl(*words: str, wait: bool = True) -> RunProgram:
    """Return a call of systemctl; the early run cannot wait for jobs that are ordered behind itself."""
    return RunProgram(("systemctl", *(() if wait else ("--no-block",)), *words), timeout_s=JOBS_TIMEOUT_S)


def reboot(reason: str) -> Plan:
    """Return the plan that boots again, for a running system that cannot be shown to have let go."""
    return Plan((Step((RUNNING_SYSTEM,), (Reboot(reason),), reason),))
