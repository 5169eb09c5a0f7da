"""Verifying: observe again, and let the same judge find nothing. Pure but for the view that it observes through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nodeprep.judge import Inherited, judge
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Observation, Values, Verdict
from nodeprep.observe import observe, presented


def verify(
    artefacts: Iterable[Artefact],
    machine: MachineView,
    inherited: Inherited,
    contested: Mapping[Claim, Values],
    *,
    first_boot: bool = False,
) -> tuple[Observation, tuple[Finding, ...], dict[Claim, Values]]:
    """Return what is there now, the verdicts on it, and what of the contested values is still presented.

    first_boot: see observe.
    """
    artefacts = tuple(artefacts)
    in_use = {artefact.name: artefact.used for artefact in artefacts if artefact.used}
    observation = observe(artefacts, machine, first_boot=first_boot)
    still = presented(artefacts, machine, observation)
    left = {claim: values & still.get(claim, frozenset()) for claim, values in contested.items()}
    left = {claim: values for claim, values in left.items() if values}
    findings = tuple(
        replace(finding, used=in_use[finding.subject](machine))
        if finding.verdict is Verdict.INHERITED and finding.subject in in_use
        else finding
        for finding in judge(artefacts, observation, inherited, left)
    )
    return observation, findings, left
